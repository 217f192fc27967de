"""The embedded log: topics in one SQLite file, for one machine and several processes."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from volspike.bus.consumer import PollingConsumer
from volspike.bus.port import Consumer, GroupOffset, LogRecord, Outgoing, Retention
from volspike.bus.schema import LANDMARK_ROWS, bus_errors, connect
from volspike.bus.topic_plan import is_compacted
from volspike.clock import Clock
from volspike.errors import FencedError

_DELETE_ROWS = 2_000


_Row = tuple[int, int, str, bytes]  # offset, event_ns, key, value


class _TopicState(NamedTuple):
    id: int
    start: int
    next: int
    newest_ns: int
    landmark: int


class EmbeddedLog:
    """A log in one SQLite file (WAL), one partition a topic.

    *Several processes* may read while others write: a reader sees whole batches only and never blocks a
    writer; writers take turns, each holding the file for one batch.

    A compacted topic (``topic_plan.is_compacted``) holds the newest record of each key alone: a batch deletes
    those it supersedes.

    *Durability*: a commit is handed to the operating system, not synced (``synchronous=NORMAL``). A killed
    process loses nothing that ``append`` returned from. A power cut may lose the newest batches, back to
    SQLite's last checkpoint, and always whole ones: records and group offsets go back together, and the file
    is never corrupt. The archive is synced within a second and is the source from which such a tail is
    derived again.

    Parameters
    ----------
    path : Path
        The file, created with its directory if absent.
    clock : Clock
        Stamps batches for retention by age, and times ``poll``.
    busy_timeout_s : float
        How long to wait for another writer before giving up.
    reached : callable, optional
        Called with the name of each step of ``append``: where tests make a process die.

    Raises
    ------
    BusError
        The directory can't be written, the file is corrupt, foreign, or of another schema version.
    """

    def __init__(
        self,
        path: Path,
        clock: Clock,
        *,
        busy_timeout_s: float = 10.0,
        reached: Callable[[str], None] | None = None,
    ) -> None:
        self._path = Path(path)
        self._clock = clock
        self._reached = reached
        self._connection = connect(self._path, busy_timeout_s)

    def append(self, records: Sequence[Outgoing], consumer: Consumer | None = None) -> None:
        """Append a batch and commit what ``consumer`` has polled, in one atomic step.

        1. take the write lock; 2. insert the records; 3. move the group's offsets; 4. commit. A death in 1-3
        leaves no trace; after 4 both the records and the offsets are there.

        Raises
        ------
        BusError
            The file can't be written, or another member of the consumer's group has moved on (fenced).
        """
        with self._transaction():
            self._step("bus.append.begun")
            by_topic: dict[str, list[Outgoing]] = {}
            for record in records:
                by_topic.setdefault(record.topic, []).append(record)
            for topic, batch in by_topic.items():
                self._insert(topic, batch)
            self._step("bus.append.inserted")
            for progress in consumer.pending() if consumer is not None else ():
                self._move_group(progress)
            self._step("bus.append.before_commit")
        self._step("bus.append.committed")
        if consumer is not None:
            consumer.committed()

    def read(self, topic: str, offset: int, limit: int, partition: int = 0) -> list[LogRecord]:
        """Return up to ``limit`` records from ``offset`` on; what retention removed is skipped."""
        with bus_errors(self._path):
            state = self._state(topic)
            if state is None:
                return []
            rows = self._connection.execute(
                f"SELECT offset, key, value, event_ns FROM records_{state.id}"
                " WHERE offset >= ? ORDER BY offset LIMIT ?",
                (offset, limit),
            ).fetchall()
        return [LogRecord(topic, partition, *row) for row in rows]

    def consumer(self, group: str, topics: Sequence[str], *, from_end: bool = False) -> Consumer:
        """Join ``group``; a group without offsets starts at the oldest record, or at the end."""
        return PollingConsumer(self, group, topics, self._clock, from_end=from_end)

    def group_offset(self, group: str, topic: str, partition: int = 0) -> int | None:
        """Return the offset the group will read next, or None if it never committed."""
        with bus_errors(self._path):
            row = self._connection.execute(
                "SELECT next_offset FROM group_offsets WHERE group_name = ? AND topic = ?", (group, topic)
            ).fetchone()
        return None if row is None else int(row[0])

    def offset_at(self, topic: str, event_ns: int, partition: int = 0) -> int:
        """Return the first offset whose event time is ``event_ns`` or later, else the end offset."""
        with bus_errors(self._path):
            state = self._state(topic)
            if state is None:
                return 0
            row = self._connection.execute(
                "SELECT max(offset) FROM landmarks WHERE topic_id = ? AND newest_before_ns < ?",
                (state.id, event_ns),
            ).fetchone()
            found = self._connection.execute(
                f"SELECT offset FROM records_{state.id} WHERE offset >= ? AND event_ns >= ?"
                " ORDER BY offset LIMIT 1",
                (row[0] or 0, event_ns),
            ).fetchone()
        return state.next if found is None else int(found[0])

    def start_offset(self, topic: str, partition: int = 0) -> int:
        """Return the oldest offset that retention has left."""
        state = self._state(topic)
        return 0 if state is None else state.start

    def end_offset(self, topic: str, partition: int = 0) -> int:
        """Return the offset that the next record will get."""
        state = self._state(topic)
        return 0 if state is None else state.next

    def settle(self, topic: str, partition: int = 0) -> None:
        """What was committed can be read at once: there is nothing to wait for."""

    def topics(self) -> list[str]:
        """Return the names of the topics that something was appended to, sorted."""
        with bus_errors(self._path):
            rows = self._connection.execute("SELECT name FROM topics ORDER BY name").fetchall()
        return [name for (name,) in rows]

    def partitions(self, topic: str) -> int:
        """Return 1: the embedded log doesn't split topics."""
        return 1

    def retain(self, topic: str, retention: Retention) -> int:
        """Delete from the start of the topic what ``retention`` allows; return how many records.

        Deletes in short transactions, so writers are not held up. Freed pages are used again; the file
        doesn't shrink. A compacted topic is left alone.
        """
        if is_compacted(topic):
            return 0
        deleted = 0
        keep_from = self._keep_from(topic, retention)
        while (state := self._state(topic)) is not None and state.start < keep_from:
            with self._transaction():
                deleted += self._delete(state.id, min(keep_from, state.start + _DELETE_ROWS))
        return deleted

    def close(self) -> None:
        """Close the file; what was appended is committed already."""
        with bus_errors(self._path):
            self._connection.close()

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with bus_errors(self._path):
            # IMMEDIATE: a lock taken halfway through could not wait for its turn.
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise

    def _step(self, name: str) -> None:
        if self._reached is not None:
            self._reached(name)

    def _state(self, topic: str) -> _TopicState | None:
        with bus_errors(self._path):
            row = self._connection.execute(
                "SELECT id, start_offset, next_offset, newest_ns, landmark_offset FROM topics WHERE name = ?",
                (topic,),
            ).fetchone()
        return None if row is None else _TopicState(*row)

    def _create(self, topic: str) -> _TopicState:
        cursor = self._connection.execute("INSERT INTO topics (name) VALUES (?)", (topic,))
        self._connection.execute(
            f"CREATE TABLE records_{cursor.lastrowid} (offset INTEGER PRIMARY KEY,"
            " event_ns INTEGER NOT NULL, key TEXT NOT NULL, value BLOB NOT NULL)"
        )
        if is_compacted(topic):
            table = f"records_{cursor.lastrowid}"
            self._connection.execute(f"CREATE INDEX {table}_key ON {table} (key)")
        return _TopicState(int(cursor.lastrowid or 0), 0, 0, -1, -1)

    def _insert(self, topic: str, batch: list[Outgoing]) -> None:
        state = self._state(topic) or self._create(topic)
        landmark = state.landmark
        if landmark < 0 or state.next - landmark >= LANDMARK_ROWS:
            landmark = state.next
            self._connection.execute(
                "INSERT INTO landmarks VALUES (?, ?, ?, ?)",
                (state.id, landmark, state.newest_ns, self._clock.market_ns()),
            )
        rows = [
            (offset, record.event_ns, record.key, record.value)
            for offset, record in enumerate(batch, state.next)
        ]
        if is_compacted(topic):
            rows = self._supersede(state.id, rows)
        self._connection.executemany(f"INSERT INTO records_{state.id} VALUES (?, ?, ?, ?)", rows)
        newest_ns = max(state.newest_ns, max(record.event_ns for record in batch))
        self._connection.execute(
            "UPDATE topics SET next_offset = ?, newest_ns = ?, landmark_offset = ? WHERE id = ?",
            (state.next + len(batch), newest_ns, landmark, state.id),
        )

    def _supersede(self, topic_id: int, rows: list[_Row]) -> list[_Row]:
        """Delete the former records of the keys in ``rows``; return the newest of each key."""
        newest = {row[2]: row for row in rows}
        self._connection.executemany(
            f"DELETE FROM records_{topic_id} WHERE key = ?", [(key,) for key in newest]
        )
        return sorted(newest.values())

    def _move_group(self, progress: GroupOffset) -> None:
        if self.group_offset(progress.group, progress.topic) != progress.first:
            reason = f"group {progress.group} was moved on in {progress.topic} by another member"
            raise FencedError(str(self._path), reason, "run one worker per group and partition")
        self._connection.execute(
            "INSERT INTO group_offsets VALUES (?, ?, ?)"
            " ON CONFLICT (group_name, topic) DO UPDATE SET next_offset = excluded.next_offset",
            (progress.group, progress.topic, progress.next),
        )

    def _keep_from(self, topic: str, retention: Retention) -> int:
        state = self._state(topic)
        if state is None:
            return 0
        bounds = [0]
        if retention.rows is not None:
            bounds.append(state.next - retention.rows)
        if retention.before_event_ns is not None:
            bounds.append(self.offset_at(topic, retention.before_event_ns))
        if retention.appended_before_ns is not None:
            bounds.append(self._appended_before(state.id, retention.appended_before_ns))
        return min(max(bounds), state.next)

    def _appended_before(self, topic_id: int, appended_ns: int) -> int:
        with bus_errors(self._path):
            row = self._connection.execute(
                "SELECT max(offset) FROM landmarks WHERE topic_id = ? AND appended_ns <= ?",
                (topic_id, appended_ns),
            ).fetchone()
        return int(row[0] or 0)

    def _delete(self, topic_id: int, keep_from: int) -> int:
        execute: Callable[..., sqlite3.Cursor] = self._connection.execute
        deleted = execute(f"DELETE FROM records_{topic_id} WHERE offset < ?", (keep_from,)).rowcount
        execute(
            "DELETE FROM landmarks WHERE topic_id = ? AND offset <"
            " (SELECT max(offset) FROM landmarks WHERE topic_id = ? AND offset <= ?)",
            (topic_id, topic_id, keep_from),
        )
        execute("UPDATE topics SET start_offset = max(start_offset, ?) WHERE id = ?", (keep_from, topic_id))
        return deleted
