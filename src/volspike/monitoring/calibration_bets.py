"""Bets against a calibration: do spikes come more, or less, often than the probabilities say?

Of a model whose odds are right up to a factor, ``y - 1.25 p`` and ``0.8 p - y`` have no mean above 0, at any
row and whatever came before. Bets on them are placed each minute and settled by the block. A minute's labels
are known two minutes after it began, hence the two lanes: of the even and of the odd minutes.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from volspike.evaluation.enough import BLOCK_S
from volspike.evaluation.reliability import TOP_DECILE_BOUNDS
from volspike.monitoring.paired_blocks import minute_bets

LEAST_RATIO, MOST_RATIO = TOP_DECILE_BOUNDS
_TOP_QUANTILE = 0.9
_LEAST_BLOCKS, _DAY_BLOCKS = 4, 48

F8 = npt.NDArray[np.float64]
I8 = npt.NDArray[np.int64]


def too_many_spikes(second: I8, spike: npt.NDArray[np.int8], p: F8, step_s: int) -> F8:
    """Return the log-factors of bets that spikes are over 1.25 times as frequent as said.

    Parameters
    ----------
    second : int64[n]
        Epoch second of each labelled row, ascending.
    spike : int8[n]
        1 spike, 0 none.
    p : float64[n]
        Probabilities.
    step_s : int
        Seconds from one row to the next where none is missing.

    Returns
    -------
    float64[b, bets]
        One row for each block with a row that counts.
    """
    return minute_bets(second, (spike - MOST_RATIO * p) / MOST_RATIO, step_s).value


def too_few_spikes(second: I8, spike: npt.NDArray[np.int8], p: F8, step_s: int) -> F8:
    """Return the log-factors of bets that spikes are under 0.8 times as frequent as said; see above."""
    return minute_bets(second, LEAST_RATIO * p - spike, step_s).value


def top_tenth(second: I8, p: F8) -> npt.NDArray[np.bool_]:
    """Tell which rows lie in the top tenth of what was said in the day of blocks before theirs.

    What is in it is known before a block begins, so bets on these rows alone are as fair as on all. Behind a
    day with fewer than four blocks nothing is.

    Parameters
    ----------
    second : int64[n]
        Epoch second of each row, ascending.
    p : float64[n]
        Probabilities.

    Returns
    -------
    bool[n]
        Whether the row is in it.
    """
    top = np.zeros(len(p), np.bool_)
    block, first = np.unique(second // BLOCK_S, return_index=True)
    ends = np.append(first, len(p))
    for number, begin in enumerate(np.searchsorted(block, block - _DAY_BLOCKS).tolist()):
        if number - begin >= _LEAST_BLOCKS:
            rows = slice(first[number], ends[number + 1])
            top[rows] = p[rows] >= np.quantile(p[ends[begin] : first[number]], _TOP_QUANTILE)
    return top
