"""The online model: it begins as fitted, learns what changes, and resumes to the bit."""

from __future__ import annotations

import json
import math
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from model_rows import of_one_class, relabelled

from online_models import RULE, online_model, online_weights, random_rows
from volspike.errors import ModelError, NotEnoughDataError
from volspike.labels.dataset import Dataset
from volspike.models.bundle import Bundle, load_bundle, new_bundle
from volspike.models.learner import Learner
from volspike.models.online import LEAST_PRIOR_WINDOWS, MOST_WINDOWS, OnlinePredictor
from volspike.models.settings import KINDS, TrainSettings
from volspike.models.shelf import save_bundle
from volspike.models.train import train

ONLINE = TrainSettings(models=("online",))


@pytest.fixture(scope="module")
def bundle(dataset, split) -> Bundle:
    return train(dataset, split, ONLINE).bundles["online"]


def teach(model: Learner, rows: Dataset) -> None:
    for i in np.flatnonzero(rows.spike >= 0).tolist():
        model.learn(rows.context(i), float(rows.sigma_future_bps[i]), float(rows.tau_bps[i]))


def state_of(model: Learner) -> str:
    return json.dumps(model.export_state())


def test_default_trainings_make_no_online_model(trained) -> None:
    assert "online" not in KINDS
    assert "online" not in trained.bundles


def test_it_begins_as_the_log_har_of_the_fit_slice(dataset, trained, bundle) -> None:
    rule = trained.references["log-har-logit"]
    ours, theirs = (model.predict_batch(dataset) for model in (bundle.predictor, rule))
    for one, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12)


def test_a_row_learned_from_at_the_start_barely_moves_it(dataset, bundle) -> None:
    """The table of weights is written anew by the first row: with the calibration and the shift taken off."""
    fresh = new_bundle(bundle.manifest, bundle.files).predictor
    before = fresh.predict_batch(dataset)
    fresh.learn(dataset.context(0), float(dataset.sigma_future_bps[0]), float(dataset.tau_bps[0]))
    after = fresh.predict_batch(dataset)
    assert not np.array_equal(before.sigma_bps, after.sigma_bps)
    np.testing.assert_allclose(before.sigma_bps, after.sigma_bps, rtol=1e-3)
    np.testing.assert_allclose(before.p_spike, after.p_spike, atol=1e-3)


def test_a_saved_bundle_is_a_learner_that_has_learned_nothing(dataset, bundle, tmp_path: Path) -> None:
    teach(fresh := new_bundle(bundle.manifest, bundle.files).predictor, dataset.rows(np.arange(500)))
    loaded = load_bundle(save_bundle(bundle, tmp_path)).predictor
    assert isinstance(loaded, Learner)
    assert loaded.export_state()["learned"] == 0
    np.testing.assert_array_equal(loaded.predict_batch(dataset), bundle.predictor.predict_batch(dataset))
    assert not np.array_equal(loaded.predict_batch(dataset), fresh.predict_batch(dataset))


def test_one_row_equals_the_batch_to_the_bit_also_while_it_learns() -> None:
    model, rows = online_model(), random_rows(1, 400)
    for part in np.split(np.arange(400), 4):
        some = rows.rows(part)
        batch = np.array(model.predict_batch(some))
        single = np.array([model.predict((), some.context(i)) for i in range(len(some))]).T
        np.testing.assert_array_equal(batch, single)
        teach(model, some)


def test_it_learns_a_level_that_the_fit_slice_had_not() -> None:
    """Volatility comes to lie at e times what the state says; frozen, QLIKE and log-loss stay bad."""
    rows, frozen = random_rows(5, 6_000, level=1.0), online_model()
    model = online_model(memory_windows=2_000.0)
    teach(model, rows.rows(np.arange(5_000)))
    last = rows.rows(np.arange(5_000, 6_000))
    last = last.rows(last.spike >= 0)
    before, after = frozen.predict_batch(last), model.predict_batch(last)
    ratio = [float(np.mean((last.sigma_future_bps / said.sigma_bps) ** 2)) for said in (before, after)]
    assert ratio[0] > 4.0
    assert 0.85 < ratio[1] < 1.2
    rate = float(np.mean(last.spike))
    assert abs(float(np.mean(after.p_spike)) - rate) < 0.05 < rate - float(np.mean(before.p_spike))


