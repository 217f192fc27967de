"""Reliability: does a probability of a tenth come true one time in ten?

Equal-mass bins show it, a logistic recalibration sums it up: ``logit q = slope * logit p + intercept`` (Cox
1958). A slope of 1 and an intercept of 0 need no correction; a slope below 1 means probabilities too extreme.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from volspike.evaluation.deciles import equal_mass
from volspike.evaluation.enough import count_evidence, count_windows
from volspike.evaluation.scores import EPSILON, graded_seconds
from volspike.labels.dataset import Dataset
from volspike.models.calibrate import fit_line

SLOPE_BOUNDS = (0.8, 1.25)
TOP_DECILE_BOUNDS = (0.8, 1.25)
NORMAL_95 = 1.959963984540054

F8 = npt.NDArray[np.float64]
Labels = npt.NDArray[np.bool_]
Verdict = Literal["pass", "fail", "undefined", "not enough data"]


@dataclass(frozen=True, slots=True)
class ReliabilityBin:
    """Rows of about equal probability: mean predicted, share observed, labelled rows, disjoint windows."""

    p_mean: float
    observed_frac: float
    rows: int
    windows: int


@dataclass(frozen=True, slots=True)
class Recalibration:
    """The line that would calibrate the log-odds, and the 95 % interval of its slope, counting windows."""

    slope: float
    intercept: float
    slope_low: float
    slope_high: float


@dataclass(frozen=True, slots=True)
class Reliability:
    """How far probabilities can be taken at their word.

    Attributes
    ----------
    bins : tuple of ReliabilityBin
        Ten of equal mass from the lowest probability up; fewer where many rows share one.
    line : Recalibration or None
        None where no finite line exists: one class, one probability, or labels that the score separates.
    top_decile_ratio : float or None
        Observed over predicted share of spikes in the top bin.
    slope_verdict, top_decile_verdict : {"pass", "fail", "undefined", "not enough data"}
        Whether slope and ratio lie in 0.8 to 1.25; without enough evidence on these rows neither is judged.
    """

    bins: tuple[ReliabilityBin, ...]
    line: Recalibration | None
    top_decile_ratio: float | None
    slope_verdict: Verdict
    top_decile_verdict: Verdict


def judge_reliability(part: Dataset, p_spike: F8) -> Reliability:
    """Judge the probabilities (float64[n]) of a part's n rows; unlabelled ones are left out."""
    rows = graded_seconds(part)
    enough = count_evidence(rows.second, rows.run, rows.spike).enough_data
    labelled = rows.spike >= 0
    y, p = rows.spike[labelled] == 1, p_spike[labelled]
    bins = tuple(
        ReliabilityBin(
            p_mean=float(np.mean(p[group])),
            observed_frac=float(np.mean(y[group])),
            rows=len(group),
            windows=count_windows(rows.second[labelled][group], rows.run[labelled][group]),
        )
        for group in equal_mass(p)
    )
    line = recalibrate(y, p, part.rows_a_window)
    ratio = bins[-1].observed_frac / bins[-1].p_mean if bins and bins[-1].p_mean > 0.0 else None
    return Reliability(
        bins=bins,
        line=line,
        top_decile_ratio=ratio,
        slope_verdict=_verdict(None if line is None else line.slope, SLOPE_BOUNDS, enough),
        top_decile_verdict=_verdict(ratio, TOP_DECILE_BOUNDS, enough),
    )


def recalibrate(y: Labels, p: F8, rows_a_window: float) -> Recalibration | None:
    """Fit the recalibration by maximum likelihood; None where it does not exist.

    Parameters
    ----------
    y : bool[n]
        Labels.
    p : float64[n]
        Probabilities; kept an epsilon off 0 and 1.
    rows_a_window : float
        How many rows count as one window: see ``Dataset.rows_a_window``. It widens the interval alone.
    """
    p = np.clip(p, EPSILON, 1.0 - EPSILON)
    margin = np.log(p) - np.log1p(-p)
    if not _overlap(y, margin):
        return None
    centre, scale, rate = float(np.mean(margin)), float(np.std(margin)), float(np.mean(y))
    z = (margin - centre) / scale
    start = np.array([0.0, math.log(rate / (1.0 - rate))])  # from the base rate Newton finds its way
    line, curvature = fit_line(z, y.astype(np.int8), rows_a_window, start, np.zeros((2, 2)))
    slope, intercept = float(line[0]) / scale, float(line[1]) - float(line[0]) * centre / scale
    reach = NORMAL_95 * math.sqrt(float(np.linalg.inv(curvature)[0, 0])) / scale
    return Recalibration(slope, intercept, slope - reach, slope + reach)


def _overlap(y: Labels, margin: F8) -> bool:
    """Tell whether neither class lies wholly above the other: else the likelihood has no maximum."""
    if not np.any(y) or np.all(y):
        return False
    spike, calm = margin[y], margin[~y]
    return bool(np.max(calm) > np.min(spike) and np.max(spike) > np.min(calm))


def _verdict(value: float | None, bounds: tuple[float, float], enough: bool) -> Verdict:
    if not enough:
        return "not enough data"
    if value is None:
        return "undefined"
    return "pass" if bounds[0] <= value <= bounds[1] else "fail"
