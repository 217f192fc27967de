"""The alert-budget curve: what is warned of, and how early, for so many false alarms an hour.

Thresholds are chosen on the calibrate slice and scored on test. A curve whose thresholds were chosen on test
would show what nobody can have: the best threshold in hindsight.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from volspike.evaluation.ahead import shares_ahead
from volspike.evaluation.episodes import (
    AlertSpan,
    AlertThresholds,
    EpisodeScores,
    choose_for_budgets,
    hits,
    onset_mask,
    open_alerts,
    score_episodes,
)
from volspike.evaluation.scores import graded_seconds
from volspike.labels.dataset import Dataset

BUDGETS_PER_HOUR = (0.5, 1.0, 2.0, 4.0, 8.0)

F8 = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class BudgetPoint:
    """How alerts fare on test with the thresholds that a budget allows on calibrate.

    Attributes
    ----------
    budget_per_hour : float
        False alarms an hour that calibrate was allowed.
    open_at, close_at : float or None
        The thresholds; None where calibrate gave none, and then all else is None too.
    calibrate_onset_recall, calibrate_false_alarms_per_hour : float or None
        How they fared where they were chosen.
    onsets, alerts : int or None
        On test.
    onset_recall, already_open_frac, lead_s, ahead_frac : float or None
        Share of onsets warned of, and of those at which an older alert was still open; of the former the
        median lead in seconds, and the median share of the minute's r^2 still ahead at the opening (None
        where the rows don't tell).
    duty_frac, false_alarms_per_hour : float or None
        Share of the time with an alert open, and what the budget came to.
    reason : str
        Why they were not chosen by onsets; empty where they were.
    """

    budget_per_hour: float
    open_at: float | None = None
    close_at: float | None = None
    calibrate_onset_recall: float | None = None
    calibrate_false_alarms_per_hour: float | None = None
    onsets: int | None = None
    alerts: int | None = None
    onset_recall: float | None = None
    already_open_frac: float | None = None
    lead_s: float | None = None
    ahead_frac: float | None = None
    duty_frac: float | None = None
    false_alarms_per_hour: float | None = None
    reason: str = ""


def budget_curve(
    calibrate: Dataset,
    p_calibrate: F8,
    test: Dataset,
    p_test: F8,
    budgets_per_hour: Sequence[float] = BUDGETS_PER_HOUR,
) -> tuple[BudgetPoint, ...]:
    """Choose thresholds for each budget on calibrate, and score them on test.

    Parameters
    ----------
    calibrate, test : Dataset
        Rows of the two parts.
    p_calibrate, p_test : float64[n], float64[m]
        Probabilities of their rows.
    budgets_per_hour : sequence of float
        False alarms an hour.
    """
    chosen = choose_for_budgets(graded_seconds(calibrate), p_calibrate, budgets_per_hour)
    return tuple(
        _score(budget, thresholds, test, p_test)
        for budget, thresholds in zip(budgets_per_hour, chosen, strict=True)
    )


def alerts_on(part: Dataset, p_spike: F8, open_at: float, close_at: float) -> list[AlertSpan]:
    """Return the alerts that probabilities (float64[n]) raise on the n rows of a part."""
    return open_alerts(part.second, part.run, p_spike, open_at, close_at)


def _score(budget: float, chosen: AlertThresholds, test: Dataset, p_test: F8) -> BudgetPoint:
    if chosen.episodes is None:
        return BudgetPoint(budget, reason=chosen.reason)
    rows, alerts = graded_seconds(test), alerts_on(test, p_test, chosen.open_at, chosen.close_at)
    scores: EpisodeScores = score_episodes(rows, alerts)
    ahead = shares_ahead(test, hits(rows.second[onset_mask(rows)], alerts))
    return BudgetPoint(
        budget_per_hour=budget,
        open_at=chosen.open_at,
        close_at=chosen.close_at,
        calibrate_onset_recall=chosen.episodes.onset_recall,
        calibrate_false_alarms_per_hour=chosen.episodes.false_alarms_per_hour,
        onsets=scores.onsets,
        alerts=scores.alerts,
        onset_recall=scores.onset_recall,
        already_open_frac=scores.already_open / scores.onsets if scores.onsets else None,
        lead_s=scores.lead_s,
        ahead_frac=float(np.median(ahead)) if ahead else None,
        duty_frac=scores.duty_frac,
        false_alarms_per_hour=scores.false_alarms_per_hour,
        reason=chosen.reason,
    )
