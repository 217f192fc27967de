"""Tau, the volatility that counts as a spike: its settings and the trailing log-histogram behind it.

The histogram counts the 60 s realised variance of each covered second of the trailing 24 hours. Bins are made
by integer operations and counts only go up and down by one, so it is exact, order-free and restartable.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from typing import Literal

from volspike.errors import ConfigError
from volspike.features.fixedpoint import rv_bps

TRAILING_S = 86_400
MIN_COVERED_S = 1_800
MIN_Z_S = 60
SUB_BIN_BITS = 7
SUB_BINS = 1 << SUB_BIN_BITS  # bins an octave of variance
MANTISSA_BITS = SUB_BIN_BITS + 1
LIMIT_BITS = 128
BINS = (LIMIT_BITS - MANTISSA_BITS) * SUB_BINS + 2 * SUB_BINS
SQUARE_SCALE_BITS = 120  # a squared fixed-point return has scale 2**-120
PPM = 1_000_000


@dataclass(frozen=True, slots=True)
class TauSpec:
    """How tau is set.

    Parameters
    ----------
    mode : {"adaptive", "fixed"}
        ``adaptive``: max(floor, quantile of the trailing 24 h of RV), with the fixed tau until 30 minutes are
        covered. ``fixed``: one percentile of sigma_future over the labelled fit seconds.
    quantile : float
        Between 0 and 1, exclusive; resolved to a millionth.
    floor_bps : float
        Lowest tau in adaptive mode, in basis points; above 0.

    Raises
    ------
    ConfigError
        If a value is out of range.
    """

    mode: Literal["adaptive", "fixed"] = "adaptive"
    quantile: float = 0.95
    floor_bps: float = 4.0

    def __post_init__(self) -> None:
        if self.mode not in ("adaptive", "fixed"):
            raise ConfigError("tau mode", f"{self.mode!r} is unknown", "use adaptive or fixed")
        if not 0.0 < self.quantile < 1.0:
            raise ConfigError("tau quantile", f"{self.quantile} is not between 0 and 1", "use 0.95, say")
        if not (self.floor_bps > 0.0 and math.isfinite(self.floor_bps)):
            raise ConfigError("tau floor", f"{self.floor_bps} bps is not above 0", "use 4, say")

    @property
    def quantile_ppm(self) -> int:
        """Return the quantile in millionths, at least 1."""
        return max(1, round(self.quantile * PPM))


def bin_of_sum(sum_sq: int) -> int:
    """Return the bin of a sum of squared returns at scale ``2**120``, below ``2**128``.

    The bin is made of the bit length and the next 7 bits: 128 bins an octave of variance, so RV is resolved
    to 0.4 %. Sums below 256 have a bin of their own.
    """
    shift = max(0, sum_sq.bit_length() - MANTISSA_BITS)
    return (shift << SUB_BIN_BITS) + (sum_sq >> shift)


def bin_of_bps(volatility_bps: float) -> int:
    """Return the bin of a volatility in basis points, 0 or above; beyond 16e4 it is the last bin."""
    relative = volatility_bps * 1e-4
    mantissa, exponent = math.frexp(relative * relative)
    bits = exponent + SQUARE_SCALE_BITS if mantissa else 0
    if bits <= MANTISSA_BITS:
        return int(math.ldexp(mantissa, max(bits, 0)))
    return min(((bits - MANTISSA_BITS) << SUB_BIN_BITS) + int(mantissa * 2.0**MANTISSA_BITS), BINS - 1)


def bin_upper_bps(index: int) -> float:
    """Return the value that stands for a bin: the volatility of its largest sum, in basis points."""
    if index < 2 * SUB_BINS:
        return rv_bps(index)
    shift = (index >> SUB_BIN_BITS) - 1
    return rv_bps(((index - (shift << SUB_BIN_BITS) + 1) << shift) - 1)


def quantile_rank(count: int, ppm: int) -> int:
    """Return ``ceil(quantile * count)``, the rank of the quantile among ``count`` values, in integers."""
    return -(-count * ppm // PPM)


def z_score(index: int, count: int, total: int, total_sq: int) -> float:
    """Return the z-score of a bin among ``count`` bins with the given sum and sum of squares.

    A bin index is 128 * log2 of the variance, linear between octaves (at most 0.09 octave, 3 % of RV,
    off), so this is the z-score of log RV up to that. NaN below 60 bins or where all bins are equal.
    """
    mean, deviation = z_scale(count, total, total_sq)
    return (float(index) - mean) / deviation


def z_scale(count: int, total: int, total_sq: int) -> tuple[float, float]:
    """Return mean and deviation (ddof 1) of bins from their sums; NaN where no z-score is defined."""
    spread = count * total_sq - total * total
    if count < MIN_Z_S or spread == 0:
        return math.nan, math.nan
    return float(total) / float(count), math.sqrt(float(spread) / float(count * (count - 1)))


class TrailingHistogram:
    """Log-histogram of the volatility of the covered seconds of the trailing 24 hours.

    Attributes
    ----------
    count : int
        Seconds inside.
    """

    __slots__ = ("_below", "_bin", "_counts", "_entries", "_total", "_total_sq", "count")

    def __init__(self) -> None:
        self.count = 0
        self._counts = [0] * BINS
        self._entries: deque[tuple[int, int]] = deque()
        self._total = self._total_sq = 0
        self._bin = 0
        self._below = 0  # entries in bins under _bin

    def add(self, second: int, index: int) -> None:
        """Count the bin of a closed second; seconds come in ascending order."""
        if not self.count:
            self._bin = index  # the walk to the quantile starts near it
        self._entries.append((second, index))
        self._change(index, 1)

    def evict(self, last_second: int) -> None:
        """Forget the seconds that lie 24 hours or more before ``last_second``."""
        entries = self._entries
        while entries and entries[0][0] <= last_second - TRAILING_S:
            self._change(entries.popleft()[1], -1)

    def _change(self, index: int, step: int) -> None:
        self.count += step
        self._counts[index] += step
        self._total += step * index
        self._total_sq += step * index * index
        if index < self._bin:
            self._below += step

    def quantile_bin(self, ppm: int) -> int:
        """Return the smallest bin whose cumulative count reaches the quantile; ``count`` must be above 0."""
        rank, counts, index, below = quantile_rank(self.count, ppm), self._counts, self._bin, self._below
        while below >= rank:
            index -= 1
            below -= counts[index]
        while below + counts[index] < rank:
            below += counts[index]
            index += 1
        self._bin, self._below = index, below
        return index

    def z_scale(self) -> tuple[float, float]:
        """Return mean and deviation of the bins inside, which hold until a second is added or evicted."""
        return z_scale(self.count, self._total, self._total_sq)


def tau_at(spec: TauSpec, count: int, quantile_bin: int, fixed_tau_bps: float) -> tuple[float, bool]:
    """Return tau in basis points and whether it is the trailing quantile.

    Parameters
    ----------
    spec : TauSpec
        The settings.
    count, quantile_bin : int
        Covered seconds in the trailing histogram and the bin of its quantile.
    fixed_tau_bps : float
        The tau in fixed mode, and until 30 minutes are covered.
    """
    if spec.mode == "fixed" or count < MIN_COVERED_S:
        return fixed_tau_bps, False
    return max(spec.floor_bps, bin_upper_bps(quantile_bin)), True
