from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from volspike.monitoring.betting import (
    BETS,
    BettingProcess,
    log_e_path,
    log_factors,
    nested_log_factors,
)

OUTCOMES = arrays(np.float64, st.integers(0, 60), elements=st.floats(-1.0, 1.0))


def test_wealth_by_hand() -> None:
    x = np.array([1.0, -1.0])
    after = [np.mean(1.0 + BETS), np.mean((1.0 + BETS) * (1.0 - BETS))]
    assert np.exp(log_e_path(log_factors(x))) == pytest.approx(after)


@given(OUTCOMES)
def test_step_by_step_is_the_path_to_the_bit(x: np.ndarray) -> None:
    factors = log_factors(x)
    process = BettingProcess()
    assert [process.step(row) for row in factors] == log_e_path(factors).tolist()


@given(st.integers(1, 6), st.floats(0.0, 1.0))
def test_over_all_ways_of_a_fair_game_the_mean_wealth_is_one_and_of_a_losing_one_below(
    rounds: int, loss: float
) -> None:
    ways = np.array(np.meshgrid(*[[-1.0, 1.0]] * rounds)).reshape(rounds, -1).T
    fair = [math.exp(log_e_path(log_factors(way))[-1]) for way in ways]
    assert np.mean(fair) == pytest.approx(1.0)
    losing = [math.exp(log_e_path(log_factors(np.maximum(way - loss, -1.0) * 1.0))[-1]) for way in ways]
    assert np.mean(losing) <= 1.0 + loss  # what is cut off at -1 is the gambler's


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_over_many_fair_games_wealth_rarely_ever_reaches_twenty(seed: int) -> None:
    rng = np.random.default_rng(seed)
    reached = [
        np.max(log_e_path(log_factors(rng.choice([-0.2, 0.8], 400, p=[0.8, 0.2])))) >= math.log(20.0)
        for _ in range(400)
    ]
    assert sum(reached) <= 0.05 * 400 + 2 * math.sqrt(0.05 * 0.95 * 400)


def test_a_mean_above_zero_makes_rich_and_one_below_never() -> None:
    rng = np.random.default_rng(1)
    x = rng.normal(0.0, 0.2, 2_000).clip(-0.9, 0.9)
    assert log_e_path(log_factors(x + 0.1))[-1] > 50.0
    assert np.max(log_e_path(log_factors(x - 0.1))) < math.log(20.0)


@pytest.mark.parametrize("x", [-1.1, math.nan, math.inf])
def test_an_outcome_that_could_ruin_is_refused(x: float) -> None:
    with pytest.raises(ValueError, match="below -1 or is not finite"):
        log_factors(np.array([0.0, x]))


def test_wealth_neither_overflows_nor_vanishes() -> None:
    path = log_e_path(log_factors(np.ones(100_000)))
    assert np.all(np.isfinite(path))
    assert path[-1] > 60_000.0
    assert math.isfinite(log_e_path(log_factors(np.full(100_000, -1.0)))[-1])


@given(arrays(np.float64, (5, 8), elements=st.floats(-1.0, 1.0)))
def test_with_one_lane_a_block_multiplies_all_of_its_steps(x: np.ndarray) -> None:
    assert nested_log_factors(x, 1) == pytest.approx(np.sum(log_factors(x), axis=1))


def test_two_lanes_by_hand() -> None:
    x = np.array([[0.5, -0.5, 0.25]])
    even, odd = (1 + 0.5 * BETS) * (1 + 0.25 * BETS), 1 - 0.5 * BETS
    assert np.exp(nested_log_factors(x, 2)[0]) == pytest.approx((even + odd) / 2)


def test_lanes_hold_the_mean_at_one_where_each_step_repeats_the_one_before() -> None:
    ways = np.array(np.meshgrid(*[[-1.0, 1.0]] * 4)).reshape(4, -1).T
    twice = np.repeat(
        ways, 2, axis=1
    )  # each step's outcome is that of the one before: no bet of a lane knows it
    assert np.mean(np.exp(nested_log_factors(twice, 2)), axis=0) == pytest.approx(np.ones(len(BETS)))
    assert np.all(np.mean(np.exp(nested_log_factors(twice, 1)), axis=0)[-3:] > 1.5)
