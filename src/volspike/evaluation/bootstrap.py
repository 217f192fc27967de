"""How certain a difference is: the paired block bootstrap over wall time.

Rows a second apart share 59 of their 60 seconds, and calm or wild hours come as a whole. So not rows but
blocks of wall time are drawn, with replacement, and both sides are scored on the same draw.

With few blocks the quantiles of the draws lie too close together, and those of an average precision, whose
draws are skewed, too far to one side. So an interval reaches as far to either side as the draws do on the
longer one, times ``t / z * sqrt(B / (B - 1))`` for B blocks: the draws have the variance of a sample of B
over B, not over B - 1, and so few call for Student's quantile t in place of the normal z (Hesterberg 2015,
What teachers should know about the bootstrap, section 4).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from scipy.special import ndtri, stdtrit

from volspike.evaluation.ranking import ranked

BLOCK_WIDTHS_S = (86_400, 14_400, 1_800)
MIN_BLOCKS = 10
DRAWS = 2_000
SEED = 20_240_229
LEVEL = 0.95
_CHUNK_CELLS = 1_000_000

F8 = npt.NDArray[np.float64]
I8 = npt.NDArray[np.int64]
Labels = npt.NDArray[np.bool_]
Statistic = Callable[[F8], F8]


@dataclass(frozen=True, slots=True)
class Gain:
    """By how much a model beats the reference, or what share of the attainable it has, with its uncertainty.

    Attributes
    ----------
    value : float
        The figure on all rows; above 0 the model is better.
    low, high : float
        Bounds of the 95 % interval; see ``interval``.
    blocks, block_s : int
        How many blocks were drawn from, and their width in seconds.
    """

    value: float
    low: float
    high: float
    blocks: int
    block_s: int


@dataclass(frozen=True, slots=True, eq=False)
class Blocks:
    """Rows in blocks: ``of`` int64[n] is each row's block, from 0 to ``count``."""

    of: I8
    count: int
    width_s: int

    def sums(self, values: F8) -> F8:
        """Return the sum of ``values`` (float64[n]) over each block, float64[count]."""
        return np.bincount(self.of, values, self.count).astype(np.float64, copy=False)


def make_blocks(second: I8) -> Blocks | None:
    """Cut rows into blocks of wall time: the widest of 1 day, 4 h and 30 min that leaves 10 of them.

    Rows more than one block width apart belong to different sessions, and a session shorter than the width is
    one block, wherever the clock stands.

    Parameters
    ----------
    second : int64[n]
        Epoch seconds, ascending.

    Returns
    -------
    Blocks or None
        None where even half hours leave fewer than 10.
    """
    for width_s in BLOCK_WIDTHS_S:
        of = _block_of(second, width_s)
        count = int(of[-1]) + 1 if len(of) else 0
        if count >= MIN_BLOCKS:
            return Blocks(of, count, width_s)
    return None


