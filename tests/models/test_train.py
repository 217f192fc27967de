from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import msgspec
import numpy as np
import pytest
from model_rows import market, of_one_class, relabelled

from volspike.errors import ConfigError, ModelError, NotEnoughDataError
from volspike.evaluation.episodes import DEFAULT_OPEN, choose_thresholds
from volspike.evaluation.ranking import average_precision
from volspike.evaluation.scores import graded_seconds, log_loss
from volspike.labels.splits import Split, chronological_split
from volspike.models.bundle import Bundle
from volspike.models.calibration import Calibration, SigmaBand
from volspike.models.choose import against_reference, choose_champion, evidence_of
from volspike.models.fit_rules import fit_rules, fit_scale
from volspike.models.manifest import Provenance
from volspike.models.predictor import CalibratedPredictor
from volspike.models.settings import KINDS, TrainSettings
from volspike.models.state import StateHeads
from volspike.models.train import train, with_scores


def identity(bundle: Bundle) -> tuple[object, dict[str, bytes]]:
    """Return all of a bundle but its provenance."""
    return msgspec.structs.replace(bundle.manifest, provenance=Provenance()), bundle.files


@pytest.mark.parametrize("name", KINDS)
def test_every_model_learns_the_spike_and_sigma(dataset, split, trained, name: str) -> None:
    test = dataset.rows(split.test)
    scored = trained.bundles[name].predictor.predict_batch(test)
    spike = test.spike == 1
    base = spike.mean()
    assert average_precision(spike, scored.p_spike) > 2.0 * base
    assert log_loss(spike, scored.p_spike) < log_loss(spike, np.full(len(test), base))
    error = np.std(np.log(test.sigma_future_bps) - np.log(scored.sigma_bps))
    assert error < 0.8 * np.std(np.log(test.sigma_future_bps))
    inside = (test.sigma_future_bps >= scored.sigma_low_bps) & (
        test.sigma_future_bps <= scored.sigma_high_bps
    )
    assert 0.75 < inside.mean() <= 1.0


@pytest.mark.parametrize("name", [*KINDS, "reference"])
def test_one_row_equals_the_batch_to_the_bit(dataset, trained, name: str) -> None:
    bundle = trained.bundles.get(name) or trained.bundles["zscore"]
    predictor = bundle.reference if name == "reference" else bundle.predictor
    holes = dataset.rows(np.arange(0, len(dataset), 101))
    features, har, z = holes.features.copy(), holes.har_bps.copy(), holes.z.copy()
    features[::3, 1] = np.nan
    har[::4, 2:] = np.nan
    z[::5] = np.nan
    holes = replace(holes, features=features, har_bps=har, z=z)
    batch = np.column_stack(predictor.predict_batch(holes))
    single = np.array(
        [predictor.predict(tuple(features[i].tolist()), holes.context(i)) for i in range(len(holes))]
    )
    np.testing.assert_array_equal(single, batch)
    assert len(np.unique(batch[:, 0])) > 10


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize(
    "broken", [{"tau_bps": np.nan}, {"tau_bps": 0.0}, {"rv_bps": np.nan}, {"mid": np.inf}]
)
def test_an_unsound_context_is_an_error_and_no_number(dataset, trained, name: str, broken: dict) -> None:
    predictor = trained.bundles[name].predictor
    values = tuple(dataset.features[0].tolist())
    with pytest.raises(ModelError, match="no finite prediction"):
        predictor.predict(values, dataset.context(0)._replace(**broken))
    column, value = next(iter(broken.items()))
    array = getattr(dataset, column).copy()
    array[7] = value
    with pytest.raises(ModelError, match=r"1 row\(s\)"):
        predictor.predict_batch(replace(dataset, **{column: array}))


def test_an_infinite_feature_gives_an_error_or_a_finite_prediction(dataset, trained) -> None:
    values = [float("inf")] * 6
    for name in KINDS:
        try:
            scored = trained.bundles[name].predictor.predict(values, dataset.context(0))
        except ModelError:
            continue
        assert np.isfinite(scored).all()
        assert 0.0 <= scored.p_spike <= 1.0


@pytest.mark.parametrize("name", ["logistic", "xgboost"])
def test_the_probability_of_reaching_tau_falls_as_tau_rises(dataset, trained, name: str) -> None:
    predictor = trained.bundles[name].predictor
    scored = [
        predictor.predict_batch(replace(dataset, tau_bps=dataset.tau_bps * factor)).p_spike
        for factor in (0.5, 0.8, 0.95, 1.0, 1.05, 1.25, 2.0)
    ]
    for lower, higher in pairwise(scored):
        assert (higher <= lower).all()
    assert (scored[0] > scored[-1]).mean() > 0.9


