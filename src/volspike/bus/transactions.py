"""Read, transform, write, each batch exactly once: the loop of a stage that stands between topics.

The commit protocol, one round, and what remains if the process dies there:

1. *poll* a batch. Partitions that another member is to get are handed over in here (step 7). Nothing has been
   written: the next member reads the same records from the committed offsets.
2. *restore* the partitions gained: the stage loads its newest state of each and what the state's own offset
   says was taken, then reads its source from there to the committed offset, emitting nothing. State and
   offsets are committed together, so the state is never ahead of the offset, and behind it by seconds.
   Restoring only reads: a death leaves no trace, and the next member restores alike. Partitions lost are
   dropped.
3. *tell gaps*: records that retention deleted unread. They are told again to whoever polls again, until a
   batch from behind them is committed.
4. *transform* the batch in memory. A death leaves no trace.
5. *state*: every few seconds, or when the stage asks for it with its results, what is needed to restore joins
   the batch. In memory too; a death leaves no trace.
6. *append* results, state and the new offsets in one transaction, whose own steps ``kafka.py`` and
   ``embedded.py`` list: begin, records, offsets, commit. A death before the commit is decided leaves no trace
   for readers, as in 4. After it all three are there: the next member goes on behind the batch, from this
   state or an older one and a replay.
7. *hand over*, when partitions move on and at the end: their state is appended, with no results, in a
   transaction of its own, so that the next member has nothing to replay. A death in it costs that replay.

If the bus undoes the batch or is away (``UnavailableError`` in any step), the stage's memory is ahead of what
anybody has seen: the consumer goes back to the committed offsets, and all partitions are restored as in 2.
Whether a commit whose answer was lost took place is found there, by asking for the offsets. A member that was
frozen while another took its place is fenced in step 6: ``FencedError`` ends the loop, with nothing written.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Protocol

from volspike.bus.port import Consumer, Log, LogRecord, OffsetGap, Outgoing, Place
from volspike.clock import Clock
from volspike.errors import BusError, UnavailableError, UndoneError
from volspike.logs import get_logger

Partition = tuple[str, int]
# A commit takes some milliseconds whatever the batch: over so many records it hardly shows.
BATCH_ROWS = 10_000
_PAUSE_S = 0.2

log = get_logger()


class Stage(Protocol):
    """What is done with records; keeps its memory per partition."""

    def restore(self, place: Place) -> None:
        """Make the partition's memory what it was in front of ``place``, emitting nothing."""

    def drop(self, topic: str, partition: int) -> None:
        """Forget the partition: another member has it, or it will be restored."""

    def gap(self, gap: OffsetGap) -> None:
        """Note that records are missing in front of ``gap.resumed``; may be told more than once."""

    def process(self, records: Sequence[LogRecord]) -> Sequence[Outgoing]:
        """Take a batch, in order within each partition; return what is to be written with its offsets."""

    def state(self, partitions: Sequence[Partition]) -> Sequence[Outgoing]:
        """Return the records from which ``restore`` can rebuild the memory of ``partitions``."""

    def end(self, partitions: Sequence[Partition]) -> Sequence[Outgoing]:
        """Settle what is open, as no more records will come; return what is to be written."""


