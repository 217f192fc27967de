"""The gamma regression behind every sigma: the optimum, its scale, and what still minutes do to it."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from volspike.models.estimators import fit_gamma, fit_logit, fit_ridge

TRUE, LEVEL = np.array([0.8, -0.3, 0.0]), 1.2


def draw(rows: int, seed: int, shape: float = 1.5) -> tuple[np.ndarray, np.ndarray]:
    """Return inputs, and variances around a known mean: log sigma is linear in the inputs."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, len(TRUE)))
    mean = np.exp(2.0 * (LEVEL + x @ TRUE))
    return x, mean * rng.gamma(shape, 1.0 / shape, rows)


@given(st.integers(0, 10**6), st.sampled_from((1e-3, 5.0, 500.0)))
@settings(max_examples=12, deadline=None)
def test_the_fit_is_the_optimum_of_the_penalised_gamma_deviance(seed: int, l2: float) -> None:
    x, variance = draw(300, seed)
    design = np.column_stack((x, np.ones(len(x))))

    def loss(line: np.ndarray) -> tuple[float, np.ndarray]:
        log_mean = design @ line
        ratio = variance * np.exp(-log_mean)
        penalty = l2 * np.append(line[:-1], 0.0)
        return float(np.sum(ratio + log_mean) + 0.5 * penalty @ line), design.T @ (1.0 - ratio) + penalty

    best = minimize(loss, np.zeros(4), jac=True, method="BFGS", options={"gtol": 1e-7}).x
    coefficients, intercept = fit_gamma(x, variance, l2)
    # Of log variance the optimum, of log sigma half of it.
    np.testing.assert_allclose(2.0 * np.append(coefficients, intercept), best, atol=2e-4)


def test_known_coefficients_are_recovered() -> None:
    coefficients, intercept = fit_gamma(*draw(40_000, 1), l2=1e-3)
    np.testing.assert_allclose(coefficients, TRUE, atol=0.01)
    assert intercept == pytest.approx(LEVEL, abs=0.01)


@pytest.mark.parametrize("scale", [1e-8, 1e-3, 1e8])
def test_another_unit_moves_the_intercept_alone(scale: float) -> None:
    x, variance = draw(2_000, 2)
    coefficients, intercept = fit_gamma(x, variance, l2=50.0)
    again, moved = fit_gamma(x, variance * scale, l2=50.0)
    np.testing.assert_allclose(again, coefficients, atol=1e-9)
    assert moved == pytest.approx(intercept + 0.5 * np.log(scale), abs=1e-9)


def test_the_mean_of_realised_over_predicted_variance_is_one() -> None:
    x, variance = draw(5_000, 3)
    coefficients, intercept = fit_gamma(x, variance, l2=1e-3)
    assert np.mean(variance / np.exp(2.0 * (intercept + x @ coefficients))) == pytest.approx(1.0, abs=1e-4)


def test_a_few_still_minutes_do_not_drag_it_as_they_drag_a_regression_of_the_log() -> None:
    x, variance = draw(5_000, 4)
    still = variance.copy()
    still[::50] = 1e-7
    _, before = fit_gamma(x, variance, l2=1e-3)
    _, after = fit_gamma(x, still, l2=1e-3)
    assert abs(after - before) < 0.02
    _, log_before = fit_ridge(x, 0.5 * np.log(variance), l2=1e-3)
    _, log_after = fit_ridge(x, 0.5 * np.log(still), l2=1e-3)
    assert log_before - log_after > 0.15


def test_equal_inputs_share_a_coefficient_and_nothing_is_complained_of() -> None:
    """Lags that are missing all through are the next shorter ones."""
    x, variance = draw(3_000, 5)
    alone, intercept = fit_gamma(x, variance, l2=1e-3)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        twice, same = fit_gamma(np.column_stack((x, x[:, 0], x[:, 0])), variance, l2=1e-3)
    assert twice[0] + twice[3] + twice[4] == pytest.approx(alone[0], abs=1e-4)
    assert np.ptp(twice[[0, 3, 4]]) < 1e-3
    assert same == pytest.approx(intercept, abs=1e-4)


def test_heavy_shrinkage_leaves_the_level() -> None:
    x, variance = draw(3_000, 6)
    coefficients, intercept = fit_gamma(x, variance, l2=1e9)
    assert np.abs(coefficients).max() < 1e-4
    assert intercept == pytest.approx(0.5 * np.log(variance.mean()), abs=1e-3)


def test_a_coefficient_of_the_wrong_sign_stands_at_zero_and_the_others_at_their_optimum() -> None:
    rng = np.random.default_rng(9)
    x = rng.normal(size=(4_000, 3))
    x[:, 1] += 0.5 * x[:, 0]
    y = (rng.random(4_000) < 1.0 / (1.0 + np.exp(1.0 - x @ [1.0, -0.8, 0.5]))).astype(np.int8)
    weight = rng.uniform(0.5, 2.0, 4_000)
    free, _ = fit_logit(x, y, weight, 3.0)
    assert free[1] < 0.0
    same, _ = fit_logit(x, y, weight, 3.0, (1, -1, 0))
    assert same.tolist() == free.tolist()
    held, intercept = fit_logit(x, y, weight, 3.0, (1, 1, 0))
    without, alone = fit_logit(x[:, [0, 2]], y, weight, 3.0)
    np.testing.assert_allclose(held, [without[0], 0.0, without[1]], atol=1e-5)
    assert intercept == pytest.approx(alone, abs=1e-5)
