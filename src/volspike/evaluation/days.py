"""The scores of each day, and the worst one: an average can hide a day that cost what all others gave."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from volspike.evaluation.enough import count_clusters, count_windows
from volspike.evaluation.ranking import average_precision
from volspike.evaluation.scores import log_losses
from volspike.evaluation.sigma_scores import qlike_losses
from volspike.labels.dataset import Dataset
from volspike.models.calibration import ScoredRows

DAY_S = 86_400

F8 = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Day:
    """Scores of the labelled rows of one UTC day; a gain above 0 means better than the reference.

    Attributes
    ----------
    date : str
        As 2025-12-06.
    rows, windows, positives, clusters : int
        How much there is of it: labelled rows, disjoint minutes, spikes and groups of them.
    pr_auc, reference_pr_auc : float or None
        Average precision; None where the day has one class only.
    log_loss, qlike : float
        Of the model.
    log_loss_gain, qlike_gain : float
        The reference's minus the model's.
    """

    date: str
    rows: int
    windows: int
    positives: int
    clusters: int
    pr_auc: float | None
    reference_pr_auc: float | None
    log_loss: float
    log_loss_gain: float
    qlike: float
    qlike_gain: float


def score_days(part: Dataset, model: ScoredRows, reference: ScoredRows) -> tuple[Day, ...]:
    """Score a model beside the reference on each UTC day of a part that has a labelled row.

    Parameters
    ----------
    part : Dataset
        The n rows.
    model, reference : ScoredRows
        Predictions of the same rows.
    """
    return tuple(_days(part, model, reference))


def worst_day(days: tuple[Day, ...]) -> str | None:
    """Return the date on which the model lost most, or gained least, in log-loss against the reference."""
    return min(days, key=lambda day: (day.log_loss_gain, day.date)).date if days else None


def _days(part: Dataset, model: ScoredRows, reference: ScoredRows) -> Iterator[Day]:
    second, realised, floor = part.second, part.sigma_future_bps, part.floor_bps
    labelled = np.flatnonzero(part.spike >= 0)
    for number in np.unique(second[labelled] // DAY_S):
        rows = labelled[second[labelled] // DAY_S == number]
        y = part.spike[rows] == 1
        ours, theirs = (log_losses(y, side.p_spike[rows]) for side in (model, reference))
        q, q_theirs = (
            qlike_losses(realised[rows], side.sigma_bps[rows], floor[rows]) for side in (model, reference)
        )
        yield Day(
            date=str(np.datetime64(int(number), "D")),
            rows=len(rows),
            windows=count_windows(second[rows], part.run[rows]),
            positives=int(np.count_nonzero(y)),
            clusters=count_clusters(second[rows][y]),
            pr_auc=average_precision(y, model.p_spike[rows]),
            reference_pr_auc=average_precision(y, reference.p_spike[rows]),
            log_loss=float(np.mean(ours)),
            log_loss_gain=float(np.mean(theirs - ours)),
            qlike=float(np.mean(q)),
            qlike_gain=float(np.mean(q_theirs - q)),
        )
