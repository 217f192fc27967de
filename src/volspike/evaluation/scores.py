"""Scores of probabilities and volatilities on graded rows, always with the base rate and the counts.

A score that is undefined (one class only, nothing predicted positive, no row) is None, never 0 or NaN.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np
import numpy.typing as npt

from volspike.evaluation.enough import count_evidence
from volspike.evaluation.episodes import GradedSeconds, onset_mask
from volspike.labels.dataset import Dataset

F8 = npt.NDArray[np.float64]
I8 = npt.NDArray[np.int64]
Labels = npt.NDArray[np.bool_]
EPSILON = float(np.finfo(np.float64).eps)


@dataclass(frozen=True, slots=True)
class Confusion:
    """Counts of labelled rows by prediction and truth at a threshold."""

    true_positive: int
    false_positive: int
    false_negative: int
    true_negative: int

    @property
    def precision(self) -> float | None:
        """Return the share of predicted spikes that were spikes; None if none was predicted."""
        return _ratio(self.true_positive, self.true_positive + self.false_positive)

    @property
    def recall(self) -> float | None:
        """Return the share of spikes that were predicted; None if there was none."""
        return _ratio(self.true_positive, self.true_positive + self.false_negative)

    @property
    def f1(self) -> float | None:
        """Return the harmonic mean of precision and recall; None if there was no spike."""
        if self.recall is None:
            return None
        return _ratio(
            2 * self.true_positive, 2 * self.true_positive + self.false_positive + self.false_negative
        )


@dataclass(frozen=True, slots=True)
class Scores:
    """Scores of one model on one part.

    Attributes
    ----------
    rows, positives : int
        Labelled rows and the spikes among them.
    pr_auc, base_rate, lift : float or None
        Average precision, share of spikes, and their quotient.
    onset_pr_auc, onsets : float or None, int
        Average precision with onsets as the only positives and continuation seconds left out.
    reference_pr_auc : float or None
        Average precision of the reference on the same rows.
    qlike : float or None
        Mean of r/f - ln(r/f) - 1 of realised and predicted variance.
    band_coverage : float or None
        Share of rows whose realised volatility lies in the predicted 90 % band.
    log_loss, brier : float or None
        Of the probabilities; natural log.
    f1, precision, recall : float or None
        At ``threshold``.
    roc_auc : float or None
        Area under the ROC curve.
    confusion : Confusion
        Counts at ``threshold``.
    clusters, windows, blocks, enough_data : int, int, int, bool
        Independent evidence; without enough of it no score carries a claim.
    threshold : float
        Probability from which a row counts as predicted spike.
    """

    rows: int
    positives: int
    pr_auc: float | None
    base_rate: float | None
    lift: float | None
    onset_pr_auc: float | None
    onsets: int
    reference_pr_auc: float | None
    qlike: float | None
    band_coverage: float | None
    log_loss: float | None
    f1: float | None
    precision: float | None
    recall: float | None
    roc_auc: float | None
    brier: float | None
    confusion: Confusion
    clusters: int
    windows: int
    blocks: int
    enough_data: bool
    threshold: float

    def as_dict(self) -> dict[str, object]:
        """Return the scores as a JSON-able dict."""
        return asdict(self)


def score(
    part: Dataset,
    p_spike: F8,
    sigma_bps: F8 | None = None,
    reference_p_spike: F8 | None = None,
    threshold: float = 0.5,
    band_bps: tuple[F8, F8] | None = None,
) -> Scores:
    """Score predictions for the rows of a part.

    Parameters
    ----------
    part : Dataset
        The n rows; unlabelled ones are left out.
    p_spike : float64[n]
        Predicted probability of a spike; a score that only ranks gives meaningful ranks only.
    sigma_bps : float64[n], optional
        Predicted volatility of the next 60 s, basis points.
    reference_p_spike : float64[n], optional
        The reference's probability or score on the same rows.
    threshold : float
        Probability from which a row counts as predicted spike.
    band_bps : (float64[n], float64[n]), optional
        Lower and upper end of the predicted 90 % band, basis points.
    """
    labelled = part.spike >= 0
    y, p = part.spike[labelled] == 1, p_spike[labelled]
    rows = graded_seconds(part)
    onset = onset_mask(rows)
    pure = (rows.spike == 0) | onset
    pr_auc, base_rate = average_precision(y, p), float(np.mean(y)) if len(y) else None
    confusion = confusion_at(y, p, threshold)
    evidence = count_evidence(rows.second, rows.run, rows.spike)
    return Scores(
        rows=len(y),
        positives=int(np.count_nonzero(y)),
        pr_auc=pr_auc,
        base_rate=base_rate,
        lift=pr_auc / base_rate if pr_auc is not None and base_rate else None,
        onset_pr_auc=average_precision(onset[pure], p_spike[pure]),
        onsets=int(np.count_nonzero(onset)),
        reference_pr_auc=None
        if reference_p_spike is None
        else average_precision(y, reference_p_spike[labelled]),
        qlike=None
        if sigma_bps is None
        else qlike(part.sigma_future_bps[labelled], sigma_bps[labelled], part.floor_bps[labelled]),
        band_coverage=None if band_bps is None else _coverage(part.sigma_future_bps, band_bps, labelled),
        log_loss=log_loss(y, p),
        f1=confusion.f1,
        precision=confusion.precision,
        recall=confusion.recall,
        roc_auc=roc_auc(y, p),
        brier=float(np.mean((p - y) ** 2)) if len(y) else None,
        confusion=confusion,
        clusters=evidence.clusters,
        windows=evidence.windows,
        blocks=evidence.blocks,
        enough_data=evidence.enough_data,
        threshold=threshold,
    )


def _coverage(realised_bps: F8, band_bps: tuple[F8, F8], labelled: Labels) -> float | None:
    inside = (realised_bps >= band_bps[0]) & (realised_bps <= band_bps[1])
    return float(np.mean(inside[labelled])) if np.any(labelled) else None


def graded_seconds(part: Dataset) -> GradedSeconds:
    """Return the grid seconds, runs and spikes of a part."""
    return GradedSeconds(part.second, part.run, part.spike, part.step_s)


def average_precision(y: Labels, score: F8) -> float | None:
    """Return the average precision, rows of equal score taken together; None unless both classes are there.

    ``sum((recall_i - recall_{i-1}) * precision_i)`` over the distinct scores from the highest down.
    """
    if not _both_classes(y):
        return None
    true, predicted = _cumulative(y, score)
    gained = np.diff(true, prepend=0)
    return float(np.sum(gained * (true / predicted)) / true[-1])


def precision_recall(y: Labels, score: F8) -> tuple[F8, F8] | None:
    """Return precision and recall at each distinct score from the highest down; None as above."""
    if not _both_classes(y):
        return None
    true, predicted = _cumulative(y, score)
    return true / predicted, true / true[-1]


def roc_auc(y: Labels, score: F8) -> float | None:
    """Return the area under the ROC curve, ties counted half; None unless both classes are there."""
    if not _both_classes(y):
        return None
    true, predicted = _cumulative(y, score)
    false = predicted - true
    area = np.sum(np.diff(false, prepend=0) * (true + np.concatenate(([0], true[:-1]))) / 2.0)
    return float(area / (float(true[-1]) * float(false[-1])))


def _both_classes(y: Labels) -> bool:
    return bool(np.any(y)) and not bool(np.all(y))


def _cumulative(y: Labels, score: F8) -> tuple[I8, I8]:
    """Return (true positives, predicted positives) at each distinct score from the highest down."""
    order, last_of_tie = ranked(score)
    return np.cumsum(y[order], dtype=np.int64)[last_of_tie], last_of_tie + 1


def ranked(score: F8) -> tuple[I8, I8]:
    """Return the rows from the highest score down, and where in that order each distinct score ends."""
    order = np.argsort(-score, kind="stable")
    return order, np.append(np.flatnonzero(np.diff(score[order])), len(score) - 1)


def log_loss(y: Labels, p: F8) -> float | None:
    """Return the mean negative log-likelihood; None without a row."""
    return float(np.mean(log_losses(y, p))) if len(y) else None


def log_losses(y: Labels, p: F8) -> F8:
    """Return each row's negative log-likelihood; probabilities are kept an epsilon off 0 and 1."""
    p = np.clip(p, EPSILON, 1.0 - EPSILON)
    losses: F8 = -np.where(y, np.log(p), np.log1p(-p))
    return losses


def qlike(realised_bps: F8, predicted_bps: F8, floor_bps: F8) -> float | None:
    """Return the mean QLIKE loss ``r/f - ln(r/f) - 1`` of realised and predicted variance.

    Parameters
    ----------
    realised_bps, predicted_bps, floor_bps : float64[n]
        Volatilities in basis points; both are raised to the floor (one quote increment / mid).
    """
    if not len(realised_bps):
        return None
    ratio = (np.maximum(realised_bps, floor_bps) / np.maximum(predicted_bps, floor_bps)) ** 2
    return float(np.mean(ratio - np.log(ratio) - 1.0))


def confusion_at(y: Labels, p: F8, threshold: float) -> Confusion:
    """Count labelled rows by truth and by ``p >= threshold``."""
    said = p >= threshold
    return Confusion(
        true_positive=int(np.count_nonzero(said & y)),
        false_positive=int(np.count_nonzero(said & ~y)),
        false_negative=int(np.count_nonzero(~said & y)),
        true_negative=int(np.count_nonzero(~said & ~y)),
    )


def _ratio(part: int, whole: int) -> float | None:
    return part / whole if whole else None
