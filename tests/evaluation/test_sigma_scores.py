from __future__ import annotations

import numpy as np
import pytest
from evaluation_rows import dataset
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics

from volspike.evaluation.scores import score
from volspike.evaluation.sigma_scores import (
    interval_losses,
    pinball_losses,
    qlike,
    qlike_losses,
    r2_log_sigma,
    score_interval,
)

volatilities = st.floats(0.1, 50.0)
rows = st.lists(st.tuples(volatilities, volatilities, volatilities), min_size=2, max_size=30)


def test_qlike_is_the_mean_of_its_losses() -> None:
    realised, predicted, floor = np.array([2.0, 0.0]), np.array([1.0, 0.5]), np.array([0.1, 1.0])
    assert qlike_losses(realised, predicted, floor) == pytest.approx([4.0 - np.log(4.0) - 1.0, 0.0])
    assert qlike(realised, predicted, floor) == pytest.approx((3.0 - np.log(4.0)) / 2.0)


def test_r2_of_log_sigma_by_hand_and_beside_sklearn() -> None:
    realised = np.exp(np.array([0.0, 1.0, 2.0]))
    predicted = np.exp(np.array([0.0, 1.0, 1.0]))
    floor = np.zeros(3)
    # Residuals 0, 0, 1; the mean log is 1, so the total is 2.
    assert r2_log_sigma(realised, predicted, floor) == pytest.approx(0.5)
    expected = metrics.r2_score(np.log(realised), np.log(predicted))
    assert r2_log_sigma(realised, predicted, floor) == pytest.approx(expected)
    assert r2_log_sigma(realised, np.full(3, 1e-9), np.full(3, 1.0)) == pytest.approx(1.0 - 5.0 / 2.0)
    assert r2_log_sigma(np.full(3, 2.0), predicted, floor) is None
    assert r2_log_sigma(realised[:0], predicted[:0], floor[:0]) is None


@given(rows)
def test_pinball_loss_equals_that_of_sklearn(drawn: list[tuple[float, float, float]]) -> None:
    realised, low, _ = np.array(drawn).T
    for level in (0.05, 0.95):
        expected = metrics.mean_pinball_loss(realised, low, alpha=level)
        assert np.mean(pinball_losses(realised, low, level)) == pytest.approx(expected)


def test_interval_score_by_hand() -> None:
    realised, low, high = np.array([5.0, 1.0, 12.0]), np.full(3, 2.0), np.full(3, 8.0)
    # Inside: the width. One below: 6 + 20 * 1. Four above: 6 + 20 * 4.
    assert interval_losses(realised, low, high) == pytest.approx([6.0, 26.0, 86.0])
    scores = score_interval(realised, low, high)
    assert scores.coverage == pytest.approx(1 / 3)
    assert scores.winkler_bps == pytest.approx(118 / 3)


@given(rows)
def test_interval_score_is_twenty_times_the_sum_of_both_pinball_losses(
    drawn: list[tuple[float, float, float]],
) -> None:
    realised, a, b = np.array(drawn).T
    scores = score_interval(realised, np.minimum(a, b), np.maximum(a, b))
    assert scores.winkler_bps == pytest.approx(20.0 * (scores.pinball_low_bps + scores.pinball_high_bps))


def test_unlabelled_rows_do_not_count() -> None:
    part = dataset([0, 1, 0, -1], [2.0, 8.0, 3.0, np.nan])
    low, high = np.array([1.0, 9.0, 3.0, 0.0]), np.array([2.0, 10.0, 3.0, 9.0])
    scores = score(part, np.full(4, 0.2), np.array([2.0, 8.0, 3.0, 99.0]), band_bps=(low, high))
    assert scores.winkler_bps == pytest.approx((1.0 + 21.0 + 0.0) / 3)
    assert scores.r2_log_sigma == 1.0
    empty = score(dataset([-1]), np.zeros(1), np.ones(1), band_bps=(np.ones(1), np.ones(1)))
    assert (empty.winkler_bps, empty.pinball_low_bps, empty.r2_log_sigma) == (None, None, None)
