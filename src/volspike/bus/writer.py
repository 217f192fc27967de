"""The write-behind of the live process: records are handed over cheaply and logged by another thread."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from volspike.bus.port import Log, Outgoing
from volspike.bus.topics import Topic
from volspike.errors import BusError
from volspike.records import UNKNOWN, Record

_FULL_PAUSE_S = 0.001


class LogWriter:
    """Takes records from the hot path and appends them in batches on its own thread.

    ``put`` only appends to a queue; encoding and SQLite happen on the thread. What a killed process had not
    yet logged (at most ``interval_s`` of it, or the queue when the disk is slow) is missing from the log; the
    archive, which every frame entered before its records existed, still holds what it was made of, and the
    next start of the live job logs it from there.

    Parameters
    ----------
    log : Log
        Owned by the writer from here on: used on its thread only, and closed by ``close``.
    interval_s : float
        Time between batches.
    batch_rows : int
        Most records in one batch; a longer queue is written in several, without waiting.
    capacity_rows : int
        A full queue makes ``put`` wait: back-pressure, never loss.
    before_commit : callable, optional
        Called on the thread before each append. Without it the archive's *write* already precedes a log
        commit, so a killed process is covered. Only a power cut can keep a log batch that SQLite happened to
        sync while the archive, synced once a second, loses its last lines; an owner who wants that closed
        too passes the archive's ``sync`` (one fsync a batch, off the hot path). An error from it stops the
        writer.

    Raises
    ------
    BusError
        From ``put``, ``flush`` or ``close``: an earlier batch could not be written.
    """

    def __init__(
        self,
        log: Log,
        *,
        interval_s: float = 0.05,
        batch_rows: int = 1_000,
        capacity_rows: int = 200_000,
        before_commit: Callable[[], None] | None = None,
    ) -> None:
        self._log = log
        self._interval_s = interval_s
        self._batch_rows = batch_rows
        self._capacity_rows = capacity_rows
        self._before_commit = before_commit
        self._queue: deque[tuple[Topic, Any]] = deque()
        self._barriers: deque[threading.Event] = deque()
        self._wake = threading.Event()
        self._closing = False
        self._error: BusError | None = None
        self._newest_ns = 0
        self.written = 0
        self._thread = threading.Thread(target=self._run, name="log-writer", daemon=True)
        self._thread.start()

    @property
    def backlog(self) -> int:
        """Number of records handed over and not yet taken by the thread."""
        return len(self._queue)

    def put(self, topic: Topic, record: Record) -> None:
        """Hand over one record; waits only while the queue is full."""
        if self._error is not None or len(self._queue) >= self._capacity_rows:
            self._wait_for_room()
        self._queue.append((topic, record))

    def flush(self) -> None:
        """Return when every record handed over before this call is committed."""
        barrier = threading.Event()
        self._barriers.append(barrier)
        self._wake.set()
        while not barrier.wait(self._interval_s):
            if not self._thread.is_alive():
                break
        self._raise()

    def close(self) -> None:
        """Write what is left, stop the thread and close the log; a later ``put`` raises."""
        self._closing = True
        self._capacity_rows = 0
        self._wake.set()
        self._thread.join()
        self._log.close()
        self._raise()

    def _raise(self) -> None:
        if self._error is not None:
            raise self._error

    def _wait_for_room(self) -> None:
        self._wake.set()
        while self._error is None and len(self._queue) >= self._capacity_rows:
            if self._closing:
                raise BusError("log writer", "is closed", "put records before closing it")
            time.sleep(_FULL_PAUSE_S)
        self._raise()

    def _run(self) -> None:
        try:
            while not self._closing:
                if len(self._queue) < self._batch_rows:
                    self._wake.wait(self._interval_s)
                    self._wake.clear()
                self._drain()
            self._drain()
        except BusError as error:
            self._error = error
        except Exception as error:  # noqa: BLE001 - the thread's supervisor: told on the next put or close
            self._error = BusError("log writer", f"{type(error).__name__}: {error}", "see the log output")
            self._error.__cause__ = error

    def _drain(self) -> None:
        barriers = [self._barriers.popleft() for _ in range(len(self._barriers))]
        left = len(self._queue)
        while left > 0:
            rows = min(left, self._batch_rows)
            self._write([self._queue.popleft() for _ in range(rows)])
            left -= rows
        for barrier in barriers:
            barrier.set()

    def _write(self, batch: list[tuple[Topic, Any]]) -> None:
        outgoing = [self._encode(topic, record) for topic, record in batch]
        if self._before_commit is not None:
            self._before_commit()
        self._log.append(outgoing)
        self.written += len(outgoing)

    def _encode(self, topic: Topic, record: Any) -> Outgoing:
        event_ns = topic.event_ns(record)
        if event_ns == UNKNOWN:
            # A dead letter has no event time: it is filed beside its neighbours, for retention.
            event_ns = self._newest_ns
        elif event_ns > self._newest_ns:
            self._newest_ns = event_ns
        return Outgoing(topic.name, topic.key(record), topic.encode(record), event_ns)
