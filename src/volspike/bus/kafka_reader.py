"""Reading a Kafka partition by offset or by time, without a group."""

from __future__ import annotations

from confluent_kafka import Consumer, KafkaError, Message, TopicPartition

from volspike.bus.kafka_cluster import REPLY_S, KafkaCluster
from volspike.bus.kafka_errors import bus_error, kafka_errors, when_settled
from volspike.bus.port import LogRecord
from volspike.errors import UnavailableError

_NS_PER_MS = 1_000_000
TRY_S = 2.0
_CHUNK_ROWS = 5_000
# 0 means "now" to librdkafka, so times before 1970-01-01T00:00:00.002 share this stamp.
_FIRST_MS = 1


def stamp_ms(event_ns: int) -> int:
    """Return the record stamp of an event time: its millisecond, rounded down."""
    return max(event_ns // _NS_PER_MS, _FIRST_MS)


def to_record(message: Message) -> LogRecord:
    """Return a message as read; its event time is its stamp."""
    key = message.key()
    at_ms = message.timestamp()[1]
    return LogRecord(
        message.topic() or "",
        message.partition() or 0,
        message.offset() or 0,
        str(key, "utf-8", "replace") if key else "",
        message.value() or b"",
        at_ms * _NS_PER_MS if at_ms > _FIRST_MS else 0,
    )


class KafkaReader:
    """Reads committed records of any partition.

    Parameters
    ----------
    cluster : KafkaCluster
        Where the topics are.
    """

    def __init__(self, cluster: KafkaCluster) -> None:
        self._cluster = cluster
        self._consumer = Consumer(
            cluster.settings(
                group_id="volspike-reader",
                isolation_level="read_committed",
                enable_auto_commit=False,
                auto_offset_reset="error",
                enable_partition_eof=True,
                # The end of a partition is told by an answer without records: don't let it wait for some.
                fetch_wait_max_ms=5,
                queued_max_messages_kbytes=16_384,
            )
        )
        self._at: TopicPartition | None = None

    def bounds(self, topic: str, partition: int) -> tuple[int, int]:
        """Return the oldest offset and the one behind the newest committed record; (0, 0) without a topic."""
        if partition >= self._cluster.partitions(topic):
            return 0, 0
        place = TopicPartition(topic, partition)
        with kafka_errors(topic):
            oldest, behind_newest = when_settled(
                lambda: self._consumer.get_watermark_offsets(place, TRY_S),
                lambda: self._consumer.list_topics(timeout=REPLY_S),
                REPLY_S,
            )
        return int(oldest), int(behind_newest)

    def read(self, topic: str, partition: int, offset: int, limit: int) -> list[LogRecord]:
        """Return up to ``limit`` committed records from ``offset`` on; what retention removed is skipped."""
        start, end = self.bounds(topic, partition)
        if offset >= end or limit <= 0:
            return []
        with kafka_errors(topic):
            self._go_to(TopicPartition(topic, partition, max(offset, start)))
            return self._take(topic, limit)

    def offset_at(self, topic: str, partition: int, event_ns: int) -> int:
        """Return the first offset whose stamp is that of ``event_ns`` or later, else the end offset.

        Sure, and a matter of milliseconds where event times are those of the broker's clock. The marks of
        transactions bear that clock's time, and the broker finds them like records; so in a topic of
        recordings, all older than any mark, the search reads on from the first one.
        """
        start, end = self.bounds(topic, partition)
        if end == 0:
            return 0
        least_ms = stamp_ms(event_ns)
        asked = TopicPartition(topic, partition, least_ms)
        with kafka_errors(topic):
            (found,) = self._consumer.offsets_for_times([asked], REPLY_S)
        # "None" is also said where deleted records would have been found.
        offset = max(found.offset, start)
        while records := self.read(topic, partition, offset, _CHUNK_ROWS):
            for record in records:
                if stamp_ms(record.event_ns) >= least_ms:
                    return record.offset
            offset = records[-1].offset + 1
        return end

    def newest(self, topic: str, partition: int, rows: int) -> int:
        """Return the offset of the oldest among the newest ``rows`` records."""
        start, end = self.bounds(topic, partition)
        if rows <= 0:
            return end
        # Offsets have holes, so how far back the records go is found by looking.
        span = rows
        while True:
            first = max(start, end - span)
            offsets = self._offsets(topic, partition, first)
            if len(offsets) >= rows:
                return offsets[-rows]
            if first == start:
                return start
            span *= 2

    def close(self) -> None:
        """Disconnect."""
        with kafka_errors("reader"):
            self._consumer.close()

    def _offsets(self, topic: str, partition: int, first: int) -> list[int]:
        offsets: list[int] = []
        while records := self.read(topic, partition, first, _CHUNK_ROWS):
            offsets += [record.offset for record in records]
            first = offsets[-1] + 1
        return offsets

    def _go_to(self, place: TopicPartition) -> None:
        at = self._at
        if at is None or (at.topic, at.partition, at.offset) != (place.topic, place.partition, place.offset):
            self._consumer.assign([place])

    def _take(self, topic: str, limit: int) -> list[LogRecord]:
        records: list[LogRecord] = []
        self._at = None
        while len(records) < limit:
            first = self._consumer.poll(REPLY_S)
            if first is None:
                raise UnavailableError(topic, f"no answer for {REPLY_S:.0f} s", "check that the broker runs")
            # Whatever else is here already; a timeout would be waited out in full.
            for message in (first, *self._consumer.consume(limit - len(records) - 1, 0)):
                error = message.error()
                if error is None:
                    records.append(to_record(message))
                elif error.code() == KafkaError._PARTITION_EOF:
                    return records
                else:
                    raise bus_error(error, topic)
        self._at = TopicPartition(topic, records[-1].partition, records[-1].offset + 1)
        return records
