"""Drift of features, by a score that is calibrated on blocks of the reference.

A test of whether two samples are of one distribution takes rows for independent and so finds drift in any
market that stands still: two stretches of one autocorrelated series always differ. How much they differ when
nothing has changed can be seen in the reference itself:

    |-- block --|-- block --| ... |-- block --|        |-- current --|      all of one length

Every block, the current one among them, is scored alike: how far it lies from all the others
(``distribution_distance``), over the median of the blocks, the largest of all columns. The current one's rank
among m + 1 is as likely to be any as any other while nothing has changed, so an alarm at the k largest comes
at a rate of k / (m + 1) (conformal prediction: Vovk, Gammerman and Shafer 2005).

That takes blocks that are much longer than a column remembers. Where a column's correlation time is over half
of a block it has no part in the decision, and the verdict says how long a window it would need.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from volspike.monitoring.correlation_time import correlation_rows
from volspike.monitoring.distribution_distance import distances

ALPHA = 0.05
MIN_REFERENCE_BLOCKS = 9
MIN_FILL_FRAC = 0.5
MIN_VALUES = 30
# Parts of a block's time; in one that is covered there is a row at least.
MOST_PARTS, ROWS_A_PART = 100, 10
# Of the blocks that a column must have a score in to have a part in the decision.
MIN_SCORED_FRAC = 0.9
TOO_SLOW_FRAC, SLOW_FRAC = 0.5, 0.1

F8 = npt.NDArray[np.float64]
I8 = npt.NDArray[np.int64]
Status = Literal["judged", "too slow", "not enough data"]


@dataclass(frozen=True, slots=True)
class ColumnDrift:
    """One column.

    Attributes
    ----------
    name : str
        Of the column.
    status : {"judged", "too slow", "not enough data"}
        Whether it has a part in the decision.
    score : float or None
        How far the current window lies from the reference, over the median of all blocks.
    p_value : float or None
        Share of the blocks that lie at least as far from the others in this column alone.
    correlation_s : float or None
        Its integrated autocorrelation time in the reference, seconds.
    drifted : bool
        Whether the alarm is raised and its score lies above what no reference block's reaches at the rate.
    words : str
        What is to be said of it.
    """

    name: str
    status: Status
    score: float | None
    p_value: float | None
    correlation_s: float | None
    drifted: bool
    words: str


@dataclass(frozen=True, slots=True)
class FeatureVerdict:
    """All columns together.

    Attributes
    ----------
    columns : tuple of ColumnDrift
        In the order given.
    blocks, block_s : int, float
        Blocks of the reference with a score of every column that is judged, and their length in seconds.
    score, threshold : float or None
        The largest score of the current window, and what it must exceed; None without enough data.
    p_value : float or None
        Of the window.
    false_alarm_rate : float or None
        How often one look raises an alarm when nothing has changed.
    alarm : bool
        Whether the window has drifted.
    words : str
        The verdict in a line.
    """

    columns: tuple[ColumnDrift, ...]
    blocks: int
    block_s: float
    score: float | None
    threshold: float | None
    p_value: float | None
    false_alarm_rate: float | None
    alarm: bool
    words: str

    def as_dict(self) -> dict[str, Any]:
        """Return the verdict as a JSON-able dict."""
        return asdict(self)


@dataclass(frozen=True, slots=True, eq=False)
class _Column:
    """A column's scores, float64[blocks] with the current window last; None where it has no part."""

    name: str
    scores: F8 | None
    correlation_s: float | None
    status: Status
    words: str


