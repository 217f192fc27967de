"""A group member that polls a log: the embedded log's consumer."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from volspike.bus.port import Changes, GroupOffset, Log, LogRecord, OffsetGap, Place
from volspike.clock import Clock

_SHORTEST_PAUSE_S = 0.0005
_LONGEST_PAUSE_S = 0.016


class PollingConsumer:
    """Reads topics of one partition each from where the group left off.

    The pause between looks doubles from 0.5 to 16 ms while nothing comes, so a busy topic is followed within
    a millisecond and an idle one costs next to nothing.

    Parameters
    ----------
    log : Log
        Where to read.
    group : str
        The group whose offsets are used.
    topics : sequence of str
        What to read.
    clock : Clock
        Times the wait of ``poll``.
    from_end : bool
        Where a group without offsets starts: at the end, else at the oldest record.
    """

    def __init__(
        self, log: Log, group: str, topics: Sequence[str], clock: Clock, *, from_end: bool = False
    ) -> None:
        self._log = log
        self._group = group
        self._topics = list(topics)
        self._clock = clock
        self._committed = {topic: log.group_offset(group, topic) for topic in topics}
        self._origin = {
            topic: log.end_offset(topic) if from_end else log.start_offset(topic) for topic in topics
        }
        self._gaps: list[OffsetGap] = []
        self._position: dict[str, int] = {}
        self._lost: tuple[tuple[str, int], ...] = ()
        self._moved = False
        self.rewind()

    def poll(self, limit: int, timeout_s: float) -> list[LogRecord]:
        """Return up to ``limit`` records, in order within each topic; empty after ``timeout_s``."""
        deadline_ns = self._clock.monotonic_ns() + int(timeout_s * 1e9)
        pause_s = _SHORTEST_PAUSE_S
        while not (records := self._read(limit)):
            left_s = (deadline_ns - self._clock.monotonic_ns()) / 1e9
            if left_s <= 0:
                break
            time.sleep(min(pause_s, left_s))
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
        return records

    def pending(self) -> tuple[GroupOffset, ...]:
        """Return what was polled and not yet committed."""
        return tuple(
            GroupOffset(self._group, topic, 0, self._committed[topic], self._position[topic])
            for topic in self._topics
            if self._position[topic] != self._start(topic)
        )

    def committed(self) -> None:
        """Note that the log has committed ``pending``."""
        for progress in self.pending():
            self._committed[progress.topic] = progress.next

    def rewind(self) -> None:
        """Go back to the group's committed offsets."""
        self._lost = tuple((topic, 0) for topic in self._position)
        self._moved = True
        self._position = {topic: self._start(topic) for topic in self._topics}

    def take_gaps(self) -> list[OffsetGap]:
        """Return, once, the stretches that retention removed unread."""
        gaps, self._gaps = self._gaps, []
        return gaps

    def take_changes(self) -> Changes:
        """Return, once, all topics as gained at first, and as lost and gained after a ``rewind``."""
        gained = tuple(Place(topic, 0, self._start(topic)) for topic in self._topics if self._moved)
        changes = Changes(self._lost, gained)
        self._lost, self._moved = (), False
        return changes

    def before_revoke(self, callback: Callable[[Sequence[tuple[str, int]]], None]) -> None:
        """Nobody takes a topic of the embedded log away: ``callback`` is never called."""

    def close(self) -> None:
        """There is nothing to let go of."""

    def _start(self, topic: str) -> int:
        committed = self._committed[topic]
        return self._origin[topic] if committed is None else committed

    def _read(self, limit: int) -> list[LogRecord]:
        records: list[LogRecord] = []
        for topic in self._topics:
            if len(records) < limit:
                records += self._read_topic(topic, limit - len(records))
        # The topic served first takes its turn last, so that a busy one can't starve the others.
        self._topics.append(self._topics.pop(0))
        return records

    def _read_topic(self, topic: str, limit: int) -> list[LogRecord]:
        position = self._position[topic]
        records = self._log.read(topic, position, limit)
        if records:
            if records[0].offset > position:
                self._gaps.append(OffsetGap(topic, 0, position, records[0].offset))
            self._position[topic] = records[-1].offset + 1
        return records
