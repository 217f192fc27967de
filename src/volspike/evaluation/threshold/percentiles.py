"""Percentiles of volatility and their uncertainty: calm and wild hours come whole, so blocks are drawn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from volspike.evaluation.bootstrap import LEVEL, Blocks, block_draws, few_blocks_factor, make_blocks
from volspike.evaluation.enough import BLOCK_S, MIN_BLOCKS, MIN_WINDOWS, count_windows
from volspike.labels.tau import PPM, quantile_rank

QUANTILES = (0.50, 0.75, 0.80, 0.85, 0.90, 0.95, 0.975, 0.99, 0.995)
_NODES = 2_048

F8 = npt.NDArray[np.float64]
I8 = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Percentile:
    """One percentile.

    Attributes
    ----------
    quantile : float
        Between 0 and 1.
    value_bps : float
        The smallest value that at least that share of the rows doesn't exceed, basis points.
    low_bps, high_bps : float or None
        Bounds of its 95 % percentile interval; None where there are too few blocks to draw from.
    """

    quantile: float
    value_bps: float
    low_bps: float | None
    high_bps: float | None


@dataclass(frozen=True, slots=True)
class Distribution:
    """Percentiles of the volatility of some rows, and what they rest on.

    Attributes
    ----------
    rows, windows, blocks : int
        Rows, minutes among them that don't overlap, half hours of wall time.
    block_s : int or None
        Width of the blocks that were drawn, seconds; None where there are too few.
    enough_data : bool
        Whether there are windows and blocks enough for a claim.
    percentiles : tuple of Percentile
        Ascending; empty without a row.
    """

    rows: int
    windows: int
    blocks: int
    block_s: int | None
    enough_data: bool
    percentiles: tuple[Percentile, ...]

    def at(self, quantile: float) -> Percentile | None:
        """Return the percentile at a quantile, or None where it is not among them."""
        return next((p for p in self.percentiles if p.quantile == quantile), None)


def distribution(
    volatility_bps: F8, second: I8, run: npt.NDArray[np.int32], quantiles: Sequence[float] = QUANTILES
) -> Distribution:
    """Return the percentiles of volatilities.

    Parameters
    ----------
    volatility_bps : float64[n]
        Basis points over a minute, none of them NaN.
    second : int64[n]
        Epoch seconds, ascending.
    run : int32[n]
        Covered stretch of each row.
    quantiles : sequence of float
        Between 0 and 1, exclusive.
    """
    blocks = make_blocks(second)
    windows, half_hours = count_windows(second, run), len(np.unique(second // BLOCK_S))
    return Distribution(
        rows=len(second),
        windows=windows,
        blocks=half_hours,
        block_s=None if blocks is None else blocks.width_s,
        enough_data=windows >= MIN_WINDOWS and half_hours >= MIN_BLOCKS,
        percentiles=_percentiles(volatility_bps, blocks, quantiles) if len(second) else (),
    )


def _percentiles(values: F8, blocks: Blocks | None, quantiles: Sequence[float]) -> tuple[Percentile, ...]:
    ppm = [round(quantile * PPM) for quantile in quantiles]
    ordered = np.sort(values)
    found = [float(ordered[quantile_rank(len(values), each) - 1]) for each in ppm]
    if blocks is None:
        return tuple(Percentile(*pair, None, None) for pair in zip(quantiles, found, strict=True))
    intervals = quantile_intervals(values, ppm, blocks)
    return tuple(
        Percentile(quantile, value, *interval)
        for quantile, value, interval in zip(quantiles, found, intervals, strict=True)
    )


def quantile_intervals(values: F8, ppm: Sequence[int], blocks: Blocks) -> list[tuple[float, float]]:
    """Return the 95 % interval of each quantile under the block bootstrap, widened for few blocks.

    Parameters
    ----------
    values : float64[n]
        At least one.
    ppm : sequence of int
        Quantiles in millionths, from 1 to 999,999.
    blocks : Blocks
        Of the same rows.

    Returns
    -------
    list of (float, float)
        Each draw's quantile is exact: the smallest value whose rank among the drawn rows suffices. Either
        side is that of the draws times ``few_blocks_factor``, in logs, so that it stays above 0.
    """
    order = np.argsort(values, kind="stable")
    ordered, block = values[order], blocks.of[order]
    weights = block_draws(blocks.count)
    step = -(-len(values) // _NODES)
    reached = _reached(block, weights, step)
    bounds = [(1.0 - LEVEL) / 2.0, (1.0 + LEVEL) / 2.0]
    factor, intervals = few_blocks_factor(blocks.count), []
    for each in ppm:
        drawn = ordered[_row_of_rank(each, reached, block, weights, step)]
        value = float(ordered[quantile_rank(len(values), each) - 1])
        low, high = np.quantile(drawn, bounds)
        intervals.append((_wider(value, float(low), factor), _wider(value, float(high), factor)))
    return intervals


def _wider(value: float, end: float, factor: float) -> float:
    """Return the end of an interval moved away from the value; where one of them is 0, it stays."""
    return value * (end / value) ** factor if value > 0.0 else end


def _reached(block: I8, weights: F8, step: int) -> F8:
    """Return how many drawn rows lie in each stretch of ``step`` sorted rows or before it."""
    stretch = np.arange(len(block)) // step
    stretches = int(stretch[-1]) + 1
    cell = block * stretches + stretch
    counts = np.bincount(cell, minlength=weights.shape[1] * stretches).reshape(-1, stretches)
    reached: F8 = np.cumsum(weights @ counts.astype(np.float64), axis=1)
    return reached


def _row_of_rank(ppm: int, reached: F8, block: I8, weights: F8, step: int) -> I8:
    """Return, for each draw, the sorted row that the quantile falls on, int64[draws]."""
    rank = -(-reached[:, -1].astype(np.int64) * ppm // PPM)
    stretch = np.count_nonzero(reached < rank[:, None], axis=1)
    draw = np.arange(len(rank))
    before = np.where(stretch > 0, reached[draw, stretch - 1], 0.0)
    rows = np.minimum(stretch[:, None] * step + np.arange(step), len(block) - 1)
    inside = before[:, None] + np.cumsum(weights[draw[:, None], block[rows]], axis=1)
    found: I8 = rows[draw, np.argmax(inside >= rank[:, None], axis=1)]
    return found