def watch_features(
    reference_second: I8,
    reference: F8,
    current_second: I8,
    current: F8,
    names: Sequence[str],
    alpha: float = ALPHA,
) -> FeatureVerdict:
    """Judge whether the columns of the current window have drifted from the reference.

    Parameters
    ----------
    reference_second, current_second : int64[n], int64[m]
        Epoch second of each row, ascending; the reference lies before the current window.
    reference, current : float64[n, p], float64[m, p]
        Features, or predictions, volatilities, labels; NaN is missing.
    names : sequence of str
        Of the p columns.
    alpha : float
        The rate of false alarms asked for; with fewer than 1 / alpha blocks it is 1 / (blocks + 1).
    """
    step_s = float(np.median(np.diff(current_second))) if len(current_second) > 1 else 1.0
    block_s = float(current_second[-1] - current_second[0]) + step_s if len(current_second) else 0.0
    covered = _covered_parts(current_second, block_s)
    block = _blocks(reference_second, covered, len(current_second), block_s)
    covered_s = block_s * float(np.mean(covered)) if len(covered) else 0.0
    blocks = int(block[-1]) + 1 if len(block) else 0
    kept = block >= 0
    values = np.concatenate((reference[kept], current))
    of = np.concatenate((block[kept], np.full(len(current), blocks, np.int64)))
    columns = [
        _score(name, values[:, i], of, blocks, covered_s, step_s) for i, name in enumerate(names)
    ]  # the current window is the last block
    return _decide(columns, blocks, block_s, alpha)


