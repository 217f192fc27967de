"""The steps of online learning: what they solve, their plain twin, and that they stay sound for ever."""

from __future__ import annotations

import importlib.util
import math
from types import ModuleType

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numba import njit
from scipy.optimize import minimize

from volspike.models import online_kernels
from volspike.models.online_kernels import (
    GAMMA,
    INPUTS,
    LEAST_SLOPE,
    LOGISTIC,
    MOST_SLOPE,
    MOST_SQUARED,
    absorb,
    factorise,
    fold,
    gamma_step,
    logistic_step,
    sigmoid,
    solve,
)

N = INPUTS + 1


def positive(rng: np.random.Generator, n: int = N, scale: float = 100.0) -> np.ndarray:
    root = rng.normal(size=(n, n))
    made = scale * (root @ root.T / n + 0.3 * np.eye(n))
    return (made + made.T) / 2.0


def loss(kind: int, target: float, at: float) -> float:
    if kind == GAMMA:
        return (math.exp(2.0 * (target - at)) + 2.0 * at) / 4.0
    return float(np.logaddexp(0.0, at)) - target * at


@pytest.mark.parametrize("kind", [GAMMA, LOGISTIC])
@pytest.mark.parametrize("seed", range(5))
def test_a_row_moves_the_weights_to_the_minimum_of_what_was_known_and_its_own_loss(
    kind: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    start, theta = rng.normal(size=N), rng.normal(size=N)
    start_precision, precision = positive(rng), positive(rng)
    x = np.append(rng.normal(size=INPUTS), 1.0)
    target = float(rng.integers(0, 2)) if kind == LOGISTIC else float(rng.normal(0.0, 1.5))
    weight, forget = 0.7, 0.05

    def cost(t: np.ndarray) -> float:
        known = (1.0 - forget) * (t - theta) @ precision @ (t - theta)
        begun = forget * (t - start) @ start_precision @ (t - start)
        return 0.5 * (known + begun) + weight * loss(kind, target, float(t @ x))

    best = minimize(cost, theta, method="BFGS", options={"gtol": 1e-9}).x
    found, made = theta.copy(), precision.copy()
    assert absorb(found, made, start, start_precision, x, kind, target, weight, forget)
    np.testing.assert_allclose(found, best, atol=2e-5)
    assert cost(found) <= cost(best) + 1e-12
    p = 1.0 / (1.0 + math.exp(-found @ x))
    curvature = 1.0 if kind == GAMMA else p * (1.0 - p)
    kept = (1.0 - forget) * precision + forget * start_precision
    np.testing.assert_allclose(made, kept + weight * curvature * np.outer(x, x), rtol=1e-12)


wide = st.floats(-800.0, 800.0)
log_gains = st.floats(-9.0, 6.0)


@given(wide, log_gains)
@settings(max_examples=300, deadline=None)
def test_the_step_of_log_sigma_solves_its_equation_and_stays_on_this_side_of_the_outcome(
    away: float, log_gain: float
) -> None:
    gain = 10.0**log_gain
    step = gamma_step(away, gain)
    assert min(away, 0.0) <= step <= max(away, 0.0)
    assert step >= -0.5 * gain
    # In logs, where nothing overflows; at the lower bound 1 + 2 d / gain is all rounding.
    left = 1.0 + 2.0 * step / gain
    assert left == pytest.approx(math.exp(min(2.0 * (away - step), 700.0)), rel=1e-9, abs=1e-9) or (
        math.log(left) == pytest.approx(2.0 * (away - step), abs=1e-9)
    )


@given(st.sampled_from((0.0, 1.0)), wide, log_gains)
@settings(max_examples=300, deadline=None)
def test_the_step_of_log_odds_solves_its_equation(target: float, at: float, log_gain: float) -> None:
    gain = 10.0**log_gain
    step = logistic_step(target, at, gain)
    assert 0.0 <= step * (2.0 * target - 1.0) <= gain
    p = sigmoid(at + step)
    slope, rounding = 1.0 + gain * p * (1.0 - p), 1e-15 * gain
    missing = abs(step - gain * (target - p))
    assert missing <= 1e-12 * slope * max(abs(step), abs(at), 1.0) + rounding


def test_factor_and_solution_are_those_of_numpy() -> None:
    rng = np.random.default_rng(3)
    matrix, vector = positive(rng), rng.normal(size=N)
    factor, found = matrix.copy(), vector.copy()
    assert factorise(factor)
    np.testing.assert_allclose(np.tril(factor), np.linalg.cholesky(matrix), rtol=1e-12)
    solve(factor, found)
    np.testing.assert_allclose(found, np.linalg.solve(matrix, vector), rtol=1e-10)
    assert not factorise(matrix - 1e4 * np.eye(N))
    assert not factorise(np.full((N, N), math.nan))


def plain() -> ModuleType:
    """Return the same file without compilation."""
    spec = importlib.util.spec_from_file_location("plain_online_kernels", online_kernels.__file__)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def twin(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.setattr(numba.config, "DISABLE_JIT", True)
    return plain()


def learned(module: ModuleType, seed: int, rows: int) -> bytes:
    """Return the bytes of all that a module has learned from random rows, some of them wild."""
    rng = np.random.default_rng(seed)
    standard = np.array([[1.0] * INPUTS, [0.5] * INPUTS])
    heads, line, table = rng.normal(size=(2, N)), np.array([1.0, 0.0]), np.empty((2, 9))
    precision = np.array([positive(rng), positive(rng)])
    line_precision = np.diag([44.0, 11.0])
    known = heads, precision, heads.copy(), precision.copy()
    for row in range(rows):
        state = rng.normal(1.0, 0.7 if row % 10 else 20.0, 8)
        module.learn_row(
            state,
            standard,
            *known,
            line,
            line_precision,
            np.diag([44.0, 11.0]),
            np.array([0.9, 0.1, 0.05]),
            float(rng.normal(1.0, 1.0)),
            float(rng.random() < 0.2),
            1.0,
            0.01,
            0.05,
            table,
        )
    return b"".join(array.tobytes() for array in (*known, line, line_precision, table))


@pytest.mark.parametrize("seed", range(3))
def test_compiled_steps_equal_their_plain_twin_to_the_bit(twin: ModuleType, seed: int) -> None:
    assert not hasattr(twin.absorb, "signatures")
    assert learned(twin, seed, 150) == learned(online_kernels, seed, 150)


@njit
def absorb_many(theta, precision, start, start_precision, x, kind, targets, weight, forget):  # type: ignore[no-untyped-def]
    for i in range(targets.shape[0]):
        if not absorb(
            theta, precision, start, start_precision, x[i % x.shape[0]], kind, targets[i], weight, forget
        ):
            return i
    return targets.shape[0]


@pytest.mark.parametrize("kind", [GAMMA, LOGISTIC])
@pytest.mark.parametrize("input_kind", ["constant", "wild"])
def test_a_million_rows_constant_or_wild_leave_a_sound_state(kind: int, input_kind: str) -> None:
    rng = np.random.default_rng(7)
    rows, forget, weight = 1_000_000, 1e-3, 1.0 / 60.0
    x = np.append(rng.normal(size=INPUTS), 1.0)[None, :]
    targets = np.full(rows, 1.0)
    if input_kind == "wild":
        x = np.column_stack((rng.standard_t(1.0, (5_000, INPUTS)) * 100.0, np.ones(5_000)))
        wild = rng.normal(0.0, 300.0, rows)
        targets = wild if kind == GAMMA else (wild > 0.0).astype(np.float64)
    start, start_precision = rng.normal(size=N), positive(rng)
    theta, precision = start.copy(), start_precision.copy()
    assert absorb_many(theta, precision, start, start_precision, x, kind, targets, weight, forget) == rows
    assert np.isfinite(theta).all()
    np.testing.assert_array_equal(precision, precision.T)
    gained = np.linalg.eigvalsh(precision - start_precision)
    assert gained.min() > -1e-6
    assert gained.max() <= 1.001 * weight * MOST_SQUARED / forget
    if input_kind == "constant":  # it has learned the constant, and no direction but that of x
        said = float(theta @ x[0])
        assert said == pytest.approx(1.0, abs=0.9) if kind == GAMMA else said > float(start @ x[0])


def test_without_news_all_returns_to_the_start() -> None:
    """A row far enough out weighs next to nothing: what is left is forgetting."""
    rng = np.random.default_rng(1)
    start, start_precision = rng.normal(size=N), positive(rng)
    theta, precision = start + 3.0, 50.0 * start_precision
    x = np.append(np.zeros(INPUTS), 1.0)[None, :]
    absorb_many(theta, precision, start, start_precision, x, GAMMA, np.zeros(3_000), 1e-12, 1e-2)
    np.testing.assert_allclose(theta, start, atol=1e-6)
    np.testing.assert_allclose(precision, start_precision, rtol=1e-6)


def test_what_is_not_finite_is_not_learned_from() -> None:
    rng = np.random.default_rng(2)
    start, start_precision = rng.normal(size=N), positive(rng)
    for x0, target in ((math.nan, 1.0), (math.inf, 1.0), (1.0, math.nan)):
        theta, precision = start.copy(), start_precision.copy()
        x = np.append(np.full(INPUTS, x0), 1.0)
        assert not absorb(theta, precision, start, start_precision, x, GAMMA, target, 1.0, 0.01)
        np.testing.assert_array_equal(theta, start)
        np.testing.assert_array_equal(precision, start_precision)


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=50, deadline=None)
def test_the_table_gives_what_the_heads_and_the_recalibration_say(seed: int) -> None:
    rng = np.random.default_rng(seed)
    standard = np.array([rng.normal(size=INPUTS), rng.uniform(0.1, 2.0, INPUTS)])
    heads, line = rng.normal(size=(2, N)), np.array([rng.uniform(LEAST_SLOPE, MOST_SLOPE), rng.normal()])
    finish, table = np.array([rng.uniform(0.3, 3.0), rng.normal(), rng.normal()]), np.empty((2, 9))
    fold(standard, heads, line, finish, table)
    state = rng.normal(size=8)
    x = np.append((state[1:6] - standard[0]) / standard[1], 1.0)
    margin, log_sigma = table @ np.append(state, 1.0)
    assert finish[0] * margin + finish[1] == pytest.approx(line[0] * (heads[0] @ x) + line[1], abs=1e-9)
    assert log_sigma + finish[2] == pytest.approx(heads[1] @ x, abs=1e-9)
