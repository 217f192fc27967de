"""What is known of every market's returns, measured: the statistics behind ``realism``, on plain arrays.

Returns are log returns on a grid, in basis points. What is undefined is NaN; whether there is enough of it to
be shown is asked elsewhere.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

F8 = npt.NDArray[np.float64]
I8 = npt.NDArray[np.int64]


def block_index(key: I8, width: int) -> I8:
    """Cut stretches without a hole into disjoint blocks, each from its beginning.

    Parameters
    ----------
    key : int64[n]
        Place of each row, ascending; a step of more than 1 is a hole.
    width : int
        Rows of a block; what is left before a hole is left out.

    Returns
    -------
    int64[m, width]
        Positions of the rows.
    """
    starts = np.flatnonzero(np.diff(key, prepend=key[:1] - 2) != 1)
    stops = np.append(starts, len(key))[1:]
    firsts = [np.arange(a, b - width + 1, width) for a, b in zip(starts, stops, strict=True)]
    first = np.concatenate([np.empty(0, np.int64), *firsts]).astype(np.int64)
    index: I8 = first[:, None] + np.arange(width)
    return index


def excess_kurtosis(values: F8) -> float:
    """Return the fourth standardised moment minus 3, float64[n]; 0 for a normal distribution."""
    if not len(values) or np.ptp(values) == 0.0:
        return np.nan
    squares = (values - np.mean(values)) ** 2
    return float(np.mean(squares**2) / np.mean(squares) ** 2) - 3.0


def autocorrelation(values: F8, key: I8, lag: int) -> tuple[float, int]:
    """Return Pearson's correlation of rows ``lag`` places apart, and how many such pairs there are.

    Parameters
    ----------
    values : float64[n]
        One a row.
    key : int64[n]
        Place of each row, ascending; rows that must not be paired lie further apart than any lag.
    lag : int
        Above 0.
    """
    later = np.searchsorted(key, key + lag)
    is_pair = later < len(key)
    is_pair[is_pair] = key[later[is_pair]] == key[is_pair] + lag
    first, second = values[is_pair], values[later[is_pair]]
    if len(first) < 2 or np.ptp(first) == 0.0 or np.ptp(second) == 0.0:
        return np.nan, len(first)
    return float(np.corrcoef(first, second)[0, 1]), len(first)


def realised_bps(returns_bps: F8) -> F8:
    """Return the square root of the sum of squares of each block, float64[m, n] to float64[m]."""
    rv: F8 = np.sqrt(np.sum(returns_bps**2, axis=1))
    return rv


def jump_frac(returns_bps: F8) -> float:
    """Return the share of the realised variance that bipower variation does not see, at least 0.

    ``1 - BV / RV`` of all blocks together, with ``BV = pi / 2 * n / (n - 1) * sum |r_i| |r_{i-1}|``
    (Barndorff-Nielsen and Shephard 2004). Returns of 0 lower BV, so a mid that moves only now and then looks
    like one that jumps: read it at a step at which it nearly always moves.

    Parameters
    ----------
    returns_bps : float64[m, n]
        n returns of each of m blocks.
    """
    n = returns_bps.shape[1]
    variance = float(np.sum(returns_bps**2))
    if n < 2 or variance == 0.0:
        return math.nan
    size = np.abs(returns_bps)
    bipower = math.pi / 2.0 * n / (n - 1) * float(np.sum(size[:, 1:] * size[:, :-1]))
    return max(0.0, 1.0 - float(bipower) / variance)


def coarser(returns_bps: F8, step: int) -> F8:
    """Return returns over ``step`` seconds of each block, float64[m, n] to float64[m, n / step]."""
    m, n = returns_bps.shape
    sums: F8 = returns_bps.reshape(m, n // step, step).sum(axis=2)
    return sums


def signature_ratio(returns_bps: F8, step: int) -> float:
    """Return realised volatility at 1 s over that at ``step`` s, all blocks together.

    Above 1 the mid bounces (noise that a coarser grid does not see), below 1 it drifts on.

    Parameters
    ----------
    returns_bps : float64[m, n]
        Returns of a second; ``step`` divides n.
    """
    coarse = float(np.sum(coarser(returns_bps, step) ** 2))
    return float(np.sqrt(np.sum(returns_bps**2) / coarse)) if coarse > 0.0 else np.nan


def coefficient_of_variation(values: F8) -> float:
    """Return deviation over mean, float64[n]: 1 for the gaps of a Poisson process, more if they cluster."""
    mean = float(np.mean(values)) if len(values) else 0.0
    return float(np.std(values)) / mean if mean > 0.0 else np.nan


def quantile(values: F8, q: float) -> float:
    """Return the q-quantile, linear between values; NaN of fewer than ``1 / (1 - q)`` values."""
    return float(np.quantile(values, q)) if len(values) * (1.0 - q) >= 1.0 - 1e-9 else np.nan


def mean(values: npt.NDArray[np.generic]) -> float:
    """Return the mean of numbers or bools; NaN of none."""
    return float(np.mean(values.astype(np.float64))) if len(values) else np.nan
