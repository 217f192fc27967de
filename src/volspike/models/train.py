"""Train all models on one dataset: fit on fit, stop on tune, calibrate on calibrate, never look at test."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata

import msgspec
import numpy as np

from volspike import __version__
from volspike.errors import NotEnoughDataError
from volspike.evaluation.episodes import choose_thresholds
from volspike.evaluation.scores import graded_seconds
from volspike.features.columns import FeatureSet
from volspike.features.sets import get_feature_set
from volspike.labels.dataset import Dataset
from volspike.labels.splits import Split
from volspike.models.blend import BLEND_FILE, BlendHeads
from volspike.models.boosted import CLASSIFIER_FILE, SIGMA_FILE, BoostedHeads
from volspike.models.bounds import fit_bounds
from volspike.models.bundle import Bundle, new_bundle, read_booster
from volspike.models.calibrate import MIN_BAND_WINDOWS, fit_band, fit_calibration, one_class
from volspike.models.calibration import Calibration, SigmaBand
from volspike.models.choose import against_reference, choose_champion, choose_reference, evidence_of
from volspike.models.estimators import class_offset
from volspike.models.fit_blend import fit_blend
from volspike.models.fit_models import fit_boosted, fit_linear
from volspike.models.fit_online import fit_online
from volspike.models.fit_rules import REFERENCES, FittedRule, fit_rules, fit_scale
from volspike.models.inputs import CLOCK_DAYS, InputSpec, feed_dependent, input_spec, raw_rows
from volspike.models.linear import LinearHeads, LinearWeights
from volspike.models.manifest import (
    FORMAT,
    REFERENCE_FILE,
    WEIGHTS_FILE,
    AlertEntry,
    Manifest,
    Provenance,
    ReferenceEntry,
    TauEntry,
    Training,
    pretty,
)
from volspike.models.online import OnlineHeads
from volspike.models.predictor import CalibratedPredictor, Heads
from volspike.models.rows import labelled, least_log_sigma, log_realised, rows_sha256
from volspike.models.settings import TrainSettings
from volspike.models.state import StateHeads
from volspike.models.trees import FlatTrees

DAY_S = 86_400.0
LIBRARIES = ("numpy", "numba", "scikit-learn", "xgboost-cpu", "xgboost")


@dataclass(frozen=True)
class TrainResult:
    """What a training run made.

    Attributes
    ----------
    bundles : dict
        One bundle a fitted model, by name.
    not_fitted : dict
        Why each other model could not be fitted, by name.
    references : dict
        Every simple rule, calibrated, by name.
    reference, reference_reason : str
        The rule that the models are compared with, and how it was chosen.
    champion, champion_reason : str
        The model chosen, and how.
    notes : tuple of str
        What is thin, uncalibrated or guessed, in words.
    """

    bundles: dict[str, Bundle]
    not_fitted: dict[str, str]
    references: dict[str, CalibratedPredictor]
    reference: str
    reference_reason: str
    champion: str
    champion_reason: str
    notes: tuple[str, ...]


@dataclass(frozen=True)
class _Slices:
    """Labelled rows of the three slices, and the rows of the sigma band and of the alert thresholds."""

    fit: Dataset
    tune: Dataset
    calibrate: Dataset
    band: Dataset
    band_part: str
    alerts: Dataset
    alerts_part: str

    @property
    def fit_days(self) -> float:
        return len(self.fit) * self.fit.step_s / DAY_S

    def training(self, settings: TrainSettings) -> Training:
        known = [part for part in (self.fit, self.tune, self.calibrate) if len(part)]
        return Training(
            first_ns=int(known[0].event_ns[0]),
            last_ns=int(known[-1].event_ns[-1]),
            fit_rows=len(self.fit),
            tune_rows=len(self.tune),
            calibrate_rows=len(self.calibrate),
            rows_sha256=rows_sha256(self.fit, self.tune, self.calibrate),
            seed=settings.seed,
            class_weight=settings.class_weight,
            settings={
                name: str(getattr(settings, name))
                for name in ("har_inputs", "l2", "rounds", "depth", "learning_rate", "patience", "threads")
            },
        )


@dataclass(frozen=True)
class _Fitted:
    """Heads of a model and the files they are made of."""

    heads: Heads
    files: dict[str, bytes]
    inputs: InputSpec | None
    notes: tuple[str, ...] = ()
    offset: float = 0.0


def train(dataset: Dataset, split: Split, settings: TrainSettings) -> TrainResult:
    """Fit the models and the reference.

    Parameters
    ----------
    dataset : Dataset
        One row a second, labelled.
    split : Split
        Of the dataset. Nothing of ``test`` is read.
    settings : TrainSettings
        How to fit.

    Raises
    ------
    NotEnoughDataError
        When the fit slice has no labelled row. With labels of one class the Z-score rule is still made; what
        could not be fitted is in ``not_fitted``.
    """
    slices = _slices(dataset, split)
    feature_set = get_feature_set(dataset.feature_set)
    spec = input_spec(
        feature_set, dataset.increment, settings.har_inputs, clock=slices.fit_days >= CLOCK_DAYS
    )
    rules = fit_rules(slices.fit, fit_scale(slices.fit))
    references = {name: _reference(rules[name], slices) for name in REFERENCES if name in rules}
    ranking = {name: _predictor(name, entry, dataset) for name, entry in references.items()}
    reference, reference_reason = choose_reference(ranking, slices.tune)
    fitted, not_fitted = _fit_models(slices, spec, rules, settings)
    thin, notes = _evidence_notes(slices)
    provenance = Provenance(
        dataset_sha256=dataset.sha256,
        test_rows=len(split.test),
        code_version=__version__,
        libraries=_libraries(),
    )
    draft = _draft(dataset, feature_set, slices, settings, reference, provenance, not thin)
    reference_file = pretty(references[reference])
    bundles = {
        name: _bundle(draft, name, model, slices, feature_set, reference_file, ranking[reference], notes)
        for name, model in fitted.items()
    }
    champion, champion_reason = choose_champion(bundles, slices.tune)
    return TrainResult(
        bundles=bundles,
        not_fitted=not_fitted,
        references=ranking,
        reference=reference,
        reference_reason=reference_reason,
        champion=champion,
        champion_reason=champion_reason,
        notes=_all_notes(bundles),
    )


def with_scores(
    bundle: Bundle, scores: Mapping[str, Mapping[str, float | int | bool | None]], test: Dataset
) -> Bundle:
    """Return the bundle with a summary of its scores in the provenance; the version stays.

    Parameters
    ----------
    scores : mapping of str to mapping
        By part and name.
    test : Dataset
        The rows of the test part: their ends stand beside its scores, since two models' scores are of one
        scale only where they are of the same rows.
    """
    plain = {part: dict(values) for part, values in scores.items()}
    if len(test):
        plain["test"] |= {"first_ns": int(test.event_ns[0]), "last_ns": int(test.event_ns[-1])}
    provenance = msgspec.structs.replace(bundle.manifest.provenance, scores=plain)
    manifest = msgspec.structs.replace(bundle.manifest, provenance=provenance)
    return Bundle(manifest, bundle.files, bundle.predictor, bundle.reference)


def with_note(bundle: Bundle, note: str) -> Bundle:
    """Return the bundle with one more note, and so another version."""
    manifest = msgspec.structs.replace(bundle.manifest, notes=(*bundle.manifest.notes, note))
    return new_bundle(manifest, bundle.files)


def _slices(dataset: Dataset, split: Split) -> _Slices:
    fit = labelled(dataset, split.fit)
    if not len(fit):
        raise NotEnoughDataError(
            f"{dataset.product}, {len(dataset)} rows",
            f"no labelled second in the fit slice ({len(split.fit)} rows)",
            "record longer: training needs whole feed for some minutes",
        )
    band, band_part = _band_rows(dataset, split)
    alerts, alerts_part = _alert_rows(dataset, split)
    return _Slices(
        fit=fit,
        tune=labelled(dataset, split.tune),
        calibrate=labelled(dataset, split.calibrate),
        band=band,
        band_part=band_part,
        alerts=alerts,
        alerts_part=alerts_part,
    )


def _band_rows(dataset: Dataset, split: Split) -> tuple[Dataset, str]:
    """Return calibrate, and the slices before it until there are enough windows, with their names."""
    used: list[str] = []
    for part in ("calibrate", "tune", "fit"):
        used.insert(0, part)
        rows = labelled(dataset, np.concatenate([getattr(split, name) for name in used]))
        if len(rows) >= MIN_BAND_WINDOWS * rows.rows_a_window:
            break
    return rows, ", ".join(used)


def _alert_rows(dataset: Dataset, split: Split) -> tuple[Dataset, str]:
    """Return all rows of calibrate, and before it as many as make enough data, with the slices' names.

    Earlier slices are more or less in sample, so their probabilities are a little too sure; the few onsets of
    a thin calibrate slice are worse. Of fit its end is taken, twice as much each time.
    """
    later = np.concatenate((split.tune, split.calibrate))
    tried = [("calibrate", split.calibrate), ("tune, calibrate", later)]
    count = max(len(later), 1)
    while count < 2 * len(split.fit):
        tried.append(("the end of fit, tune, calibrate", np.concatenate((split.fit[-count:], later))))
        count *= 2
    for part, index in tried:
        rows = dataset.rows(index)
        if len(rows) and evidence_of(rows).enough_data:
            return rows, part
    part, index = tried[-1]
    return dataset.rows(index), part


def _calibrate(heads: Heads, slices: _Slices, offset: float = 0.0) -> tuple[Calibration, SigmaBand]:
    """Fit Platt scaling on calibrate alone, and the sigma band."""
    raw = CalibratedPredictor("", "", "", "", heads, Calibration(), SigmaBand())
    margin, _ = raw.heads_batch(slices.calibrate)
    calibration = fit_calibration(margin, slices.calibrate.spike, slices.fit.rows_a_window, offset)
    _, log_sigma = raw.heads_batch(slices.band)
    least = least_log_sigma(slices.fit)
    band = fit_band(log_sigma, log_realised(slices.band), slices.fit.rows_a_window, slices.band_part, least)
    return calibration, band


def _reference(rule: FittedRule, slices: _Slices) -> ReferenceEntry:
    calibration, band = _calibrate(StateHeads(rule.weights), slices)
    return ReferenceEntry(weights=rule.weights, calibration=calibration, sigma_band=band)


def _predictor(name: str, entry: ReferenceEntry, dataset: Dataset) -> CalibratedPredictor:
    heads = StateHeads(entry.weights)
    return CalibratedPredictor(
        name, "", dataset.feature_set, dataset.target, heads, entry.calibration, entry.sigma_band
    )


def _fit_models(
    slices: _Slices, spec: InputSpec, rules: Mapping[str, FittedRule], settings: TrainSettings
) -> tuple[dict[str, _Fitted], dict[str, str]]:
    """Fit the models asked for, and return them and why each other one could not be fitted."""
    fitted: dict[str, _Fitted] = {}
    if "zscore" in settings.models:
        zscore = rules["zscore"]
        notes = (zscore.unfitted,) if zscore.unfitted else ()
        fitted["zscore"] = _Fitted(
            StateHeads(zscore.weights), {WEIGHTS_FILE: pretty(zscore.weights)}, None, notes
        )
    others = [name for name in settings.models if name != "zscore"]
    reason = one_class(slices.fit.spike)
    if others and not reason:
        parts = _fit_parts(slices, spec, rules, settings, others)
        fitted.update((name, parts[name]) for name in others)
    if not fitted:
        raise NotEnoughDataError(
            f"models {', '.join(others)}",
            f"none can be fitted: the fit slice {reason}",
            "record longer, or train the zscore model too",
        )
    not_fitted = {name: f"not enough data: the fit slice {reason}" for name in others if reason}
    return fitted, not_fitted


def _fit_parts(
    slices: _Slices,
    spec: InputSpec,
    rules: Mapping[str, FittedRule],
    settings: TrainSettings,
    wanted: Sequence[str],
) -> dict[str, _Fitted]:
    """Fit the models on inputs; the blend needs both others."""
    parts: dict[str, _Fitted] = {}
    if {"logistic", "blend"} & set(wanted):
        parts["logistic"] = _fit_logistic(slices, spec, settings)
    if {"xgboost", "blend"} & set(wanted):
        parts["xgboost"] = _fit_xgboost(slices, spec, settings)
    if "blend" in wanted:
        parts["blend"] = _fit_blend(slices, spec, parts["logistic"], parts["xgboost"])
    if "online" in wanted:
        parts["online"] = _fit_online(slices, rules["log-har-logit"])
    return parts


def _fit_online(slices: _Slices, rule: FittedRule) -> _Fitted:
    weights = fit_online(slices.fit, rule.weights)
    return _Fitted(OnlineHeads(weights), {WEIGHTS_FILE: pretty(weights)}, None)


def _fit_logistic(slices: _Slices, spec: InputSpec, settings: TrainSettings) -> _Fitted:
    weights = fit_linear(slices.fit, spec, settings)
    offset = class_offset(slices.fit.spike, settings.class_weight)
    return _Fitted(LinearHeads(weights, spec), {WEIGHTS_FILE: pretty(weights)}, spec, offset=offset)


def _fit_xgboost(slices: _Slices, spec: InputSpec, settings: TrainSettings) -> _Fitted:
    evidence = evidence_of(slices.tune)
    files = fit_boosted(slices.fit, slices.tune if evidence.enough_data else None, spec, settings)
    heads = BoostedHeads(*_ensembles(files), spec)
    note = f"number of trees not chosen on tune, which has {evidence}"
    offset = class_offset(slices.fit.spike, settings.class_weight)
    return _Fitted(heads, files, spec, () if evidence.enough_data else (note,), offset)


def _fit_blend(slices: _Slices, spec: InputSpec, logistic: _Fitted, xgboost: _Fitted) -> _Fitted:
    shares = fit_blend(logistic.heads, xgboost.heads, slices.tune, logistic.offset)
    files = {**logistic.files, **xgboost.files, BLEND_FILE: pretty(shares)}
    weights = msgspec.json.decode(logistic.files[WEIGHTS_FILE], type=LinearWeights)
    heads = BlendHeads(weights, *_ensembles(xgboost.files), shares, spec)
    return _Fitted(heads, files, spec, xgboost.notes)


def _ensembles(files: Mapping[str, bytes]) -> tuple[FlatTrees, FlatTrees]:
    classifier = read_booster(files[CLASSIFIER_FILE], "xgboost classifier")
    return classifier, read_booster(files[SIGMA_FILE], "xgboost sigma")


def _evidence_notes(slices: _Slices) -> tuple[bool, tuple[str, ...]]:
    """Return whether the fit slice is too thin, and what to say about each slice that is."""
    counts = {
        "fit": evidence_of(slices.fit),
        "tune": evidence_of(slices.tune),
        "calibrate": evidence_of(slices.calibrate),
    }
    notes = tuple(f"{part}: {evidence}" for part, evidence in counts.items() if not evidence.enough_data)
    missing = float(np.mean(np.isnan(slices.fit.har_bps[:, -1])))
    lag = f"{missing:.0%} of the fit rows lack the 240 minute lag: the next shorter one stands in"
    return not counts["fit"].enough_data, (*notes, *((lag,) if missing > 0.0 else ()))


def _draft(
    dataset: Dataset,
    feature_set: FeatureSet,
    slices: _Slices,
    settings: TrainSettings,
    reference: str,
    provenance: Provenance,
    enough_data: bool,
) -> Manifest:
    """Return the manifest that all models of the run share; each fills in its own."""
    return Manifest(
        format=FORMAT,
        name="",
        version="",
        kind="",
        feature_set=feature_set.name,
        feature_set_version=feature_set.version,
        feature_set_hash=feature_set.hash,
        inputs=None,
        product=dataset.product,
        feed=dataset.feed,
        event_time_source=dataset.event_time_source,
        feed_dependent=False,
        target=dataset.target,
        increment=dataset.increment,
        tau=TauEntry(
            mode=dataset.tau.mode,
            quantile=dataset.tau.quantile,
            floor_bps=dataset.tau.floor_bps,
            fixed_bps=dataset.fixed_tau_bps,
        ),
        calibration=Calibration(),
        sigma_band=SigmaBand(),
        alert=AlertEntry(open_at=0.0, close_at=0.0, reason=""),
        training=slices.training(settings),
        enough_data=enough_data,
        notes=(),
        reference=reference,
        files=(),
        provenance=provenance,
    )


def _bundle(
    draft: Manifest,
    name: str,
    model: _Fitted,
    slices: _Slices,
    feature_set: FeatureSet,
    reference_file: bytes,
    reference: CalibratedPredictor,
    shared_notes: tuple[str, ...],
) -> Bundle:
    calibration, band = _calibrate(model.heads, slices, model.offset)
    predictor = CalibratedPredictor(name, "", draft.feature_set, draft.target, model.heads, calibration, band)
    alert = _thresholds(predictor, slices)
    notes = [*shared_notes, *model.notes, *against_reference(predictor, reference, slices.tune)]
    if not calibration.calibrated:
        notes.append(f"uncalibrated: {calibration.reason}")
    if band.part != "calibrate":
        notes.append(f"90 % band taken on {band.part}: calibrate has {len(slices.calibrate)} rows")
    notes += _alert_notes(alert, slices)
    manifest = msgspec.structs.replace(
        draft,
        name=name,
        kind=name,
        inputs=model.inputs,
        feed_dependent=model.inputs is not None and feed_dependent(feature_set, model.inputs),
        calibration=calibration,
        sigma_band=band,
        alert=alert,
        notes=tuple(notes),
        bounds=fit_bounds(model.heads.inputs(raw_rows(slices.fit, model.heads.width))),
    )
    return new_bundle(manifest, {**model.files, REFERENCE_FILE: reference_file})


def _thresholds(predictor: CalibratedPredictor, slices: _Slices) -> AlertEntry:
    rows = slices.alerts
    chosen = choose_thresholds(graded_seconds(rows), predictor.predict_batch(rows).p_spike)
    return AlertEntry(open_at=chosen.open_at, close_at=chosen.close_at, reason=chosen.reason)


def _alert_notes(alert: AlertEntry, slices: _Slices) -> list[str]:
    """Say where alert thresholds come of other rows than calibrate, or are the defaults."""
    notes = []
    if slices.alerts_part != "calibrate":
        evidence = evidence_of(slices.calibrate)
        notes.append(f"alert thresholds chosen on {slices.alerts_part}: calibrate has {evidence}")
    if alert.reason:
        notes.append(f"alert thresholds: {alert.reason}")
    return notes


def _all_notes(bundles: Mapping[str, Bundle]) -> tuple[str, ...]:
    """Return each note once, with the model's name where not all models have it."""
    notes: list[str] = []
    for name, bundle in bundles.items():
        for note in bundle.manifest.notes:
            shared = all(note in other.manifest.notes for other in bundles.values())
            text = note if shared else f"{name}: {note}"
            if text not in notes:
                notes.append(text)
    return tuple(notes)


def _libraries() -> dict[str, str]:
    installed = {d.metadata["Name"].lower(): d.version for d in metadata.distributions()}
    return {name: installed[name] for name in LIBRARIES if name in installed}
