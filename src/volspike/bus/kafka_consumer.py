"""A group member that reads Kafka topics: where it stands, what it is given and loses, what retention ate."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from volspike.bus.kafka_cluster import REPLY_S, KafkaCluster
from volspike.bus.kafka_errors import bus_error, kafka_errors, when_settled
from volspike.bus.kafka_name import MarkedName
from volspike.bus.kafka_reader import TRY_S, to_record
from volspike.bus.port import Changes, GroupOffset, LogRecord, OffsetGap, Place
from volspike.errors import BusError, FencedError, UndoneError

Partition = tuple[str, int]
_Handler = Callable[[Consumer, list[TopicPartition]], None]
# So few messages are gone again before Python's garbage collection takes note of them.
_CHUNK = 200


class KafkaConsumer:
    """Reads topics as a member of a group, committed records only.

    Partitions move between members one by one (cooperative-sticky). A member with a name is *static*: it may
    be killed and started again within the session time and goes on with the same partitions at once, while
    its former self, should it still run, is fenced. That is why the group uses the classic protocol: the
    newer one refuses a name for as long as the session of its former owner lasts. Behind a broker's restart a
    static member may be told that it is fenced, by a join of its own that was counted twice: it joins anew.
    One that has slept for longer than its session, or was as long without a broker, looks before it joins
    again: librdkafka would do so by itself, and fence who has taken its place.

    Parameters
    ----------
    cluster : KafkaCluster
        Where the topics are.
    group : str
        The group whose offsets are used.
    topics : sequence of str
        What to read.
    name : str or None
        The static name of this member in the group.
    origins : mapping
        Offset at which a group without offsets starts, per topic and partition; elsewhere at the oldest.
    session_s : float
        How long the group waits for a member it doesn't hear from before it gives its partitions to others.
    settle : callable
        Called before committed offsets are read again: brings a transaction in doubt to its end.
    """

    def __init__(
        self,
        cluster: KafkaCluster,
        group: str,
        topics: Sequence[str],
        name: str | None,
        origins: Mapping[Partition, int],
        session_s: float,
        settle: Callable[[], object],
    ) -> None:
        self.group = group
        self._name = name
        self._cluster = cluster
        self._origins = origins
        self._settle = settle
        self._position: dict[Partition, int] = {}
        self._settled: dict[Partition, int] = {}
        self._committed: dict[Partition, int | None] = {}
        self._lost: list[Partition] = []
        self._gained: dict[Partition, int] = {}
        self._gaps: list[OffsetGap] = []
        self._callback: Callable[[Sequence[Partition]], None] | None = None
        self._torn = False
        self._closed = False
        self._is_out = False
        self._down = False
        self._failure: Exception | None = None
        settings = cluster.settings(**_settings(group, name, session_s))
        self._made_of = {**settings, "error_cb": self._on_error}
        self._topics = list(topics)
        # By it another process of this name is told from this one, and from a later join of this one.
        self._mark = None if name is None else MarkedName(cluster, group, name, self._topics[0])
        self._consumer = self._join()

    def poll(self, limit: int, timeout_s: float) -> list[LogRecord]:
        """Return up to ``limit`` records as soon as some are there; empty after ``timeout_s``.

        Raises
        ------
        FencedError
            Another process of this name is in the group.
        UndoneError
            This member was fenced by itself: its join, behind a broker's restart, was counted twice. It has
            joined anew.
        """
        try:
            return self._poll(limit, timeout_s)
        except FencedError as error:
            if self.is_displaced():
                raise self._displaced() from error
            self._lost += self._position
            self._position.clear()
            self._consumer.close()
            self._consumer = self._join()
            raise UndoneError(f"group {self.group}", error.reason, "go on: it has joined anew") from error

    def _join(self) -> Consumer:
        consumer = Consumer(self._made_of)
        self._subscribe(consumer)
        return consumer

    def _subscribe(self, consumer: Consumer) -> None:
        consumer.subscribe(
            self._topics,
            on_assign=self._kept(self._on_assign),
            on_revoke=self._kept(self._on_revoke),
            on_lost=self._kept(self._on_lost),
        )
        self._is_out = False

    def _kept(self, handle: _Handler) -> _Handler:
        """Return ``handle`` as librdkafka may call it: what it raises is for the end of the poll.

        A poll goes on behind a callback that has raised, and the next callback would fail for it.
        """

        def call(consumer: Consumer, partitions: list[TopicPartition]) -> None:
            try:
                handle(consumer, partitions)
            except (BusError, KafkaException) as error:
                self._failure = self._failure or error

        return call

    def _poll(self, limit: int, timeout_s: float) -> list[LogRecord]:
        if self._down:
            # A member that has nothing to write would wait without a word; the word may be old, so ask.
            self._down = False
            self._cluster.topics()
        if self._is_out:
            if self.is_displaced():
                raise self._displaced()
            self._subscribe(self._consumer)
        taken: list[LogRecord | Message] = []
        with kafka_errors(f"group {self.group}"):
            first = self._consumer.poll(timeout_s)
            messages = [] if first is None else [first]
            # Whatever else is here already; a timeout would be waited out in full.
            while messages:
                taken += [to_record(each) if each.error() is None else each for each in messages]
                left = min(limit - len(taken), _CHUNK)
                messages = self._consumer.consume(left, 0) if left > 0 else []
            if (failure := self._failure) is not None:
                self._failure = None
                raise failure
        # Not before: any call above may hand partitions over, and with them commit positions, behind which
        # must be nothing that the caller hasn't got.
        records: list[LogRecord] = []
        for each in taken:
            if isinstance(each, LogRecord):
                if self._advance(each):
                    records.append(each)
            elif (error := each.error()) is not None:
                self._handle(error, each)
        return records

    def pending(self) -> tuple[GroupOffset, ...]:
        """Return what was polled and not yet committed."""
        return tuple(
            GroupOffset(self.group, topic, partition, self._committed[topic, partition], position)
            for (topic, partition), position in self._position.items()
            if position != self._settled[topic, partition]
        )

    def committed(self) -> None:
        """Note that the log has committed the positions."""
        self._committed.update(self._position)
        self._settled.update(self._position)

    def rewind(self) -> None:
        """Go back to the group's committed offsets, as the broker knows them.

        Raises
        ------
        FencedError
            Another process of this name is in the group.
        """
        if self.is_displaced():
            # Before anything is settled: a new producer would drive the other one out.
            raise self._displaced()
        self._settle()
        with kafka_errors(f"group {self.group}"):
            mine = self._consumer.assignment()
            starts = self._starts(mine)
            self._lost += self._position
            self._position.clear()
            self._torn = False
            self._consumer.incremental_unassign(mine)
            self._take_up(starts)

    def take_gaps(self) -> list[OffsetGap]:
        """Return, once, the stretches that retention removed unread."""
        gaps, self._gaps = self._gaps, []
        return gaps

    def take_changes(self) -> Changes:
        """Return, once, the partitions lost and gained."""
        gained = tuple(Place(*partition, offset) for partition, offset in self._gained.items())
        changes = Changes(tuple(self._lost), gained)
        self._lost, self._gained = [], {}
        return changes

    def before_revoke(self, callback: Callable[[Sequence[Partition]], None]) -> None:
        """Call ``callback`` inside ``poll`` before partitions are given back in order."""
        self._callback = callback

    def close(self) -> None:
        """Leave; a static member's partitions wait for it until its session ends."""
        if not self._closed:
            self._closed = True
            with kafka_errors(f"group {self.group}"):
                self._consumer.close()
            if self._mark is not None:
                self._mark.close()

    def is_displaced(self) -> bool:
        """Tell whether another process has taken this member's name since."""
        return self._mark is not None and self._mark.is_taken()

    def _displaced(self) -> FencedError:
        reason = "another process of this name has joined it"
        return FencedError(f"group {self.group}", reason, "stop one of them")

    @property
    def torn(self) -> bool:
        """True if partitions went while records of them were polled and not committed: rewind first."""
        return self._torn

    @property
    def reads(self) -> bool:
        """True if this member has partitions."""
        return bool(self._position)

    def standing(self) -> tuple[list[TopicPartition], object]:
        """Return the positions that a transaction commits, and the membership that the broker checks."""
        places = [TopicPartition(*partition, offset) for partition, offset in self._position.items()]
        return places, self._consumer.consumer_group_metadata()

    def _advance(self, record: LogRecord) -> bool:
        """Move on to behind ``record``; False if it is of a partition given away or went back in."""
        partition = (record.topic, record.partition)
        position = self._position.get(partition)
        if position is None or record.offset < position:
            return False
        self._position[partition] = record.offset + 1
        return True

    def _handle(self, error: KafkaError, message: Message) -> None:
        if error.code() == KafkaError._AUTO_OFFSET_RESET:
            self._skip_to_oldest((message.topic() or "", message.partition() or 0))
        elif error.code() not in (KafkaError._MAX_POLL_EXCEEDED, KafkaError._TRANSPORT):
            # The two others heal: the partitions are lost and assigned anew, the broker is asked again.
            if error.code() == KafkaError.UNKNOWN_TOPIC_OR_PART and message.topic() in self._cluster.topics():
                return  # said by a broker that has yet to catch up with the others, or with itself
            raise bus_error(error, message.topic() or f"group {self.group}")

    def _skip_to_oldest(self, partition: Partition) -> None:
        """Go on where retention has left something, and note what is gone."""
        expected = self._position.get(partition)
        if expected is None:
            return
        place = TopicPartition(*partition)
        with kafka_errors(partition[0]):
            oldest, _ = self._consumer.get_watermark_offsets(place, REPLY_S)
            self._gaps.append(OffsetGap(*partition, expected, oldest))
            self._position[partition] = oldest
            self._consumer.incremental_unassign([place])
            self._consumer.incremental_assign([TopicPartition(*partition, oldest)])

    def _on_error(self, error: KafkaError) -> None:
        """Hear, within ``poll``, what concerns no partition."""
        if error.code() == KafkaError._ALL_BROKERS_DOWN:
            self._down = True

    def _on_assign(self, _: Consumer, partitions: list[TopicPartition]) -> None:
        self._take_up(self._starts(partitions))

    def _starts(self, partitions: list[TopicPartition]) -> dict[Partition, tuple[int | None, int]]:
        """Ask what the group has committed and where to read, before anything is changed.

        The broker may be away.
        """
        places = [(p.topic, p.partition) for p in partitions]
        offsets = self._cluster.group_offsets(self.group, places) if places else {}
        return {
            partition: (committed, self._origin(partition) if committed is None else committed)
            for partition, committed in offsets.items()
        }

    def _take_up(self, starts: Mapping[Partition, tuple[int | None, int]]) -> None:
        places = []
        for partition, (committed, offset) in starts.items():
            self._committed[partition] = committed
            self._position[partition] = self._settled[partition] = self._gained[partition] = offset
            places.append(TopicPartition(*partition, offset))
        self._consumer.incremental_assign(places)

    def _origin(self, partition: Partition) -> int:
        if partition in self._origins:
            return self._origins[partition]
        place = TopicPartition(*partition)
        # Its leader may be away, and another not yet known.
        oldest, _ = when_settled(
            lambda: self._consumer.get_watermark_offsets(place, TRY_S),
            lambda: self._consumer.list_topics(timeout=REPLY_S),
            REPLY_S,
        )
        return int(oldest)

    def _on_revoke(self, _: Consumer, partitions: list[TopicPartition]) -> None:
        if self._callback is not None and not self._closed:
            self._callback([(p.topic, p.partition) for p in partitions])
        self._give_up(partitions)

    def _on_lost(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        if self._mark is not None:
            # Else librdkafka joins again as soon as the partitions are given up.
            consumer.unsubscribe()
            self._is_out = True
        self._give_up(partitions)

    def _give_up(self, partitions: list[TopicPartition]) -> None:
        for partition in ((p.topic, p.partition) for p in partitions):
            position = self._position.pop(partition, None)
            self._gained.pop(partition, None)
            if position is not None:
                self._torn |= position != self._settled[partition]
                self._lost.append(partition)
        self._consumer.incremental_unassign(partitions)


def _settings(group: str, name: str | None, session_s: float) -> dict[str, object]:
    settings: dict[str, object] = {
        "group_id": group,
        "partition_assignment_strategy": "cooperative-sticky",
        "session_timeout_ms": int(session_s * 1e3),
        "heartbeat_interval_ms": 1_000,
        "isolation_level": "read_committed",
        "enable_auto_commit": False,
        # An offset that retention has passed is an error here, so that the gap is told and not skipped.
        "auto_offset_reset": "error",
        "queued_max_messages_kbytes": 16_384,
        # The usual second without a fetch, once the queue was full, would show in every batch.
        "fetch_queue_backoff_ms": 10,
    }
    return settings if name is None else {**settings, "group_instance_id": name}