def _block_of(second: I8, width_s: int) -> I8:
    if not len(second):
        return np.zeros(0, np.int64)
    session = np.concatenate(([0], np.cumsum(np.diff(second) > width_s)))
    first, last = (np.searchsorted(session, session, side=side) for side in ("left", "right"))
    short = second[last - 1] - second[first] < width_s
    slot = np.where(short, 0, second // width_s)
    changed = (np.diff(session) != 0) | (np.diff(slot) != 0)
    return np.concatenate(([0], np.cumsum(changed))).astype(np.int64)


def mean_gain(model_loss: F8, reference_loss: F8, blocks: Blocks) -> Gain:
    """Return by how much a model's mean loss lies below the reference's.

    Parameters
    ----------
    model_loss, reference_loss : float64[n]
        Loss of each row, such as log-loss or QLIKE.
    blocks : Blocks
        Of the same rows.
    """
    total = blocks.sums(reference_loss - model_loss)
    rows = blocks.sums(np.ones(len(model_loss)))
    return _gain(lambda weights: (weights @ total) / (weights @ rows), blocks)


def average_precision_gain(y: Labels, model: F8, reference: F8, blocks: Blocks) -> Gain:
    """Return by how much a model's average precision lies above the reference's.

    Parameters
    ----------
    y : bool[n]
        Labels; both classes are there.
    model, reference : float64[n]
        Scores that rank the rows.
    blocks : Blocks
        Of the same rows.
    """
    ours, theirs = _WeightedPrecision(y, model, blocks), _WeightedPrecision(y, reference, blocks)
    return _gain(lambda weights: ours(weights) - theirs(weights), blocks)


def mean_share(model_loss: F8, best_loss: F8, base_loss: F8, blocks: Blocks) -> Gain:
    """Return what share of the way from a base to the best attainable mean loss a model has gone.

    Parameters
    ----------
    model_loss, best_loss, base_loss : float64[n]
        Loss of each row.
    blocks : Blocks
        Of the same rows.
    """
    gained, attainable = blocks.sums(base_loss - model_loss), blocks.sums(base_loss - best_loss)
    return _gain(lambda weights: (weights @ gained) / (weights @ attainable), blocks)


def average_precision_share(y: Labels, model: F8, best: F8, blocks: Blocks) -> Gain:
    """Return what share of the way from the base rate to the best attainable precision a model has gone.

    Parameters
    ----------
    y : bool[n]
        Labels; both classes are there.
    model, best : float64[n]
        Scores that rank the rows; no ranking could be better than ``best``.
    blocks : Blocks
        Of the same rows.
    """
    ours, theirs = _WeightedPrecision(y, model, blocks), _WeightedPrecision(y, best, blocks)
    spikes, rows = blocks.sums(y.astype(np.float64)), blocks.sums(np.ones(len(y)))

    def share(weights: F8) -> F8:
        base = (weights @ spikes) / (weights @ rows)
        return (ours(weights) - base) / (theirs(weights) - base)

    return _gain(share, blocks)


class _WeightedPrecision:
    """Average precision under block weights; the rows are sorted and counted once.

    Only scores that a positive has add to it, and there only how many rows of each block rank so high counts.
    """

    def __init__(self, y: Labels, score: F8, blocks: Blocks) -> None:
        order, last_of_tie = ranked(score)
        true = np.cumsum(y[order])[last_of_tie]
        last = last_of_tie[np.diff(true, prepend=0) > 0]  # of each score that a positive has
        level = np.searchsorted(last, np.arange(int(last[-1]) + 1))
        high = order[: len(level)]
        self._predicted = _counts(level, blocks.of[high], (len(last), blocks.count))
        self._true = _counts(level[y[high]], blocks.of[high][y[high]], (len(last), blocks.count))

    def __call__(self, weights: F8) -> F8:
        """Return the value for each draw (float64[draws, blocks]); NaN for a draw without a positive."""
        step = max(1, _CHUNK_CELLS // len(self._true))
        return np.concatenate([self._some(weights[i : i + step]) for i in range(0, len(weights), step)])

    def _some(self, weights: F8) -> F8:
        predicted, true = self._predicted @ weights.T, self._true @ weights.T
        gained = np.diff(true, axis=0, prepend=0)
        with np.errstate(invalid="ignore", divide="ignore"):
            precision = np.where(predicted > 0, true / predicted, 0.0)
            value: F8 = np.sum(gained * precision, axis=0) / true[-1]
        return value


def _counts(level: I8, block: I8, shape: tuple[int, int]) -> F8:
    """Return how many rows of each block lie at each level or above, float64[levels, blocks]."""
    cell = np.bincount(level * shape[1] + block, minlength=shape[0] * shape[1])
    return np.cumsum(cell.reshape(shape), axis=0).astype(np.float64)


def _gain(statistic: Statistic, blocks: Blocks) -> Gain:
    drawn = statistic(block_draws(blocks.count))
    drawn = drawn[np.isfinite(drawn)]
    value = float(statistic(np.ones((1, blocks.count)))[0])
    return Gain(value, *interval(value, drawn, blocks.count), blocks.count, blocks.width_s)


def interval(value: float, drawn: F8, blocks: int) -> tuple[float, float]:
    """Return the 95 % interval of a figure.

    Parameters
    ----------
    value : float
        The figure on all rows.
    drawn : float64[draws]
        The figure of each draw.
    blocks : int
        How many blocks were drawn from, 2 or more.
    """
    low, high = np.quantile(drawn, [(1.0 - LEVEL) / 2.0, (1.0 + LEVEL) / 2.0])
    reach = float(max(high - value, value - low, 0.0)) * few_blocks_factor(blocks)
    return value - reach, value + reach


def few_blocks_factor(blocks: int) -> float:
    """Return how much wider than the quantiles of the draws an interval of so many blocks has to be."""
    upper = (1.0 + LEVEL) / 2.0
    return float(stdtrit(blocks - 1, upper) / ndtri(upper)) * math.sqrt(blocks / (blocks - 1))


@lru_cache(maxsize=4)
def block_draws(count: int) -> F8:
    """Return how often each block was drawn, float64[draws, count]; the same for every call."""
    drawn = np.random.default_rng(SEED).integers(0, count, (DRAWS, count))
    cell = np.arange(DRAWS)[:, None] * count + drawn
    return np.bincount(cell.ravel(), minlength=DRAWS * count).reshape(DRAWS, count).astype(np.float64)
