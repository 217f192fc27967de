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
        self._returns = returns
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

    def is_whole(self, at: I8, from_ns: int, until_ns: int) -> npt.NDArray[np.bool_]:
        """Return whether the stretch of each row at ``at`` reaches from one time around it to another."""
        now = self._time_ns[at]
        starts = self._time_ns[self._first[at]] <= now + from_ns
        whole: npt.NDArray[np.bool_] = starts & (self._time_ns[self._end[at] - 1] >= now + until_ns)
        return whole

    def between(self, at: I8, from_ns: int, until_ns: int) -> tuple[F8, F8, F8, F8]:
        """Return what the price did from one time around each row at ``at`` to another.

        Parameters
        ----------
        at : int64[m]
            Rows, ascending.
        from_ns, until_ns : int
            Relative to the row: (from, until]. At 0 a window ends with, or begins after, the row itself, of
            rows with the same stamp too.

        Returns
        -------
        volatility, deviation, deviation_of_all, move : float64[m]
            Square root of the sum of squared returns; the standard deviation of the returns between the rows
            inside, and that with the return to the first of them (NaN of fewer than the least number of
            ticks); their sum.
        """
        begin, stop = (
            at + 1 if bound_ns == 0 else self._place(at, self._time_ns[at] + bound_ns)
            for bound_ns in (from_ns, until_ns)
        )
        squares = np.maximum(self._square[stop] - self._square[begin], 0.0)
        inside, of_all = self._std(begin, stop), self._std(begin - 1, stop)
        return np.sqrt(squares), inside, of_all, self._sum[stop] - self._sum[begin]

    def next_return(self, at: I8) -> F8:
        """Return the return from each row at ``at`` to the next one; 0 at the end of a stretch."""
        later: F8 = np.append(self._returns, 0.0)[at + 1]
        return later

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
