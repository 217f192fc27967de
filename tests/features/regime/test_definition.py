"""Values worked out by hand or by numpy, a family at a time, of the plain definition."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from regime_streams import BP, START_S, named, run_of

from volspike.features.fixedpoint import log_return_fixed
from volspike.features.grid import ClosedSecond
from volspike.features.regime.definition import regime_values
from volspike.labels.trailing import RollingSquares

DAY = 86_400


def at_end(closed: list[ClosedSecond]) -> dict[str, float]:
    return named(regime_values(closed, closed[-1].second))


def random_q(seed: int, count: int) -> list[int]:
    rng = np.random.default_rng(seed)
    return [round(x) for x in (rng.standard_normal(count) * 3 * BP * (rng.random(count) < 0.6)).tolist()]


def test_volatility_of_equal_moves_is_the_same_over_every_length() -> None:
    # 1 bp a second: sqrt(60) bp a minute.
    found = at_end(run_of([BP, -BP] * 2_000))
    for length in ("5s", "10s", "30s", "120s", "900s", "3600s"):
        assert found[f"rv_{length}_bps"] == pytest.approx(math.sqrt(60.0), rel=1e-12)
    assert math.isnan(found["rv_24h_bps"])


def test_volatility_is_that_of_the_har_lags_of_the_same_length() -> None:
    closed = run_of(random_q(1, 3_700))
    found = at_end(closed)
    for length_s in (5, 10, 30, 120, 900, 3_600):
        window = RollingSquares(length_s)
        for each in closed[1:]:
            window.add(each.second, each.q or 0)
        window.evict(closed[-1].second)
        assert found[f"rv_{length_s}s_bps"] == window.rv_bps()


@pytest.mark.parametrize(("covered", "missing"), [(4, True), (5, False)])
def test_a_value_is_missing_where_under_half_of_the_look_back_is_covered(covered: int, missing: bool) -> None:
    found = at_end(run_of([BP] * covered))
    assert math.isnan(found["rv_10s_bps"]) == missing
    assert not math.isnan(found["rv_5s_bps"])


def test_before_anything_is_known_all_but_coverage_and_time_are_missing() -> None:
    found = named(regime_values([], START_S))
    known = {name for name, value in found.items() if not math.isnan(value)}
    assert known == {"coverage_4h_frac", "coverage_24h_frac", "day_sin", "day_cos", "hour_frac"}
    assert found["coverage_4h_frac"] == found["coverage_24h_frac"] == 0.0


def test_coverage_counts_returns_over_seconds() -> None:
    found = at_end(run_of([0] * 3_600))
    assert found["coverage_4h_frac"] == 0.25
    assert found["coverage_24h_frac"] == 3_600 / 86_400


def test_a_decay_forgets_half_in_a_half_life() -> None:
    closed = run_of([0] * 200 + [BP] + [0] * 60)
    later = regime_values(closed, closed[-1].second)
    sooner = regime_values(closed[:-10], closed[-11].second)
    ratio = named(sooner)["ewma_10s_bps"] / named(later)["ewma_10s_bps"]
    assert ratio == pytest.approx(math.sqrt(2.0), rel=1e-12)


def test_a_decay_is_the_weighted_mean_that_numpy_makes() -> None:
    q = random_q(2, 6_500)
    found = at_end(run_of(q))
    r = np.array(q, np.float64)[::-1] / 2.0**60
    for half_life in (10, 60, 600):
        squares = r[: 10 * half_life] ** 2
        weights = 2.0 ** (-np.arange(10 * half_life) / half_life)
        expected = 1e4 * math.sqrt(60.0 * np.average(squares, weights=weights))
        assert found[f"ewma_{half_life}s_bps"] == pytest.approx(expected, rel=1e-10)


def test_a_decay_needs_half_of_its_weight() -> None:
    # The first half-life carries 512 / 1023 of the weight, so it takes no second more than those.
    assert math.isnan(at_end(run_of([BP] * 9))["ewma_10s_bps"])
    assert at_end(run_of([BP] * 10))["ewma_10s_bps"] == pytest.approx(math.sqrt(60.0), rel=1e-12)


def test_a_single_jump_is_all_jump_and_equal_moves_are_none() -> None:
    jump = at_end(run_of([0] * 40 + [50 * BP] + [0] * 19))
    assert jump["jump_60s_frac"] == 1.0
    assert jump["bipower_60s_bps"] == 0.0
    assert jump["max_return_60s_frac"] == 1.0
    assert jump["max_return_60s_bps"] == pytest.approx(50.0, rel=1e-12)
    # |r| of 1 bp each: bipower is pi / 2 times the variance, and no share of a variance is below 0.
    steady = at_end(run_of([BP, -BP] * 30))
    assert steady["jump_60s_frac"] == 0.0
    assert steady["bipower_60s_bps"] == pytest.approx(math.sqrt(math.pi / 2 * 60.0), rel=1e-12)
    assert steady["max_return_60s_frac"] == pytest.approx(1 / 60)


def test_bipower_and_jump_share_are_those_of_numpy() -> None:
    q = random_q(3, 400)
    found = at_end(run_of(q))
    for n in (60, 300):
        r = np.abs(np.array(q[-n:], np.float64)) / 2.0**60
        bipower = math.pi / 2 * np.mean(r[1:] * r[:-1])
        assert found[f"bipower_{n}s_bps"] == pytest.approx(1e4 * math.sqrt(60 * bipower), rel=1e-12)
        share = max(0.0, 1.0 - bipower / np.mean(r**2))
        assert found[f"jump_{n}s_frac"] == pytest.approx(share, rel=1e-12)


def test_down_is_the_share_of_the_falls() -> None:
    # Falls of 3 bp and rises of 1 bp: 9 of 10 parts.
    found = at_end(run_of([-3 * BP, BP] * 30))
    assert found["down_60s_frac"] == pytest.approx(0.9)
    assert found["moved_60s_frac"] == 1.0
    assert at_end(run_of([-BP, 0, 0] * 20))["down_60s_frac"] == 1.0


def test_moved_is_the_share_of_the_seconds_that_moved() -> None:
    assert at_end(run_of([-BP, 0, 0] * 20))["moved_60s_frac"] == pytest.approx(1 / 3)


def test_drift_is_the_root_of_n_on_a_straight_path_and_none_on_a_bouncing_one() -> None:
    straight = at_end(run_of([-BP] * 60))
    assert straight["drift_over_rv_60s"] == pytest.approx(math.sqrt(60.0), rel=1e-12)
    bouncing = at_end(run_of([BP, -BP] * 30))
    assert bouncing["drift_over_rv_60s"] == 0.0


def test_the_range_of_a_straight_path_is_its_length() -> None:
    # R = 60 bp over 60 s.
    found = at_end(run_of([-BP] * 60))
    assert found["parkinson_60s_bps"] == pytest.approx(60.0 / math.sqrt(4 * math.log(2)), rel=1e-12)
    assert found["range_over_rv_60s"] == pytest.approx(
        60.0 / math.sqrt(60.0) / math.sqrt(4 * math.log(2)), rel=1e-12
    )


def test_the_range_is_that_of_the_logs_of_the_mids() -> None:
    rng = np.random.default_rng(4)
    mids = [2_000_000 + int(x) for x in np.cumsum(rng.integers(-60, 61, 1_000))]
    found = at_end(run_of([log_return_fixed(a, b) for a, b in pairwise(mids)]))
    for n in (60, 300, 900):
        inside = mids[-n - 1 :]
        reach = math.log(max(inside) / min(inside))
        expected = 1e4 * reach * math.sqrt(60.0 / (4 * math.log(2) * n))
        assert found[f"parkinson_{n}s_bps"] == pytest.approx(expected, rel=1e-9)


def test_quarticity_is_volatility_on_equal_moves_and_more_in_bursts() -> None:
    equal = at_end(run_of([BP, -BP] * 150))
    # (r**4 * n / (3 n))**(1/4)
    assert equal["quarticity_300s_bps"] == pytest.approx(math.sqrt(60.0) * (1 / 3) ** 0.25, rel=1e-12)
    burst = at_end(run_of([0] * 299 + [BP]))
    assert burst["quarticity_300s_bps"] == pytest.approx(math.sqrt(60.0) * (1 / 900) ** 0.25, rel=1e-12)


def test_volatility_of_volatility_is_the_spread_of_the_minutes_over_their_mean() -> None:
    q = [each for minute in range(15) for each in [(minute + 1) * BP] * 60]
    minutes = np.arange(1, 16)
    assert at_end(run_of(q))["vol_of_vol_900s"] == pytest.approx(np.std(minutes, ddof=1) / np.mean(minutes))
    assert at_end(run_of([BP] * 900))["vol_of_vol_900s"] == pytest.approx(0.0, abs=1e-12)


def test_volatility_of_volatility_needs_eight_minutes() -> None:
    assert math.isnan(at_end(run_of([BP] * (7 * 60 + 29)))["vol_of_vol_900s"])
    assert not math.isnan(at_end(run_of([BP] * (7 * 60 + 30)))["vol_of_vol_900s"])


def test_the_last_jump_is_the_last_move_above_four_deviations() -> None:
    # 1 bp each, one of 20 bp: the deviation is sqrt((3599 + 400) / 3600) bp, four of which are 4.2 bp.
    calm = [BP, -BP] * 1_800
    calm[2_000], calm[3_000] = 20 * BP, 4 * BP
    assert at_end(run_of(calm))["since_jump_s"] == 1_600.0
    calm[3_599] = -20 * BP
    assert at_end(run_of(calm))["since_jump_s"] == 1.0
    assert at_end(run_of([BP, -BP] * 1_800))["since_jump_s"] == 3_600.0


def test_the_position_is_1_at_the_high_of_the_day_and_0_at_its_low() -> None:
    half = [BP] * 100 + [0] * (DAY // 2)
    assert at_end(run_of(half))["position_24h_frac"] == 1.0
    assert at_end(run_of([-each for each in half]))["position_24h_frac"] == 0.0
    # Up 100 bp, down 25 bp.
    assert at_end(run_of([*half, *[-BP] * 25]))["position_24h_frac"] == pytest.approx(0.75)
    assert math.isnan(at_end(run_of([BP] * (DAY // 2 - 1)))["position_24h_frac"])


def test_twice_the_usual_volatility_is_two_thirds() -> None:
    closed = run_of([BP, -BP] * 21_450 + [2 * BP, -2 * BP] * 150)
    found = at_end(closed)
    usual, now = found["rv_24h_bps"], 2.0 * math.sqrt(60.0)
    assert found["rv_300s_vs_24h_frac"] == pytest.approx(now / (now + usual), rel=1e-12)
    assert found["rv_300s_vs_24h_frac"] == pytest.approx(2 / 3, rel=1e-2)
    assert found["ewma_10s_vs_24h_frac"] == pytest.approx(2 / 3, rel=1e-2)
    assert found["rv_3600s_vs_4h_frac"] == pytest.approx(
        found["rv_3600s_bps"] / (found["rv_3600s_bps"] + math.sqrt(60.0 * (14_100 + 300 * 4) / 14_400)),
        rel=1e-12,
    )


def test_where_nothing_moves_every_value_is_what_its_formula_says() -> None:
    found = at_end(run_of([0] * DAY))
    ones = {"coverage_4h_frac", "coverage_24h_frac"}
    halves = {name for name in found if "_vs_" in name or name.startswith(("down", "position"))}
    times = {"day_sin", "day_cos", "hour_frac"}
    assert len(halves) == 9
    for name, value in found.items():
        if name not in times:
            expected = 1.0 if name in ones else 0.5 if name in halves else 0.0
            assert value == (3_600.0 if name == "since_jump_s" else expected), name


def test_where_no_return_follows_another_there_is_no_bipower() -> None:
    # Runs of two seconds each: every other second has a return, none of them next to another.
    closed = [each for run in range(31) for each in run_of([BP], START_S + 2 * run, run)]
    found = at_end(closed)
    assert found["moved_60s_frac"] == 1.0
    assert math.isnan(found["bipower_60s_bps"])
    assert math.isnan(found["jump_60s_frac"])


@pytest.mark.parametrize(
    ("clock_s", "sine", "cosine", "hour"),
    [(0, 0.0, 1.0, 0.0), (6 * 3_600, 1.0, 0.0, 0.0), (12 * 3_600 + 59, 0.0, -1.0, 59 / 3_600)],
)
def test_time_of_day(clock_s: int, sine: float, cosine: float, hour: float) -> None:
    found = named(regime_values([], 20_000 * DAY + clock_s))
    assert (found["day_sin"], found["day_cos"], found["hour_frac"]) == pytest.approx((sine, cosine, hour))