def test_recalibration_follows_the_rate_of_spikes_faster_than_the_heads() -> None:
    slow = online_model(memory_windows=1e6, prior_windows=1e6)
    rows = random_rows(6, 300, level=1.5)
    before = float(np.mean(slow.predict_batch(rows).p_spike))
    teach(slow, rows)
    state = slow.export_state()
    assert np.abs(np.array(state["heads"]) - np.array(online_model().export_state()["heads"])).max() < 0.02
    assert state["line"][1] > 0.5
    assert float(np.mean(slow.predict_batch(rows).p_spike)) > before + 0.1
    calm = random_rows(7, 2_000)
    teach(slow, calm)
    assert abs(slow.export_state()["line"][1]) < abs(state["line"][1])


def test_sixty_rows_a_second_apart_count_as_one_window() -> None:
    rows = random_rows(8, 200, holes=0.0)
    by_minute, by_second = online_model(), online_model(rows_a_window=60.0)
    teach(by_minute, rows)
    teach(by_second, rows.rows(np.repeat(np.arange(200), 60)))
    minute, second = by_minute.export_state(), by_second.export_state()
    assert second["learned"] == 60 * minute["learned"]
    moved = np.array(minute["heads"]) - np.array(online_model().export_state()["heads"])
    assert np.abs(moved).max() > 0.05
    np.testing.assert_allclose(second["heads"], minute["heads"], atol=0.05 * np.abs(moved).max())
    np.testing.assert_allclose(second["precision"], minute["precision"], rtol=0.02, atol=0.5)


@given(st.integers(0, 2**32 - 1), st.integers(0, 120))
@settings(max_examples=25, deadline=None)
def test_killed_and_resumed_it_equals_the_undisturbed_to_the_bit(seed: int, cut: int) -> None:
    rows = random_rows(seed, 120)
    whole, first, resumed = online_model(), online_model(), online_model()
    teach(whole, rows)
    teach(first, rows.rows(np.arange(cut)))
    resumed.import_state(json.loads(state_of(first)))
    np.testing.assert_array_equal(resumed.predict_batch(rows), first.predict_batch(rows))
    teach(resumed, rows.rows(np.arange(cut, 120)))
    assert state_of(resumed) == state_of(whole)
    np.testing.assert_array_equal(resumed.predict_batch(rows), whole.predict_batch(rows))


def test_invariant_10_the_same_labels_give_the_same_bytes() -> None:
    states = []
    for _ in range(2):
        model = online_model()
        teach(model, random_rows(3, 300))
        states.append(state_of(model))
    assert states[0] == states[1]


def broken_states() -> dict[str, dict]:
    model = online_model()
    teach(model, random_rows(2, 50))
    good = model.export_state()
    askew = json.loads(json.dumps(good))
    askew["precision"][0][0][1] += 1.0
    negative = json.loads(json.dumps(good))
    negative["line_precision"] = [[1.0, 2.0], [2.0, 1.0]]
    return {
        "of another model": good | {"version": "b"},
        "without heads": {name: value for name, value in good.items() if name != "heads"},
        "of another shape": good | {"line": [1.0, 0.0, 0.0]},
        "not finite": good | {"heads": [[math.nan] * 6, [0.0] * 6]},
        "absurd": good | {"heads": [[1e300] * 6, [0.0] * 6]},
        "words": good | {"heads": "all of them"},
        "no count": good | {"learned": None},
        "not symmetric": askew,
        "not positive": negative,
    }


@pytest.mark.parametrize("name", list(broken_states()))
def test_a_state_that_is_not_sound_is_refused_and_changes_nothing(name: str) -> None:
    model = online_model()
    teach(model, random_rows(9, 30))
    before = state_of(model)
    with pytest.raises(ModelError, match="learned") as caught:
        model.import_state(broken_states()[name])
    assert "\n" not in str(caught.value)
    assert state_of(model) == before


def test_labels_and_contexts_that_are_not_sound_are_counted_and_never_enter_the_state() -> None:
    model, rows = online_model(), random_rows(4, 10)
    context = rows.context(0)
    before = model.export_state()
    wrong = [(context, sigma, 5.0) for sigma in (math.nan, math.inf, -1.0)]
    wrong += [(context, 3.0, tau) for tau in (math.nan, math.inf, 0.0)]
    for changed in ({"rv_bps": math.nan}, {"tau_bps": math.nan}, {"mid": 0.0}, {"rv_bps": math.inf}):
        wrong.append((context._replace(**changed), 3.0, 5.0))
    wrong.append((context._replace(har_bps=(math.inf,) * 4), 3.0, 5.0))
    for row in wrong:
        model.learn(*row)
    assert model.export_state() == before | {"skipped": len(wrong)}
    model.learn(context._replace(har_bps=(math.nan,) * 4, z=math.nan), 0.0, 5.0)  # those may be missing
    assert model.learned == 1
    assert all(math.isfinite(value) for value in model.predict((), context))