class ExactlyOnce:
    """Runs a stage on a member of a group, which it joins in its first round.

    Whatever else a process needs is opened before that: a member that is given partitions and ends leaves
    them unserved until its session is over.

    Parameters
    ----------
    log : Log
        Read from and written to; closed by its owner.
    group : str
        Whose offsets are used.
    topics : sequence of str
        What the stage reads.
    stage : Stage
        What it does.
    clock : Clock
        Times the writing of state.
    batch_rows : int
        Most records in one transaction.
    poll_s : float
        Longest wait for a first record; a batch is what is there when it comes.
    state_s : float
        Time between two writings of the state.
    interval_s : float
        Least time from one transaction to the next, unless a full batch was read.
    reached : callable, optional
        Called with the name of each step: where tests make a process die.

    Attributes
    ----------
    processed : int
        Records whose results are committed.
    undone : int
        Batches that were undone and read again.
    rebalances : int
        Times that partitions came or went.
    is_away : bool
        Whether the bus did not answer when it was last asked.
    on_commit : callable
        Called behind each transaction with what it wrote, and the nanoseconds it took.
    """

    def __init__(
        self,
        log: Log,
        group: str,
        topics: Sequence[str],
        stage: Stage,
        clock: Clock,
        *,
        batch_rows: int = BATCH_ROWS,
        poll_s: float = 0.1,
        state_s: float = 5.0,
        interval_s: float = 0.0,
        reached: Callable[[str], None] | None = None,
    ) -> None:
        self._log = log
        self._stage = stage
        self._clock = clock
        self._batch_rows = batch_rows
        self._poll_s = poll_s
        self._state_ns = int(state_s * 1e9)
        self._state_due_ns = clock.monotonic_ns() + self._state_ns
        self._interval_ns = int(interval_s * 1e9)
        self._next_ns = clock.monotonic_ns()
        self._mine: set[Partition] = set()
        self._astray = False
        self._reached = reached
        self.processed = 0
        self.undone = 0
        self.rebalances = 0
        self.is_away = False
        self.on_commit: Callable[[Sequence[Outgoing], int], None] = lambda _written, _took_ns: None
        self._group, self._topics = group, topics
        self._joined: Consumer | None = None

    def run(self, stopped: Callable[[], bool]) -> None:
        """Go on until ``stopped``, then write the state and leave.

        Raises
        ------
        FencedError
            Another process of this name has taken over.
        BusError
            The bus can't be used, for a reason that waiting doesn't heal.
        """
        while not stopped():
            self.step()
        self.close()

    def join(self) -> None:
        """Join the group, unless that is done.

        Raises
        ------
        BusError
            A topic is missing, or no broker answers.
        """
        if self._joined is None:
            self._joined = self._log.consumer(self._group, self._topics)
            self._joined.before_revoke(self._hand_over)

    def step(self) -> int:
        """Do one round; return how many records were read, processed and committed."""
        self.join()
        try:
            if self._astray:
                self._consumer.rewind()
                # Before a poll in which partitions may be handed over: their memory is ahead of the offsets.
                self._follow()
                self._astray = False
            read = self._round()
        except UnavailableError as error:
            self.undone += 1
            self._astray = True
            self._note(error)
            time.sleep(_PAUSE_S)
            return 0
        self._note(None)
        return read

    def close(self, *, is_over: bool = False) -> None:
        """Write the state of what this member has, and leave the group.

        Parameters
        ----------
        is_over : bool
            Whether no more records will come, so that what is open is settled first.
        """
        if self._joined is None:
            return
        if self._mine and not self._astray:
            if is_over:
                mine = self.partitions
                self._append([*self._stage.end(mine), *self._stage.state(mine)])
            else:
                self._hand_over(self.partitions)
        self._consumer.close()

    @property
    def partitions(self) -> list[Partition]:
        """Return the partitions that this member has, sorted."""
        return sorted(self._mine)

    @property
    def _consumer(self) -> Consumer:
        if self._joined is None:
            raise BusError(f"group {self._group}", "is not joined", "join first")
        return self._joined

    def _round(self) -> int:
        # A transaction costs brokers the same whatever it holds.
        time.sleep(max(0, self._next_ns - self._clock.monotonic_ns()) / 1e9)
        records = self._consumer.poll(self._batch_rows, self._poll_s)
        self._step("stage.polled")
        self._follow()
        for gap in self._consumer.take_gaps():
            self._stage.gap(gap)
        written = list(self._stage.process(records)) if records else []
        self._step("stage.processed")
        now_ns = self._clock.monotonic_ns()
        due = bool(self._mine) and now_ns >= self._state_due_ns
        if due:
            written += self._stage.state(self.partitions)
            self._step("stage.state")
        self._append(written, bool(written or records))
        if due:
            self._state_due_ns = now_ns + self._state_ns
        self.processed += len(records)
        if 0 < len(records) < self._batch_rows:
            self._next_ns = now_ns + self._interval_ns
        return len(records)

    def _note(self, error: UnavailableError | None) -> None:
        """Tell when the bus goes away, and when a round has succeeded again."""
        if error is not None and not isinstance(error, UndoneError) and not self.is_away:
            self.is_away = True
            log.warning("the bus is away; waiting", reason=str(error))
        elif error is None and self.is_away:
            self.is_away = False
            log.warning("the bus is back")

    def _append(self, written: Sequence[Outgoing], is_news: bool = True) -> None:
        started_ns = self._clock.monotonic_ns()
        self._log.append(written, self._consumer)
        if is_news:
            self.on_commit(written, self._clock.monotonic_ns() - started_ns)

    def _follow(self) -> None:
        changes = self._consumer.take_changes()
        self.rebalances += bool(changes.lost or changes.gained)
        for partition in changes.lost:
            self._mine.discard(partition)
            self._stage.drop(*partition)
        for place in changes.gained:
            self._stage.restore(place)
            self._mine.add((place.topic, place.partition))
            self._step("stage.restored")

    def _hand_over(self, partitions: Sequence[Partition]) -> None:
        mine = [partition for partition in partitions if partition in self._mine]
        self._step("stage.hand_over")
        try:
            self._log.append(self._stage.state(mine) if mine else (), self._consumer)
        except UnavailableError:
            # The next member restores from an older state, and replays more.
            self.undone += 1

    def _step(self, name: str) -> None:
        if self._reached is not None:
            self._reached(name)
