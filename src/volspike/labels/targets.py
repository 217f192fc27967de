"""The targets: what volatility a prediction is graded against, over arrays and live.

Maturity, the same for every target but ``next-row``: the minute after a tick at t is over when the boundary
``ceil(t) + 60`` is closed in the tick's own run. A break before that leaves it unlabelled, never 0.

    t = 100.4        s = 101                                   s + 60 = 161
      |---------------|-----------------------------------------|
     tick        M(101), r_102, r_103, ...                r_161 | closed by an event > 161

``rv``        sqrt of the sum of r^2 over s+1..s+60, basis points. The primary target.
``std``       standard deviation (ddof 1) of the tick returns inside (t, t + 60 s], basis points; at least 10
              ticks. The original system's proxy, done right.
``next-row``  LEAKS, for study only: the trailing std at the next tick. Its window shares all but one of its
              ticks with the features, so it measures the present, not the future.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from volspike.errors import ConfigError
from volspike.features.fixedpoint import log_return_fixed, log_returns_fixed, rv_bps
from volspike.features.grid import ClosedSecond, SecondArrays, last_closed_second_array
from volspike.features.window import MIN_TICKS, SECOND_NS, last_closed_second, return_std
from volspike.labels.exactsum import prefix_squares, stretch_words, words_to_ints, words_to_rv_bps

TARGETS = ("rv", "std", "next-row")
LEAKING_TARGETS = {
    "next-row": "its window shares almost every tick with the features, so a score says nothing of the future"
}
UNLABELLED_REASONS = ("", "break", "end", "insufficient", "late")
LABELLED, BREAK, END, INSUFFICIENT, LATE = range(len(UNLABELLED_REASONS))
HORIZON_S = 60
HORIZON_NS = HORIZON_S * SECOND_NS

F8 = npt.NDArray[np.float64]
I4 = npt.NDArray[np.int32]
I8 = npt.NDArray[np.int64]
Key = TypeVar("Key")


@dataclass(frozen=True, slots=True, eq=False)
class Labels:
    """The target at n rows.

    Attributes
    ----------
    sigma_future_bps : float64[n]
        Basis points; NaN where unlabelled.
    unlabelled : uint8[n]
        Index into ``UNLABELLED_REASONS``; 0 is labelled.
    """

    sigma_future_bps: F8
    unlabelled: npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True, eq=False)
class TickArrays:
    """The accepted ticks of a stream: event_ns int64[n] ascending, run int32[n], mid_sum int64[n]."""

    event_ns: I8
    run: I4
    mid_sum: I8


def future_rv(grid: SecondArrays, event_ns: I8, run: I4) -> Labels:
    """Return the ``rv`` target of rows at ``event_ns`` (int64[n], ns) in runs ``run`` (int32[n])."""
    unlabelled, position = _maturity(grid, event_ns, run)
    stop = position[unlabelled == LABELLED] + 1
    sigma = np.full(len(event_ns), np.nan)
    words = stretch_words(prefix_squares(grid.q), stop - HORIZON_S, stop)
    sigma[unlabelled == LABELLED] = words_to_rv_bps(words)
    return Labels(sigma, unlabelled)


def _maturity(grid: SecondArrays, event_ns: I8, run: I4) -> tuple[npt.NDArray[np.uint8], I8]:
    """Return why each row is unlabelled, and the grid position of its last second where it is labelled."""
    due = last_closed_second_array(event_ns) + 1 + HORIZON_S
    position = np.searchsorted(grid.second, due)
    inside = np.minimum(position, len(grid.second) - 1)
    closed = np.zeros(len(event_ns), np.bool_)
    if len(grid.second):
        closed = (grid.second[inside] == due) & (grid.run[inside] == run)
    newest_run = grid.event_run[-1] if len(grid.event_run) else 0
    unlabelled = np.where(closed, LABELLED, np.where(run == newest_run, END, BREAK))
    return unlabelled.astype(np.uint8), position


def future_std(grid: SecondArrays, ticks: TickArrays, event_ns: I8, run: I4) -> Labels:
    """Return the ``std`` target of rows at ``event_ns`` (int64[n], ns) in runs ``run`` (int32[n])."""
    unlabelled, _ = _maturity(grid, event_ns, run)
    first = np.searchsorted(ticks.event_ns, event_ns, side="right")
    stop = np.searchsorted(ticks.event_ns, event_ns + HORIZON_NS, side="right")
    unlabelled[(unlabelled == LABELLED) & (stop - first < MIN_TICKS)] = INSUFFICIENT
    labelled = np.flatnonzero(unlabelled == LABELLED)
    q = _tick_returns(ticks)
    first, stop = first[labelled], stop[labelled]
    sum_q = np.concatenate(([0], np.cumsum(q)))
    sums = (sum_q[stop] - sum_q[first + 1]).tolist()
    squares = words_to_ints(stretch_words(prefix_squares(q), first + 1, stop))
    sigma = np.full(len(event_ns), np.nan)
    counts = (stop - first - 1).tolist()
    sigma[labelled] = [std_bps(s, ss, k) for s, ss, k in zip(sums, squares, counts, strict=True)]
    return Labels(sigma, unlabelled)


def std_bps(sum_q: int, sum_qq: int, k: int) -> float:
    """Return the standard deviation (ddof 1) of ``k`` returns at scale ``2**60``, in basis points."""
    return return_std(sum_q, sum_qq, k) * 1e4


def _tick_returns(ticks: TickArrays) -> I8:
    """Return the log return into each tick at scale ``2**60``; 0 for the first of a run."""
    q = np.zeros(len(ticks.event_ns), np.int64)
    same = np.flatnonzero(ticks.run[1:] == ticks.run[:-1]) + 1
    q[same] = log_returns_fixed(ticks.mid_sum[same - 1], ticks.mid_sum[same])
    return q


def next_row_std(ticks: TickArrays, trailing_std: F8, ticks_in_window: I4, row: I8) -> Labels:
    """Return the LEAKING ``next-row`` target: the trailing std at the tick after each row.

    Parameters
    ----------
    ticks : TickArrays
        All n ticks.
    trailing_std : float64[n]
        ``midprice_return_std`` at each tick, a pure number.
    ticks_in_window : int32[n]
        Ticks in each tick's window.
    row : int64[m]
        Positions of the rows among the ticks.
    """
    following = np.minimum(row + 1, len(ticks.event_ns) - 1)
    ends = row + 1 == len(ticks.event_ns)
    unlabelled = np.where(ticks.run[following] == ticks.run[row], LABELLED, BREAK)
    thin = (ticks_in_window[following] < MIN_TICKS) | np.isnan(trailing_std[following])
    unlabelled[(unlabelled == LABELLED) & thin] = INSUFFICIENT
    unlabelled[ends] = END
    sigma = np.where(unlabelled == LABELLED, trailing_std[following] * 1e4, np.nan)
    return Labels(sigma, unlabelled.astype(np.uint8))


class Graded(NamedTuple, Generic[Key]):
    """The target of one pending row: a value, or the reason why there is none."""

    key: Key
    sigma_future_bps: float | None
    unlabelled: str | None


class _Pending(NamedTuple, Generic[Key]):
    due_second: int
    event_ns: int
    key: Key


class RvLabeller(Generic[Key]):
    """Grade pending rows live with the ``rv`` target, bit-equal to ``future_rv``.

    Feed every tick and mark to ``on_event`` first; then ``add`` the row of the tick.
    """

    def __init__(self) -> None:
        self._run = -1
        self._pending: deque[_Pending[Key]] = deque()
        self._sum_sq: deque[int] = deque([0], maxlen=HORIZON_S + 1)  # running, one a closed second
        self._sigma_bps: float | None = None  # of the second closed last; all rows due with it share it

    def __len__(self) -> int:
        """Return the number of pending rows."""
        return len(self._pending)

    def add(self, key: Key, event_ns: int) -> None:
        """Wait for the minute after a tick at ``event_ns``; ``key`` is handed back with the grade."""
        self._pending.append(_Pending(last_closed_second(event_ns) + 1 + HORIZON_S, event_ns, key))

    def on_event(
        self, event_ns: int, mid_sum: int | None, closed: Sequence[ClosedSecond], run: int
    ) -> list[Graded[Key]]:
        """Take one tick or mark.

        Parameters
        ----------
        event_ns : int
            Its time, ns.
        mid_sum : int or None
            Bid + ask of a tick; None for a mark.
        closed : sequence of ClosedSecond
            The seconds it closes, from the grid.
        run : int
            The grid's run after it.

        Returns
        -------
        list of Graded
            Rows whose minute is over, or that a break has cut off.
        """
        graded: list[Graded[Key]] = []
        if run != self._run:
            graded = self._give_up("break")
            self._run = run
            self._restart()
        for second in closed:
            self._take_second(second)
            while self._pending and self._pending[0].due_second <= second.second:
                graded.append(self._grade(self._pending.popleft()))
        if mid_sum is not None:
            self._take_tick(event_ns, mid_sum)
        return graded

    def end(self) -> list[Graded[Key]]:
        """Return all pending rows, unlabelled, because the stream is over."""
        return self._give_up("end")

    @property
    def pending(self) -> list[Key]:
        """Return the keys of the pending rows, in order."""
        return [pending.key for pending in self._pending]

    def export_state(self) -> dict[str, Any]:
        """Return the state but for the keys as JSON-able values; some integers are beyond 64 bits."""
        pending = [(due_second, event_ns) for due_second, event_ns, _ in self._pending]
        return {"run": self._run, "pending": pending, "sum_sq": list(self._sum_sq)}

    def import_state(self, state: dict[str, Any], keys: Sequence[Key]) -> None:
        """Take up, into a fresh labeller of the same target, what ``export_state`` and ``pending`` gave."""
        self._run = state["run"]
        self._pending.extend(
            _Pending(due_second, event_ns, key)
            for (due_second, event_ns), key in zip(state["pending"], keys, strict=True)
        )
        self._sum_sq.clear()
        self._sum_sq.extend(state["sum_sq"])

    def _give_up(self, reason: str) -> list[Graded[Key]]:
        graded = [Graded(pending.key, None, reason) for pending in self._pending]
        self._pending.clear()
        return graded

    def _restart(self) -> None:
        self._sum_sq.clear()
        self._sum_sq.append(0)

    def _take_second(self, closed: ClosedSecond) -> None:
        self._sigma_bps = None
        if closed.q is not None:
            self._sum_sq.append(self._sum_sq[-1] + closed.q * closed.q)

    def _take_tick(self, event_ns: int, mid_sum: int) -> None:
        """Ignore single ticks: the grid says all."""

    def _grade(self, pending: _Pending[Key]) -> Graded[Key]:
        if self._sigma_bps is None:
            self._sigma_bps = rv_bps(self._sum_sq[-1] - self._sum_sq[0])
        return Graded(pending.key, self._sigma_bps, None)


class StdLabeller(RvLabeller[Key]):
    """Grade pending rows live with the ``std`` target, bit-equal to ``future_std``."""

    def __init__(self) -> None:
        super().__init__()
        self._restart()

    def export_state(self) -> dict[str, Any]:
        """Return the state but for the keys as JSON-able values; some integers are beyond 64 bits."""
        ticks = {"tick_ns": self._tick_ns, "sum_q": self._sum_q, "sum_qq": self._sum_qq}
        return {**super().export_state(), **ticks, "mid_sum": self._mid_sum}

    def import_state(self, state: dict[str, Any], keys: Sequence[Key]) -> None:
        """Take up, into a fresh labeller, what ``export_state`` and ``pending`` gave."""
        super().import_state(state, keys)
        self._mid_sum = state["mid_sum"]
        self._tick_ns += state["tick_ns"]
        self._sum_q += state["sum_q"]
        self._sum_qq += state["sum_qq"]

    def _restart(self) -> None:
        self._mid_sum = 0
        self._tick_ns: list[int] = []
        self._sum_q: list[int] = []  # running, at each tick
        self._sum_qq: list[int] = []

    def _take_second(self, closed: ClosedSecond) -> None:
        """Ignore the grid but for maturity."""

    def _take_tick(self, event_ns: int, mid_sum: int) -> None:
        q = log_return_fixed(self._mid_sum, mid_sum) if self._mid_sum else 0
        self._mid_sum = mid_sum
        if not self._pending:
            self._forget(len(self._tick_ns))
        self._tick_ns.append(event_ns)
        self._sum_q.append((self._sum_q[-1] if self._sum_q else 0) + q)
        self._sum_qq.append((self._sum_qq[-1] if self._sum_qq else 0) + q * q)

    def _grade(self, pending: _Pending[Key]) -> Graded[Key]:
        first = bisect_right(self._tick_ns, pending.event_ns)
        last = bisect_right(self._tick_ns, pending.event_ns + HORIZON_NS) - 1
        if last - first + 1 < MIN_TICKS:
            graded = Graded[Key](pending.key, None, "insufficient")
        else:
            sum_q = self._sum_q[last] - self._sum_q[first]
            sum_qq = self._sum_qq[last] - self._sum_qq[first]
            graded = Graded(pending.key, std_bps(sum_q, sum_qq, last - first), None)
        if first > len(self._tick_ns) // 2:
            self._forget(first)
        return graded

    def _forget(self, count: int) -> None:
        """Drop the oldest ticks, which no pending minute holds; running sums need no shift."""
        del self._tick_ns[:count], self._sum_q[:count], self._sum_qq[:count]


def make_labeller(target: str) -> RvLabeller[Key]:
    """Return the live labeller of a target.

    Raises
    ------
    ConfigError
        If the target is unknown, or ``next-row``, which is no target to run live.
    """
    if target == "rv":
        return RvLabeller()
    if target == "std":
        return StdLabeller()
    raise ConfigError("target", f"{target!r} can't be graded live", "use rv or std")