@given(
    st.lists(
        st.tuples(st.floats(0.0, 1e9), st.floats(1e-9, 1e9), st.floats(0.0, 1e9), st.floats(1e-6, 1e9)),
        min_size=1,
        max_size=60,
    )
)
@settings(max_examples=40, deadline=None)
def test_whatever_it_learned_it_predicts_and_exports_finite_numbers(rows) -> None:
    model, context = online_model(), random_rows(4, 1, holes=0.0).context(0)
    for rv, tau, sigma, mid in rows:
        model.learn(context._replace(rv_bps=rv, tau_bps=tau, har_bps=(rv,) * 4, mid=mid), sigma, tau)
    state = model.export_state()
    assert np.isfinite(np.concatenate([np.ravel(state[name]) for name in state if name != "version"])).all()
    said = model.predict((), context)
    assert 0.0 <= said.p_spike <= 1.0
    assert all(math.isfinite(value) for value in said)
    online_model().import_state(json.loads(json.dumps(state)))


@pytest.mark.parametrize("memory_windows", [500.0, MOST_WINDOWS])
def test_with_the_least_prior_it_still_predicts_after_wild_rows(memory_windows: float) -> None:
    model = online_model(prior_windows=LEAST_PRIOR_WINDOWS, memory_windows=memory_windows)
    rng, rows = np.random.default_rng(1), random_rows(5, 200, holes=0.0)
    extremes = [5e-324, 1e-300, 1e-5, 1.0, 1e5, 1e300, 1.7e308]
    for rv, tau, sigma, *har in rng.choice(extremes, (2_000, 7)).tolist():
        context = rows.context(0)._replace(rv_bps=rv, tau_bps=tau, har_bps=tuple(har))
        model.learn(context, sigma, tau)
    assert model.learned > 1_000
    for row in range(len(rows)):
        said = model.predict((), rows.context(row))
        assert 0.0 <= said.p_spike <= 1.0
        assert all(math.isfinite(value) for value in said)


@pytest.mark.parametrize(
    "changed",
    [
        {"std": (0.0, 1.0, 1.0, 1.0, 1.0)},
        {"mean": (1.0,)},
        {"mean": (1e9, 1.0, 1.0, 1.0, 1.0)},
        {"margin_information": (1.0,) * 20},
        {"sigma_information": (-1.0,) * 21},
        {"memory_windows": 0.0},
        {"prior_windows": 1e9},
        {"prior_windows": 99.0},
        {"rows_a_window": -1.0},
        {"least": 1e5},
        {"rule": msgspec.structs.replace(RULE, margin=(0.0, 1e6, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0))},
        {"rule": msgspec.structs.replace(RULE, sigma=(0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0))},
    ],
)
def test_invariant_08_absurd_weights_are_refused(bundle, changed: dict) -> None:
    document = json.loads(msgspec.json.encode(online_weights()))
    document |= json.loads(json.dumps(msgspec.to_builtins(changed)))
    files = {**bundle.files, "weights.json": json.dumps(document).encode()}
    with pytest.raises(ModelError, match=r"malformed|weights don't fit"):
        new_bundle(bundle.manifest, files)
    files["weights.json"] = msgspec.json.encode(online_weights())
    assert isinstance(new_bundle(bundle.manifest, files).predictor, OnlinePredictor)


@pytest.mark.parametrize("number", ["null", "NaN", "Infinity", "1e999"])
def test_invariant_08_a_weight_that_is_no_finite_number_is_refused(bundle, number: str) -> None:
    document = json.loads(bundle.files["weights.json"])
    document["least"] = "HERE"
    content = json.dumps(document).replace('"HERE"', number).encode()
    with pytest.raises(ModelError, match="malformed"):
        new_bundle(bundle.manifest, {**bundle.files, "weights.json": content})


def test_invariant_09_labels_behind_fit_change_no_weight_it_starts_from(dataset, split, bundle) -> None:
    later = relabelled(dataset, np.concatenate((split.tune, split.calibrate, split.test)))
    assert train(later, split, ONLINE).bundles["online"].files["weights.json"] == bundle.files["weights.json"]
    changed = train(relabelled(dataset, split.fit), split, ONLINE).bundles["online"]
    assert changed.files["weights.json"] != bundle.files["weights.json"]


def test_labels_of_one_class_start_no_online_model(dataset, split) -> None:
    calm = of_one_class(dataset, split.fit)
    with pytest.raises(NotEnoughDataError, match="no spike"):
        train(calm, split, ONLINE)
    result = train(calm, split, TrainSettings(models=("zscore", "online")))
    assert list(result.bundles) == ["zscore"]
    assert "no spike" in result.not_fitted["online"]
