"""The dataset of candles: labels of the next minute, and tau, lags and z of the minutes so far."""

from __future__ import annotations

import math
from dataclasses import fields, replace

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
from volspike.errors import NotEnoughDataError
from volspike.exchange.candles import CandleTable
from volspike.features.candle_columns import CANDLE
from volspike.features.candle_features import minute_grid
from volspike.labels.candles import candle_dataset
from volspike.labels.dataset import Dataset, fixed_tau
from volspike.labels.splits import split_times
from volspike.labels.targets import UNLABELLED_REASONS
from volspike.labels.tau import TauSpec
from volspike.labels.trailing import HAR_MINUTES

NS = 1_000_000_000
FIXED_BPS = 5.0
ADAPTIVE = TauSpec(quantile=0.9, floor_bps=0.5)
FIXED = TauSpec(mode="fixed", quantile=0.9)
OF_THE_PAST = ("features", "rv_bps", "mid", "har_bps", "z", "tau_bps")
OF_THE_NEXT = ("sigma_future_bps", "spike", "unlabelled")


def dataset_of(table: CandleTable, tau: TauSpec = ADAPTIVE) -> Dataset:
    """Return the dataset with what a bundle would give, so that nothing in it is fitted."""
    return candle_dataset(table, tau, FIXED_BPS, INCREMENT)


def assert_same(one: Dataset, other: Dataset, rows: int, names: tuple[str, ...]) -> None:
    for name in names:
        ours, theirs = getattr(one, name)[:rows], getattr(other, name)[:rows]
        if ours.dtype == np.float64:
            assert bits(ours) == bits(theirs), name
        else:
            assert ours.tolist() == theirs.tolist(), name


