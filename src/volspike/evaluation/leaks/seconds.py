"""Squares and moves of the price around each row, from the 1 s grid: what was, and what really came."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from volspike.features.fixedpoint import RV_BPS_SCALE
from volspike.features.grid import second_grid
from volspike.features.window import SECOND_NS

F8 = npt.NDArray[np.float64]
I8 = npt.NDArray[np.int64]
I4 = npt.NDArray[np.int32]

MID_BITS = 58  # two mid sums add up within int64, and no float has more digits
APART = 2**40  # seconds between the grids of two products, so that one search serves all


class SecondSums:
    """Running sums over the grids of all products.

    Parameters
    ----------
    product, stretch : int32[n]
        Rows are sorted by product, then time; nothing is summed across two stretches.
    time_ns : int64[n]
        Times, ns.
    mid : float64[n]
        Prices; rows without a finite one above 0 are left out.
    """

    def __init__(self, product: I4, stretch: I4, time_ns: I8, mid: F8) -> None:
        self._product, self._stretch, self._time_ns = product, stretch, time_ns
        priced = np.isfinite(mid) & (mid > 0.0)
        numbers = np.unique(product).tolist()
        pieces = [_grid(time_ns, stretch, mid, priced & (product == number)) for number in numbers]
        keys = [piece[0] + number * APART for number, piece in zip(numbers, pieces, strict=True)]
        self._key = np.concatenate(keys)
        self._run = np.concatenate([run for _, run, _, _ in pieces])
        self._sum = np.cumsum(np.concatenate([squares for _, _, squares, _ in pieces]))
        self._log_mid = np.concatenate([log_mid for *_, log_mid in pieces])

    def volatility_bps(self, at: I8, first_s: float, last_s: float) -> F8:
        """Return the realised volatility over a stretch of seconds around each row, basis points.

        Parameters
        ----------
        at : int64[m]
            Rows.
        first_s, last_s : float
            Seconds relative to the row: (first, last]. What lies ahead counts from the next whole second,
            what lies behind from the last one, so that neither touches the row's own second.

        Returns
        -------
        float64[m]
            NaN where a gap, or an end of the prices, lies inside.
        """
        first, last, whole = self._ends(at, first_s, last_s)
        squares = np.full(len(at), np.nan)
        squares[whole] = self._sum[last[whole]] - self._sum[first[whole]]
        volatility: F8 = np.sqrt(np.maximum(squares, 0.0))
        return volatility

    def move_bps(self, at: I8, first_s: float, last_s: float) -> F8:
        """Return the log return over the same stretch, basis points; NaN as above."""
        first, last, whole = self._ends(at, first_s, last_s)
        moved = np.full(len(at), np.nan)
        moved[whole] = (self._log_mid[last[whole]] - self._log_mid[first[whole]]) * 1e4
        return moved

    def _ends(self, at: I8, first_s: float, last_s: float) -> tuple[I8, I8, npt.NDArray[np.bool_]]:
        anchor = self._time_ns[at] // SECOND_NS
        if last_s > 0:
            anchor = -(-self._time_ns[at] // SECOND_NS)
        base = anchor + self._product[at].astype(np.int64) * APART
        first, has_first = self._find(base + round(first_s))
        last, has_last = self._find(base + round(last_s))
        whole = has_first & has_last
        run = self._stretch[at][whole]
        whole[whole] = (self._run[first[whole]] == run) & (self._run[last[whole]] == run)
        return first, last, whole

    def _find(self, key: I8) -> tuple[I8, npt.NDArray[np.bool_]]:
        if not len(self._key):
            return np.zeros(len(key), np.int64), np.zeros(len(key), np.bool_)
        place = np.minimum(np.searchsorted(self._key, key), len(self._key) - 1)
        return place, self._key[place] == key


def _grid(time_ns: I8, stretch: I4, mid: F8, chosen: npt.NDArray[np.bool_]) -> tuple[I8, I4, F8, F8]:
    """Return second, stretch, squared return (bps^2) and log mid of the closed seconds of one product."""
    scale = 2.0**MID_BITS / float(np.max(mid[chosen], initial=1e-300))
    mid_sum = np.maximum(np.rint(mid[chosen] * scale), 1.0).astype(np.int64)
    covered = stretch[chosen].astype(np.int64)
    grid = second_grid(time_ns[chosen], covered, mid_sum, np.ones(len(mid_sum), np.bool_))
    numbers = np.unique(stretch[chosen])
    squares = (grid.q.astype(np.float64) * RV_BPS_SCALE) ** 2
    return grid.second, numbers[grid.run], squares, np.log(grid.mid_sum.astype(np.float64))
