"""Delivers alerts off the hot path: each sink on a thread of its own, with bounded retries."""

from __future__ import annotations

import queue
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from volspike.alerts.sinks import AlertSink, Told

_IDLE_S = 0.2


class DeadAlert(msgspec.Struct, frozen=True, kw_only=True):
    """A line of the dead-letter file: an alert that a sink did not take, and why."""

    sink: str
    reason: str
    alert: Told


@dataclass(slots=True)
class SinkCounts:
    """What became of the alerts given to one sink.

    ``failed`` ones are in the dead-letter file, but for the ``unfiled`` ones it could not take either (a full
    disk); those are only on the topic.
    """

    delivered: int = 0
    retried: int = 0
    failed: int = 0
    unfiled: int = 0


class DeadLetterFile:
    """Appends undeliverable alerts to an NDJSON file, created when the first one comes."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()

    def add(self, letter: DeadAlert) -> None:
        """Append one line."""
        with self._lock:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._path.open("ab") as file:
                file.write(msgspec.json.encode(letter) + b"\n")


class AlertDispatcher:
    """Hands each alert to every sink without making the caller wait.

    A sink that is slow, fails or hangs holds up nobody: not the stream, not the other sinks. An alert a sink
    refuses ``attempts`` times, or that finds its queue full, goes to the dead-letter file and is counted.

    Parameters
    ----------
    sinks : sequence of AlertSink
        Where alerts go.
    dead_letter : Path
        NDJSON file for what could not be delivered.
    capacity : int
        Alerts that may wait for one sink.
    attempts : int
        Most deliveries tried for one alert and sink.
    retry_pause_s : float
        Pause before the second attempt; doubles with each further one.
    """

    def __init__(
        self,
        sinks: Sequence[AlertSink],
        dead_letter: Path,
        *,
        capacity: int = 1_000,
        attempts: int = 3,
        retry_pause_s: float = 0.5,
    ) -> None:
        letters = DeadLetterFile(dead_letter)
        self._workers = [_SinkWorker(sink, letters, capacity, attempts, retry_pause_s) for sink in sinks]

    def push(self, alert: Told) -> None:
        """Queue the alert for every sink; never waits."""
        for worker in self._workers:
            worker.offer(alert)

    def counts(self) -> dict[str, SinkCounts]:
        """Return the counts of each sink by name."""
        return {worker.sink.name: worker.counts for worker in self._workers}

    def close(self, timeout_s: float = 10.0) -> None:
        """Deliver what is queued, waiting at most ``timeout_s`` for each sink; the rest is dead-lettered."""
        for worker in self._workers:
            worker.stop()
        for worker in self._workers:
            worker.finish(timeout_s)


class _SinkWorker:
    def __init__(
        self, sink: AlertSink, letters: DeadLetterFile, capacity: int, attempts: int, retry_pause_s: float
    ) -> None:
        self.sink = sink
        self.counts = SinkCounts()
        self._letters = letters
        self._attempts = attempts
        self._retry_pause_s = retry_pause_s
        self._queue: queue.Queue[Told] = queue.Queue(capacity)
        self._current: Told | None = None
        self._stopping = threading.Event()
        self._abandoned = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"alerts-{sink.name}", daemon=True)
        self._thread.start()

    def offer(self, alert: Told) -> None:
        try:
            self._queue.put_nowait(alert)
        except queue.Full:
            self._bury(alert, "queue full")

    def stop(self) -> None:
        self._stopping.set()

    def finish(self, timeout_s: float) -> None:
        self._thread.join(timeout_s)
        if self._thread.is_alive():
            self._abandoned.set()
            stuck = [] if self._current is None else [self._current]
            for alert in [*stuck, *self._left()]:
                self._bury(alert, "sink did not answer before the end")
            return
        self.sink.close()

    def _left(self) -> list[Told]:
        left = []
        while True:
            try:
                left.append(self._queue.get_nowait())
            except queue.Empty:
                return left

    def _run(self) -> None:
        while not self._abandoned.is_set():
            try:
                self._current = self._queue.get(timeout=_IDLE_S)
            except queue.Empty:
                if self._stopping.is_set():
                    return
                continue
            self._deliver(self._current)
            self._current = None

    def _deliver(self, alert: Told) -> None:
        pause_s = self._retry_pause_s
        for attempt in range(1, self._attempts + 1):
            try:
                self.sink.deliver(alert)
            except Exception as error:  # noqa: BLE001 - the supervisor of foreign sinks; counted below
                reason = f"{type(error).__name__}: {error}"
            else:
                self.counts.delivered += 1
                return
            if attempt < self._attempts:
                self.counts.retried += 1
                # A stop cuts the pause short, not the attempts.
                self._stopping.wait(pause_s)
                pause_s *= 2
        if not self._abandoned.is_set():
            self._bury(alert, reason)

    def _bury(self, alert: Told, reason: str) -> None:
        self.counts.failed += 1
        try:
            self._letters.add(DeadAlert(sink=self.sink.name, reason=reason, alert=alert))
        except OSError:
            self.counts.unfiled += 1
