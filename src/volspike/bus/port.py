"""The small interface that the embedded log and a Kafka cluster both fit.

A *log* holds topics; a topic holds one or more partitions; a partition is an ordered list of records, each
with an offset that only grows (offsets may have holes: Kafka puts transaction markers between records).
The embedded log has one partition a topic. A record's key chooses its partition, so a product stays in order.

One call writes: ``append`` puts a batch into any number of topics *and* commits what a consumer has read,
all or nothing. That is read-process-write: a stage that dies between reading and ``append`` reads the same
records again, and nobody sees its output twice. On Kafka it is one transaction (begin, produce, send offsets
with the consumer's group metadata, commit), so ``append`` takes the consumer itself and not bare offsets.

The rest, on Kafka: ``read`` is assign and seek (read committed), ``consumer`` is subscribe, ``offset_at`` is
offsets_for_times, ``start_offset`` and ``end_offset`` are the watermarks, ``retain`` is delete_records.

A log keeps event times for look-up and retention alone, and may round them down to whole milliseconds (Kafka
does: a header with the nanoseconds would cost more than all else a record takes). The exact time is in the
value.

A topic of states (``topic_plan.is_compacted``) keeps the newest record of each key in each partition, at once
or after a while: its readers take the newest and ignore the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import msgspec


class Outgoing(msgspec.Struct, frozen=True, gc=False):
    """A record on its way in; ``event_ns`` drives time look-up and retention.

    ``partition`` is where it goes whatever its key; None: where its key says.
    """

    topic: str
    key: str
    value: bytes
    event_ns: int
    partition: int | None = None


class LogRecord(msgspec.Struct, frozen=True, gc=False):
    """A record as read back, with its place in the log; ``event_ns`` may be rounded down to a millisecond."""

    topic: str
    partition: int
    offset: int
    key: str
    value: bytes
    event_ns: int


class GroupOffset(msgspec.Struct, frozen=True, gc=False):
    """How far a group has come in one partition: from ``first`` (None: never committed) to ``next``.

    ``next`` is the offset of the next record to read. ``first`` is what the group had committed when this
    consumer took over; if the log disagrees, another member has moved on and this one is fenced.
    """

    group: str
    topic: str
    partition: int
    first: int | None
    next: int


class OffsetGap(msgspec.Struct, frozen=True, gc=False):
    """Records that retention removed before the group read them: ``expected`` up to before ``resumed``."""

    topic: str
    partition: int
    expected: int
    resumed: int


class Retention(msgspec.Struct, frozen=True, gc=False):
    """What may be deleted from the start of a topic; a record goes if any bound given allows it.

    Parameters
    ----------
    before_event_ns : int, optional
        Records in front of the first one with this event time or a later one, both rounded as the log does.
    appended_before_ns : int, optional
        Records appended before this market time, to within a few hundred records, never too many.
    rows : int, optional
        All but the newest ``rows`` records.
    """

    before_event_ns: int | None = None
    appended_before_ns: int | None = None
    rows: int | None = None


class Place(msgspec.Struct, frozen=True, gc=False):
    """An offset of a partition: the next to be read."""

    topic: str
    partition: int
    offset: int


class Changes(msgspec.Struct, frozen=True, gc=False):
    """What a member no longer reads, and what it reads from now on, from where.

    A partition may be in both: it was taken away and came back, or the member went back in it.
    """

    lost: tuple[tuple[str, int], ...]
    gained: tuple[Place, ...]


class Consumer(Protocol):
    """One member of a group, reading some topics from where the group left off."""

    def poll(self, limit: int, timeout_s: float) -> list[LogRecord]:
        """Return up to ``limit`` records, in order within each partition; empty after ``timeout_s``."""

    def pending(self) -> tuple[GroupOffset, ...]:
        """Return what was polled and not yet committed."""

    def committed(self) -> None:
        """Note that the log has committed ``pending``; only a log calls this."""

    def rewind(self) -> None:
        """Go back to the group's committed offsets, after a failed ``append``."""

    def take_gaps(self) -> list[OffsetGap]:
        """Return, once, the stretches that retention removed unread."""

    def take_changes(self) -> Changes:
        """Return, once, how the partitions that this member reads have changed; forget state of lost ones."""

    def before_revoke(self, callback: Callable[[Sequence[tuple[str, int]]], None]) -> None:
        """Call ``callback`` inside ``poll`` while partitions to be taken away are still this member's."""

    def close(self) -> None:
        """Stop reading; what wasn't committed is read again by the next member."""


class Log(Protocol):
    """Topics that several processes append to and read from.

    Every method raises BusError if the log can't be used. One instance serves one thread at a time.
    """

    def append(self, records: Sequence[Outgoing], consumer: Consumer | None = None) -> None:
        """Append a batch and commit what ``consumer`` has polled, in one atomic step."""

    def read(self, topic: str, offset: int, limit: int, partition: int = 0) -> list[LogRecord]:
        """Return up to ``limit`` records from ``offset`` on, without a group."""

    def consumer(self, group: str, topics: Sequence[str], *, from_end: bool = False) -> Consumer:
        """Join ``group``; a group without offsets starts at the oldest record, or at the end."""

    def group_offset(self, group: str, topic: str, partition: int = 0) -> int | None:
        """Return the offset the group will read next, or None if it never committed."""

    def offset_at(self, topic: str, event_ns: int, partition: int = 0) -> int:
        """Return the first offset whose event time, as kept, is ``event_ns`` or later, else the end offset.

        ``event_ns`` is rounded as the log rounds: nothing so late lies in front of the offset, and what
        follows may begin up to a millisecond earlier.
        """

    def start_offset(self, topic: str, partition: int = 0) -> int:
        """Return the oldest offset that retention has left."""

    def end_offset(self, topic: str, partition: int = 0) -> int:
        """Return the offset that the next record will get; 0 for a topic nobody has written to."""

    def settle(self, topic: str, partition: int = 0) -> None:
        """Wait until no transaction is open in the partition, so that all that was committed can be read."""

    def topics(self) -> list[str]:
        """Return the names of the topics that exist, sorted."""

    def partitions(self, topic: str) -> int:
        """Return the number of partitions."""

    def retain(self, topic: str, retention: Retention) -> int:
        """Delete from the start of the topic what ``retention`` allows; return how many records."""

    def close(self) -> None:
        """Let go of the log; what was appended is committed already."""