def _covered_parts(second: I8, block_s: float) -> npt.NDArray[np.bool_]:
    """Return in which of equal parts of the current window's time there are rows, bool[parts]."""
    parts = min(MOST_PARTS, len(second) // ROWS_A_PART)
    if not parts:
        return np.zeros(0, np.bool_)
    part = ((second - second[0]) / block_s * parts).astype(np.int64)
    return np.bincount(part, minlength=parts)[:parts] > 0


def _blocks(second: I8, covered: npt.NDArray[np.bool_], rows: int, block_s: float) -> I8:
    """Return the block of each row of the reference, from 0 up, int64[n]; -1 for those in none.

    They are cut from its end backwards. Of each only those parts of its time are taken in which the current
    window has rows: else one with a gap in it would lie farther from the others than they do. Left out is
    one that then has under half of its rows, or over twice as many.
    """
    if not len(second) or rows < MIN_VALUES:
        return np.full(len(second), -1, np.int64)
    age = (second[-1] - second) / block_s
    back = age.astype(np.int64)
    whole = back < (second[-1] - second[0] + 1) // block_s
    part = np.minimum(((1.0 - (age - back)) * len(covered)).astype(np.int64), len(covered) - 1)
    compared = whole & covered[part]
    fill = np.bincount(back, compared) / rows
    full = ((fill >= MIN_FILL_FRAC) & (fill <= 1.0 / MIN_FILL_FRAC))[back] & compared
    block = np.full(len(second), -1, np.int64)
    numbers, at = np.unique(-back[full], return_inverse=True)
    block[full] = at if len(numbers) else 0
    return block


def _score(name: str, values: F8, of: I8, blocks: int, covered_s: float, step_s: float) -> _Column:
    known = np.isfinite(values)
    value, block = values[known], of[known]
    reason = _unusable(value, block, blocks)
    if reason:
        return _Column(name, None, None, "not enough data", f"not enough data: {reason}")
    remembers = correlation_rows(value[block < blocks])
    correlation_s = None if remembers is None else remembers * step_s
    if correlation_s is not None and correlation_s > TOO_SLOW_FRAC * covered_s:
        least, good = (_hours(correlation_s / frac) for frac in (TOO_SLOW_FRAC, SLOW_FRAC))
        need = f"has a part from a window of {least} on, and small changes show from {good} on"
        return _Column(name, None, correlation_s, "too slow", f"too slow for {_hours(covered_s)}: {need}")
    scores = _few_as_missing(distances(value, block, blocks + 1), block, blocks)
    median = float(np.nanmedian(scores)) if np.any(np.isfinite(scores)) else math.nan
    if not median > 0.0:
        return _Column(
            name, None, correlation_s, "not enough data", "not enough data: hardly any value differs"
        )
    slow = correlation_s is not None and correlation_s > SLOW_FRAC * covered_s
    words = f"slow: only a large change shows within {_hours(covered_s)}" if slow else ""
    return _Column(name, scores / median, correlation_s, "judged", words)


def _unusable(value: F8, block: I8, blocks: int) -> str:
    """Return why a column's known values can't be judged, or an empty string."""
    current, reference = value[block == blocks], value[block < blocks]
    if len(current) < MIN_VALUES:
        return f"{len(current)} values in the current window"
    scored = np.count_nonzero(np.bincount(block, minlength=blocks + 1)[:blocks] >= MIN_VALUES)
    if scored < max(MIN_REFERENCE_BLOCKS, MIN_SCORED_FRAC * blocks):
        return f"{scored} of {blocks} blocks of the reference have {MIN_VALUES} values"
    if np.ptp(reference) == 0.0:
        return "constant in the reference"
    return "constant in the current window" if np.ptp(current) == 0.0 else ""


def _few_as_missing(scores: F8, block: I8, blocks: int) -> F8:
    counts = np.bincount(block, minlength=blocks + 1)
    return np.where(counts >= MIN_VALUES, scores, np.nan)


def _decide(columns: Sequence[_Column], blocks: int, block_s: float, alpha: float) -> FeatureVerdict:
    judged = [column.scores for column in columns if column.scores is not None]
    scored = np.all([np.isfinite(scores) for scores in judged] or np.ones((1, blocks + 1)), axis=0)
    blocks = int(np.count_nonzero(scored[:-1]))
    if blocks < MIN_REFERENCE_BLOCKS or not judged:
        few = f"{blocks} blocks of {_hours(block_s)} in the reference, {MIN_REFERENCE_BLOCKS} are needed"
        words = f"not enough data ({few if blocks < MIN_REFERENCE_BLOCKS else 'no column can be judged'})"
        found = tuple(_undecided(column) for column in columns)
        return FeatureVerdict(found, blocks, block_s, None, None, None, None, False, words)
    largest = np.max(np.stack(judged)[:, scored], axis=0)
    alarms = max(1, math.floor(alpha * (blocks + 1) + 1e-9))
    threshold = float(np.sort(largest[:-1])[-alarms])
    score = float(largest[-1])
    alarm = score > threshold
    found = tuple(_decided(column, threshold, alarm) for column in columns)
    rate, p_value = alarms / (blocks + 1), _rank(largest)
    words = _words(found, alarm, score, threshold, rate)
    return FeatureVerdict(found, blocks, block_s, score, threshold, p_value, rate, alarm, words)


def _undecided(column: _Column) -> ColumnDrift:
    words = column.words if column.status != "judged" else "not enough data: too few blocks in the reference"
    status = "not enough data" if column.status == "judged" else column.status
    return ColumnDrift(column.name, status, None, None, column.correlation_s, False, words)


def _decided(column: _Column, threshold: float, alarm: bool) -> ColumnDrift:
    if column.scores is None:
        return _undecided(column)
    score = float(column.scores[-1])
    drifted = alarm and score > threshold
    return ColumnDrift(
        column.name, column.status, score, _rank(column.scores), column.correlation_s, drifted, column.words
    )


def _rank(scores: F8) -> float:
    """Return the share of the blocks, the last one among them, that score at least as high as the last."""
    known = scores[np.isfinite(scores)]
    return float(np.mean(known >= scores[-1]))


def _words(columns: Sequence[ColumnDrift], alarm: bool, score: float, threshold: float, rate: float) -> str:
    judged = [column for column in columns if column.status == "judged"]
    left_out = len(columns) - len(judged)
    aside = f", {left_out} can't be judged" if left_out else ""
    at = f"score {score:.2f}, threshold {threshold:.2f}, one false alarm in {1.0 / rate:.0f} looks"
    if not alarm:
        return f"no drift in {len(judged)} columns{aside} ({at})"
    drifted = sorted((column for column in judged if column.drifted), key=lambda c: -(c.score or 0.0))
    return f"drift in {', '.join(column.name for column in drifted)}{aside} ({at})"


def _hours(seconds: float) -> str:
    return f"{seconds / 3_600.0:.3g} h"
