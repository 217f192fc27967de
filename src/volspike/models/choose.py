"""Choose the reference and the champion on the tune slice, and say how much that is worth."""

from __future__ import annotations

from collections.abc import Mapping

from volspike.evaluation.enough import Evidence, count_evidence
from volspike.evaluation.scores import graded_seconds, log_loss
from volspike.labels.dataset import Dataset
from volspike.models.bundle import Bundle
from volspike.models.calibrate import one_class
from volspike.models.predictor import CalibratedPredictor

# Which to take, the first that is there, where tune is too thin to tell.
TRUST = ("logistic", "zscore", "xgboost", "blend", "online")
REFERENCE_TRUST = ("log-har-logit", "persistence", "climatology")


def choose_reference(rules: Mapping[str, CalibratedPredictor], tune: Dataset) -> tuple[str, str]:
    """Return the rule with the lowest log-loss on tune, or the one to trust if it has one class, and why."""
    reason = one_class(tune.spike)
    if reason:
        name = next(name for name in REFERENCE_TRUST if name in rules)
        return name, f"the simplest one to trust: tune {reason}"
    return _lowest_loss(rules, tune)


def choose_champion(bundles: Mapping[str, Bundle], tune: Dataset) -> tuple[str, str]:
    """Return the model with the lowest log-loss on tune, or one to trust where tune is thin, and why."""
    evidence = evidence_of(tune)
    if not evidence.enough_data:
        name = next(name for name in TRUST if name in bundles)
        return name, f"the simplest one to trust: tune has {evidence}"
    return _lowest_loss({name: bundle.predictor for name, bundle in bundles.items()}, tune)


def against_reference(model: CalibratedPredictor, reference: CalibratedPredictor, tune: Dataset) -> list[str]:
    """Return a note where a model does no better on tune than the reference, or can't be compared."""
    if not len(tune):
        return ["not compared with the reference: tune has no labelled row"]
    loss, reference_loss = _loss(model, tune), _loss(reference, tune)
    if loss < reference_loss:
        return []
    losses = f"log-loss {loss:.4f} against {reference_loss:.4f}"
    return [f"does not beat the reference, {reference.name}, on tune: {losses}{_mark(tune)}"]


def evidence_of(rows: Dataset) -> Evidence:
    """Count the evidence in rows."""
    seconds = graded_seconds(rows)
    return count_evidence(seconds.second, seconds.run, seconds.spike)


def _lowest_loss(candidates: Mapping[str, CalibratedPredictor], tune: Dataset) -> tuple[str, str]:
    losses = {name: _loss(predictor, tune) for name, predictor in candidates.items()}
    best = min(losses, key=lambda name: (losses[name], name))
    return best, f"lowest log-loss on tune, {losses[best]:.4f} over {len(tune)} rows{_mark(tune)}"


def _mark(tune: Dataset) -> str:
    evidence = evidence_of(tune)
    return "" if evidence.enough_data else f"; {evidence}"


def _loss(predictor: CalibratedPredictor, rows: Dataset) -> float:
    loss = log_loss(rows.spike == 1, predictor.predict_batch(rows).p_spike)
    assert loss is not None, "rows are not empty"
    return loss
