"""Standard deviations of the returns from row to row, behind a row and ahead of it."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from volspike.features.window import MIN_TICKS

F8 = npt.NDArray[np.float64]
I8 = npt.NDArray[np.int64]


class TickReturns:
    """Running sums of the log returns between neighbouring rows of a stretch.

    Parameters
    ----------
    stretch : int32[n]
        Connected stretch of each row.
    time_ns : int64[n]
        Times, ascending within a stretch, ns.
    mid : float64[n]
        Prices.
    """

    def __init__(self, stretch: npt.NDArray[np.int32], time_ns: I8, mid: F8) -> None:
        self._time_ns = time_ns
        returns = np.zeros(len(mid))
        with np.errstate(divide="ignore", invalid="ignore"):
            returns[1:] = np.diff(np.log(mid))
        returns[~np.isfinite(returns)] = 0.0
        begins = np.diff(stretch, prepend=-1) != 0
        returns[begins] = 0.0
        self._sum = np.concatenate(([0.0], np.cumsum(returns)))
        self._square = np.concatenate(([0.0], np.cumsum(returns * returns)))
        first = np.flatnonzero(begins)
        ends = np.append(first[1:], len(mid))
        self._first, self._end = np.repeat(first, ends - first), np.repeat(ends, ends - first)

    def trailing_std(self, window_ns: int) -> F8:
        """Return the standard deviation (ddof 1) of the returns inside (t - window, t], for every row."""
        at = np.arange(len(self._time_ns))
        begin = self._place(at, self._time_ns - window_ns)
        return self._std(begin, at + 1)

    def rolling_std(self, count: int) -> F8:
        """Return the same over the last ``count`` returns, whatever time they took."""
        at = np.arange(len(self._time_ns))
        return self._std(np.maximum(self._first, at - count), at + 1)

    def future_std(self, at: I8, horizon_ns: int) -> F8:
        """Return the same inside (t, t + horizon] for the rows at ``at``; NaN where the stretch ends
        before."""
        until = self._time_ns[at] + horizon_ns
        whole = self._time_ns[self._end[at] - 1] >= until
        stop = self._place(at, until)
        begin = self._place(at, self._time_ns[at])
        return np.where(whole, self._std(begin, stop), np.nan)

    def _place(self, at: I8, bound_ns: I8) -> I8:
        """Return the first position after a time, within the stretch of each row."""
        place = np.empty(len(at), np.int64)
        edges = np.flatnonzero(np.diff(self._first[at], prepend=-1))
        for first, stop in zip(edges, [*edges[1:], len(at)], strict=True):
            begin, end = self._first[at[first]], self._end[at[first]]
            times = self._time_ns[begin:end]
            place[first:stop] = begin + np.searchsorted(times, bound_ns[first:stop], side="right")
        return place

    def _std(self, begin: I8, stop: I8) -> F8:
        """Return the deviation of the returns between the rows of [begin, stop)."""
        count = stop - begin - 1
        begin = np.minimum(begin + 1, stop)
        total, squares = self._sum[stop] - self._sum[begin], self._square[stop] - self._square[begin]
        with np.errstate(divide="ignore", invalid="ignore"):
            variance = (squares - total * total / count) / (count - 1)
        enough = count >= MIN_TICKS - 1
        return np.where(enough, np.sqrt(np.maximum(variance, 0.0)), np.nan)