def test_reference_and_champion_are_chosen_on_tune(trained) -> None:
    assert trained.champion == "logistic"
    assert "simplest one to trust: tune has not enough data" in trained.champion_reason
    assert "lowest log-loss on tune" in trained.reference_reason
    assert "not enough data" in trained.reference_reason
    assert {bundle.manifest.reference for bundle in trained.bundles.values()} == {trained.reference}
    assert trained.bundles["zscore"].reference.name == trained.reference


def test_with_enough_data_the_champion_is_the_best_on_tune(trained) -> None:
    tune = market(hours=80.0, seed=5)
    assert evidence_of(tune).enough_data
    champion, reason = choose_champion(trained.bundles, tune)
    losses = {
        name: log_loss(tune.spike == 1, bundle.predictor.predict_batch(tune).p_spike)
        for name, bundle in trained.bundles.items()
    }
    assert champion == min(losses, key=losses.__getitem__)
    assert reason == f"lowest log-loss on tune, {losses[champion]:.4f} over {len(tune)} rows"


def test_a_model_that_does_not_beat_the_reference_says_so(dataset, split, trained) -> None:
    tune, zscore = dataset.rows(split.tune), trained.bundles["zscore"]
    itself = against_reference(zscore.predictor, zscore.predictor, tune)
    assert itself[0].startswith("does not beat the reference, zscore, on tune: log-loss")
    climatology = fit_rules(tune, fit_scale(tune))["climatology"]
    worse = CalibratedPredictor(
        "climatology", "", "core", "rv", StateHeads(climatology.weights), Calibration(1.0, 6.0), SigmaBand()
    )
    assert against_reference(zscore.predictor, worse, tune) == []
    assert "not compared" in against_reference(zscore.predictor, worse, tune.rows(np.zeros(0, np.int64)))[0]


def test_manifest_says_what_the_model_is(dataset, split, trained) -> None:
    manifest = trained.bundles["xgboost"].manifest
    assert (manifest.product, manifest.feed, manifest.target) == ("BTC-USD", "exchange", "rv")
    assert manifest.training.first_ns == dataset.event_ns[split.fit[0]]
    assert manifest.training.last_ns == dataset.event_ns[split.calibrate[-1]]
    assert manifest.training.fit_rows == len(split.fit)
    assert manifest.tau.fixed_bps == dataset.fixed_tau_bps
    assert manifest.feed_dependent
    assert not trained.bundles["zscore"].manifest.feed_dependent
    assert manifest.calibration.calibrated
    assert manifest.provenance.dataset_sha256 == dataset.sha256
    assert not manifest.enough_data
    assert any("not enough data" in note for note in manifest.notes)


@pytest.mark.parametrize("name", ["logistic", "xgboost"])
def test_balanced_classes_change_the_fit_and_calibration_puts_the_level_right(
    dataset, split, settings, trained, name: str
) -> None:
    balanced = train(dataset, split, replace(settings, class_weight="balanced", models=(name,)))
    bundle, plain = balanced.bundles[name], trained.bundles[name]
    assert bundle.files != plain.files
    calibrate = dataset.rows(split.calibrate)
    raised, _ = bundle.predictor.heads_batch(calibrate)
    level, _ = plain.predictor.heads_batch(calibrate)
    assert raised.mean() > level.mean() + 0.5
    p = bundle.predictor.predict_batch(calibrate).p_spike
    assert p.mean() == pytest.approx(plain.predictor.predict_batch(calibrate).p_spike.mean(), abs=0.03)


def test_invariant_09_labels_of_calibrate_and_test_change_no_fitted_weight(
    dataset, split, settings, trained
) -> None:
    later = np.concatenate((split.calibrate, split.test))
    again = train(relabelled(dataset, later), split, settings)
    assert not np.array_equal(relabelled(dataset, later).spike, dataset.spike)
    for name, bundle in trained.bundles.items():
        weights = {k: v for k, v in bundle.files.items() if k != "reference.json"}
        assert weights == {k: v for k, v in again.bundles[name].files.items() if k != "reference.json"}
        assert bundle.manifest.calibration != again.bundles[name].manifest.calibration


def test_invariant_09_nothing_of_the_test_slice_reaches_a_bundle(dataset, split, settings, trained) -> None:
    noise = np.random.default_rng(0)
    changed = relabelled(dataset, split.test)
    for column in ("features", "rv_bps", "har_bps", "z", "tau_bps", "mid"):
        array = getattr(changed, column).copy()
        array[split.test] *= noise.uniform(0.5, 2.0, array[split.test].shape)
        changed = replace(changed, **{column: array})
    again = train(changed, split, settings)
    assert again.champion == trained.champion
    assert again.reference == trained.reference
    for name, bundle in trained.bundles.items():
        assert identity(again.bundles[name]) == identity(bundle)


def test_invariant_09_what_changes_fit_changes_the_version(dataset, split, settings, trained) -> None:
    again = train(relabelled(dataset, split.fit), split, replace(settings, models=("zscore",)))
    assert again.bundles["zscore"].manifest.version != trained.bundles["zscore"].manifest.version


