"""The checks of the data's quality: each finds what was planted, and thin columns are not judged."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from drift_rows import column, feature_table, market_of_ticks, random_events
from volspike.monitoring.data_quality import (
    Finding,
    StoredRows,
    check_age,
    check_columns,
    check_depth,
    check_rows,
    rows_of_candles,
    rows_of_table,
)
from volspike.monitoring.watched import watched_columns

NS = 10**9


def by_check(findings: tuple[Finding, ...]) -> dict[str, Finding]:
    assert len({finding.check for finding in findings}) == len(findings)
    return {finding.check: finding for finding in findings}


def rows(count: int = 3_600, **changed: np.ndarray) -> StoredRows:
    """Return rows of a feed in order, one a second."""
    no = np.zeros(count, np.bool_)
    sound = StoredRows(np.arange(count) * NS, np.zeros(count, np.int64), no, ~no, ~no)
    return replace(sound, **changed)


def some(count: int, of: int = 3_600) -> np.ndarray:
    return np.arange(of) < count


def test_rows_in_order_are_worth_no_look() -> None:
    part = market_of_ticks(hours=1.0)
    found = by_check(check_rows(rows(), part))
    assert {finding.status for finding in found.values()} == {"fine"}
    assert set(found) == {
        "repeated", "out of order", "incomplete", "few ticks", "breaks", "no row", "unlabelled"
    }  # fmt: skip


@pytest.mark.parametrize(
    ("check", "stored", "count"),
    [
        ("repeated", rows(is_repeated=some(1)), 1),
        ("out of order", rows(event_ns=np.where(some(2), 10, 1) * NS + np.arange(3_600)), 1),
        ("incomplete", rows(is_whole=~some(200)), 200),
        ("few ticks", rows(has_ticks=~some(200)), 200),
        ("breaks", rows(covered_since_ns=np.minimum(np.arange(3_600), 7)), 7),
    ],
)
def test_each_fault_of_rows_is_counted_and_worth_a_look(check: str, stored: StoredRows, count: int) -> None:
    found = by_check(check_rows(stored, market_of_ticks(hours=1.0)))
    assert (found.pop(check).found, {finding.status for finding in found.values()}) == (count, {"fine"})
    assert by_check(check_rows(stored, market_of_ticks(hours=1.0)))[check].status == "look"


def test_minutes_without_a_row_and_rows_without_an_outcome_are_counted() -> None:
    part = market_of_ticks(hours=1.0)
    second = np.arange(len(part))
    holes = part.rows((second < 600) | (second >= 1_200))
    assert by_check(check_rows(rows(), holes))["no row"].found in (9, 10)
    unknown = replace(part, spike=np.where(second < 360, -1, part.spike).astype(np.int8))
    found = by_check(check_rows(rows(), unknown))["unlabelled"]
    assert (found.found, found.of, found.status) == (360, 3_600, "look")


def test_a_stored_minute_that_comes_twice_is_told() -> None:
    part = market_of_ticks(hours=0.1)
    twice = part.rows(np.concatenate(([0], np.arange(len(part)))))
    assert by_check(check_rows(rows_of_candles(twice), twice))["repeated"].found == 1
    assert by_check(check_rows(rows_of_candles(part), part))["repeated"].found == 0


def test_of_a_table_the_ticks_are_checked_and_marks_are_none() -> None:
    table = feature_table(random_events(3, 400))
    sound, ticks = rows_of_table(table), table.kind == 0
    assert np.array_equal(sound.event_ns, table.event_ns[ticks])
    assert np.array_equal(sound.is_whole, table.complete[ticks])
    assert not sound.is_repeated.any()
    twice = np.repeat(np.arange(len(table)), np.where(np.arange(len(table)) % 50 == 7, 2, 1))
    repeated = rows_of_table(table.take(twice))
    assert np.count_nonzero(repeated.is_repeated) == np.count_nonzero(ticks[7::50])
    assert np.isnan(table.values[ticks]).any()


def test_what_is_watched_has_the_units_and_scales_of_its_definition() -> None:
    part = market_of_ticks(hours=0.1)
    watched = {found.name: found for found in watched_columns(part, None)}
    assert list(watched) == [*part.columns, "sigma_future_bps", "spike"]
    assert (watched["rv_60s"].unit, watched["rv_60s"].is_log, watched["rv_60s"].low) == ("bps", True, 0.0)
    assert not watched["midprice_return_mean"].is_log
    some_zero = column("x", np.array([0.0, 2.0, 4.0, -1.0, np.nan]))
    scaled = some_zero.scaled(some_zero.values)
    assert scaled[:3].tolist() == [np.log(2.0), np.log(2.0), np.log(4.0)]
    assert np.isnan(scaled[3:]).all()


def test_each_fault_of_a_column_is_counted() -> None:
    rng = np.random.default_rng(1)
    values = np.exp(rng.normal(size=2_000))
    sound = by_check(check_columns([column("x_bps", values)], np.arange(2_000)))
    assert [(f.found, f.status) for f in sound.values()] == [(0, "fine")] * 3
    spoiled = values.copy()
    spoiled[:40], spoiled[40:45], spoiled[45:60] = np.nan, 1e9, -1.0
    found = by_check(check_columns([column("x_bps", spoiled)], np.arange(2_000)))
    assert (found["missing"].found, found["missing"].status) == (40, "look")
    assert (found["outliers"].found, found["outliers"].status) == (5, "look")
    assert (found["out of range"].found, found["out of range"].of) == (15, 1_960)
    assert "below 0" in found["out of range"].words


def test_the_bounds_of_a_share_and_an_imbalance_follow_from_its_name() -> None:
    part = market_of_ticks(hours=0.1)
    at = np.arange(len(part))
    values = np.linspace(-1.5, 1.5, len(part))
    for name, low, high in (("up_60s_frac", 0.0, 1.0), ("queue_imbalance_last", -1.0, 1.0)):
        found = by_check(check_columns([column(name, values, is_log=False)], at))["out of range"]
        assert found.found == np.count_nonzero((values < low) | (values > high))


THIN = {
    "empty": np.empty(0),
    "of one row": np.array([3.0]),
    "all NaN": np.full(500, np.nan),
    "all infinite": np.full(500, np.inf),
    "constant": np.full(500, 3.0),
    "nearly constant": np.where(np.arange(500) < 3, 4.0, 3.0),
}


@pytest.mark.parametrize("name", THIN)
@pytest.mark.parametrize("is_log", [True, False])
def test_fault_44_thin_and_constant_columns_are_not_enough_data(name: str, is_log: bool) -> None:
    values = THIN[name]
    found = by_check(check_columns([column("x", values, is_log=is_log)], np.arange(len(values))))
    assert (found["outliers"].found, found["outliers"].status) == (None, "not enough data")
    assert all(finding.status != "look" for finding in found.values())


def test_fault_44_no_row_and_one_row_are_not_enough_data() -> None:
    part = market_of_ticks(hours=0.1)
    for count in (0, 1):
        found = check_rows(rows(count), part.rows(np.arange(count)))
        assert {finding.status for finding in found} == {"not enough data"}
    assert check_depth(np.empty(0)).status == "not enough data"
    assert check_age(None, 0, 1).status == "not enough data"


@given(arrays(np.float64, st.integers(0, 40)), st.booleans())
def test_fault_44_no_values_make_a_check_raise(values: np.ndarray, is_log: bool) -> None:
    for finding in check_columns([column("x", values, is_log=is_log)], np.arange(len(values))):
        assert (finding.found is None) == (finding.status == "not enough data")
        assert finding.found is None or 0 <= finding.found <= finding.of


@pytest.mark.parametrize(
    ("age_s", "step_s", "status"),
    [(10.0, 1, "fine"), (400.0, 1, "look"), (400.0, 60, "fine"), (20_000.0, 60, "look"), (-60.0, 1, "look")],
)
def test_age_is_judged_by_the_step_of_the_rows(age_s: float, step_s: int, status: str) -> None:
    found = check_age(10**18, 10**18 + int(age_s * NS), step_s)
    assert (found.found, found.status) == (age_s, status)


def test_predictions_out_of_depth_are_counted() -> None:
    found = check_depth(np.where(np.arange(100) < 5, 2.0, 0.0))
    assert (found.found, found.of, found.status) == (5, 100, "look")
