"""What the stages between topics share: a memory per product, kept per partition, restored and written.

Restoring a partition: load its state, read the source from the state's offset to the committed one and take
it without emitting. Without a state, all that the source still holds in front of the committed offset is
taken, and so it is where the state is ahead of that offset, as after an operator set the group back: what was
stored is cleared with the next results.

Where retention has deleted records between the state's offset and the committed one, or in front of what is
read next, the partition has a *hole*. Each product takes account of it at its first record behind it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Generic, TypeVar

from volspike.bus.port import Log, LogRecord, OffsetGap, Outgoing, Place
from volspike.bus.state_store import StateOffset, StateStore
from volspike.bus.topics import DEADLETTER
from volspike.logs import get_logger
from volspike.records import UNKNOWN, DeadLetter

Memory = TypeVar("Memory")
# Why a worker dead-letters a record; the details are in the letter.
BAD_RECORD = "bad record"
_READ_ROWS = 5_000

log = get_logger()


class PartitionMemory(Generic[Memory]):
    """What a stage remembers of one partition.

    Attributes
    ----------
    number : int
        The partition.
    next, written : int
        Offset of the next record to take, now and in the newest writing of the state.
    hole : int
        Offset behind the newest hole; ``UNKNOWN`` without any.
    ahead : int
        Offset behind a hole that is not reached yet; ``UNKNOWN`` without one.
    late : bool
        What the predictions since the newest writing of the state say of their lateness.
    unserved : set of (str, str)
        Products and feeds that are passed over, as no model serves them.
    newest_ns : int
        Event time of the newest record.
    products : dict
        Memory by (product, feed).
    changed : set
        Products with something new since the newest writing.
    write : bool
        Whether the state has to be written with the next results.
    leftovers : set of str
        Keys of a state that is none any more, to be cleared.
    """

    def __init__(self, number: int, offset: int) -> None:
        self.number = number
        self.next = offset
        self.written = UNKNOWN
        self.hole = UNKNOWN
        self.ahead = UNKNOWN
        self.late = False
        self.unserved: set[tuple[str, str]] = set()
        self.newest_ns = 0
        self.products: dict[tuple[str, str], Memory] = {}
        self.changed: set[tuple[str, str]] = set()
        self.write = False
        self.leftovers: set[str] = set()


class ProductStage(ABC, Generic[Memory]):
    """A ``Stage`` with a memory per product and feed.

    Parameters
    ----------
    reader : Log
        Read to restore.
    name : str
        The stage, which names its state topic.
    suffix : str
        Ends the name of every topic, so that several pipelines fit on one cluster.
    """

    def __init__(self, reader: Log, name: str, suffix: str = "") -> None:
        self._reader = reader
        self._suffix = suffix
        self._store = StateStore(reader, name + suffix)
        self._partitions: dict[int, PartitionMemory[Memory]] = {}

    def restore(self, place: Place) -> None:
        """Make the partition's memory what it was in front of ``place``, emitting nothing."""
        state = self._store.load(place.partition)
        offset = self._store.offset(state)
        if offset is None or offset.topic != place.topic or offset.offset > place.offset:
            start = min(self._reader.start_offset(place.topic, place.partition), place.offset)
            partition = PartitionMemory[Memory](place.partition, start)
            partition.leftovers = set(state)
            # From the first commit on there is a state to restore from.
            partition.write = True
        else:
            partition = PartitionMemory[Memory](place.partition, offset.offset)
            partition.written, partition.hole, partition.late = offset.offset, offset.hole, offset.late
            partition.unserved = set(offset.unserved)
            self._load(partition, state)
        self._replay(partition, place)
        self._partitions[place.partition] = partition

    def drop(self, topic: str, partition: int) -> None:
        """Forget the partition."""
        self._partitions.pop(partition, None)

    def gap(self, gap: OffsetGap) -> None:
        """Note that records are missing in front of ``gap.resumed``."""
        partition = self._partitions.get(gap.partition)
        if partition is not None:
            partition.ahead = gap.resumed

    def process(self, records: Sequence[LogRecord]) -> list[Outgoing]:
        """Take a batch; return what came of it, and the state where that can't wait."""
        by_partition: dict[int, list[LogRecord]] = defaultdict(list)
        for record in records:
            by_partition[record.partition].append(record)
        out: list[Outgoing] = []
        for number, batch in by_partition.items():
            partition = self._partitions[number]
            out += self._take_up(partition, batch)
            if partition.write:
                out += self._state_of(partition)
        return out

    def state(self, partitions: Sequence[tuple[str, int]]) -> list[Outgoing]:
        """Return the records from which ``restore`` can rebuild the memory of ``partitions``."""
        out: list[Outgoing] = []
        for _, number in partitions:
            partition = self._partitions[number]
            if partition.write or partition.next != partition.written:
                out += self._state_of(partition)
        return out

    def end(self, partitions: Sequence[tuple[str, int]]) -> list[Outgoing]:
        """Settle what is open, as no more records will come; return what is to be written."""
        return []

    def _take_up(self, partition: PartitionMemory[Memory], batch: list[LogRecord]) -> list[Outgoing]:
        """Take a batch; what it holds of before a hole comes first."""
        if partition.ahead == UNKNOWN:
            return self._take_batch(partition, batch)
        before = [record for record in batch if record.offset < partition.ahead]
        out = self._take_batch(partition, before) if before else []
        partition.hole, partition.ahead = partition.ahead, UNKNOWN
        partition.write = True
        behind = batch[len(before) :]
        return out + self._take_batch(partition, behind) if behind else out

    def _take_batch(self, partition: PartitionMemory[Memory], batch: Sequence[LogRecord]) -> list[Outgoing]:
        out = self._take(partition, batch)
        partition.next = batch[-1].offset + 1
        partition.newest_ns = max(partition.newest_ns, batch[-1].event_ns)
        return out

    def _replay(self, partition: PartitionMemory[Memory], place: Place) -> None:
        while partition.next < place.offset:
            records = self._reader.read(place.topic, partition.next, _READ_ROWS, place.partition)
            if self._is_hole(place, partition.next, records):
                log.warning("records to restore from are deleted", topic=place.topic, offset=partition.next)
                partition.hole = place.offset
                partition.write = True
                break
            earlier = [record for record in records if record.offset < place.offset]
            if earlier:
                self._take_batch(partition, earlier)
            if not earlier or len(earlier) < len(records):
                break
        partition.next = place.offset

    def _is_hole(self, place: Place, offset: int, records: Sequence[LogRecord]) -> bool:
        if records and records[0].offset == offset:
            return False
        # Offsets have holes of their own on Kafka; only what lies in front of the start is deleted.
        return self._reader.start_offset(place.topic, place.partition) > offset

    def _state_of(self, partition: PartitionMemory[Memory]) -> list[Outgoing]:
        store, number, event_ns = self._store, partition.number, partition.newest_ns
        out = [store.record(number, key, b"", event_ns) for key in sorted(partition.leftovers)]
        for key in sorted(partition.changed):
            out += self._write(partition, key)
        unserved = tuple(sorted(partition.unserved))
        place = StateOffset(self._source, partition.next, partition.hole, partition.late, unserved)
        out.append(store.offset_record(number, place, event_ns))
        partition.leftovers.clear()
        partition.changed.clear()
        partition.write = False
        partition.written = partition.next
        return out

    def _dead(self, record: LogRecord, error: Exception) -> Outgoing:
        letter = DeadLetter(
            reason=BAD_RECORD,
            detail=str(error),
            feed="",
            session="",
            archive_seq=UNKNOWN,
            archive_row=UNKNOWN,
            raw=record.value,
            product=record.key,
            error=type(error).__name__,
            topic=record.topic,
            partition=record.partition,
            offset=record.offset,
        )
        log.warning("a record can't be used", topic=record.topic, offset=record.offset, reason=str(error))
        # At the time of the bad record: a broker refuses what is older than its retention.
        name = DEADLETTER.name + self._suffix
        return Outgoing(name, record.key, DEADLETTER.encode(letter), record.event_ns)

    @property
    @abstractmethod
    def _source(self) -> str:
        """The topic that is read."""

    @abstractmethod
    def _take(self, partition: PartitionMemory[Memory], records: Sequence[LogRecord]) -> list[Outgoing]:
        """Take records of a partition into its memory; return what came of them."""

    @abstractmethod
    def _load(self, partition: PartitionMemory[Memory], state: Mapping[str, bytes]) -> None:
        """Fill a partition's products from its state."""

    @abstractmethod
    def _write(self, partition: PartitionMemory[Memory], key: tuple[str, str]) -> list[Outgoing]:
        """Return the state records of one product."""
