from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from model_rows import INCREMENT, market, of_one_class

from volspike.evaluation.ranking import average_precision
from volspike.models.calibrate import fit_band
from volspike.models.calibration import Calibration, SigmaBand
from volspike.models.fit_rules import HALF_LIVES_S, REFERENCES, fit_rules, fit_scale
from volspike.models.inputs import raw_rows
from volspike.models.predictor import CalibratedPredictor
from volspike.models.rows import least_log_sigma, log_realised
from volspike.models.state import STATE, StateHeads, StateWeights, ewma_shares, state_matrix


@pytest.fixture(scope="module")
def rows():
    return market(hours=3.0, seed=7)


@pytest.fixture(scope="module")
def rules(rows):
    return fit_rules(rows, fit_scale(rows))


def predict(weights: StateWeights, rows):
    heads = StateHeads(weights)
    return CalibratedPredictor("rule", "", "core", "rv", heads, Calibration(), SigmaBand()).predict_batch(
        rows
    )


def test_every_reference_is_fitted_and_finite(rows, rules) -> None:
    assert tuple(rules) == REFERENCES
    for rule in rules.values():
        assert rule.unfitted == ""
        assert np.isfinite(predict(rule.weights, rows).sigma_bps).all()


def test_persistence_says_rv_and_ranks_by_rv_over_tau(rows, rules) -> None:
    weights = rules["persistence"].weights
    scored = predict(weights, rows)
    assert np.quantile(rows.rv_bps, 0.03) < weights.least_bps < np.quantile(rows.rv_bps, 0.5)
    floored = np.maximum(rows.rv_bps, weights.least_bps)
    np.testing.assert_allclose(scored.sigma_bps, floored, rtol=1e-9)
    spike = rows.spike == 1
    assert average_precision(spike, scored.p_spike) == pytest.approx(
        average_precision(spike, floored / rows.tau_bps), abs=1e-9
    )


def test_still_minutes_do_not_set_the_scale_of_a_rule(rows, rules) -> None:
    """Three in a hundred are still, as in July: under a floor of one increment they ruled the shift."""
    rng = np.random.default_rng(1)
    now, then = rng.random(len(rows)) < 0.03, rng.random(len(rows)) < 0.03
    har = rows.har_bps.copy()
    har[now, 0] = 0.0
    still = replace(
        rows,
        rv_bps=np.where(now, 0.0, rows.rv_bps),
        har_bps=har,
        sigma_future_bps=np.where(then, 0.0, rows.sigma_future_bps),
    )
    least = least_log_sigma(still)
    assert least == pytest.approx(least_log_sigma(rows), abs=0.05)
    fitted = fit_rules(still, fit_scale(still))
    for name in ("persistence", "ewma", "zscore", "log-har-ols", "log-har-gamma"):
        heads = StateHeads(fitted[name].weights)
        raw = CalibratedPredictor("rule", "", "core", "rv", heads, Calibration(), SigmaBand())
        _, log_sigma = raw.heads_batch(still)
        band = fit_band(log_sigma, log_realised(still), 60.0, "fit", least)
        assert abs(band.shift) < 0.3, name
        assert band.low < -0.1 < 0.1 < band.high, name


def test_no_probability_of_a_rule_rises_with_tau(rows) -> None:
    """Spikes are made likelier where tau is high: free weights would let p rise with the threshold."""
    odd = replace(rows, spike=(rows.tau_bps > np.quantile(rows.tau_bps, 0.8)).astype(np.int8))
    odd = replace(
        odd, spike=np.where(np.arange(len(rows)) % 7 == 0, 1 - odd.spike, odd.spike).astype(np.int8)
    )
    for name, rule in fit_rules(odd, fit_scale(odd)).items():
        low, high = (
            predict(rule.weights, replace(odd, tau_bps=odd.tau_bps * by)).p_spike for by in (1.0, 1.5)
        )
        assert (high <= low).all(), name


def test_zscore_ranks_by_z_and_falls_back_to_the_fit_distribution(rows, rules) -> None:
    weights = rules["zscore"].weights
    scored = predict(weights, rows)
    assert (np.argsort(scored.p_spike, kind="stable") == np.argsort(rows.z, kind="stable")).all()
    unknown = replace(rows, z=np.full(len(rows), np.nan))
    # The test market's z is taken over the whole sample, so the fallback is the same but for the floor.
    floored = np.log(np.maximum(rows.rv_bps, weights.least_bps))
    known = replace(rows, z=(floored - floored.mean()) / floored.std())
    np.testing.assert_allclose(predict(weights, unknown).p_spike, predict(weights, known).p_spike, rtol=1e-9)


def test_climatology_is_the_base_rate(rows, rules) -> None:
    scored = predict(rules["climatology"].weights, rows)
    assert len(np.unique(scored.p_spike)) == 1
    assert scored.p_spike[0] == pytest.approx(rows.spike.mean(), abs=1e-3)


def test_har_beats_persistence_and_climatology_in_log_error(rows, rules) -> None:
    realised = np.log(rows.sigma_future_bps)
    error = {
        name: np.mean((np.log(predict(rules[name].weights, rows).sigma_bps) - realised) ** 2)
        for name in ("climatology", "persistence", "log-har-ols")
    }
    assert error["log-har-ols"] < error["persistence"]
    assert error["log-har-ols"] < error["climatology"]


@pytest.mark.parametrize("half_life_s", HALF_LIVES_S)
def test_ewma_shares_sum_to_one_and_equal_lags_give_that_volatility(rows, half_life_s: float) -> None:
    assert ewma_shares(half_life_s).sum() == pytest.approx(1.0)
    flat = replace(rows, har_bps=np.full((len(rows), 4), 7.0))
    states = state_matrix(raw_rows(flat, 0), half_life_s, 0.0, 1.0, INCREMENT)
    np.testing.assert_allclose(states[:, STATE.index("log_ewma")], np.log(7.0))


def test_a_short_half_life_follows_the_last_minute(rows) -> None:
    quick, slow = (
        state_matrix(raw_rows(rows, 0), half_life_s, 0.0, 1.0, INCREMENT)[:, STATE.index("log_ewma")]
        for half_life_s in (1.0, 36_000.0)
    )
    np.testing.assert_allclose(quick, np.log(rows.har_bps[:, 0]), atol=1e-9)
    assert np.std(quick - slow) > 0.1


def test_one_class_leaves_the_base_rate_with_slope_one_and_no_logit(rows) -> None:
    quiet = of_one_class(rows, np.arange(len(rows)))
    rules = fit_rules(quiet, fit_scale(quiet))
    assert "log-har-logit" not in rules
    assert "no spike" in rules["zscore"].unfitted
    assert rules["persistence"].weights.margin[STATE.index("log_rv")] == 1.0
    assert predict(rules["zscore"].weights, quiet).p_spike.mean() < 0.01
