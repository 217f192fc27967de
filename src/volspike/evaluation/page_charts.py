"""The charts of the page: precision and recall, reliability, alert budget, volatility."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import numpy.typing as npt

from volspike.evaluation.charts import Axis, Chart, Point, Series, axis_over
from volspike.evaluation.deciles import equal_mass
from volspike.evaluation.judgement import Judgement, rows_of
from volspike.evaluation.ranking import precision_recall
from volspike.labels.dataset import Dataset
from volspike.models.calibration import ScoredRows

CURVE_POINTS = 250
SIGMA_GROUPS = 20
COLOURS = 6
LOW, HIGH = 0.05, 0.95

F8 = npt.NDArray[np.float64]
Sides = Mapping[str, tuple[str, Judgement]]


def style_of(position: int) -> str:
    """Return the style of the n-th model's lines."""
    return f"s{position % COLOURS}"


def precision_recall_chart(test: Dataset, index: npt.NDArray[np.int64], sides: Sides) -> Chart:
    """Return precision over recall of each side (style, judgement) by name, on the labelled rows of test."""
    known = test.spike >= 0
    y = test.spike[known] == 1
    series = [
        Series(name, style, _curve(y, judgement.scored.p_spike[index][known]))
        for name, (style, judgement) in sides.items()
    ]
    drawn = tuple(line for line in series if line.points)
    base = float(np.mean(y)) if len(y) else 0.0
    guide = (Series("base rate", "guide", (Point(0.0, base), Point(1.0, base))),) if drawn else ()
    return Chart(
        "Precision and recall",
        "Share of true spikes among the rows ranked at least so high, over the share of all spikes found.",
        Axis("recall", 0.0, 1.0, marks=(0.0, 0.25, 0.5, 0.75, 1.0)),
        Axis("precision", 0.0, 1.0, marks=(0.0, 0.25, 0.5, 0.75, 1.0)),
        guide + drawn,
        "no curve: the labelled rows of test are of one class",
    )


def _curve(y: npt.NDArray[np.bool_], p: F8) -> tuple[Point, ...]:
    curve = precision_recall(y, p)
    if curve is None:
        return ()
    precision, recall = curve
    kept = np.unique(np.searchsorted(recall, np.linspace(0.0, 1.0, CURVE_POINTS)))
    kept = kept[kept < len(recall)]
    return tuple(Point(float(recall[i]), float(precision[i])) for i in kept)


def reliability_chart(sides: Sides) -> Chart:
    """Return the observed share of spikes over the mean probability, in bins of equal mass."""
    series = tuple(
        Series(
            name,
            style,
            tuple(Point(group.p_mean, group.observed_frac) for group in judgement.reliability.bins),
            dots=True,
        )
        for name, (style, judgement) in sides.items()
        if judgement.reliability.bins
    )
    values = [value for line in series for point in line.points for value in point]
    axis = axis_over("mean probability given", values)
    guide = (Series("as said", "guide", (Point(0.0, 0.0), Point(axis.high, axis.high))),) if series else ()
    return Chart(
        "Reliability",
        "Ten groups of rows of rising probability. On the dotted line it comes true as often as it says.",
        axis,
        Axis("observed share of spikes", axis.low, axis.high),
        guide + series,
    )


def budget_chart(sides: Sides) -> Chart:
    """Return onset recall on test over the false alarms an hour allowed on calibrate."""
    series = tuple(
        Series(
            name,
            style,
            tuple(
                Point(point.budget_per_hour, point.onset_recall)
                for point in judgement.budgets
                if point.onset_recall is not None
            ),
            dots=True,
        )
        for name, (style, judgement) in sides.items()
    )
    drawn = tuple(line for line in series if line.points)
    budgets = sorted({point.budget_per_hour for _, side in sides.values() for point in side.budgets})
    reasons = sorted({point.reason for _, side in sides.values() for point in side.budgets if point.reason})
    return Chart(
        "Alert budget",
        "Onsets of test that an alert warns of, with the thresholds of calibrate for so many false alarms.",
        Axis("false alarms an hour allowed", budgets[0] * 0.85, budgets[-1] * 1.15, True, tuple(budgets)),
        Axis("onset recall", 0.0, 1.0, marks=(0.0, 0.25, 0.5, 0.75, 1.0)),
        drawn,
        "; ".join(reasons) or "no onset on test",
    )


def sigma_chart(test: Dataset, index: npt.NDArray[np.int64], name: str, side: Judgement) -> Chart:
    """Return realised over predicted volatility of one model: groups of equal mass, and its 90 % band."""
    known = np.flatnonzero(test.spike >= 0)
    scored = rows_of(rows_of(side.scored, index), known)
    realised = np.maximum(test.sigma_future_bps, test.floor_bps)[known]
    groups = list(_sigma_groups(scored, realised))
    values = [value for group in groups for value in group]
    x = axis_over("predicted volatility, bps", [group[0] for group in groups], log=True)
    y = axis_over("realised volatility, bps", values, log=True)
    points = tuple(Point(group[0], group[1]) for group in groups)
    whiskers = tuple((group[0], group[2], group[3]) for group in groups)
    ends = [tuple(Point(group[0], group[at]) for group in groups) for at in (4, 5)]
    return Chart(
        f"Predicted and realised volatility, {name}",
        "Twenty groups of rows of rising prediction: median and 5 to 95 % of what followed, and the band.",
        x,
        y,
        (
            Series("as predicted", "guide", (Point(x.low, x.low), Point(x.high, x.high))),
            Series("90 % band", "band", ends[0]),
            Series("", "band", ends[1]),
            Series("realised", "s0", points, True, whiskers),
        )
        if groups
        else (),
    )


def _sigma_groups(scored: ScoredRows, realised: F8) -> Iterator[tuple[float, ...]]:
    """Yield each group's predicted median; realised median, 5 %, 95 %; ends of the band, all in bps."""
    for rows in equal_mass(scored.sigma_bps, SIGMA_GROUPS):
        low, high = np.quantile(realised[rows], (LOW, HIGH))
        yield (
            float(np.median(scored.sigma_bps[rows])),
            float(np.median(realised[rows])),
            float(low),
            float(high),
            float(np.median(scored.sigma_low_bps[rows])),
            float(np.median(scored.sigma_high_bps[rows])),
        )
