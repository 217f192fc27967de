"""The blend: what each head counts for on thick, thin and missing tune data, and how it goes with tau."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import pairwise

import msgspec
import numpy as np
import pytest
import xgboost
from model_rows import market, of_one_class

from volspike.errors import ModelError
from volspike.features.sets import get_feature_set
from volspike.labels.dataset import Dataset
from volspike.models.blend import BlendHeads, BlendShares
from volspike.models.bundle import new_bundle, read_booster
from volspike.models.calibration import Calibration, SigmaBand
from volspike.models.fit_blend import EQUAL, LOGISTIC_STD, TYPICAL_SPREAD, fit_blend
from volspike.models.inputs import InputSpec, input_spec, raw_rows
from volspike.models.linear import LinearHeads, LinearWeights
from volspike.models.predictor import CalibratedPredictor
from volspike.models.train import train

SHARES = ("linear", "boosted", "linear_sigma", "boosted_sigma")
WIDE = 1e6


@pytest.fixture(scope="module")
def later() -> Dataset:
    """Return sixty hours that no head was fitted on."""
    return market(hours=60.0, seed=11)


@pytest.fixture(scope="module")
def spec(trained) -> InputSpec:
    return trained.bundles["blend"].manifest.inputs


@pytest.fixture(scope="module")
def good(trained, spec) -> LinearHeads:
    weights = msgspec.json.decode(trained.bundles["logistic"].files["weights.json"], type=LinearWeights)
    return LinearHeads(weights, spec)


def linear(
    spec: InputSpec, margin: dict[str, float], sigma: dict[str, float], level: float = 0.0
) -> LinearHeads:
    """Return linear heads with these weights alone, the log-odds raised by ``level``."""
    none = (0.0,) * len(spec.names)
    return LinearHeads(
        LinearWeights(
            margin=tuple(margin.get(name, 0.0) for name in spec.names),
            sigma=tuple(sigma.get(name, 0.0) for name in spec.names),
            margin_intercept=level,
            sigma_intercept=0.0,
            missing=none,
            low=(-WIDE,) * len(none),
            high=(WIDE,) * len(none),
        ),
        spec,
    )


@pytest.fixture(scope="module")
def useless(spec) -> LinearHeads:
    """Return heads that say noise: the mean return has nothing to do with volatility here."""
    noise = {"asinh_midprice_return_mean": 1.0}
    return linear(spec, noise, noise)


def shares_of(shares: BlendShares) -> list[float]:
    return [getattr(shares, name) for name in SHARES]


def test_a_useless_head_gets_little(good, useless, later) -> None:
    first, second = fit_blend(good, useless, later), fit_blend(useless, good, later)
    assert first.boosted < 0.05
    assert first.linear > 0.3
    assert first.log_sigma_linear > 0.8
    assert second.linear < 0.05
    assert second.boosted > 0.3
    assert second.log_sigma_linear < 0.2


def test_no_head_counts_for_less_than_nothing(good, spec, later) -> None:
    backwards = linear(spec, {"log_rv_over_tau": -3.0}, {"log_rv_60s": -1.0}, 1.0)
    shares = fit_blend(backwards, good, later)
    assert min(shares_of(shares)) >= 0.0
    assert shares.linear == 0.0
    assert 0.0 <= shares.log_sigma_linear < 0.2


def test_the_two_sides_are_treated_alike(good, useless, later) -> None:
    some = later.rows(np.arange(0, len(later), 7))
    one, other = fit_blend(good, useless, some), fit_blend(useless, good, some)
    assert one.linear == pytest.approx(other.boosted, abs=2e-3)
    assert one.linear_sigma == pytest.approx(other.boosted_sigma, abs=2e-2)
    assert one.log_sigma_linear == pytest.approx(1.0 - other.log_sigma_linear, abs=1e-9)


def test_the_thinner_tune_is_the_nearer_the_shares_are_to_equal(good, useless, later) -> None:
    spikes = np.flatnonzero(later.spike == 1)
    apart = []
    for minutes in (2, 30, 600, 3600):
        start = max(int(spikes[0]) - minutes * 30, 0)
        part = later.rows(np.arange(start, min(start + minutes * 60, len(later))))
        shares = fit_blend(good, useless, part)
        apart.append((abs(shares.boosted - EQUAL), abs(shares.log_sigma_linear - 0.5)))
    assert apart == sorted(apart)
    assert max(apart[0]) < 0.05
    assert min(apart[-1]) > 0.2


def test_without_tune_all_count_alike(good, useless, later) -> None:
    shares = fit_blend(good, useless, later.rows(np.zeros(0, np.int64)))
    sigma = EQUAL * LOGISTIC_STD / TYPICAL_SPREAD
    assert shares == BlendShares(0.0, EQUAL, EQUAL, sigma, sigma, 0.5)
    part = np.arange(3600)
    calm = fit_blend(good, useless, of_one_class(later, part).rows(part))
    assert (calm.intercept, calm.linear, calm.boosted) == (0.0, EQUAL, EQUAL)
    assert calm.linear_sigma == calm.boosted_sigma
    assert calm.log_sigma_linear > 0.5


def test_class_weights_are_undone_once(spec, later) -> None:
    raised = linear(spec, {"log_rv_over_tau": 2.0}, {"log_rv_60s": 1.0}, 3.0)
    plain = linear(spec, {"log_rv_over_tau": 2.0}, {"log_rv_60s": 1.0}, 0.0)
    one, other = fit_blend(plain, plain, later), fit_blend(raised, raised, later, offset=-3.0)
    assert shares_of(other) == pytest.approx(shares_of(one), abs=1e-6)
    assert other.intercept == pytest.approx(one.intercept - 3.0 * (one.linear + one.boosted), abs=1e-6)
    empty = fit_blend(raised, raised, later.rows(np.zeros(0, np.int64)), offset=-3.0)
    assert empty.intercept == pytest.approx(-1.5)


def test_balanced_classes_leave_the_level_of_the_blend(dataset, split, settings, trained) -> None:
    how = replace(settings, class_weight="balanced", models=("blend",))
    balanced = train(dataset, split, how).bundles["blend"].predictor
    plain = trained.bundles["blend"].predictor
    test = dataset.rows(split.test)
    usual = plain.predict_batch(test).p_spike.mean()
    assert balanced.predict_batch(test).p_spike.mean() == pytest.approx(usual, rel=0.15)
    margins = balanced.heads_batch(test)[0], plain.heads_batch(test)[0]
    assert margins[0].mean() == pytest.approx(margins[1].mean(), abs=0.3)


def parts(trained):
    bundle = trained.bundles["blend"]
    weights = msgspec.json.decode(bundle.files["weights.json"], type=LinearWeights)
    trees = [read_booster(bundle.files[f"{name}.ubj"], name) for name in ("classifier", "sigma")]
    shares = msgspec.json.decode(bundle.files["blend.json"], type=BlendShares)
    return weights, trees, shares, bundle.manifest.inputs


def test_the_margin_is_the_weighted_sum_of_its_parts(dataset, trained) -> None:
    _, _, shares, spec = parts(trained)
    rows = dataset.rows(np.arange(0, len(dataset), 37))
    log_tau = np.log(rows.tau_bps)
    blend, logistic, xgboost = (
        trained.bundles[name].predictor.heads_batch(rows) for name in ("blend", "logistic", "xgboost")
    )
    margin = shares.intercept + shares.linear * logistic[0] + shares.boosted * xgboost[0]
    margin += shares.linear_sigma * (logistic[1] - log_tau) + shares.boosted_sigma * (xgboost[1] - log_tau)
    np.testing.assert_allclose(blend[0], margin, rtol=1e-12)
    share = shares.log_sigma_linear
    np.testing.assert_allclose(blend[1], share * logistic[1] + (1.0 - share) * xgboost[1], rtol=1e-12)
    assert raw_rows(rows, spec.width).shape == (len(rows), spec.width + 8)


def test_where_no_head_takes_tau_for_a_level_the_spike_is_likelier_the_lower_tau_is(dataset, trained) -> None:
    """Sigma over tau rises as tau falls; a head that has learned tau itself as an input may say otherwise."""
    weights, (classifier, sigma), shares, spec = parts(trained)
    reads_tau = [i for i, name in enumerate(spec.names) if name.endswith("tau")]
    assert len(reads_tau) == 5
    free = {
        field: tuple(0.0 if i in reads_tau else w for i, w in enumerate(getattr(weights, field)))
        for field in ("margin", "sigma")
    }
    still = replace(sigma, feature=sigma.feature[:0], threshold=sigma.threshold[:0], leaf=sigma.leaf[:0])
    none = replace(classifier, feature=still.feature, threshold=still.threshold, leaf=still.leaf)
    heads = BlendHeads(msgspec.structs.replace(weights, **free), none, still, shares, spec)
    predictor = CalibratedPredictor("m", "1", "core", "rv", heads, Calibration(), SigmaBand())
    rows = dataset.rows(np.arange(0, len(dataset), 61))
    found = [
        predictor.predict_batch(replace(rows, tau_bps=rows.tau_bps * factor))
        for factor in (2.0, 1.0, 0.99, 0.5)
    ]
    for higher, lower in pairwise(found):
        assert (lower.p_spike > higher.p_spike).all()
        assert lower.sigma_bps.tobytes() == higher.sigma_bps.tobytes()


def test_one_row_equals_the_batch_to_the_bit_over_any_set(later) -> None:
    spec = input_spec(get_feature_set("core-sized"), 0.01, har=True)
    rng = np.random.default_rng(3)
    size = len(spec.names)
    weights = LinearWeights(
        *(tuple(rng.normal(size=size).tolist()) for _ in range(2)),
        0.1,
        0.2,
        *(tuple(each.tolist()) for each in (rng.normal(size=size), np.full(size, -0.5), np.full(size, 0.5))),
    )
    x = rng.normal(size=(500, size))
    x[rng.random(x.shape) < 0.2] = np.nan
    fitted = [
        xgboost.train(
            {"objective": objective, "max_depth": 5, "nthread": 1},
            xgboost.DMatrix(x, label=label),
            9,
        )
        for objective, label in (
            ("binary:logistic", rng.integers(0, 2, 500)),
            ("reg:gamma", rng.exponential(1.0, 500)),
        )
    ]
    trees = [read_booster(bytes(booster.save_raw("ubj")), "trees") for booster in fitted]
    heads = BlendHeads(weights, *trees, BlendShares(0.3, 0.2, 0.4, 1.1, 0.9, 0.35), spec)
    predictor = CalibratedPredictor("m", "1", "core-sized", "rv", heads, Calibration(), SigmaBand())
    features = rng.uniform(0.1, 2.0, (60, 7))
    features[rng.random(features.shape) < 0.1] = np.nan
    wide = replace(later.rows(np.arange(60)), features=features)
    served = [predictor.predict(wide.features[i].tolist(), wide.context(i)) for i in range(60)]
    assert np.array(served).tobytes() == np.column_stack(predictor.predict_batch(wide)).tobytes()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"linear": -0.1}, "less than nothing"),
        ({"boosted_sigma": -1e-9}, "less than nothing"),
        ({"log_sigma_linear": 1.5}, "a share of 1.5"),
        ({"log_sigma_linear": -0.5}, "a share of"),
        ({"intercept": None}, "malformed"),
        ({"type": "linear"}, "malformed"),
        ({"surprise": 1.0}, "malformed"),
    ],
)
def test_invariant_08_shares_that_can_not_be_are_refused_even_with_a_right_hash(
    trained, change: dict, words: str
) -> None:
    bundle = trained.bundles["blend"]
    document = {**json.loads(bundle.files["blend.json"]), **change}
    with pytest.raises(ModelError, match=words) as caught:
        new_bundle(bundle.manifest, {**bundle.files, "blend.json": json.dumps(document).encode()})
    assert "\n" not in str(caught.value)


def test_invariant_08_parts_over_other_inputs_are_refused(trained) -> None:
    bundle = trained.bundles["blend"]
    weights = json.loads(bundle.files["weights.json"])
    for field in ("margin", "sigma", "missing", "low", "high"):
        weights[field] = weights[field][:-1]
    with pytest.raises(ModelError, match="not all over 10 inputs"):
        new_bundle(bundle.manifest, {**bundle.files, "weights.json": json.dumps(weights).encode()})