def test_a_row_is_the_end_of_a_minute_and_its_label_the_range_of_the_next() -> None:
    found = dataset_of(minutes_of([2.0, 7.0, 3.0]))
    assert found.step_s == 60
    assert found.rows_a_window == 1.0
    assert (found.event_ns // (60 * NS) - FIRST).tolist() == [1, 2, 3]
    assert (found.event_ns % (60 * NS)).tolist() == [0, 0, 0]
    assert found.second.tolist() == (found.event_ns // NS).tolist()
    assert found.rv_bps == pytest.approx([2.0, 7.0, 3.0])
    assert found.sigma_future_bps == pytest.approx([7.0, 3.0, math.nan], nan_ok=True)
    assert found.spike.tolist() == [1, 0, -1]
    assert [UNLABELLED_REASONS[code] for code in found.unlabelled] == [UNLABELLED_REASONS[0]] * 2 + ["end"]
    assert (found.feed, found.target, found.feature_set) == ("candles", "range", "candle")
    assert found.columns == CANDLE.names


@given(tables())
@settings(max_examples=20, deadline=None)
def test_invariant_04_no_label_and_no_run_reaches_over_a_missing_minute(table: CandleTable) -> None:
    found = dataset_of(table)
    sigma = minute_grid(table, INCREMENT).sigma_bps
    at = {minute: place for place, minute in enumerate(table.minute.tolist())}
    assert found.run[0] == 0
    for place, minute in enumerate(table.minute.tolist()):
        is_last = place == len(table) - 1
        follows = minute + 1 in at
        reason = UNLABELLED_REASONS[found.unlabelled[place]]
        assert (found.unlabelled[place] == 0) == follows
        if not follows:
            assert reason == ("end" if is_last else "break")
            assert math.isnan(found.sigma_future_bps[place])
            assert found.spike[place] == -1
            assert is_last or found.run[place + 1] == found.run[place] + 1
            continue
        assert found.run[place + 1] == found.run[place]
        following = sigma[minute + 1 - table.minute[0]]
        assert found.sigma_future_bps[place] == following
        assert found.spike[place] == (following >= found.tau_bps[place])


@given(tables(), st.integers(1, 190), st.sampled_from((ADAPTIVE, FIXED)))
@settings(max_examples=20, deadline=None)
def test_invariant_02_the_future_changes_labels_of_the_last_row_only(
    table: CandleTable, row: int, tau: TauSpec
) -> None:
    row = min(row, len(table) - 2)
    whole = dataset_of(table, tau)
    truncated = dataset_of(table.take(np.arange(row + 1)), tau)
    changed = dataset_of(changed_after(table, row), tau)
    for other in (truncated, changed):
        assert_same(whole, other, row + 1, OF_THE_PAST)
        assert whole.tau_adaptive[: row + 1].tolist() == other.tau_adaptive[: row + 1].tolist()
        assert whole.run[: row + 1].tolist() == other.run[: row + 1].tolist()
        assert_same(whole, other, row, OF_THE_NEXT)
    assert UNLABELLED_REASONS[truncated.unlabelled[row]] == "end"
    if table.minute[row + 1] == table.minute[row] + 1:
        assert changed.sigma_future_bps[row] != whole.sigma_future_bps[row]


@pytest.mark.parametrize("source", ["coinbase", "recorder"])
def test_invariant_01_tau_lags_and_z_look_back_a_day(source: str) -> None:
    table = random_table(9, 2 * DAY + 500, source=source)
    start = 300
    whole, cut = dataset_of(table), dataset_of(table.take(np.arange(start, len(table))))
    inside = np.flatnonzero(cut.event_ns >= cut.event_ns[0] + (DAY - 1) * 60 * NS)
    assert len(inside) > 500
    for name in ("rv_bps", "har_bps", "z", "tau_bps", "sigma_future_bps"):
        assert bits(getattr(cut, name)[inside]) == bits(getattr(whole, name)[start:][inside]), name
    assert cut.tau_adaptive[inside].all()
    assert bits(cut.tau_bps[:900]) != bits(whole.tau_bps[start : start + 900])


@given(tables(120), st.sampled_from((0.5, 0.9, 0.999999)))
@settings(max_examples=15, deadline=None)
def test_tau_is_a_plain_quantile_of_the_trailing_day(table: CandleTable, quantile: float) -> None:
    spread = replace(table, minute=table.minute[0] + 15 * (table.minute - table.minute[0]))  # over a day long
    for some in (table, spread):
        found = dataset_of(some, TauSpec(quantile=quantile, floor_bps=1.5))
        for row, minute in enumerate(some.minute.tolist()):
            inside = sorted(found.rv_bps[: row + 1][some.minute[: row + 1] > minute - DAY].tolist())
            assert found.tau_adaptive[row] == (len(inside) >= 30)
            rank = math.ceil(round(quantile * 10**6) * len(inside) / 10**6)
            expected = max(1.5, inside[rank - 1]) if len(inside) >= 30 else FIXED_BPS
            assert found.tau_bps[row] == expected


def test_tau_takes_in_the_minute_itself_and_forgets_after_a_day() -> None:
    table = minutes_of([9.0] + [1.0] * (DAY + 5))
    found = dataset_of(table, TauSpec(quantile=0.999999, floor_bps=0.5))
    assert found.tau_bps[29:DAY] == pytest.approx(9.0)
    assert found.tau_bps[DAY:] == pytest.approx(1.0)
    assert found.tau_bps[:29].tolist() == [FIXED_BPS] * 29
    jump = dataset_of(minutes_of([1.0] * 60 + [8.0]), TauSpec(quantile=0.999999, floor_bps=0.5))
    assert jump.tau_bps[-2:] == pytest.approx([1.0, 8.0])


def test_fixed_mode_keeps_the_fixed_tau() -> None:
    found = dataset_of(random_table(2, 300), FIXED)
    assert set(found.tau_bps.tolist()) == {FIXED_BPS}
    assert not found.tau_adaptive.any()


@given(tables(300))
@settings(max_examples=12, deadline=None)
def test_lags_and_z_equal_plain_loops(table: CandleTable) -> None:
    found = dataset_of(table)
    for row, minute in enumerate(table.minute.tolist()):
        past = table.minute[: row + 1]
        sigma = found.rv_bps[: row + 1]
        for lag, minutes in enumerate(HAR_MINUTES):
            inside = sigma[past > minute - minutes]
            rv = math.sqrt(np.mean(inside**2)) if 2 * len(inside) >= minutes else math.nan
            assert found.har_bps[row, lag] == pytest.approx(rv, abs=2e-3, nan_ok=True)
        logs = np.log(sigma[past > minute - DAY])
        z = (logs[-1] - logs.mean()) / logs.std() if len(logs) >= 60 else math.nan
        assert found.z[row] == pytest.approx(z, abs=2e-3, nan_ok=True)


@pytest.mark.parametrize("sigma", [0.0, 0.5, 3.0, 7.3, 250.0])
def test_no_z_where_volatility_never_moved(sigma: float) -> None:
    assert np.isnan(dataset_of(minutes_of([sigma] * 200)).z).all()
    moved = dataset_of(minutes_of([3.0] * 199 + [3.0 * 1.002])).z
    assert np.isnan(moved[:-1]).all()
    assert moved[-1] == pytest.approx(math.sqrt(199.0))


@given(tables(200))
@settings(max_examples=10, deadline=None)
def test_invariant_10_the_same_candles_give_the_same_bytes(table: CandleTable) -> None:
    one, other = (candle_dataset(each, ADAPTIVE) for each in (table, table.take(np.arange(len(table)))))
    for field in fields(Dataset):
        ours, theirs = getattr(one, field.name), getattr(other, field.name)
        assert ours.tobytes() == theirs.tobytes() if isinstance(ours, np.ndarray) else ours == theirs
    assert dataset_of(changed_after(table, len(table) - 2)).sha256 != dataset_of(table).sha256


def test_invariant_09_the_fixed_tau_and_the_increment_are_of_the_fit_slice() -> None:
    table = replace(random_table(3, 3000), product="NEW-USD")
    fit = split_times((table.minute + 1) * 60 * NS).fit
    found = candle_dataset(table, FIXED)
    labelled = fit[found.unlabelled[fit] == 0]
    typical = float(np.median(table.close[fit]))
    assert found.fixed_tau_bps == fixed_tau(found.sigma_future_bps[labelled], FIXED, typical, found.increment)
    assert found.increment == pytest.approx(0.01)
    later = replace(changed_after(table, int(fit[-1]) + 1), product="NEW-USD")
    again = candle_dataset(later, FIXED)
    assert (again.fixed_tau_bps, again.increment) == (found.fixed_tau_bps, found.increment)
    assert again.sha256 != found.sha256


def test_the_increment_is_the_products_or_the_step_of_its_prices() -> None:
    quarters = minutes_of([0.0] * 600)
    steps = 100.0 + np.arange(600) % 25 / 4.0
    unknown = replace(quarters, product="NEW-USD", high=steps, low=steps, close=steps)
    assert candle_dataset(unknown, ADAPTIVE).increment == 0.25
    assert candle_dataset(replace(unknown, product="BTC-USD"), ADAPTIVE).increment == 0.01


def test_nothing_to_label_is_not_enough_data() -> None:
    with pytest.raises(NotEnoughDataError, match="no candles"):
        candle_dataset(CandleTable.of("BTC-USD", "csv", []))
    table = minutes_of([1.0] * 5)
    with pytest.raises(NotEnoughDataError, match="no labelled row in the fit slice of 5 candles"):
        candle_dataset(table)
    apart = without(minutes_of([1.0] * 4000), *range(1, 4000, 2))
    with pytest.raises(NotEnoughDataError, match="no labelled row"):
        candle_dataset(apart)
    given_tau = dataset_of(apart)
    assert set(given_tau.spike.tolist()) == {-1}
