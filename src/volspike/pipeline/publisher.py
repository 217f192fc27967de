"""Records of frames to the bus, by a thread: each once, in order, whatever becomes of bus and process.

The records of a frame are handed over once the frame is archived. They wait in a bounded queue, and when that
is full the archive is the queue: the thread reads from it what it has not published, and goes back to the
queue when it has caught up. So the reader of the sockets never waits, and memory is bounded.

One transaction holds the records of whole frames and the number of the last one (``publish_position.py``):

1. *load* the position. After a crash this first ends whatever the former process had begun.
2. *drop* from the queue what the position says is published: a commit whose answer was lost.
3. *catch up*: where the position is behind the queue, publish from the archive, reading it back from a day
   before so that admission knows all that it knew then.
4. *publish* the queue, in transactions of what is there.

A death at any point leaves the position of the last commit, and the next process begins with 1. So does this
one when the bus is away. A process that was frozen while another of its name took over is fenced: it stops.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import islice

from volspike.bus.port import Log
from volspike.errors import BusError, FencedError, UnavailableError
from volspike.logs import get_logger
from volspike.pipeline.frame_records import FrameRecords
from volspike.pipeline.publish_position import PublishPosition

Past = Callable[[int, int], Iterable[FrameRecords]]
_AWAY_PAUSE_S = 0.5

log = get_logger()


class Publisher:
    """Publishes the records of one archive.

    Parameters
    ----------
    open_log : callable
        Opens the bus on the thread, again after it was away.
    position : PublishPosition
        How far the archive is published.
    past : callable
        Given two frame numbers, yields what the archived frames behind the first led to, up to the second.
    last_seq : int
        Newest frame of the archive.
    suffix : str
        Ends the names of the topics.
    capacity_rows : int
        Most records in the queue.
    batch_rows : int
        Most records in a transaction, but for those of the last frame.
    interval_s : float
        Time between two looks at an empty queue.
    pause_s : float
        Least time from one transaction to the next, unless as much as fills one is waiting.
    reached : callable, optional
        Called with the name of each step: where tests make the process die.

    Attributes
    ----------
    published : int
        Records committed.
    read_back : int
        Of these, read from the archive.
    outages : int
        Times the bus was away or undid a transaction.
    seq : int
        Newest frame published; -1 before the bus has told.
    failure : BusError or None
        What has ended the publishing. The archive goes on, unless another process has taken over: then the
        job ends (``ingest_job.py``).
    """

    def __init__(
        self,
        open_log: Callable[[], Log],
        position: PublishPosition,
        past: Past,
        last_seq: int,
        *,
        suffix: str = "",
        capacity_rows: int = 200_000,
        batch_rows: int = 2_000,
        interval_s: float = 0.005,
        pause_s: float = 0.0,
        reached: Callable[[str], None] | None = None,
    ) -> None:
        self._open_log = open_log
        self._position = position
        self._past = past
        self._last_seq = self._caught_up_to = last_seq
        self._suffix = suffix
        self._capacity_rows = capacity_rows
        self._batch_rows = batch_rows
        self._interval_s = interval_s
        self._pause_s = pause_s
        self._reached = reached or (lambda _step: None)
        self._queue: deque[FrameRecords] = deque()
        self._queued_rows = 0
        self._is_full = False
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._is_away = False
        self._committed_seq = self._newest_ns = 0
        self.published = self.read_back = self.outages = 0
        self.seq = -1
        self.failure: BusError | None = None
        self._thread = threading.Thread(target=self._run, name="publisher", daemon=True)
        self._thread.start()

    def put(self, made: FrameRecords) -> bool:
        """Take what an archived frame led to; False where only the archive has it. Never waits."""
        with self._lock:
            self._last_seq = made.seq
            if self.failure is not None:
                return False
            self._is_full |= self._queued_rows + len(made.records) > self._capacity_rows
            if self._is_full:
                return False
            self._queue.append(made)
            self._queued_rows += len(made.records)
        return True

    def close(self, patience_s: float) -> None:
        """Publish what was handed over, for ``patience_s`` at most while the bus is away, and stop."""
        self._stopping.set()
        self._thread.join(patience_s)

    @property
    def is_behind(self) -> bool:
        """Whether something that was handed over is not published."""
        return self.seq < self._last_seq

    def _run(self) -> None:
        bus: Log | None = None
        while self.failure is None and not (self._stopping.is_set() and not self.is_behind):
            try:
                bus = bus or self._open_log()
                self._follow(bus)
            except UnavailableError as error:
                self._note(error)
                self._stopping.wait(_AWAY_PAUSE_S)
            except BusError as error:
                self._lose(error)
            except Exception as error:  # noqa: BLE001 - the thread's supervisor
                self._lose(BusError("publisher", f"{type(error).__name__}: {error}", "see the log output"))
        if bus is not None:
            bus.close()

    def _follow(self, bus: Log) -> None:
        """Publish until the end is asked for and reached; raises when the bus is away."""
        self.seq = self._committed_seq = self._position.load(bus)
        self._is_away = False
        if self.seq > self._last_seq:
            reason = f"frame {self.seq:,} is published, and the archive ends at {self._last_seq:,}"
            raise BusError("position of the ingest", reason, "start it again: it numbers on from there")
        self._drop_published()
        while True:
            if self.seq < self._caught_up_to:
                self._catch_up(bus)
            elif self._queue:
                self._publish_queued(bus)
            elif self._is_full:
                self._turn_to_archive()
            elif self._stopping.is_set():
                self._note_end(bus)
                break
            else:
                self._stopping.wait(self._interval_s)

    def _drop_published(self) -> None:
        with self._lock:
            self._pop(sum(made.seq <= self.seq for made in self._queue))

    def _turn_to_archive(self) -> None:
        """Have the archive read up to here; whatever comes after goes through the queue again."""
        with self._lock:
            self._is_full = False
            self._caught_up_to = self._last_seq

    def _catch_up(self, bus: Log) -> None:
        log.info("publishing from the archive", after=self.seq, to=self._caught_up_to)
        for batch in _batches(self._past(self.seq, self._caught_up_to), self._batch_rows):
            self.read_back += self._append(bus, batch)
        # Its last frames may be damaged, or have led to nothing.
        self.seq = self._caught_up_to

    def _publish_queued(self, bus: Log) -> None:
        with self._lock:
            waiting = list(islice(self._queue, self._batch_rows))
        batch = next(_batches(waiting, self._batch_rows))
        self._append(bus, batch)
        with self._lock:
            self._pop(len(batch))
        if self._queued_rows < self._batch_rows:
            self._stopping.wait(self._pause_s)

    def _append(self, bus: Log, batch: list[FrameRecords]) -> int:
        """Commit the records of frames with their position; return how many there are."""
        records = [record for made in batch for record in made.outgoing(self._suffix)]
        last = batch[-1]
        if records:
            self._reached("publish.encoded")
            bus.append([*records, self._position.record(bus, last.seq, last.receive_ns)])
            self._reached("publish.committed")
            self._committed_seq = last.seq
            self._newest_ns = last.receive_ns
        self.seq = last.seq
        self.published += len(records)
        return len(records)

    def _pop(self, frames: int) -> None:
        for _ in range(frames):
            self._queued_rows -= len(self._queue.popleft().records)

    def _note_end(self, bus: Log) -> None:
        """Commit that the last frames led to nothing, so that the next start need not read them."""
        if self.seq > self._committed_seq and self._newest_ns:
            bus.append([self._position.record(bus, self.seq, self._newest_ns)])

    def _note(self, error: BusError) -> None:
        self.outages += 1
        if not self._is_away:
            log.warning("the bus is away; the archive goes on", reason=str(error))
        self._is_away = True

    def _lose(self, error: BusError) -> None:
        with self._lock:
            self.failure = error
            self._queue.clear()
            self._queued_rows = 0
        if isinstance(error, FencedError):
            log.error("another process of this name publishes; this one ends", reason=str(error))
        else:
            log.error("publishing has stopped; the archive goes on", reason=str(error))


def _batches(frames: Iterable[FrameRecords], rows: int) -> Iterator[list[FrameRecords]]:
    """Yield frames in batches of at least ``rows`` records, the last one of what is left."""
    batch: list[FrameRecords] = []
    held = 0
    for made in frames:
        batch.append(made)
        held += len(made.records)
        if held >= rows:
            yield batch
            batch, held = [], 0
    if batch:
        yield batch
