from __future__ import annotations

import json

import numpy as np
import pytest

from benchmarks import drift_markets
from volspike.evaluation.episodes import GradedSeconds, open_alerts
from volspike.monitoring.betting import log_factors
from volspike.monitoring.calibration_bets import top_tenth
from volspike.monitoring.contender import Contender
from volspike.monitoring.outcome_watch import TESTS, OutcomeVerdict, watch_outcomes
from volspike.monitoring.run_detector import log_detector_path


def contender(rows: GradedSeconds, p: np.ndarray) -> Contender:
    return Contender(p, None, open_alerts(rows.second, rows.run, p, 0.3, 0.2))


def flat(p: np.ndarray) -> np.ndarray:
    return np.full(len(p), float(np.mean(p)))


def alarms(verdict: OutcomeVerdict) -> set[str]:
    return {test.name for test in verdict.tests if test.alarm}


def test_a_model_of_the_true_chances_is_left_alone() -> None:
    rows, p = drift_markets.minutes(20, 1)
    verdict = watch_outcomes(rows, contender(rows, p), contender(rows, flat(p)))
    assert tuple(test.name for test in verdict.tests) == TESTS
    assert not verdict.alarm
    assert verdict.alarm_block is None
    assert verdict.words.startswith("no drift on matured labels")
    assert verdict.tests[0].figure is not None
    assert verdict.tests[0].figure < 0.0
    assert verdict.tests[1].figure == pytest.approx(1.0, abs=0.05)


@pytest.mark.parametrize("before_days", [0, 1])
def test_a_model_of_the_true_chances_is_left_alone_behind_a_quiet_day(before_days: int) -> None:
    for seed in range(6):
        rows, p, resting = drift_markets.rested(before_days, 1, 5, seed)
        told = drift_markets.blurred(p, 0.5, np.random.default_rng([6, seed]))
        reference = drift_markets.too_calm(np.where(resting, p, told), resting)
        verdict = watch_outcomes(rows, contender(rows, p), contender(rows, reference))
        assert verdict.evidence.enough_data
        assert not verdict.alarm


@pytest.mark.parametrize(
    ("ratio", "name", "top"),
    [(2.5, "too_many_spikes", "top_too_many"), (0.3, "too_few_spikes", "top_too_few")],
)
def test_a_change_is_found_after_it_and_by_the_test_that_is_for_it(ratio: float, name: str, top: str) -> None:
    before = drift_markets.minutes(10, 2)
    rows, p = drift_markets.joined(before, drift_markets.minutes(10, 3, ratio))
    verdict = watch_outcomes(rows, contender(rows, p), contender(rows, p))
    assert {name} <= alarms(verdict) <= {name, top}
    assert verdict.alarm_block is not None
    delay = verdict.alarm_block - int(before[0].second[-1]) // 1_800
    assert 0 < delay < 5 * 48
    cut = rows.second // 1_800 <= verdict.alarm_block
    upto = GradedSeconds(rows.second[cut], rows.run[cut], rows.spike[cut], 60)
    again = watch_outcomes(upto, contender(upto, p[cut]), contender(upto, p[cut]))
    assert again.alarm_block == verdict.alarm_block  # what came later has changed nothing


@pytest.mark.parametrize(("steeper", "name"), [(0.5, "top_too_many"), (2.0, "top_too_few")])
def test_what_is_wrong_at_the_top_alone_is_found_though_the_average_is_right(
    steeper: float, name: str
) -> None:
    rows, p = drift_markets.minutes(20, 7)
    log_odds = steeper * np.log(p / (1.0 - p))
    said = [1.0 / (1.0 + np.exp(-(log_odds + shift))) for shift in np.linspace(-8.0, 8.0, 1_601)]
    p_told = min(said, key=lambda each: abs(float(np.mean(each) - np.mean(p))))
    verdict = watch_outcomes(rows, contender(rows, p_told), contender(rows, p_told))
    tests = {test.name: test for test in verdict.tests}
    assert tests[name].alarm
    assert not tests["too_many_spikes" if steeper < 1.0 else "too_few_spikes"].alarm
    assert tests["too_many_spikes"].figure == pytest.approx(1.0, abs=0.1)


def test_the_top_tenth_is_known_before_its_block() -> None:
    rng = np.random.default_rng(3)
    second = np.arange(20 * 1_800, dtype=np.int64)
    p = rng.uniform(size=len(second))
    top = top_tenth(second, p)
    assert not top[: 4 * 1_800].any()
    assert 0.08 < top[4 * 1_800 :].mean() < 0.12
    later = p.copy()
    later[10 * 1_800 :] = 1.0
    assert (top_tenth(second, later)[: 10 * 1_800] == top[: 10 * 1_800]).all()
    block = later[:1]  # of one value all of it is the top
    assert top_tenth(second, np.full(len(second), block[0]))[4 * 1_800 :].all()


def test_a_model_that_falls_behind_its_reference_is_found_by_loss_and_cost() -> None:
    rows, p = drift_markets.minutes(20, 4)
    rng = np.random.default_rng(1)
    broken = rng.permutation(p)  # of the right frequency, and of no use
    verdict = watch_outcomes(rows, contender(rows, broken), contender(rows, p))
    assert {"log_loss", "alert_cost"} <= alarms(verdict)
    assert "log-loss lies above its reference's: yes, since 2021-05-0" in verdict.words


