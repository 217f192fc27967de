"""The 1 s grid of mids and log returns, online and over arrays.

M(s) is the mid of the last tick with ``event_ns <= s * 1e9``. Boundary s is closed by the first tick or mark
with ``event_ns`` strictly beyond it, because ticks stamped on the boundary still count into it. A change of
``covered_since_ns`` is a break: it begins a new run, and no return spans two runs.

    time      10.2   10.9  11.0      12.0      13.0   13.4
    events     t1     t2    t3        .         .      mark
    M(11) = t3 (the tie counts), M(12) = M(13) = t3; the mark closes 11, 12 and 13 at once
    q(11) = none (M(10) precedes the run), q(12) = q(13) = 0
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from volspike.features.fixedpoint import log_return_fixed, log_returns_fixed
from volspike.features.window import SECOND_NS, last_closed_second

I8 = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


class ClosedSecond(NamedTuple):
    """One closed boundary of the grid.

    Attributes
    ----------
    second : int
        The boundary, in seconds since 1970.
    q : int or None
        Log return from the boundary before at scale ``2**60``; None for the first of a run.
    run : int
        Number of the covered stretch, from 0.
    mid_sum : int
        Bid + ask at the boundary, in price units.
    """

    second: int
    q: int | None
    run: int
    mid_sum: int


_MID_UNITS = tuple(float(2 * 10**decimals) for decimals in range(20))


def mid_price(mid_sum: int, price_decimals: int) -> float:
    """Return the mid in quote currency from bid + ask in units of ``10**-price_decimals`` (0 to 19)."""
    return float(mid_sum) / _MID_UNITS[price_decimals]


class SecondGrid:
    """The online grid: fed with the ticks and marks of one product, it returns the seconds they close.

    An event older than the newest one is ignored, as admission would have done.

    Attributes
    ----------
    run : int
        Number of the current covered stretch; -1 before the first event.
    """

    __slots__ = ("_boundary_mid_sum", "_covered_since_ns", "_mid_sum", "_newest_ns", "_next_second", "run")

    def __init__(self) -> None:
        self.run = -1
        self._covered_since_ns: int | None = None
        self._newest_ns: int | None = None
        self._mid_sum = 0  # 0: no tick in this run yet
        self._boundary_mid_sum = 0  # 0: no boundary closed in this run yet
        self._next_second = 0

    def on_tick(self, event_ns: int, mid_sum: int, covered_since_ns: int) -> Sequence[ClosedSecond]:
        """Take an accepted tick (ns, bid + ask in price units, ns); return the seconds it closes."""
        if self._newest_ns is not None and event_ns < self._newest_ns:
            return ()
        inside = self._mid_sum and event_ns <= self._next_second * SECOND_NS
        if inside and covered_since_ns == self._covered_since_ns:  # as most ticks are, so it comes first
            self._newest_ns, self._mid_sum = event_ns, mid_sum
            return ()
        closed = self.on_mark(event_ns, covered_since_ns)
        if not self._mid_sum:
            self._next_second = last_closed_second(event_ns) + 1
        self._mid_sum = mid_sum
        return closed

    def on_mark(self, event_ns: int, covered_since_ns: int) -> Sequence[ClosedSecond]:
        """Take a mark (ns, ns); return the seconds it closes."""
        if self._newest_ns is not None and event_ns < self._newest_ns:
            return ()
        self._newest_ns = event_ns
        if covered_since_ns != self._covered_since_ns:
            self._begin_run(covered_since_ns)
        if not self._mid_sum or event_ns <= self._next_second * SECOND_NS:
            return ()
        return self._close(last_closed_second(event_ns))

    def _begin_run(self, covered_since_ns: int) -> None:
        self.run += 1
        self._covered_since_ns = covered_since_ns
        self._mid_sum = self._boundary_mid_sum = 0

    def _close(self, last: int) -> list[ClosedSecond]:
        before, mid_sum, run = self._boundary_mid_sum, self._mid_sum, self.run
        q = log_return_fixed(before, mid_sum) if before else None
        closed = [ClosedSecond(self._next_second, q, run, mid_sum)]
        closed += [ClosedSecond(s, 0, run, mid_sum) for s in range(self._next_second + 1, last + 1)]
        self._boundary_mid_sum = mid_sum
        self._next_second = last + 1
        return closed

    def export_state(self) -> dict[str, int | None]:
        """Return the state as plain integers."""
        return {name.lstrip("_"): getattr(self, name) for name in self.__slots__}

    def import_state(self, state: dict[str, int | None]) -> None:
        """Take up a state that ``export_state`` gave."""
        for name in self.__slots__:
            setattr(self, name, state[name.lstrip("_")])


@dataclass(frozen=True, slots=True, eq=False)
class SecondArrays:
    """The closed seconds of a stream, as arrays in order.

    Attributes
    ----------
    second : int64[m]
        The boundary, seconds since 1970, ascending.
    q : int64[m]
        Log return at scale ``2**60``; 0 where ``has_q`` is False.
    has_q : bool[m]
        False for the first second of a run.
    run : int32[m]
        Number of the covered stretch.
    mid_sum : int64[m]
        Bid + ask at the boundary.
    event_run : int32[n]
        The run of each event that was put in.
    """

    second: I8
    q: I8
    has_q: Bools
    run: npt.NDArray[np.int32]
    mid_sum: I8
    event_run: npt.NDArray[np.int32]


def last_closed_second_array(event_ns: I8) -> I8:
    """Return ``ceil(t) - 1`` of each event time (int64[n], ns)."""
    return (event_ns - 1) // SECOND_NS


def second_grid(event_ns: I8, covered_since_ns: I8, mid_sum: I8, is_tick: Bools) -> SecondArrays:
    """Compute the grid over a whole stream of one product: the array form of ``SecondGrid``.

    Parameters
    ----------
    event_ns, covered_since_ns : int64[n]
        Of each tick and mark, in stream order, ns.
    mid_sum : int64[n]
        Bid + ask in price units; ignored for marks.
    is_tick : bool[n]
        True for a tick, False for a mark.

    Returns
    -------
    SecondArrays
        Equal to what the online grid gives, to the bit.
    """
    in_order = event_ns >= np.maximum.accumulate(event_ns) if len(event_ns) else np.zeros(0, np.bool_)
    event_run = _number_runs(covered_since_ns, in_order)
    kept = np.flatnonzero(in_order)
    bounds = np.searchsorted(event_run[kept], np.arange(event_run[-1] + 2 if len(event_run) else 1))
    pieces = [
        _run_grid(event_ns[part], mid_sum[part], is_tick[part], run)
        for run, part in enumerate(kept[a:b] for a, b in pairwise(bounds))
    ]
    pieces.append(_empty_piece())
    second, q, has_q, run_number, mids = (np.concatenate(column) for column in zip(*pieces, strict=True))
    return SecondArrays(second, q, has_q, run_number, mids, event_run)


def _number_runs(covered_since_ns: I8, in_order: Bools) -> npt.NDArray[np.int32]:
    """Number the runs from 0; an event out of order belongs to the run of the event before it."""
    if not len(covered_since_ns):
        return np.zeros(0, np.int32)
    covered = covered_since_ns[in_order]
    number = np.zeros(len(covered), np.int32)
    np.cumsum(covered[1:] != covered[:-1], out=number[1:])
    event_run: npt.NDArray[np.int32] = number[np.cumsum(in_order) - 1]
    return event_run


Piece = tuple[I8, I8, Bools, npt.NDArray[np.int32], I8]


def _run_grid(event_ns: I8, mid_sum: I8, is_tick: Bools, run: int) -> Piece:
    ticks = np.flatnonzero(is_tick)
    if not len(ticks):
        return _empty_piece()
    first = last_closed_second(int(event_ns[ticks[0]])) + 1
    second = np.arange(first, last_closed_second(int(event_ns[-1])) + 1, dtype=np.int64)
    newest = np.searchsorted(event_ns[ticks], second * SECOND_NS, side="right") - 1
    mids = mid_sum[ticks][newest]
    q = np.zeros(len(second), np.int64)
    q[1:] = log_returns_fixed(mids[:-1], mids[1:])
    has_q = np.arange(len(second)) > 0
    return second, q, has_q, np.full(len(second), run, np.int32), mids


def _empty_piece() -> Piece:
    none = np.zeros(0, np.int64)
    return none, none, np.zeros(0, np.bool_), np.zeros(0, np.int32), none
