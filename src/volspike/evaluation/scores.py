"""Scores of probabilities and volatilities on graded rows, always with the base rate and the counts.

A score that is undefined (one class only, nothing predicted positive, no row) is None, never 0 or NaN.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np
import numpy.typing as npt

from volspike.evaluation.enough import count_evidence
from volspike.evaluation.episodes import GradedSeconds, onset_mask
from volspike.evaluation.ranking import average_precision as average_precision  # also known from here
from volspike.evaluation.ranking import roc_auc as roc_auc
from volspike.evaluation.sessions import session_of, within_session_precision
from volspike.evaluation.sigma_scores import IntervalScores, qlike, r2_log_sigma, score_interval
from volspike.labels.dataset import Dataset

F8 = npt.NDArray[np.float64]
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
    within_session_pr_auc, sessions : float or None, int
        Mean average precision of the sessions with both classes, weighted by their spikes, and how many.
    onset_pr_auc, onsets : float or None, int
        Average precision with onsets as the only positives and continuation rows left out.
    continuation_pr_auc, continuations : float or None, int
        The same the other way round: spikes that are no onset as the only positives, onsets left out.
    reference_pr_auc : float or None
        Average precision of the reference on the same rows.
    qlike : float or None
        Mean of r/f - ln(r/f) - 1 of realised and predicted variance.
    r2_log_sigma : float or None
        Share of the variance of log realised volatility that the prediction explains.
    band_coverage, pinball_low_bps, pinball_high_bps, winkler_bps : float or None
        Of the predicted 90 % band: see ``sigma_scores.IntervalScores``.
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
    within_session_pr_auc: float | None
    sessions: int
    onset_pr_auc: float | None
    onsets: int
    continuation_pr_auc: float | None
    continuations: int
    reference_pr_auc: float | None
    qlike: float | None
    r2_log_sigma: float | None
    band_coverage: float | None
    pinball_low_bps: float | None
    pinball_high_bps: float | None
    winkler_bps: float | None
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
    onset = onset_mask(rows)[labelled]
    again = y & ~onset
    pr_auc, base_rate = average_precision(y, p), float(np.mean(y)) if len(y) else None
    within, sessions = within_session_precision(y, p, session_of(rows.second, rows.run)[labelled])
    volatility, band = _volatility(part, labelled, sigma_bps, band_bps)
    confusion = confusion_at(y, p, threshold)
    evidence = count_evidence(rows.second, rows.run, rows.spike)
    return Scores(
        rows=len(y),
        positives=int(np.count_nonzero(y)),
        pr_auc=pr_auc,
        base_rate=base_rate,
        lift=pr_auc / base_rate if pr_auc is not None and base_rate else None,
        within_session_pr_auc=within,
        sessions=sessions,
        onset_pr_auc=average_precision(onset[~again], p[~again]),
        onsets=int(np.count_nonzero(onset)),
        continuation_pr_auc=average_precision(again[~onset], p[~onset]),
        continuations=int(np.count_nonzero(again)),
        reference_pr_auc=None
        if reference_p_spike is None
        else average_precision(y, reference_p_spike[labelled]),
        qlike=volatility[0],
        r2_log_sigma=volatility[1],
        band_coverage=band.coverage,
        pinball_low_bps=band.pinball_low_bps,
        pinball_high_bps=band.pinball_high_bps,
        winkler_bps=band.winkler_bps,
        log_loss=log_loss(y, p),
        f1=confusion.f1,
        precision=confusion.precision,
        recall=confusion.recall,
        roc_auc=roc_auc(y, p),
        brier=float(np.mean(brier_losses(y, p))) if len(y) else None,
        confusion=confusion,
        clusters=evidence.clusters,
        windows=evidence.windows,
        blocks=evidence.blocks,
        enough_data=evidence.enough_data,
        threshold=threshold,
    )


def _volatility(
    part: Dataset, labelled: Labels, sigma_bps: F8 | None, band_bps: tuple[F8, F8] | None
) -> tuple[tuple[float | None, float | None], IntervalScores]:
    """Return (QLIKE, R^2 of log sigma) and the scores of the band, of the labelled rows."""
    realised, floor = part.sigma_future_bps[labelled], part.floor_bps[labelled]
    point: tuple[float | None, float | None] = (None, None)
    if sigma_bps is not None:
        predicted = sigma_bps[labelled]
        point = qlike(realised, predicted, floor), r2_log_sigma(realised, predicted, floor)
    if band_bps is None:
        return point, IntervalScores()
    return point, score_interval(realised, band_bps[0][labelled], band_bps[1][labelled])


def graded_seconds(part: Dataset) -> GradedSeconds:
    """Return the grid seconds, runs and spikes of a part."""
    return GradedSeconds(part.second, part.run, part.spike, part.step_s)


def log_loss(y: Labels, p: F8) -> float | None:
    """Return the mean negative log-likelihood; None without a row."""
    return float(np.mean(log_losses(y, p))) if len(y) else None


def log_losses(y: Labels, p: F8) -> F8:
    """Return each row's negative log-likelihood; probabilities are kept an epsilon off 0 and 1."""
    p = np.clip(p, EPSILON, 1.0 - EPSILON)
    losses: F8 = -np.where(y, np.log(p), np.log1p(-p))
    return losses


def brier_losses(y: Labels, p: F8) -> F8:
    """Return each row's squared distance of the probability from the outcome (Brier 1950)."""
    losses: F8 = (p - y) ** 2
    return losses


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
