"""Paired differences of two models' losses, as outcomes to bet on, by half hours of wall time.

    block    0 s      60 s                                1,800 s
             | left out | rows of the block                  | left out | next block

The label of a block's last row reaches 60 s into the next, so rows there were predicted before all labels of
the block were known. Without them everything is known of a block when the next one begins.

Inside a block bets are placed minute by minute. A minute's outcome is the sum over its rows divided by the
rows that a whole minute can have, not by those it has: busy minutes have more, and how many is known only
afterwards. The labels of its last rows reach 60 s further, hence two lanes for rows a second: of the even and
of the odd minutes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from volspike.evaluation.enough import BLOCK_S
from volspike.evaluation.scores import log_losses
from volspike.labels.targets import HORIZON_S
from volspike.monitoring.betting import BETS, nested_log_factors

LEAST_STAKE_NATS = 0.25
_STEPS = BLOCK_S // HORIZON_S - 1

F8 = npt.NDArray[np.float64]
I8 = npt.NDArray[np.int64]
Labels = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class BlockFigures:
    """One figure a block: ``block`` int64[b] is second // 1800, ascending, ``value`` float64[b]."""

    block: I8
    value: F8


def counted(second: I8, left_out_s: int = HORIZON_S) -> npt.NDArray[np.bool_]:
    """Tell which rows (int64[n]) count: those after the first ``left_out_s`` of their block."""
    late: npt.NDArray[np.bool_] = second % BLOCK_S >= left_out_s
    return late


def minute_bets(second: I8, outcomes: F8, step_s: int) -> BlockFigures:
    """Return the log-factors of bets on rows, placed minute by minute and settled by the block.

    Parameters
    ----------
    second : int64[n]
        Epoch second of each row, ascending.
    outcomes : float64[n]
        One for each row, at least -1.
    step_s : int
        Seconds from one row to the next where none is missing.

    Returns
    -------
    BlockFigures
        Of each block with a row that counts, ``value`` float64[b, bets].
    """
    kept = counted(second)
    block, of = np.unique(second[kept] // BLOCK_S, return_inverse=True)
    if not len(block):
        return BlockFigures(block, np.zeros((0, len(BETS))))
    minute = second[kept] % BLOCK_S // HORIZON_S - 1
    share = outcomes[kept] * min(1.0, step_s / HORIZON_S)
    means = np.bincount(of * _STEPS + minute, share, len(block) * _STEPS).astype(np.float64, copy=False)
    lanes = 1 if step_s >= HORIZON_S else 2
    return BlockFigures(block, nested_log_factors(means.reshape(len(block), _STEPS), lanes))


def loss_outcomes(y: Labels, worse: F8, better: F8) -> F8:
    """Return by how much one log-loss exceeds the other, in units of what is at stake in the row, float64[n].

    At stake is the larger of the two differences that the row's label may bring, spike or none, and a quarter
    of a nat at least (a factor of 1.3 between two probabilities): about what two trainings of a model differ
    by, so that a bet on rows of less does not come to nothing. It is known before the label is, so nothing
    has to be clipped: an outcome lies in -1 to 1, and its mean has the sign that the difference's has. It is
    the same for both sides, so of two models that are wrong alike neither is favoured. And it is the row's
    own: no quiet day makes the stakes of the day behind it larger than they can bear, and a watch that begins
    later bets the same. A row at a probability of 1e-12 counts once, and does not outweigh a week.

    Parameters
    ----------
    y : bool[n]
        Labels.
    worse, better : float64[n]
        Probabilities; above 0 the first one's loss is the larger.
    """
    of_spike, of_none = (
        log_losses(label, worse) - log_losses(label, better)
        for label in (np.ones(len(y), np.bool_), np.zeros(len(y), np.bool_))
    )
    stake = np.maximum(np.maximum(np.abs(of_spike), np.abs(of_none)), LEAST_STAKE_NATS)
    outcomes: F8 = np.where(y, of_spike, of_none) / stake
    return outcomes
