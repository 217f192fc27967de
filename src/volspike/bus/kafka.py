"""The log on a Kafka cluster: every ``append`` is one transaction.

What one ``append`` does, and what remains if the process dies there:

1. *begin*: nothing has left the process.
2. *produce* the records: they lie in their partitions, uncommitted; no read-committed reader passes them.
3. *send offsets*: the group's new offsets lie beside them, uncommitted. The broker checks here that this
   process is still the member that owns the partitions.
4. *commit*: the coordinator writes the decision. From then on records and offsets are visible, all of them.

A death in 1-3 leaves a transaction that nobody ends. The next process of the same name does so when it
starts (``init_transactions`` aborts it), else the coordinator when its time is up; then the records are
skipped by readers, the offsets are as before, and the same input is read again. A death during 4 leaves the
outcome to the coordinator: it is settled by the time the next process of the name has started, one way or the
other, and records and offsets agree. After 4 there is nothing to do again. A process that was only frozen
meanwhile finds itself *fenced* at its next step and can't write any more.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterable, Mapping, Sequence

from confluent_kafka import KafkaException, Producer

from volspike.bus.kafka_cluster import REPLY_S, TRANSACTION_S, KafkaCluster
from volspike.bus.kafka_consumer import KafkaConsumer
from volspike.bus.kafka_errors import kafka_errors
from volspike.bus.kafka_reader import KafkaReader, stamp_ms
from volspike.bus.port import Consumer, LogRecord, Outgoing, Retention
from volspike.clock import SystemClock
from volspike.errors import BusError, FencedError, UnavailableError, UndoneError

_FULL_PAUSE_S = 0.005
_SETTLE_PAUSE_S = 0.02
_LARGEST_MESSAGE = 16 << 20
_NS_PER_MS = 1_000_000
_BY_KEY = -1  # librdkafka's PARTITION_UA


class KafkaLog:
    """The topics of a Kafka cluster.

    Parameters
    ----------
    bootstrap : str
        ``host:port`` of a broker, with commas between several.
    name : str, optional
        Who writes: of two processes of one name the later takes over and the earlier is fenced. Without one
        the log writes under a name of its own, and its consumers are no static members.
    options : mapping, optional
        librdkafka settings of every client, such as credentials.
    patience_s : float
        How long ``append`` waits for a broker that is away, in each of its steps; in the third for as long
        as a transaction may last (15 s), whatever is given here.
    session_s : float
        How long the partitions of a consumer that died wait for it before others of its group get them.
    reached : callable, optional
        Called with the name of each step of ``append``: where tests make a process die.

    Attributes
    ----------
    cluster : KafkaCluster
        For what is not in the port: making and describing topics.
    patience_s : float
        As given.

    Raises
    ------
    BusError
        No broker answers.
    """

    def __init__(
        self,
        bootstrap: str,
        *,
        name: str | None = None,
        options: Mapping[str, str] | None = None,
        patience_s: float = 60.0,
        session_s: float = 45.0,
        reached: Callable[[str], None] | None = None,
    ) -> None:
        self.cluster = KafkaCluster(bootstrap, options)
        self._name = name
        self._writer = f"volspike.{name or secrets.token_hex(8)}"
        self.patience_s = patience_s
        self._session_s = session_s
        self._reached = reached
        self._reader: KafkaReader | None = None
        self._producer: Producer | None = None
        self._consumers: list[KafkaConsumer] = []
        self._fenced: FencedError | None = None
        self._kept_ms: dict[str, int] = {}
        self._looked_up: set[str] = set()

    def append(self, records: Sequence[Outgoing], consumer: Consumer | None = None) -> None:
        """Append a batch and commit what ``consumer`` has polled, in one transaction.

        Waits while librdkafka's queue is full, and up to ``patience_s`` for a broker that is away: to be
        called where waiting does no harm.

        Raises
        ------
        UnavailableError
            The broker is away, or the transaction was undone, for instance as the group's partitions were
            dealt anew. Whether it was committed is known after ``consumer.rewind()``.
        FencedError
            Another process of the same name has taken over.
        BusError
            A topic is missing, a record is refused, or its topic would delete it at once.
        """
        member = None if consumer is None else self._own(consumer)
        if member is not None and not member.reads:
            if records:
                raise UndoneError(f"group {member.group}", "has no partitions here", "poll first")
            return
        if not records and (member is None or not member.pending()):
            return
        topics = self._admit(records)
        producer, began_s = self._begin(), time.monotonic()
        try:
            with kafka_errors(self._writer):
                self._step("bus.append.begun")
                self._look_up(producer, topics)
                self._produce(producer, records)
                self._step("bus.append.inserted")
                if member is not None:
                    producer.send_offsets_to_transaction(*member.standing(), self.patience_s)
                self._step("bus.append.before_commit")
                producer.commit_transaction(self.patience_s)
        except FencedError as error:
            self._producer = None
            if not self._ran_out(began_s, member):
                # For good: a new producer would drive out the one that has taken over.
                self._fenced = error
                raise
            reason = "the broker has ended a transaction that lasted too long"
            raise UndoneError(self._writer, reason, "read again from the committed offsets") from error
        except UnavailableError:
            # The outcome is the broker's to tell, and the next producer's start asks it.
            self._producer = None
            raise
        except BaseException:
            self._undo(producer)
            raise
        self._step("bus.append.committed")
        if member is not None:
            member.committed()

    def read(self, topic: str, offset: int, limit: int, partition: int = 0) -> list[LogRecord]:
        """Return up to ``limit`` committed records from ``offset`` on, without a group."""
        return self._reading().read(topic, partition, offset, limit)

    def consumer(self, group: str, topics: Sequence[str], *, from_end: bool = False) -> KafkaConsumer:
        """Join ``group``; a group without offsets starts at the oldest record, or at the end.

        Raises
        ------
        BusError
            A topic doesn't exist.
        """
        self.cluster.require(topics)
        if self._name is not None:
            # What a former self has left open would hide the offsets to start from.
            self._settle()
        origins = {}
        if from_end:
            for topic in topics:
                for partition in range(self.partitions(topic)):
                    self.settle(topic, partition)
                    origins[topic, partition] = self.end_offset(topic, partition)
        joined = KafkaConsumer(
            self.cluster, group, topics, self._name, origins, self._session_s, self._settle
        )
        self._consumers.append(joined)
        return joined

    def group_offset(self, group: str, topic: str, partition: int = 0) -> int | None:
        """Return the offset the group will read next, or None if it never committed."""
        return self.cluster.group_offset(group, topic, partition)

    def offset_at(self, topic: str, event_ns: int, partition: int = 0) -> int:
        """Return the first offset whose event time is ``event_ns`` or later, else the end offset."""
        return self._reading().offset_at(topic, partition, event_ns)

    def start_offset(self, topic: str, partition: int = 0) -> int:
        """Return the oldest offset that retention has left."""
        return self._reading().bounds(topic, partition)[0]

    def end_offset(self, topic: str, partition: int = 0) -> int:
        """Return the offset behind the newest committed record and its transaction's mark."""
        return self._reading().bounds(topic, partition)[1]

    def settle(self, topic: str, partition: int = 0) -> None:
        """Wait until no transaction is open in the partition, so that all that was committed can be read.

        A group's offsets may be told before the records of the same transaction are. What a former process
        of this log's name has left open is ended here.

        Raises
        ------
        UnavailableError
            A transaction has been open for longer than it may.
        """
        if self._name is not None:
            self._settle()
        deadline = time.monotonic() + TRANSACTION_S + REPLY_S
        while self.cluster.is_unsettled(topic, partition):
            if time.monotonic() > deadline:
                raise UnavailableError(topic, "a transaction doesn't end", "see the broker's log")
            time.sleep(_SETTLE_PAUSE_S)

    def topics(self) -> list[str]:
        """Return the names of the topics that exist, sorted."""
        return self.cluster.topics()

    def partitions(self, topic: str) -> int:
        """Return the number of partitions, 0 if there is no such topic."""
        return self.cluster.partitions(topic)

    def retain(self, topic: str, retention: Retention) -> int:
        """Delete from the start of each partition what ``retention`` allows; ``rows`` counts per partition.

        Returns
        -------
        int
            Number of offsets passed, the marks of transactions among them.

        Raises
        ------
        BusError
            ``appended_before_ns`` is given: records carry their event time, and brokers tell no other.
        """
        if retention.appended_before_ns is not None:
            reason = "a broker doesn't tell when a record was appended"
            raise BusError(topic, reason, "let its retention.ms do it: volspike topics --retention-hours")
        return sum(self._retain(topic, n, retention) for n in range(self.partitions(topic)))

    def close(self) -> None:
        """Leave the groups and disconnect."""
        for consumer in self._consumers:
            consumer.close()
        if self._reader is not None:
            self._reader.close()
        self._producer = None

    def _retain(self, topic: str, partition: int, retention: Retention) -> int:
        reader = self._reading()
        start, _ = reader.bounds(topic, partition)
        keep_from = start
        if retention.rows is not None:
            keep_from = max(keep_from, reader.newest(topic, partition, retention.rows))
        if retention.before_event_ns is not None:
            keep_from = max(keep_from, reader.offset_at(topic, partition, retention.before_event_ns))
        if keep_from > start:
            self.cluster.delete_before(topic, partition, keep_from)
        return keep_from - start

    def _own(self, consumer: Consumer) -> KafkaConsumer:
        if not isinstance(consumer, KafkaConsumer):
            raise BusError(type(consumer).__name__, "reads no Kafka topic", "append where it reads")
        if consumer.torn:
            reason = "lost partitions between reading and writing"
            raise UndoneError(f"group {consumer.group}", reason, "read again from the committed offsets")
        return consumer

    def _admit(self, records: Sequence[Outgoing]) -> set[str]:
        """Refuse records that their topics would not keep; return the topics."""
        topics = {record.topic for record in records}
        for topic in topics:
            kept_ms = self._kept(topic)
            # Against the broker's clock, which is UTC whatever the market's.
            oldest_ns = SystemClock().market_ns() - kept_ms * _NS_PER_MS
            if kept_ms >= 0 and min(r.event_ns for r in records if r.topic == topic) < oldest_ns:
                reason = f"keeps {kept_ms / 3.6e6:g} h by event time and would delete this record at once"
                raise BusError(topic, reason, "for recordings: volspike topics --bus kafka --keep")
        return topics

    def _look_up(self, producer: Producer, topics: Iterable[str]) -> None:
        for topic in topics:
            if topic not in self._looked_up:
                # Left to itself, the producer finds the leaders of a new topic after a second.
                producer.list_topics(topic, REPLY_S)
                self._looked_up.add(topic)

    def _kept(self, topic: str) -> int:
        """Return for how many milliseconds a topic keeps its records, -1 for ever."""
        if topic not in self._kept_ms:
            self.cluster.require([topic])
            self._kept_ms[topic] = self.cluster.plan(topic).retention_ms
        return self._kept_ms[topic]

    def _ran_out(self, began_s: float, member: KafkaConsumer | None) -> bool:
        """Tell whether a fence is the end of a transaction's time, and not another process of this name."""
        is_late = time.monotonic() - began_s > TRANSACTION_S
        return is_late and (member is None or not member.is_displaced())

    def _begin(self) -> Producer:
        producer = self._settle()
        with kafka_errors(self._writer):
            producer.begin_transaction()
        return producer

    def _settle(self) -> Producer:
        """Return the producer; a new one first ends whatever transaction its name has left open."""
        if self._fenced is not None:
            raise self._fenced
        if self._producer is None:
            with kafka_errors(self._writer):
                producer = Producer(self.cluster.settings(**_settings(self._writer)))
                producer.init_transactions(self.patience_s)
            self._producer = producer
            self._looked_up.clear()
        return self._producer

    def _produce(self, producer: Producer, records: Sequence[Outgoing]) -> None:
        produce = producer.produce
        for record in records:
            place = _BY_KEY if record.partition is None else record.partition
            at_ms = stamp_ms(record.event_ns)
            while True:
                try:
                    # By position, the two callbacks among them: keywords take as long as the rest.
                    produce(record.topic, record.value, record.key, place, None, None, at_ms)
                    break
                except BufferError:
                    producer.poll(_FULL_PAUSE_S)

    def _undo(self, producer: Producer) -> None:
        try:
            producer.abort_transaction(REPLY_S)
        except KafkaException:
            self._producer = None

    def _step(self, name: str) -> None:
        if self._reached is not None:
            self._reached(name)

    def _reading(self) -> KafkaReader:
        if self._reader is None:
            self._reader = KafkaReader(self.cluster)
        return self._reader


def _settings(writer: str) -> dict[str, object]:
    return {
        "transactional_id": writer,
        "transaction_timeout_ms": int(TRANSACTION_S * 1e3),
        "acks": "all",
        # The broker refuses a transaction until the one before is marked, which takes milliseconds.
        "retry_backoff_ms": 10,
        "compression_type": "zstd",
        # Of batches of records as small as these, the lowest level makes less than the usual third.
        "compression_level": 1,
        # The partition that Java clients would choose for the key.
        "partitioner": "murmur2_random",
        "message_max_bytes": _LARGEST_MESSAGE,
        "queue_buffering_max_messages": 100_000,
        "queue_buffering_max_kbytes": 131_072,
    }
