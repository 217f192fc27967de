"""Paired differences by half hours of wall time, as outcomes to bet on.

    block    0 s      60 s                                1,800 s
             | left out | rows of the block                  | left out | next block

The label of a block's last row reaches 60 s into the next, so rows there were predicted before all labels of
the block were known. Without them everything is known of a block when the next one begins.

A block's figure is the sum over its rows divided by the rows that a whole block can have, not by those it
has: busy half hours have more rows, and how many is known only afterwards.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from volspike.evaluation.enough import BLOCK_S
from volspike.evaluation.scores import log_losses
from volspike.labels.targets import HORIZON_S

LOSS_CLIP_NATS = 4.0
SETTLED_BLOCKS = 10

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


def block_means(second: I8, values: F8, step_s: int) -> BlockFigures:
    """Return the mean of each block's values, rows that it lacks counting as 0.

    Parameters
    ----------
    second : int64[n]
        Epoch second of each row, ascending.
    values : float64[n]
        One value a row.
    step_s : int
        Seconds from one row to the next where none is missing.
    """
    kept = counted(second)
    block, of = np.unique(second[kept] // BLOCK_S, return_inverse=True)
    whole = (BLOCK_S - HORIZON_S) / step_s
    return BlockFigures(block, np.bincount(of, values[kept], len(block)) / whole)


def loss_differences(y: Labels, worse: F8, better: F8) -> F8:
    """Return by how much one log-loss exceeds the other in each row, clipped to 4 nats, float64[n].

    4 nats are a factor of 55 between the two probabilities of what happened. Sound models do not differ by as
    much, so nothing of a real advantage is lost, while a single row at a probability of 1e-12 would outweigh
    a week. A lower clip would pay those who bet on calm: spikes are where the differences are large.

    Parameters
    ----------
    y : bool[n]
        Labels.
    worse, better : float64[n]
        Probabilities; above 0 the first one's loss is the larger.
    """
    difference = log_losses(y, worse) - log_losses(y, better)
    return np.clip(difference, -LOSS_CLIP_NATS, LOSS_CLIP_NATS)


def scaled(values: F8, most: float) -> F8:
    """Return outcomes in [-1, 1]: each value over the most extreme one before it.

    The scale of a block is known when the block begins, as betting asks for, and only a new record is
    clipped. While fewer than 10 blocks have been seen it is ``most``.

    Parameters
    ----------
    values : float64[b]
        Values of the blocks in order.
    most : float
        What no value exceeds.
    """
    record = np.maximum.accumulate(np.abs(values))
    scale = np.full(len(values), most)
    scale[SETTLED_BLOCKS:] = record[SETTLED_BLOCKS - 1 : -1]
    scale[scale <= 0.0] = most
    outcomes: F8 = np.clip(values, -scale, scale) / scale
    return outcomes
