"""What is said of one predictor beyond its scores: all on the test part, thresholds chosen on calibrate."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from volspike.evaluation.budget import BudgetPoint, budget_curve
from volspike.evaluation.days import Day, score_days, worst_day
from volspike.evaluation.gains import Gains, compare
from volspike.evaluation.reliability import Reliability, judge_reliability
from volspike.labels.dataset import Dataset
from volspike.labels.splits import Index, Split
from volspike.models.calibration import ScoredRows


@dataclass(frozen=True)
class Judgement:
    """A predictor on the test part.

    Attributes
    ----------
    scored : ScoredRows
        Its predictions of all rows of the dataset.
    reliability : Reliability
        How far its probabilities can be taken at their word.
    budgets : tuple of BudgetPoint
        Its alert-budget curve.
    gains : dict of str to Gain or None
        How far it beats the reference, score by score; empty for the reference itself.
    days : tuple of Day
        Its scores on each day beside the reference; empty for the reference itself.
    """

    scored: ScoredRows
    reliability: Reliability
    budgets: tuple[BudgetPoint, ...]
    gains: Gains = field(default_factory=dict)
    days: tuple[Day, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Return all but the predictions as a JSON-able dict."""
        return {
            "reliability": asdict(self.reliability),
            "budgets": [asdict(point) for point in self.budgets],
            "gains": {name: None if gain is None else asdict(gain) for name, gain in self.gains.items()},
            "days": {"worst": worst_day(self.days), "days": [asdict(day) for day in self.days]},
        }


def judge(
    dataset: Dataset, split: Split, scored: ScoredRows, reference: ScoredRows | None = None
) -> Judgement:
    """Judge a predictor by its predictions of all rows.

    Parameters
    ----------
    dataset, split : Dataset, Split
        The rows and their parts. Of calibrate the alert thresholds are made, all else is of test.
    scored : ScoredRows
        Predictions of all rows.
    reference : ScoredRows, optional
        The reference's; None for the reference itself.
    """
    calibrate, test = dataset.rows(split.calibrate), dataset.rows(split.test)
    p = scored.p_spike
    ours = rows_of(scored, split.test)
    theirs = None if reference is None else rows_of(reference, split.test)
    return Judgement(
        scored=scored,
        reliability=judge_reliability(test, ours.p_spike),
        budgets=budget_curve(calibrate, p[split.calibrate], test, ours.p_spike),
        gains={} if theirs is None else compare(test, ours, theirs),
        days=() if theirs is None else score_days(test, ours, theirs),
    )


def rows_of(scored: ScoredRows, index: Index) -> ScoredRows:
    """Return the predictions of some rows."""
    return ScoredRows(*(column[index] for column in scored))
