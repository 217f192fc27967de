from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from volspike.monitoring.betting import BETS, log_factors
from volspike.monitoring.run_detector import RunDetector, first_alarm, log_detector_path, log_threshold

RNG = np.random.default_rng(7)


@given(arrays(np.float64, st.integers(1, 40), elements=st.floats(-1.0, 1.0)))
def test_it_is_the_wealth_of_gamblers_who_start_before_each_block(x: np.ndarray) -> None:
    factors = np.exp(log_factors(x))
    by_hand = [
        np.mean([np.prod(factors[start : end + 1], axis=0) for start in range(end + 1)], axis=1).sum()
        for end in range(len(x))
    ]
    assert np.exp(log_detector_path(log_factors(x))) == pytest.approx(by_hand)


def test_nothing_gained_nothing_lost_it_counts_the_blocks() -> None:
    assert np.exp(log_detector_path(np.zeros((6, len(BETS))))) == pytest.approx([1, 2, 3, 4, 5, 6])


@pytest.mark.parametrize("blocks", [100, 200])
def test_the_chance_of_a_false_alarm_grows_with_the_blocks_and_stays_within_its_bound(blocks: int) -> None:
    threshold, runs = 400.0, 300
    alarms = 0
    for _ in range(runs):
        path = log_detector_path(log_factors(RNG.choice([-0.25, 0.75], blocks, p=[0.75, 0.25])))
        alarms += first_alarm(path, math.log(threshold)) is not None
    bound = blocks / threshold
    assert alarms / runs <= bound + 2 * math.sqrt(bound * (1 - bound) / runs)


def test_the_mean_run_to_a_false_alarm_is_at_least_the_threshold() -> None:
    lengths = []
    for _ in range(60):
        detector, blocks = RunDetector(), 1
        while detector.step(log_factors(RNG.choice([-0.5, 0.5], 1))[0]) < math.log(50.0):
            blocks += 1
        lengths.append(blocks)
    assert np.mean(lengths) + 2 * np.std(lengths) / math.sqrt(60) >= 50.0


def test_a_change_is_found_as_fast_after_a_long_calm_as_at_once() -> None:
    change = np.full(200, 0.1)
    calm = np.tile([-0.5, 0.3], 500)  # of a mean below 0: no wealth is lost that a late start would need
    threshold = log_threshold(30.0)
    at_once = first_alarm(log_detector_path(log_factors(change)), threshold)
    later = first_alarm(log_detector_path(log_factors(np.concatenate((calm, change)))), threshold)
    assert at_once is not None
    assert later is not None
    assert 0 <= at_once - (later - len(calm)) < at_once / 2


def test_threshold_is_in_blocks_and_shared_by_the_tests() -> None:
    assert math.exp(log_threshold(30.0)) == pytest.approx(30 * 48)
    assert math.exp(log_threshold(30.0, 4)) == pytest.approx(30 * 48 * 4)
    with pytest.raises(ValueError, match="half an hour"):
        log_threshold(0.01)


def test_no_block_no_alarm() -> None:
    path = log_detector_path(np.zeros((0, len(BETS))))
    assert len(path) == 0
    assert first_alarm(path, 1.0) is None
    assert first_alarm(np.array([0.0, 2.0, 1.0, 3.0]), 2.0) == 1
