"""The honest report: every model and the reference on every part, and the gap from fit to test."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np

from volspike.evaluation.audit import Audit, Refit, audit_training
from volspike.evaluation.episodes import AlertSpan
from volspike.evaluation.judgement import Judgement, judge
from volspike.evaluation.missing_labels import SigmaBin, unlabelled_by_sigma
from volspike.evaluation.plots import plot_confusion, plot_precision_recall
from volspike.evaluation.scores import Scores, score
from volspike.exchange.candles import CandleTable
from volspike.features.table import FeatureTable
from volspike.labels.dataset import Dataset
from volspike.labels.splits import Split
from volspike.models.adaptive_band import adapted_parts
from volspike.models.bundle import Bundle
from volspike.models.calibration import ScoredRows
from volspike.models.predictor import Predictor

Table = dict[str, dict[str, Scores]]
SUMMARY = (
    "pr_auc",
    "base_rate",
    "lift",
    "within_session_pr_auc",
    "onset_pr_auc",
    "continuation_pr_auc",
    "reference_pr_auc",
    "qlike",
    "r2_log_sigma",
    "band_coverage",
    "winkler_bps",
    "log_loss",
    "brier",
    "roc_auc",
    "f1",
    "precision",
    "recall",
    "clusters",
    "windows",
    "rows",
    "enough_data",
)
JUDGED = ("gains", "reliability", "budgets", "days")
SMALL_GAP = 0.03  # of ROC AUC


@dataclass(frozen=True)
class Evaluation:
    """Scores of several models on the parts of one dataset.

    Attributes
    ----------
    models : dict
        Scores by model name, then by part (fit, tune, calibrate, test).
    reference : str
        Name of the reference.
    reference_scores : dict
        Its scores by part.
    champion : str
        Name of the champion.
    tau : dict
        Mode, quantile, floor_bps, fixed_bps, and the share of rows under adaptive tau.
    gaps : dict
        What happens between fit and test, in words, by model name.
    notes : dict
        What to know about each model, in words.
    plots : dict
        PNG files by model name.
    judged, reference_judged : dict of str to Judgement, Judgement
        What is said beyond scores of each model, and of the reference, on test.
    unlabelled : tuple of SigmaBin
        Which of all rows have no label, by current volatility.
    alerts : dict of str to tuple of AlertSpan
        Of a walk-forward: the alerts of each model on test, by the thresholds that each training chose.
    audit : Audit or None
        The leak audit; None where these are other rows than the models were trained on.
    """

    models: Table
    reference: str
    reference_scores: dict[str, Scores]
    champion: str
    tau: dict[str, str | float | None]
    gaps: dict[str, str]
    judged: dict[str, Judgement]
    reference_judged: Judgement
    unlabelled: tuple[SigmaBin, ...]
    notes: dict[str, tuple[str, ...]] = field(default_factory=dict)
    plots: dict[str, tuple[Path, ...]] = field(default_factory=dict)
    alerts: dict[str, tuple[AlertSpan, ...]] = field(default_factory=dict)
    audit: Audit | None = None

    def summary(self, name: str) -> dict[str, dict[str, float | int | bool | None]]:
        """Return the main scores of one model by part, for its bundle and for MLflow."""
        return {part: _numbers(scores) for part, scores in self.models[name].items()}

    def as_dict(self) -> dict[str, object]:
        """Return the report as a JSON-able dict."""
        judged = {name: judgement.as_dict() for name, judgement in self.judged.items()}
        reference = self.reference_judged.as_dict()
        return {
            "models": {
                name: {part: scores.as_dict() for part, scores in parts.items()}
                for name, parts in self.models.items()
            },
            "reference": {
                "name": self.reference,
                "parts": {part: scores.as_dict() for part, scores in self.reference_scores.items()},
                "reliability": reference["reliability"],
                "budgets": reference["budgets"],
            },
            "champion": self.champion,
            "tau": self.tau,
            "gaps": self.gaps,
            **{key: {name: judged[name][key] for name in judged} for key in JUDGED},
            "unlabelled": [asdict(group) for group in self.unlabelled],
            "notes": {name: list(notes) for name, notes in self.notes.items()},
            "audit": {"passed": None, "checks": {}} if self.audit is None else self.audit.as_dict(),
            "plots": {name: [str(path) for path in paths] for name, paths in self.plots.items()},
        }


def evaluate(
    bundles: Mapping[str, Bundle],
    dataset: Dataset,
    split: Split,
    champion: str,
    plots: Path | None = None,
    refit: Refit | None = None,
    table: FeatureTable | CandleTable | None = None,
) -> Evaluation:
    """Score models and their reference on every part of a dataset.

    The bands of the models are as served, beginning at their own on every part; the reference has none that
    adapts.

    Parameters
    ----------
    bundles : mapping of str to Bundle
        The models; they share one reference.
    dataset : Dataset
        Rows of the models' product and feature set.
    split : Split
        Its parts.
    champion : str
        Name of the champion, recorded.
    plots : Path, optional
        Directory for a confusion matrix and a precision-recall curve of each model on its last graded part.
    refit : callable, optional
        Trains again on the dataset it is given, for the leak audit.
    table : FeatureTable or CandleTable, optional
        The rows that the dataset was made of, for the leak audit.

    Raises
    ------
    ModelError
        When a model gives no finite prediction for a row.
    ConfigError
        When a picture can't be written.
    """
    reference = next(iter(bundles.values())).reference
    reference_rows = reference.predict_batch(dataset)
    slices = [index for _, index in split.parts()]
    predicted = {
        name: adapted_parts(bundle.predictor.predict_batch(dataset), dataset, slices).scored
        for name, bundle in bundles.items()
    }
    models = {
        name: score_parts(dataset, split, rows, bundles[name].manifest.alert.open_at, reference_rows)
        for name, rows in predicted.items()
    }
    return Evaluation(
        models=models,
        reference=reference.name,
        reference_scores=score_parts(dataset, split, reference_rows, 0.5, reference_rows),
        champion=champion,
        tau=tau_of(dataset),
        gaps={name: describe_gap(parts["fit"], parts["test"]) for name, parts in models.items()},
        notes={name: bundle.manifest.notes for name, bundle in bundles.items()},
        plots={}
        if plots is None
        else {
            name: _plot(plots, name, models[name], dataset, split, rows, reference, reference_rows)
            for name, rows in predicted.items()
        },
        audit=_audit(bundles, dataset, split, models, refit, table),
        judged={name: judge(dataset, split, rows, reference_rows) for name, rows in predicted.items()},
        reference_judged=judge(dataset, split, reference_rows),
        unlabelled=unlabelled_by_sigma(dataset),
    )


def notes_by_models(notes: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """Return notes (by model) under the names of all models that have them: most are of the data."""
    about: dict[str, list[str]] = {}
    for name, words in notes.items():
        for note in words:
            about.setdefault(note, []).append(name)
    grouped: dict[str, list[str]] = {}
    for note, names in about.items():
        told = "all models" if 1 < len(names) == len(notes) else ", ".join(names)
        grouped.setdefault(told, []).append(note)
    return grouped


def describe_gap(fit: Scores, test: Scores) -> str:
    """Say in words how a model's scores change from fit to test.

    ROC AUC is compared: PR-AUC and lift move with the base rate of spikes, it does not.
    """
    if fit.roc_auc is None or test.roc_auc is None:
        return _undefined(fit, test)
    change = test.roc_auc - fit.roc_auc
    if abs(change) <= SMALL_GAP:
        verdict = "ranks on test as on fit"
    elif change < 0.0:
        verdict = "ranks worse on test than on fit: overfitted, or the market changed"
    else:
        verdict = "ranks better on test than on fit: the test part is easier, or thin"
    numbers = (
        f"ROC AUC {fit.roc_auc:.3f} and {test.roc_auc:.3f}; "
        f"PR-AUC {fit.pr_auc:.3f} at base rate {fit.base_rate:.3f} on fit, "
        f"{test.pr_auc:.3f} at {test.base_rate:.3f} on test"
    )
    mark = "" if fit.enough_data and test.enough_data else "; not enough data to claim either"
    return f"{verdict} ({numbers}){mark}"


def _audit(
    bundles: Mapping[str, Bundle],
    dataset: Dataset,
    split: Split,
    models: Table,
    refit: Refit | None,
    table: FeatureTable | CandleTable | None,
) -> Audit | None:
    if any(b.manifest.provenance.dataset_sha256 != dataset.sha256 for b in bundles.values()):
        return None
    test = {name: parts["test"] for name, parts in models.items()}
    return audit_training(dataset, split, bundles, test, refit, table)


def _undefined(fit: Scores, test: Scores) -> str:
    part, scores = ("fit", fit) if fit.roc_auc is None else ("test", test)
    counts = f"{scores.positives} spikes in {scores.rows} labelled rows"
    return f"not enough data: ROC AUC is undefined on {part}, {counts}"


def score_parts(
    dataset: Dataset,
    split: Split,
    rows: ScoredRows,
    threshold: float,
    reference: ScoredRows,
) -> dict[str, Scores]:
    """Return the scores of predictions of all rows, part by part; ``threshold`` is what counts as said."""
    return {
        part: score(
            dataset.rows(index),
            rows.p_spike[index],
            rows.sigma_bps[index],
            reference.p_spike[index],
            threshold,
            (rows.sigma_low_bps[index], rows.sigma_high_bps[index]),
        )
        for part, index in split.parts()
    }


def tau_of(dataset: Dataset) -> dict[str, str | float | None]:
    """Return how tau was set on a dataset, for the report."""
    return {
        "mode": dataset.tau.mode,
        "quantile": dataset.tau.quantile,
        "floor_bps": dataset.tau.floor_bps,
        "fixed_bps": dataset.fixed_tau_bps,
        "adaptive_frac": float(np.mean(dataset.tau_adaptive)) if len(dataset) else None,
        "median_bps": float(np.median(dataset.tau_bps)) if len(dataset) else None,
    }


def _plot(
    directory: Path,
    name: str,
    parts: Mapping[str, Scores],
    dataset: Dataset,
    split: Split,
    rows: ScoredRows,
    reference: Predictor,
    reference_rows: ScoredRows,
) -> tuple[Path, ...]:
    """Draw the last part that has a labelled row; none, no picture."""
    graded = [(part, index) for part, index in split.parts() if parts[part].rows]
    if not graded:
        return ()
    part, index = graded[-1]
    index = index[dataset.spike[index] >= 0]
    confusion = plot_confusion(directory / f"{name}-{part}-confusion.png", parts[part], name, part)
    curve = plot_precision_recall(
        directory / f"{name}-{part}-pr.png",
        parts[part],
        dataset.spike[index] == 1,
        rows.p_spike[index],
        name,
        part,
        (reference.name, reference_rows.p_spike[index]),
    )
    return confusion, curve


def _numbers(scores: Scores) -> dict[str, float | int | bool | None]:
    return {name: getattr(scores, name) for name in SUMMARY}
