from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from evaluation_rows import NS, dataset

from volspike.evaluation.ahead import shares_ahead
from volspike.evaluation.budget import BUDGETS_PER_HOUR, budget_curve
from volspike.evaluation.episodes import choose_thresholds
from volspike.evaluation.scores import graded_seconds
from volspike.labels.dataset import Dataset

HOURS = 8


def hours(onsets: tuple[int, ...], seed: int) -> tuple[Dataset, np.ndarray]:
    """Return eight hours alike, 40 s of spikes from each onset on, which most probabilities see coming."""
    spike, rise = np.zeros(3_600, int), np.zeros(3_600)
    for k, onset in enumerate(onsets):
        spike[onset : onset + 40] = 1
        rise[onset - 20 : onset + 30] = 0.9 - 0.15 * k
    for k, false in enumerate(range(200, 3_400, 400)):
        rise[false : false + 5] += 0.08 * (k + 1)
    p = 0.02 + 0.02 * np.random.default_rng(seed).random(3_600 * HOURS)
    rises = np.tile(rise, HOURS)
    return dataset(np.tile(spike, HOURS).tolist()), np.where(rises > 0.0, rises, p)


CALIBRATE = hours((700, 1_500, 2_700), 1)
TEST = hours((450, 1_900, 2_500), 2)


def test_a_curve_has_a_point_a_budget_chosen_as_training_chooses() -> None:
    points = budget_curve(*CALIBRATE, *TEST)
    assert [point.budget_per_hour for point in points] == list(BUDGETS_PER_HOUR)
    for point in points:
        chosen = choose_thresholds(graded_seconds(CALIBRATE[0]), CALIBRATE[1], point.budget_per_hour)
        assert (point.open_at, point.close_at) == (chosen.open_at, chosen.close_at)
        assert point.calibrate_false_alarms_per_hour is not None
        assert point.calibrate_false_alarms_per_hour <= point.budget_per_hour
    recalls = [point.calibrate_onset_recall for point in points]
    assert recalls == sorted(recalls)


def test_test_rows_are_scored_with_the_thresholds_of_calibrate() -> None:
    test, p = TEST
    (point,) = budget_curve(*CALIBRATE, test, 0.99 * p, (2.0,))
    # The least of the three onsets of calibrate; that of test now lies just below it.
    assert point.open_at == pytest.approx(0.6)
    assert (point.calibrate_onset_recall, point.calibrate_false_alarms_per_hour) == (1.0, 1.0)
    # The others are warned of 20 s before they begin, so 80 s before the present shows them.
    assert (point.onsets, point.onset_recall, point.lead_s) == (3 * HOURS, pytest.approx(2 / 3), 80.0)
    assert (point.alerts, point.false_alarms_per_hour) == (3 * HOURS, 1.0)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_no_threshold_depends_on_a_row_of_test(seed: int) -> None:
    rng = np.random.default_rng(seed)
    test, p = TEST
    other = replace(
        test,
        spike=rng.integers(-1, 2, len(test)).astype(np.int8),
        sigma_future_bps=test.sigma_future_bps * 3.0,
        mid=test.mid * 2.0,
    )
    before = budget_curve(*CALIBRATE, test, p)
    after = budget_curve(*CALIBRATE, other, rng.random(len(p)))
    thresholds = [
        [(point.open_at, point.close_at, point.calibrate_onset_recall) for point in curve]
        for curve in (before, after)
    ]
    assert thresholds[0] == thresholds[1]
    assert [point.alerts for point in before] != [point.alerts for point in after]


def test_without_thresholds_nothing_is_scored_and_it_is_said_why() -> None:
    quiet, p = hours((), 3)
    for calibrate, p_calibrate, reason in (
        (quiet, np.full(len(p), 0.3), "0 onsets"),
        (quiet.rows(np.arange(0)), p[:0], "no labelled row"),
        (CALIBRATE[0], np.zeros(3_600 * HOURS), "no threshold warns"),
    ):
        for point in budget_curve(calibrate, p_calibrate, *TEST):
            assert reason in point.reason
            assert (point.open_at, point.onset_recall, point.alerts, point.duty_frac) == (None,) * 4


def test_with_few_onsets_on_calibrate_there_is_a_curve_and_a_reason() -> None:
    quiet, p = hours((), 3)
    for point in budget_curve(quiet, p, *TEST, (2.0, 4.0)):
        assert point.reason.startswith("0 onsets in the rows, 20 are needed")
        assert point.open_at is not None
        assert point.calibrate_false_alarms_per_hour is not None
        assert point.calibrate_false_alarms_per_hour <= point.budget_per_hour
        assert point.onset_recall is not None


def test_a_row_a_minute_is_enough() -> None:
    spike = np.zeros(600, int)
    spike[[100, 300, 301, 500]] = 1
    p = np.full(600, 0.05)
    p[[99, 300, 500]] = 0.8  # a minute early, and twice with the onset
    made = dataset(np.tile(spike, 7).tolist())
    p = np.tile(p, 7)
    minutes = replace(made, step_s=60, event_ns=np.arange(1, 4_201, dtype=np.int64) * 60 * NS)
    (point,) = budget_curve(minutes, p, minutes, p, (1.0,))
    assert (point.onsets, point.onset_recall, point.lead_s, point.ahead_frac) == (21, 1.0, 60.0, 1.0)
    assert (point.false_alarms_per_hour, point.reason) == (0.0, "")


def moving(returns_bps: np.ndarray) -> Dataset:
    """Return rows whose mids move so, labelled by what follows."""
    n = len(returns_bps)
    sums = np.concatenate((np.cumsum(returns_bps**2), np.full(60, np.nan)))
    sigma = np.sqrt(sums[60 : n + 60] - sums[:n])
    spike = np.where(np.isnan(sigma), -1, sigma >= 4.0)
    made = dataset(spike.tolist(), sigma.tolist())
    return replace(made, mid=50_000.0 * np.exp(np.cumsum(returns_bps) * 1e-4))


def test_the_share_ahead_counts_the_squares_that_are_still_to_come() -> None:
    returns = np.zeros(300)
    returns[110], returns[130], returns[150] = 3.0, -4.0, 2.0  # seconds 111, 131, 151
    part = moving(returns)
    # Of the minute after second 100 the squares are 9, 16 and 4.
    hits = [(100, 80.0), (100, 100.0), (100, 110.0), (100, 111.0), (100, 131.0), (100, 155.0)]
    assert shares_ahead(part, hits) == pytest.approx([1.0, 1.0, 1.0, 20 / 29, 4 / 29, 0.0])


def test_a_minute_that_the_rows_do_not_make_up_is_left_out() -> None:
    returns = np.zeros(300)
    returns[110], returns[130] = 3.0, -4.0
    part = moving(returns)
    # Quiet seconds without a row change nothing; with 131 the mids skip nothing, with 111 they merge nothing.
    assert shares_ahead(part.rows(np.arange(300) != 120), [(100, 125.0)]) == pytest.approx([16 / 25])
    # A row that is missing between two moves joins them, and no longer gives the label.
    returns[131] = 4.0
    part = moving(returns)
    assert shares_ahead(part.rows(np.arange(300) != 130), [(100, 90.0), (100, 125.0)]) == []
    assert shares_ahead(replace(part, sigma_future_bps=part.sigma_future_bps * 1.01), [(100, 90.0)]) == []
