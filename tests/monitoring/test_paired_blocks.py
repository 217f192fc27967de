from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from volspike.evaluation.scores import log_losses
from volspike.monitoring.betting import BETS
from volspike.monitoring.paired_blocks import LEAST_STAKE_NATS, loss_outcomes, minute_bets

SIDES = arrays(np.float64, (2, 40), elements=st.floats(0.0, 1.0) | st.floats(1e-15, 1e-3))
SPIKE, NONE = np.ones(40, np.bool_), np.zeros(40, np.bool_)


def test_a_blocks_first_minute_is_left_out_and_what_is_missing_counts_as_nothing() -> None:
    second = np.concatenate((np.arange(3_600, 5_400), np.arange(5_460, 5_490), [7_200]))
    outcomes = np.where(second % 1_800 < 60, 1e6, 0.5)
    found = minute_bets(second, outcomes, 1)
    assert found.block.tolist() == [2, 3]  # of block 4 there is only a row that does not count
    even, odd = (1 + 0.5 * BETS) ** 15, (1 + 0.5 * BETS) ** 14
    assert np.exp(found.value[0]) == pytest.approx((even + odd) / 2)
    assert np.exp(found.value[1]) == pytest.approx((1 + 0.25 * BETS + 1) / 2)  # half of a minute, in one lane


def test_rows_a_minute_are_bet_on_one_by_one() -> None:
    second = np.arange(3_600, 5_400, 60)
    outcomes = np.linspace(-1.0, 1.0, 30)
    expected = np.prod(1 + BETS * outcomes[1:, None], axis=0)
    assert np.exp(minute_bets(second, outcomes, 60).value[0]) == pytest.approx(expected)


def test_no_rows_no_blocks() -> None:
    found = minute_bets(np.zeros(0, np.int64), np.zeros(0), 1)
    assert found.block.shape == (0,)
    assert found.value.shape == (0, len(BETS))


def test_an_outcome_by_hand() -> None:
    y = np.array([True, True, False, False])
    found = loss_outcomes(y, np.array([0.1, 1e-9, 0.5, 0.3]), np.array([0.11, 0.5, 0.1, 0.3]))
    close, far = math.log(1.1) / LEAST_STAKE_NATS, math.log(9.0 / 5.0) / math.log(5.0)
    assert found == pytest.approx([close, 1.0, far, 0.0])


@given(SIDES)
def test_nothing_has_to_be_clipped_and_neither_side_is_favoured(sides: np.ndarray) -> None:
    for label in (SPIKE, NONE):
        found = loss_outcomes(label, *sides)
        assert np.all(np.abs(found) <= 1.0)
        assert loss_outcomes(label, *sides[::-1]).tolist() == (-found).tolist()


@given(SIDES)
def test_the_mean_outcome_has_the_sign_of_the_mean_difference(sides: np.ndarray) -> None:
    for chance in (*sides, np.linspace(0.0, 1.0, 40)):
        means = [
            chance * of(SPIKE) + (1.0 - chance) * of(NONE)
            for of in (
                lambda y: loss_outcomes(y, *sides),
                lambda y: log_losses(y, sides[0]) - log_losses(y, sides[1]),
            )
        ]
        clear = np.abs(means[1]) > 1e-9
        assert np.all(np.sign(means[0][clear]) == np.sign(means[1][clear]))
    who_is_right = np.clip(sides[0], 1e-15, 1.0 - 1e-15)
    mean = who_is_right * loss_outcomes(SPIKE, *sides) + (1.0 - who_is_right) * loss_outcomes(NONE, *sides)
    assert np.all(mean <= 1e-12)  # against a model that is right nobody wins


@given(SIDES, st.integers(0, 39))
def test_a_rows_outcome_depends_on_no_other_row(sides: np.ndarray, since: int) -> None:
    whole = loss_outcomes(SPIKE, *sides)
    assert loss_outcomes(SPIKE[since:], *sides[:, since:]).tolist() == whole[since:].tolist()
