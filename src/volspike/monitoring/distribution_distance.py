"""How far each of several blocks of values lies from all the others together, on one scale for any column."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

LEVELS = 200

F8 = npt.NDArray[np.float64]
I8 = npt.NDArray[np.int64]


def distances(values: F8, block: I8, blocks: int) -> F8:
    """Return the distance of each block's distribution from that of the rest, float64[blocks].

    The root mean square, over 199 levels of the values of all blocks, of ``(F_b - F_rest) / (u (1 - u))``, u
    being the share of all values up to a level: about the difference in the log-odds of lying below it. It
    depends on ranks alone, so neither on the unit nor on one wild value. The statistic of Anderson and
    Darling (1952) divides by the root of u (1 - u); here the tails weigh more, where a change of scale shows.

    Parameters
    ----------
    values : float64[n]
        Values without NaN.
    block : int64[n]
        Which block each belongs to, 0 to ``blocks`` - 1.
    blocks : int
        How many there are.

    Returns
    -------
    float64[blocks]
        NaN for a block without a value; all NaN where hardly a value differs from the others.
    """
    levels = np.unique(np.quantile(values, np.arange(1, LEVELS) / LEVELS))
    cell = block * (len(levels) + 1) + np.searchsorted(levels, values)
    counts = np.bincount(cell, minlength=blocks * (len(levels) + 1)).reshape(blocks, -1)
    below, rows = np.cumsum(counts, axis=1).astype(np.float64), np.sum(counts, axis=1, keepdims=True)
    u = np.sum(below, axis=0) / len(values)
    inner = (u > 0.0) & (u < 1.0)
    if not np.any(inner):
        return np.full(blocks, np.nan)
    below, u = below[:, inner], u[inner]
    with np.errstate(invalid="ignore", divide="ignore"):
        apart = below / rows - (np.sum(below, axis=0) - below) / (len(values) - rows)
    distance: F8 = np.sqrt(np.mean((apart / (u * (1.0 - u))) ** 2, axis=1))
    return distance
