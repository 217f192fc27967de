"""Tau, HAR lags and z at many ticks at once: the array form of ``trailing.TrailingState``."""

from __future__ import annotations

from dataclasses import dataclass

import numba
import numpy as np
import numpy.typing as npt

from volspike.features.fixedpoint import RV_BPS_SCALE
from volspike.features.grid import SecondArrays, last_closed_second_array, mid_price
from volspike.labels.exactsum import U8, prefix_squares, stretch_words, words_to_float
from volspike.labels.tau import (
    BINS,
    MANTISSA_BITS,
    PPM,
    SUB_BIN_BITS,
    TRAILING_S,
    TauSpec,
    bin_of_bps,
    tau_at,
    z_score,
)
from volspike.labels.trailing import HAR_MINUTES, RV_S, increment_bps

F8 = npt.NDArray[np.float64]
I8 = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class History:
    """What is known of the past at n ticks.

    Attributes
    ----------
    count, quantile_bin : int64[n]
        Covered seconds in the trailing histogram and the bin of its quantile (0 where empty).
    har_bps : float64[n, 4]
        RV over the trailing 1, 5, 30, 240 minutes, scaled to 60 s; NaN where less than half is covered.
    z : float64[n]
        Trailing z of log RV.
    """

    count: I8
    quantile_bin: I8
    har_bps: F8
    z: F8

    def tau(self, spec: TauSpec, fixed_tau_bps: float) -> tuple[F8, npt.NDArray[np.bool_]]:
        """Return tau in basis points (float64[n]) and whether it is the trailing quantile (bool[n])."""
        pairs = zip(self.count.tolist(), self.quantile_bin.tolist(), strict=True)
        values = [tau_at(spec, count, index, fixed_tau_bps) for count, index in pairs]
        return np.array([v[0] for v in values], np.float64), np.array([v[1] for v in values], np.bool_)


def trailing_history(
    grid: SecondArrays, event_ns: I8, rv_bps: F8, mid: F8, tau: TauSpec, price_decimals: int, increment: float
) -> History:
    """Compute the trailing quantities at each tick from the seconds closed by it.

    Parameters
    ----------
    grid : SecondArrays
        All closed seconds of the stream.
    event_ns : int64[n]
        Event times of the ticks, ascending, ns.
    rv_bps, mid : float64[n]
        ``rv_60s`` (basis points) and mid price at the ticks.
    tau : TauSpec
        Gives the quantile.
    price_decimals : int
        Mid sums are in units of ``10**-price_decimals``.
    increment : float
        Quote increment in quote currency.

    Returns
    -------
    History
        Equal to what the online state gives, to the bit.
    """
    last = last_closed_second_array(event_ns)
    second, bins = volatility_bins(grid, price_decimals, increment)
    count, quantile_bin, total, total_sq = _trailing_sums(second, bins, last, tau.quantile_ppm)
    now = [bin_of_bps(max(r, increment_bps(increment, m))) for r, m in zip(rv_bps, mid, strict=True)]
    sums = zip(now, count.tolist(), total.tolist(), total_sq.tolist(), strict=True)
    z = np.array([z_score(*row) for row in sums], np.float64)
    return History(count, quantile_bin, har_lags(grid, last), z)


def volatility_bins(grid: SecondArrays, price_decimals: int, increment: float) -> tuple[I8, I8]:
    """Return (second, histogram bin) of each second with 60 returns in its run, both int64[m]."""
    stop = np.flatnonzero(_returns_so_far(grid) >= RV_S) + 1
    bins = bins_of_words(stretch_words(prefix_squares(grid.q), stop - RV_S, stop))
    mid_sum = grid.mid_sum[stop - 1].tolist()
    floor = [bin_of_bps(increment_bps(increment, mid_price(m, price_decimals))) for m in mid_sum]
    return grid.second[stop - 1], np.maximum(bins, np.array(floor, np.int64))


