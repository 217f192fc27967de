from __future__ import annotations

import math

import numpy as np
import pytest

from benchmarks import drift_markets
from volspike.monitoring.betting import BETS
from volspike.monitoring.calibration_bets import too_few_spikes, too_many_spikes
from volspike.monitoring.run_detector import first_alarm, log_detector_path

THRESHOLD = math.log(1_000.0)


def test_a_block_by_hand() -> None:
    second = 3_600 + np.array([0, 60, 120])
    spike = np.array([1, 1, 0], np.int8)
    many = too_many_spikes(second, spike, np.array([0.9, 0.4, 0.8]), 60)
    assert np.exp(many) == pytest.approx(((1 + BETS * 0.5 / 1.25) * (1 - BETS * 0.8))[None, :])
    few = too_few_spikes(second, spike, np.array([0.9, 0.5, 0.5]), 60)
    assert np.exp(few) == pytest.approx(((1 - BETS * 0.6) * (1 + BETS * 0.4))[None, :])


def test_seconds_are_bet_on_by_the_minute_in_two_lanes() -> None:
    second = np.arange(3_600, 5_400)
    minute = (second - 3_600) // 60
    spike = np.where(minute == 2, 1, 0).astype(np.int8)
    few = too_few_spikes(second, spike, np.full(1_800, 0.5), 1)
    even, odd = (1 + 0.4 * BETS) ** 15, (1 + 0.4 * BETS) ** 13 * (1 - 0.6 * BETS)
    assert np.exp(few[0]) == pytest.approx((even + odd) / 2)


@pytest.mark.parametrize("make", [drift_markets.minutes, drift_markets.seconds])
def test_true_chances_are_left_alone_and_wrong_ones_are_found(make) -> None:
    length = 20 if make is drift_markets.minutes else 72
    for ratio, many, few in ((1.0, False, False), (2.5, True, False), (0.3, False, True)):
        rows, p = make(length, 3, ratio)
        found = [
            first_alarm(log_detector_path(test(rows.second, rows.spike, p, rows.step_s)), THRESHOLD)
            is not None
            for test in (too_many_spikes, too_few_spikes)
        ]
        assert found == [many, few], ratio


@pytest.mark.parametrize(("ratio", "test"), [(1.25, too_many_spikes), (0.8, too_few_spikes)])
def test_at_the_very_bound_an_alarm_is_as_rare_as_promised(ratio: float, test) -> None:
    runs, alarms = 60, 0
    for seed in range(runs):
        rows, p = drift_markets.seconds(12, seed, ratio)
        path = log_detector_path(test(rows.second, rows.spike, p, 1))
        alarms += first_alarm(path, math.log(240.0)) is not None
    bound = 24 / 240
    assert alarms / runs <= bound + 2 * math.sqrt(bound * (1 - bound) / runs)
