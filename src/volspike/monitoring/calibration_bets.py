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
from volspike.labels.targets import HORIZON_S
from volspike.monitoring.betting import nested_log_factors
from volspike.monitoring.paired_blocks import counted

LEAST_RATIO, MOST_RATIO = TOP_DECILE_BOUNDS
_STEPS = BLOCK_S // HORIZON_S - 1

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
    return _block_factors(second, (spike - MOST_RATIO * p) / MOST_RATIO, step_s)


def too_few_spikes(second: I8, spike: npt.NDArray[np.int8], p: F8, step_s: int) -> F8:
    """Return the log-factors of bets that spikes are under 0.8 times as frequent as said; see above."""
    return _block_factors(second, LEAST_RATIO * p - spike, step_s)


def _block_factors(second: I8, outcome: F8, step_s: int) -> F8:
    """Return the log-factors of blocks of outcomes (float64[n], at least -1), averaged minute by minute."""
    kept = counted(second)
    block, of = np.unique(second[kept] // BLOCK_S, return_inverse=True)
    minute = second[kept] % BLOCK_S // HORIZON_S - 1
    share = outcome[kept] * min(1.0, step_s / HORIZON_S)
    means = np.bincount(of * _STEPS + minute, share, len(block) * _STEPS).astype(np.float64, copy=False)
    return nested_log_factors(means.reshape(len(block), _STEPS), 1 if step_s >= HORIZON_S else 2)
