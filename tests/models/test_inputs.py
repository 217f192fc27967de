from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from model_rows import INCREMENT, market

from volspike.features.sets import get_feature_set
from volspike.models.inputs import SPREADS, feed_dependent, input_matrix, input_spec, raw_rows

CORE = get_feature_set("core")
FLOW = get_feature_set("flow")
SPEC = input_spec(CORE, INCREMENT, har=True)


def column(matrix: np.ndarray, name: str) -> np.ndarray:
    return matrix[:, SPEC.names.index(name)]


@pytest.fixture(scope="module")
def small():
    return market(hours=0.2, seed=5)


def test_names_and_no_price_level(small) -> None:
    assert SPEC.names == (
        "asinh_midprice_return_mean",
        "log_midprice_return_std",
        "log_bid_ask_spread_in_increments",
        "log_trade_intensity",
        "log_rv_60s",
        "log_tau",
        "log_rv_over_tau",
        "log_har_5m_over_tau",
        "log_har_30m_over_tau",
        "log_har_240m_over_tau",
    )
    dearer = replace(small, features=small.features * np.array([1, 1, 1, 1, 7, 1]))
    before, after = (input_matrix(raw_rows(rows, 6), SPEC) for rows in (small, dearer))
    np.testing.assert_array_equal(before, after)
    assert input_spec(CORE, INCREMENT, har=False).names == SPEC.names[:7]
    assert feed_dependent(CORE, SPEC)


def test_a_spread_of_one_increment_says_nothing_of_the_price() -> None:
    spec = input_spec(FLOW, INCREMENT, har=False)
    names = ("log_spread_last_bps_in_increments", "log_spread_max_bps_in_increments")
    found = []
    for mid in (30_000.0, 90_000.0):
        spread_bps = 1e4 * INCREMENT / mid
        values = [spread_bps if name in SPREADS else 0.5 for name in FLOW.names]
        (inputs,) = input_matrix(np.array([[*values, *[2.0] * 7, mid]]), spec)
        found.append([inputs[spec.names.index(name)] for name in names])
    np.testing.assert_allclose(found, 0.0, atol=1e-15)


def test_values_follow_the_definitions(small) -> None:
    matrix = input_matrix(raw_rows(small, 6), SPEC)
    np.testing.assert_allclose(column(matrix, "log_tau"), np.log(small.tau_bps))
    np.testing.assert_allclose(column(matrix, "log_rv_over_tau"), np.log(small.rv_bps / small.tau_bps))
    np.testing.assert_allclose(column(matrix, "log_rv_60s"), np.log(small.features[:, 5]))
    np.testing.assert_allclose(column(matrix, "log_trade_intensity"), np.log(small.features[:, 3]))
    np.testing.assert_allclose(
        column(matrix, "log_bid_ask_spread_in_increments"),
        np.log(np.maximum(small.features[:, 2] / INCREMENT, 1.0)),
    )
    np.testing.assert_allclose(
        column(matrix, "asinh_midprice_return_mean"),
        np.arcsinh(small.features[:, 0] / (INCREMENT / small.mid)),
    )
    np.testing.assert_allclose(
        column(matrix, "log_har_30m_over_tau"), np.log(small.har_bps[:, 2] / small.tau_bps)
    )


def test_no_logarithm_of_less_than_one_increment(small) -> None:
    still = replace(small, rv_bps=small.rv_bps * 0.0, features=small.features * 0.0)
    matrix = input_matrix(raw_rows(still, 6), SPEC)
    floor = 1e4 * INCREMENT / still.mid
    np.testing.assert_allclose(column(matrix, "log_rv_over_tau"), np.log(floor / still.tau_bps))
    np.testing.assert_allclose(column(matrix, "log_rv_60s"), np.log(floor))
    assert np.isfinite(matrix).all()


def test_a_missing_lag_takes_the_next_shorter_one(small) -> None:
    har = small.har_bps.copy()
    har[0, 2:] = np.nan
    har[1, :] = np.nan
    matrix = input_matrix(raw_rows(replace(small, har_bps=har), 6), SPEC)
    assert column(matrix, "log_har_240m_over_tau")[0] == pytest.approx(
        math.log(small.har_bps[0, 1] / small.tau_bps[0])
    )
    for name in ("log_har_5m_over_tau", "log_har_240m_over_tau"):
        assert column(matrix, name)[1] == column(matrix, "log_rv_over_tau")[1]


def test_a_missing_feature_stays_missing_and_an_unsound_context_leaves_no_input(small) -> None:
    features, tau = small.features.copy(), small.tau_bps.copy()
    features[0, 3] = np.nan
    tau[1] = np.nan
    matrix = input_matrix(raw_rows(replace(small, features=features, tau_bps=tau), 6), SPEC)
    assert np.isnan(column(matrix, "log_trade_intensity")[0])
    assert np.count_nonzero(np.isnan(matrix[0])) == 1
    assert np.isnan(matrix[1]).all()
