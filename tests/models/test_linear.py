"""The bounds of the linear model: what lies beyond counts as the bound, served and in a batch alike."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import numpy as np
import pytest

from volspike.features.sets import get_feature_set
from volspike.models.estimators import fit_logit
from volspike.models.fit_models import BOUND_STD, TAU_SIGNS, fit_linear, matrix
from volspike.models.inputs import input_spec, raw_rows
from volspike.models.linear import LinearHeads, LinearWeights
from volspike.models.rows import labelled


@pytest.fixture(scope="module")
def weights(trained) -> LinearWeights:
    return msgspec.json.decode(trained.bundles["logistic"].files["weights.json"], type=LinearWeights)


def test_the_heads_are_a_dot_product_of_the_bounded_inputs(dataset, trained, weights) -> None:
    spec = trained.bundles["logistic"].manifest.inputs
    rows = dataset.rows(np.arange(0, len(dataset), 29))
    features = rows.features.copy()
    features[::2, 3] *= 1e6
    features[1::3, 1] *= 1e-9
    features[::5, 1] = np.nan
    rows = replace(rows, features=features)
    x = matrix(rows, spec)
    x = np.where(np.isnan(x), weights.missing, x)
    bounded = np.clip(x, weights.low, weights.high)
    assert (bounded != x).any(axis=1).mean() > 0.5
    margin, log_sigma = trained.bundles["logistic"].predictor.heads_batch(rows)
    np.testing.assert_allclose(margin, bounded @ weights.margin + weights.margin_intercept, rtol=1e-9)
    np.testing.assert_allclose(log_sigma, bounded @ weights.sigma + weights.sigma_intercept, rtol=1e-9)


@pytest.mark.parametrize("side", ["low", "high"])
def test_an_input_beyond_its_bound_counts_as_the_bound(dataset, trained, weights, side: str) -> None:
    predictor = trained.bundles["logistic"].predictor
    place = trained.bundles["logistic"].manifest.inputs.names.index("log_trade_intensity")
    at_bound, context = dataset.features[50].copy(), dataset.context(50)
    at_bound[3] = np.exp(getattr(weights, side)[place])
    far, further = at_bound.copy(), at_bound.copy()
    factor = 1e-3 if side == "low" else 1e3
    far[3] *= factor
    further[3] *= factor**2
    served = [predictor.predict(tuple(each.tolist()), context) for each in (at_bound, far, further)]
    assert served[1][:4] == served[2][:4]
    assert tuple(served[0][:4]) == pytest.approx(tuple(served[1][:4]), rel=1e-12)
    rows = replace(dataset.rows([50, 50]), features=np.array([far, further]))
    batch = np.column_stack(predictor.predict_batch(rows))
    assert batch[0].tolist() == batch[1].tolist() == list(served[1])
    inside = at_bound.copy()
    inside[3] /= factor**0.1
    assert predictor.predict(tuple(inside.tolist()), context).p_spike != served[0].p_spike


def test_bounds_are_four_deviations_of_the_fit_slice_and_the_fit_sees_them_too(
    dataset, split, settings, trained, weights
) -> None:
    spec = trained.bundles["logistic"].manifest.inputs
    fit = labelled(dataset, split.fit)
    x = matrix(fit, spec)
    np.testing.assert_allclose(weights.missing, x.mean(axis=0), rtol=1e-9)
    np.testing.assert_allclose(weights.high, x.mean(axis=0) + BOUND_STD * x.std(axis=0), rtol=1e-9)
    np.testing.assert_allclose(weights.low, x.mean(axis=0) - BOUND_STD * x.std(axis=0), rtol=1e-9)
    # One row far out moves mean and deviation a little, but it is fitted at its bound, not where it lies.
    wild = fit.features.copy()
    wild[100, 3] *= 1e8
    again = fit_linear(replace(fit, features=wild), spec, settings)
    place = spec.names.index("log_trade_intensity")
    assert again.margin[place] == pytest.approx(weights.margin[place], rel=0.2)


def test_an_input_that_never_moved_has_a_finite_weight(dataset, split, settings, trained) -> None:
    spec = trained.bundles["logistic"].manifest.inputs
    fit = labelled(dataset, split.fit)
    features = fit.features.copy()
    features[:, 1] = np.nan
    features[:, 3] = 5.0
    found = fit_linear(replace(fit, features=features), spec, settings)
    place = spec.names.index("log_trade_intensity")
    assert found.margin[1] == pytest.approx(0.0, abs=1e-9)
    assert found.margin[place] == pytest.approx(0.0, abs=1e-9)
    heads = LinearHeads(found, spec)
    margin, log_sigma = heads.rows(raw_rows(dataset, spec.width))
    assert np.isfinite(margin).all()
    assert np.isfinite(log_sigma).all()


def test_the_probability_never_rises_with_tau_within_the_bounds_or_beyond(dataset, split, settings) -> None:
    """Spikes follow tau itself in these labels, so free weights would let p rise with the threshold."""
    likelier = dataset.tau_bps > np.quantile(dataset.tau_bps, 0.7)
    noise = np.random.default_rng(2).random(len(dataset)) < 0.1
    odd = replace(dataset, spike=(likelier ^ noise).astype(np.int8))
    spec = input_spec(get_feature_set("core"), odd.increment, har=True)
    fit = labelled(odd, split.fit)
    names = spec.names
    free, _ = fit_logit(matrix(fit, spec), fit.spike)
    assert free[names.index("log_tau")] > 0.0
    weights = fit_linear(fit, spec, settings)
    assert all(sign * weights.margin[names.index(name)] >= 0.0 for name, sign in TAU_SIGNS.items())
    heads, before = LinearHeads(weights, spec), None
    for factor in np.exp(np.linspace(-4.0, 4.0, 41)):
        margin, _ = heads.rows(raw_rows(replace(odd, tau_bps=odd.tau_bps * factor), spec.width))
        assert before is None or (margin <= before + 1e-9).all()
        before = margin
