"""The set ``candle``: each column by hand, against plain loops, and as a function of its look-back alone."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from candle_tables import (
    DAY,
    FIRST,
    INCREMENT,
    bits,
    changed_after,
    minutes_of,
    random_table,
    tables,
    without,
)
from volspike.exchange.candles import CandleTable
from volspike.features import candle_features as candle_features_module
from volspike.features.candle_columns import (
    CANDLE,
    LAG_MINUTES,
    PEAK_MINUTES,
    RANGE_MINUTES,
    RV_MINUTES,
    SEASON_DAYS,
    SEASON_REACH_MINUTES,
    TYPICAL_MINUTES,
    VOLUME_MINUTES,
)
from volspike.features.candle_features import candle_features, minute_grid, range_sigma_bps, trailing_mean

SEASON_MINUTES = SEASON_DAYS * DAY + SEASON_REACH_MINUTES
LOOK_BACK = {
    **{f"range_rv_{n}m": n for n in RV_MINUTES},
    **{f"range_typical_{n}m": n for n in TYPICAL_MINUTES},
    **{f"range_lag_{n}m": n + 1 for n in LAG_MINUTES},
    **{f"range_over_{n}m": n for n in RANGE_MINUTES},
    **{f"position_in_{n}m": n for n in (1, *RANGE_MINUTES)},
    "peak_30m": PEAK_MINUTES,
    "abs_return_60s": 2,
    **{f"volume_level_{n}m": 2 * DAY - 1 for n in VOLUME_MINUTES},
    "season_bps": SEASON_MINUTES,
    **dict.fromkeys(("day_sin", "day_cos", "minute_of_hour", "minute_of_quarter"), 1),
}


def features(table: CandleTable) -> np.ndarray:
    """Return the features of every candle, float64[n, k]."""
    grid = minute_grid(table, INCREMENT)
    return candle_features(grid)[grid.row]


def column(table: CandleTable, name: str) -> np.ndarray:
    return features(table)[:, CANDLE.names.index(name)]


def last(table: CandleTable, name: str) -> float:
    return float(column(table, name)[-1])


def test_every_column_has_a_look_back_here() -> None:
    assert tuple(LOOK_BACK) == CANDLE.names


def test_the_volatility_of_a_minute_is_its_range_over_the_square_root_of_4_ln_2() -> None:
    assert range_sigma_bps(np.array([101.0]), np.array([100.0]))[0] == pytest.approx(
        1e4 * math.log(1.01) / math.sqrt(4.0 * math.log(2.0))
    )
    grid = minute_grid(without(minutes_of([3.0, 5.0, 0.0]), 1), INCREMENT)
    assert (grid.first, grid.row.tolist()) == (FIRST, [0, 2])
    assert grid.sigma_bps[0] == pytest.approx(3.0)
    assert math.isnan(grid.sigma_bps[1])
    # A still minute counts as one increment: 0.01 of 100.
    assert grid.sigma_bps[2] == pytest.approx(1e4 * math.log(100.01 / 100.0) / math.sqrt(4.0 * math.log(2.0)))


def test_range_rv_is_the_root_of_the_mean_variance_of_what_is_there() -> None:
    table = minutes_of([3.0, 4.0])
    assert last(table, "range_rv_1m") == pytest.approx(4.0, rel=1e-6)
    assert last(table, "range_rv_2m") == pytest.approx(math.sqrt(12.5), rel=1e-6)
    assert last(table, "range_rv_3m") == pytest.approx(math.sqrt(12.5), rel=1e-6)  # two of three
    assert math.isnan(last(table, "range_rv_5m"))  # two of five
    assert last(without(minutes_of([3.0, 9.0, 4.0]), 1), "range_rv_3m") == pytest.approx(
        math.sqrt(12.5), rel=1e-6
    )


def test_range_typical_is_a_geometric_mean() -> None:
    assert last(minutes_of([1.0, 2.0, 4.0]), "range_typical_5m") == pytest.approx(2.0, rel=1e-5)
    assert math.isnan(last(minutes_of([1.0, 2.0]), "range_typical_5m"))


def test_range_lags_are_the_minutes_before_and_missing_ones_stay_missing() -> None:
    table = without(minutes_of([1.0, 2.0, 3.0, 4.0, 5.0, 6.0]), 3)
    found = [last(table, f"range_lag_{n}m") for n in LAG_MINUTES]
    assert found[0] == pytest.approx(5.0)
    assert math.isnan(found[1])
    assert found[2:] == pytest.approx([3.0, 2.0, 1.0])


def made(highs: list[float], lows: list[float], closes: list[float]) -> CandleTable:
    table = minutes_of([1.0] * len(highs))
    return replace(table, high=np.array(highs), low=np.array(lows), close=np.array(closes))


def test_range_and_position_are_those_of_the_highest_and_the_lowest() -> None:
    table = made([103.0, 104.0, 102.0], [101.0, 102.0, 100.0], [102.0, 103.0, 101.0])
    assert last(table, "range_over_5m") == pytest.approx(1e4 * math.log(104.0 / 100.0))
    assert last(table, "position_in_5m") == pytest.approx(0.25)
    assert last(table, "position_in_1m") == pytest.approx(0.5)
    assert math.isnan(last(table, "range_over_15m"))
    still = made([100.0], [100.0], [100.0])
    assert math.isnan(last(still, "position_in_1m"))


def test_a_close_of_the_book_may_lie_outside_the_range() -> None:
    table = made([101.0], [100.0], [101.5])
    assert last(table, "position_in_1m") == pytest.approx(1.5)
    assert last(table, "range_rv_1m") == pytest.approx(range_sigma_bps(table.high, table.low)[0], rel=1e-6)


def test_the_peak_is_the_wildest_of_half_an_hour() -> None:
    assert math.isnan(last(minutes_of([9.0] + [1.0] * 13), "peak_30m"))
    assert last(minutes_of([9.0] + [1.0] * 14), "peak_30m") == pytest.approx(9.0)
    assert last(minutes_of([9.0] + [1.0] * 29), "peak_30m") == pytest.approx(9.0)
    assert last(minutes_of([9.0] + [1.0] * 30), "peak_30m") == pytest.approx(1.0)


def test_the_return_is_from_close_to_close() -> None:
    table = made([102.0, 102.0], [100.0, 100.0], [100.0, 101.0])
    assert last(table, "abs_return_60s") == pytest.approx(1e4 * math.log(1.01))
    assert math.isnan(column(table, "abs_return_60s")[0])


def test_the_volume_level_is_a_log_against_the_day() -> None:
    steady = minutes_of([1.0] * DAY, volume=2.0)
    assert math.isnan(column(steady, "volume_level_1m")[DAY - 3])
    # The day's mean needs half a day, and the mean of the logs against it needs another half.
    assert column(steady, "volume_level_1m")[DAY - 2] == pytest.approx(0.0, abs=1e-6)
    volumes = [2.0] * (DAY - 1) + [6.0]
    busy = minutes_of([1.0] * DAY, volume=volumes)
    usual, now = math.log1p(100.0), math.log1p(600.0 / (2.0 + 4.0 / DAY))
    known = DAY - (DAY // 2 - 1)
    day = (usual * (known - 1) + now) / known
    assert last(busy, "volume_level_1m") == pytest.approx(now - day, abs=1e-5)
    assert last(busy, "volume_level_5m") == pytest.approx((4 * usual + now) / 5 - day, abs=1e-5)
    unknown = replace(steady, volume=np.full(DAY, np.nan))
    assert np.isnan([last(unknown, f"volume_level_{n}m") for n in VOLUME_MINUTES]).all()


def test_the_season_is_of_the_next_minutes_time_on_the_days_before() -> None:
    noon = 720
    sigmas = np.ones(2 * DAY)
    sigmas[noon - SEASON_REACH_MINUTES : noon + SEASON_REACH_MINUTES + 1] = 8.0
    found = column(minutes_of(sigmas.tolist()), "season_bps")
    assert found[DAY + noon - 1] == pytest.approx(8.0, rel=1e-5)
    one_less = math.exp(math.log(8.0) * 30 / 31)
    assert found[[DAY + noon - 2, DAY + noon]] == pytest.approx([one_less, one_less], rel=1e-5)
    assert found[DAY + noon - 1 - 31] == pytest.approx(1.0, rel=1e-5)
    # A day before the next minute there has to be a fifth of the 31 minutes.
    assert np.isnan(found[: DAY - 10]).all()
    assert np.isfinite(found[DAY - 1 :]).all()
    third = column(minutes_of([*sigmas.tolist(), *([2.0] * noon)]), "season_bps")
    assert third[2 * DAY + noon - 1] == pytest.approx(math.sqrt(8.0), rel=1e-5)  # 8 and 1 on two days


def test_the_time_is_that_of_the_next_minute() -> None:
    table = minutes_of([1.0] * 400)
    row = 374  # ends at 06:15
    assert column(table, "day_sin")[359] == pytest.approx(1.0)  # 06:00
    assert column(table, "day_cos")[359] == pytest.approx(0.0, abs=1e-12)
    assert column(table, "minute_of_hour")[row] == 15.0
    assert column(table, "minute_of_quarter")[row] == 0.0
    assert column(table, "minute_of_quarter")[row - 1] == 14.0
    assert column(table, "minute_of_hour")[59] == 0.0


def plain_mean(values: list[float], row: int, minutes: int, least: float = 0.5) -> float:
    inside = [v for v in values[max(row - minutes + 1, 0) : row + 1] if not math.isnan(v)]
    return math.fsum(inside) / len(inside) if inside and len(inside) >= least * minutes else math.nan


@given(tables(150))
@settings(max_examples=15, deadline=None)
def test_the_columns_equal_plain_loops(table: CandleTable) -> None:
    grid = minute_grid(table, INCREMENT)
    found = dict(zip(CANDLE.names, candle_features(grid).T, strict=True))
    sigma = grid.sigma_bps.tolist()
    high, low, close = grid.high.tolist(), grid.low.tolist(), grid.close.tolist()
    for row in range(len(sigma)):
        for n in RV_MINUTES:
            mean = plain_mean([s * s for s in sigma], row, n)
            assert found[f"range_rv_{n}m"][row] == pytest.approx(math.sqrt(mean), abs=2e-3, nan_ok=True)
        for n in TYPICAL_MINUTES:
            mean = plain_mean([math.log(s) for s in sigma], row, n)
            assert found[f"range_typical_{n}m"][row] == pytest.approx(math.exp(mean), rel=2e-6, nan_ok=True)
        for n in RANGE_MINUTES:
            start = max(row - n + 1, 0)
            highs = [h for h in high[start : row + 1] if not math.isnan(h)]
            lows = [x for x in low[start : row + 1] if not math.isnan(x)]
            whole = len(highs) >= n / 2
            over = 1e4 * math.log(max(highs) / min(lows)) if whole else math.nan
            assert found[f"range_over_{n}m"][row] == pytest.approx(over, nan_ok=True)
            position = math.nan
            if whole and max(highs) > min(lows):
                position = (close[row] - min(lows)) / (max(highs) - min(lows))
            assert found[f"position_in_{n}m"][row] == pytest.approx(position, nan_ok=True)


@given(tables(150))
@settings(max_examples=15, deadline=None)
def test_invariant_04_no_return_or_lag_reaches_over_a_missing_minute(table: CandleTable) -> None:
    found = dict(zip(CANDLE.names, features(table).T, strict=True))
    at = {minute: place for place, minute in enumerate(table.minute.tolist())}
    sigma = minute_grid(table, INCREMENT)
    for place, minute in enumerate(table.minute.tolist()):
        before = at.get(minute - 1)
        expected = math.nan
        if before is not None:
            expected = 1e4 * abs(math.log(table.close[place] / table.close[before]))
        assert found["abs_return_60s"][place] == pytest.approx(expected, abs=1e-9, nan_ok=True)
        for n in LAG_MINUTES:
            lag = at.get(minute - n)
            value = math.nan if lag is None else sigma.sigma_bps[sigma.row[lag]]
            assert found[f"range_lag_{n}m"][place] == pytest.approx(value, nan_ok=True)


@given(tables(), st.integers(1, 190))
@settings(max_examples=20, deadline=None)
def test_invariant_02_nothing_after_a_minute_changes_its_features(table: CandleTable, row: int) -> None:
    row = min(row, len(table) - 2)
    whole = bits(features(table)[: row + 1])
    assert bits(features(table.take(np.arange(row + 1)))) == whole  # truncated
    changed = changed_after(table, row)
    assert bits(features(changed)[: row + 1]) == whole  # mutated
    assert bits(features(changed)[row + 1 :]) != bits(features(table)[row + 1 :])
    assert bits(features(without(table, row + 1))[: row + 1]) == whole  # a hole


@given(tables(DAY * 2 + 200), st.integers(1, 300))
@settings(max_examples=8, deadline=None)
def test_invariant_01_a_row_is_a_function_of_its_look_back(table: CandleTable, start: int) -> None:
    whole, cut = features(table), features(table.take(np.arange(start, len(table))))
    assert_same_behind_the_look_back(table, whole, cut, start)


def test_invariant_01_the_season_looks_back_fourteen_days() -> None:
    table = random_table(5, SEASON_MINUTES + 700)
    start = 400
    whole, cut = features(table), features(table.take(np.arange(start, len(table))))
    assert assert_same_behind_the_look_back(table, whole, cut, start) == set(LOOK_BACK)
    season = CANDLE.names.index("season_bps")
    short = np.flatnonzero(table.minute[start:] < table.minute[start] + SEASON_MINUTES - DAY)
    assert bits(cut[short, season]) != bits(whole[start:][short, season])


def assert_same_behind_the_look_back(
    table: CandleTable, whole: np.ndarray, cut: np.ndarray, start: int
) -> set[str]:
    """Check each column of a table begun later; return those of which there were rows to check."""
    checked = set()
    for place, (name, minutes) in enumerate(LOOK_BACK.items()):
        inside = np.flatnonzero(table.minute[start:] >= table.minute[start] + minutes - 1)
        assert bits(cut[inside, place]) == bits(whole[start:][inside, place]), name
        if len(inside):
            checked.add(name)
    return checked


@pytest.mark.parametrize("name", list(LOOK_BACK)[:-4])
def test_the_oldest_minute_of_a_look_back_counts(name: str) -> None:
    minutes = LOOK_BACK[name]
    rng = np.random.default_rng(1)
    sigmas = rng.uniform(1.0, 2.0, minutes + 40)
    table = minutes_of(sigmas.tolist(), volume=rng.uniform(1.0, 2.0, len(sigmas)).tolist())
    row = len(sigmas) - 1
    oldest = row - minutes + 1
    moved = {f: getattr(table, f).copy() for f in ("high", "low", "close", "volume")}
    moved["low"][oldest] *= 0.9
    moved["close"][oldest] *= 0.95
    moved["high"][oldest] *= 1.1
    moved["volume"][oldest] *= 50.0
    other = replace(table, **moved)
    assert last(other, name) != last(table, name)


@given(tables(120))
@settings(max_examples=10, deadline=None)
def test_invariant_10_the_same_candles_give_the_same_bytes(table: CandleTable) -> None:
    assert features(table).tobytes() == features(table.take(np.arange(len(table)))).tobytes()


def test_sums_do_not_depend_on_what_came_before() -> None:
    rng = np.random.default_rng(3)
    values = np.concatenate((rng.exponential(1e9, 500), rng.exponential(1e-3, 500)))
    values[rng.random(1000) < 0.2] = np.nan
    whole = trailing_mean(values, 40)
    for start in (1, 333, 700):
        assert bits(trailing_mean(values[start:], 40)[39:]) == bits(whole[start + 39 :])


def split_by(table: CandleTable, gap: int, first: int) -> CandleTable:
    """Return the table with its first candles so many minutes earlier."""
    return replace(table, minute=np.where(np.arange(len(table)) < first, table.minute - gap, table.minute))


@pytest.mark.parametrize("gap_days", [19.0, 20.5, 33.3])
def test_a_long_gap_cut_short_changes_no_feature(gap_days: float, monkeypatch: pytest.MonkeyPatch) -> None:
    table = split_by(random_table(5, 3 * DAY), round(gap_days * DAY), 2 * DAY)
    cut = features(table)
    monkeypatch.setattr(candle_features_module, "LONGEST_GAP_MINUTES", 10**9)
    assert bits(cut) == bits(features(table))


def test_a_gap_of_years_costs_no_more_than_weeks() -> None:
    table = split_by(random_table(5, 3 * DAY), 5_000_017, 40)
    assert len(minute_grid(table, INCREMENT).sigma_bps) < 3 * DAY + 19 * DAY


def test_a_gap_that_a_season_reaches_over_is_kept() -> None:
    moved = split_by(random_table(6, DAY), 10 * DAY, 700)
    assert np.array_equal(minute_grid(moved, INCREMENT).row, moved.minute - moved.minute[0])