def _returns_so_far(grid: SecondArrays) -> I8:
    """Return how many returns of its run each second has behind it, its own included."""
    position = np.arange(len(grid.second), dtype=np.int64)
    first_of_run: I8 = np.maximum.accumulate(np.where(grid.has_q, 0, position))
    return position - first_of_run


def bins_of_words(words: U8) -> I8:
    """Return the bins of sums below 2**128, given as words uint64[n, 3]; see ``tau.bin_of_sum``."""
    low, high = words[:, 0], words[:, 1]
    bits = np.where(high > 0, 64 + _bit_length(high), _bit_length(low))
    shift = np.maximum(bits - MANTISSA_BITS, 0)
    inside = (low >> np.minimum(shift, 63).astype(np.uint64)) | _shifted_left(high, 64 - shift)
    top = np.where(shift >= 64, high >> np.maximum(shift - 64, 0).astype(np.uint64), inside)
    bins: I8 = (shift << SUB_BIN_BITS) + top.astype(np.int64)
    return bins


def _shifted_left(word: U8, shift: I8) -> U8:
    """Shift left where 0 < shift < 64; 0 elsewhere (there the word is 0, or not wanted)."""
    usable = (shift > 0) & (shift < 64)
    return np.where(usable, word << np.where(usable, shift, 0).astype(np.uint64), np.uint64(0))


def _bit_length(word: U8) -> I8:
    rest = word.copy()
    length: I8 = np.zeros(len(word), np.int64)
    for step in (32, 16, 8, 4, 2, 1):
        large = rest >= np.uint64(1 << step)
        length[large] += step
        rest[large] >>= np.uint64(step)
    length[rest > 0] += 1
    return length


def har_lags(grid: SecondArrays, last_second: I8) -> F8:
    """Return RV over the trailing 1, 5, 30 and 240 minutes, scaled to 60 s.

    Parameters
    ----------
    grid : SecondArrays
        All closed seconds of the stream.
    last_second : int64[n]
        The newest boundary each tick closes.

    Returns
    -------
    float64[n, 4]
        Basis points; NaN where less than half of the seconds is covered.
    """
    second, prefix = grid.second[grid.has_q], prefix_squares(grid.q[grid.has_q])
    stop = np.searchsorted(second, last_second, side="right")
    lags = np.full((len(last_second), len(HAR_MINUTES)), np.nan)
    for column, minutes in enumerate(HAR_MINUTES):
        start = np.searchsorted(second, last_second - 60 * minutes, side="right")
        covered = 2 * (stop - start) >= 60 * minutes
        sum_sq = words_to_float(stretch_words(prefix, start[covered], stop[covered]))
        lags[covered, column] = np.sqrt(sum_sq * 60.0 / (stop - start)[covered].astype(float)) * RV_BPS_SCALE
    return lags


@numba.njit()
def _trailing_sums(second: I8, bins: I8, last_second: I8, ppm: int) -> tuple[I8, I8, I8, I8]:
    """Return (count, quantile bin, sum of bins, sum of squared bins) of the trailing 24 h at each query."""
    n = len(last_second)
    count, quantile_bin = np.zeros(n, np.int64), np.zeros(n, np.int64)
    total, total_sq = np.zeros(n, np.int64), np.zeros(n, np.int64)
    counts = np.zeros(BINS, np.int64)
    head = tail = index = below = s1 = s2 = 0
    for i in range(n):
        while head < len(second) and second[head] <= last_second[i]:
            b = bins[head]
            counts[b] += 1
            s1 += b
            s2 += b * b
            below += b < index
            head += 1
        while tail < head and second[tail] <= last_second[i] - TRAILING_S:
            b = bins[tail]
            counts[b] -= 1
            s1 -= b
            s2 -= b * b
            below -= b < index
            tail += 1
        count[i], total[i], total_sq[i] = head - tail, s1, s2
        if head > tail:
            rank = -(-(head - tail) * ppm // PPM)
            while below >= rank:
                index -= 1
                below -= counts[index]
            while below + counts[index] < rank:
                below += counts[index]
                index += 1
            quantile_bin[i] = index
    return count, quantile_bin, total, total_sq