def test_a_watch_that_begins_later_places_the_same_bets_only_fewer() -> None:
    rows, p, resting = drift_markets.rested(3, 1, 2, 11)
    reference = drift_markets.too_calm(p, resting)

    def watched(first_s: int, since_s: int) -> OutcomeVerdict:
        late = rows.second >= first_s
        seen = GradedSeconds(rows.second[late], rows.run[late], rows.spike[late], 60)
        return watch_outcomes(
            seen, contender(seen, p[late]), contender(seen, reference[late]), since_s=since_s
        )

    begin = int(rows.second[0])
    whole = watched(begin, 0)
    for days in (2, 3, 4):
        since_s = begin + days * 86_400
        for some, sliding, test in zip(
            watched(begin, since_s).tests, watched(since_s - 86_400, since_s).tests, whole.tests, strict=True
        ):
            assert some.log_e == sliding.log_e
            assert some.log_e is not None
            assert test.log_e is not None
            assert some.log_e < test.log_e
            assert 0 < some.blocks <= (6 - days) * 48


def test_a_watch_that_begins_later_tells_of_its_own_rows_only() -> None:
    early, late = drift_markets.minutes(4, 12), drift_markets.minutes(4, 13, 2.0)
    rows, p = drift_markets.joined(early, late)
    holes = np.where(np.arange(len(p)) % 10 == 0, np.nan, p)
    since_s = int(rows.second[len(early[0].second)])
    found, alone = (
        watch_outcomes(
            seen, Contender(said, None, contender(seen, told).alerts), contender(seen, told / 2), 60.0, at
        )
        for seen, said, told, at in ((rows, holes, p, since_s), (late[0], holes[-len(late[1]) :], late[1], 0))
    )
    assert found.evidence == alone.evidence
    assert found.untold == alone.untold == len(late[1]) // 10
    for one, other in zip(found.tests, alone.tests, strict=True):
        if not one.name.startswith("top"):  # the day before tells what the top is
            assert (one.figure, one.blocks) == (pytest.approx(other.figure), other.blocks)


def test_the_scale_of_alert_costs_is_fixed_beforehand() -> None:
    second = np.arange(2 * 1_800, 16 * 1_800, dtype=np.int64)
    spike, of = np.zeros(len(second), np.int8), second % 1_800
    last = second >= 15 * 1_800  # five onsets that the model warns of, behind false alarms in each block
    for at in range(400, 1_400, 200):
        spike[last & (of >= at) & (of < at + 30)] = 1
    p = np.where(last, np.isin(of % 200, range(180, 190)) & (of > 300) & (of < 1_400), of == 900)
    rows = GradedSeconds(second, np.zeros(len(second), np.int32), spike)
    verdict = watch_outcomes(rows, contender(rows, p.astype(np.float64)), contender(rows, 0.0 * p))
    factors = log_factors(np.array([0.25] * 13 + [-1.0]))
    assert verdict.tests[-1].log_e == pytest.approx(log_detector_path(factors)[-1])
    assert verdict.tests[-1].log_e_most == pytest.approx(log_detector_path(factors)[-2])


def test_seconds_whose_labels_overlap_are_left_alone_too() -> None:
    rows, p = drift_markets.seconds(72, 5)
    verdict = watch_outcomes(rows, contender(rows, p), contender(rows, flat(p)))
    assert verdict.evidence.enough_data
    assert not verdict.alarm
    wrong, p = drift_markets.seconds(72, 5, 3.0)
    assert "too_many_spikes" in alarms(watch_outcomes(wrong, contender(wrong, p), contender(wrong, flat(p))))


def test_thin_data_end_in_not_enough_data_however_clear_they_look() -> None:
    rows, p = drift_markets.minutes(20, 6)
    quarter = GradedSeconds(rows.second[:240], rows.run[:240], np.ones(240, np.int8), 60)
    verdict = watch_outcomes(quarter, contender(quarter, p[:240] / 10), contender(quarter, p[:240]))
    assert verdict.tests[1].log_e_most is not None
    assert verdict.tests[1].log_e_most > verdict.tests[1].log_threshold
    assert not verdict.alarm
    assert verdict.words.startswith("not enough data")
    empty = GradedSeconds(*(column[:0] for column in (rows.second, rows.run, rows.spike)), 60)
    verdict = watch_outcomes(empty, contender(empty, p[:0]), contender(empty, p[:0]))
    assert not verdict.alarm
    assert all(test.log_e is None and "not enough data" in test.words for test in verdict.tests)


def test_rows_without_a_prediction_are_left_out_and_counted() -> None:
    rows, p = drift_markets.minutes(20, 7)
    holes = np.where(np.arange(len(p)) % 10 == 0, np.nan, p)
    verdict = watch_outcomes(rows, Contender(holes), Contender(np.full(len(p), np.nan)))
    assert verdict.untold == len(p) // 10
    assert not verdict.alarm
    tests = dict(zip(TESTS, verdict.tests, strict=True))
    assert tests["log_loss"].blocks == tests["alert_cost"].blocks == 0  # no reference, no alerts
    assert tests["too_many_spikes"].blocks == 20 * 48


def test_the_verdict_can_be_written_as_json() -> None:
    rows, p = drift_markets.minutes(5, 8)
    told = json.loads(json.dumps(watch_outcomes(rows, contender(rows, p), contender(rows, p)).as_dict()))
    assert told["alarm"] is False
    assert told["enough_data"] is True
    assert [test["name"] for test in told["tests"]] == list(TESTS)