def test_invariant_10_same_data_and_seed_give_the_same_bytes(dataset, split, settings, trained) -> None:
    again = train(dataset, split, settings)
    for name, bundle in trained.bundles.items():
        assert again.bundles[name].files == bundle.files
        assert msgspec.json.encode(again.bundles[name].manifest) == msgspec.json.encode(bundle.manifest)
    other = train(dataset, split, replace(settings, seed=1, models=("xgboost",)))
    assert other.bundles["xgboost"].files != trained.bundles["xgboost"].files


def test_scores_in_the_provenance_leave_the_version(trained, dataset, split) -> None:
    known, scores = trained.bundles["zscore"], {"test": {"pr_auc": 0.3, "lift": None}}
    test = dataset.rows(split.test)
    bundle = with_scores(known, scores, test)
    assert bundle.manifest.version == known.manifest.version
    ends = {"first_ns": int(test.event_ns[0]), "last_ns": int(test.event_ns[-1])}
    assert bundle.manifest.provenance.scores == {"test": scores["test"] | ends}
    assert with_scores(known, scores, test.rows(np.arange(0))).manifest.provenance.scores == scores


def test_one_class_fit_labels_leave_the_rule_and_say_what_is_missing(dataset, split, settings) -> None:
    result = train(of_one_class(dataset, split.fit), split, settings)
    assert set(result.bundles) == {"zscore"}
    assert set(result.not_fitted) == {"logistic", "xgboost", "blend"}
    assert all("not enough data: the fit slice has no spike" in why for why in result.not_fitted.values())
    assert result.champion == "zscore"
    assert any("slope 1" in note for note in result.notes)
    with pytest.raises(NotEnoughDataError, match="none can be fitted"):
        train(of_one_class(dataset, split.fit), split, replace(settings, models=("xgboost",)))


def test_one_class_tune_and_calibrate_slices_are_said(dataset, split, settings) -> None:
    quiet = of_one_class(dataset, np.concatenate((split.tune, split.calibrate)))
    result = train(quiet, split, settings)
    assert result.champion == "logistic"
    assert "tune has not enough data (0 clusters" in result.champion_reason
    assert result.reference == "log-har-logit"
    for bundle in result.bundles.values():
        assert not bundle.manifest.calibration.calibrated
        assert any(note.startswith("uncalibrated: the calibrate slice") for note in bundle.manifest.notes)
        # There is no onset in tune and calibrate, so thresholds are chosen on fit as well, and that is said.
        assert not bundle.manifest.alert.reason
        assert any(
            note.startswith(
                "alert thresholds chosen on the end of fit, tune, calibrate: calibrate has not enough"
            )
            for note in bundle.manifest.notes
        )
    assert any("number of trees not chosen on tune" in note for note in result.notes)


def test_a_few_minutes_still_make_models_that_predict(settings) -> None:
    thin = market(hours=0.25, seed=12)
    split = chronological_split(thin)
    assert not len(split.calibrate)
    result = train(thin, split, settings)
    assert "zscore" in result.bundles
    for bundle in result.bundles.values():
        assert np.isfinite(bundle.predictor.predict_batch(thin).sigma_bps).all()
        assert not bundle.manifest.enough_data
        assert bundle.manifest.sigma_band.part == "fit, tune, calibrate"
    assert any("90 % band taken on fit" in note for note in result.notes)


def test_no_labelled_row_is_not_enough_data(dataset, settings) -> None:
    empty = np.zeros(0, np.int64)
    with pytest.raises(NotEnoughDataError, match="no labelled second"):
        train(dataset, Split(empty, empty, empty, np.arange(10)), settings)


@pytest.mark.parametrize(
    "wrong",
    [
        {"models": ("forest",)},
        {"models": ()},
        {"class_weight": "some"},
        {"depth": 0},
        {"depth": 13},
        {"rounds": 0},
        {"learning_rate": 0.0},
        {"l2": 0.0},
    ],
)
def test_settings_out_of_range_are_refused(wrong: dict) -> None:
    with pytest.raises(ConfigError):
        TrainSettings(**wrong)


def test_invariant_09_alert_thresholds_are_of_calibrate_and_as_much_before_it_as_is_enough(
    dataset, split, trained
) -> None:
    # Ten hours have not enough data in all three slices together.
    known = dataset.rows(np.concatenate((split.fit, split.tune, split.calibrate)))
    for bundle in trained.bundles.values():
        p_spike = bundle.predictor.predict_batch(known).p_spike
        chosen = choose_thresholds(graded_seconds(known), p_spike)
        alert = bundle.manifest.alert
        assert (alert.open_at, alert.close_at, alert.reason) == (
            chosen.open_at,
            chosen.close_at,
            chosen.reason,
        )
    assert any(bundle.manifest.alert.open_at != DEFAULT_OPEN for bundle in trained.bundles.values())
