"""The stylised facts of one market: of its ticks, of its seconds and of its minutes."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.stats import rankdata

from benchmarks import stylised
from volspike.exchange.candles import CandleTable
from volspike.exchange.products import PriceScales
from volspike.features.fixedpoint import RV_BPS_SCALE
from volspike.features.grid import SecondArrays, second_grid
from volspike.features.table import TICK, FeatureTable
from volspike.labels.stream import join_tables
from volspike.labels.trailing import increment_bps

F8 = npt.NDArray[np.float64]
I8 = npt.NDArray[np.int64]

MINUTE_S = 60
NS = 1_000_000_000
SECOND_LAGS = (1, 10, 60, 300)
MINUTE_LAGS = (1, 5, 10, 30)
RANGE_LAGS = (1, 5, 10, 30, 60, 240)
# Between the keys of two covered stretches; further than any lag.
_APART = 10**10
_WEEK = 7 * 24 * 60


class Value(NamedTuple):
    """A statistic, and how many minutes that do not overlap, or pairs of such, it rests on."""

    value: float
    windows: int


Facts = dict[str, Value]


def tick_facts(tables: list[FeatureTable]) -> Facts:
    """Return every statistic of one product's ticks, by its name; the tables are of one feed."""
    table = join_tables(tables)
    mid_sum = table.bid + table.ask
    grid = second_grid(table.event_ns, table.covered_since_ns, mid_sum, table.kind == TICK)
    minutes = int(np.count_nonzero(grid.has_q)) // MINUTE_S
    increment = PriceScales().increment(table.product)
    assert increment is not None, "the products of the recordings are known"
    ticks = table.take(np.flatnonzero(table.kind == TICK))
    run = grid.event_run[table.kind == TICK]
    return {
        "covered hours": Value(float(np.count_nonzero(grid.has_q)) / 3_600, 10**9),
        **_flow(ticks, run, grid, minutes),
        **_quotes(ticks, run, grid, increment, minutes),
        **_returns(
            grid, increment_bps(increment, stylised.mean(grid.mid_sum) / 2 / 10**table.price_decimals)
        ),
    }


def _flow(ticks: FeatureTable, run: npt.NDArray[np.int32], grid: SecondArrays, minutes: int) -> Facts:
    second, covered = -(-ticks.event_ns // NS), grid.second[grid.has_q]
    a_second = np.searchsorted(second, covered, "right") - np.searchsorted(second, covered, "left")
    gap_s = (np.diff(ticks.event_ns) / NS)[np.diff(run) == 0]
    stamps = 1 + np.count_nonzero(gap_s > 0)
    values = {
        "ticks a second, mean": stylised.mean(a_second),
        "ticks a second, P50": stylised.quantile(a_second.astype(np.float64), 0.5),
        "ticks a second, P99": stylised.quantile(a_second.astype(np.float64), 0.99),
        "seconds without a tick": stylised.mean(a_second == 0),
        "different stamps a second": stamps / max(len(covered), 1),
        "ticks that share a stamp": stylised.mean(gap_s == 0),
        "CV of the gaps of stamps": stylised.coefficient_of_variation(gap_s[gap_s > 0]),
    }
    return {name: Value(value, minutes) for name, value in values.items()}


def _quotes(
    ticks: FeatureTable, run: npt.NDArray[np.int32], grid: SecondArrays, increment: float, minutes: int
) -> Facts:
    unit = 10.0**ticks.price_decimals
    mid, spread = (ticks.bid + ticks.ask) / (2.0 * unit), (ticks.ask - ticks.bid) / unit
    values = {
        "mid unchanged by a tick": stylised.mean((np.diff(mid) == 0)[np.diff(run) == 0]),
        "still seconds (return 0)": stylised.mean(grid.q[grid.has_q] == 0),
        "spread, mean, USD": stylised.mean(spread),
        "spread, mean, bps": stylised.mean(spread / mid * 1e4),
        "spread of one increment": stylised.mean(np.round(spread / increment) <= 1),
    }
    return {name: Value(value, minutes) for name, value in values.items()}


def _returns(grid: SecondArrays, floor_bps: float) -> Facts:
    key = grid.second[grid.has_q] + grid.run[grid.has_q].astype(np.int64) * _APART
    returns = grid.q[grid.has_q].astype(np.float64) * RV_BPS_SCALE
    index = stylised.block_index(key, MINUTE_S)
    block = returns[index]
    rv, minute = stylised.realised_bps(block), key[index[:, 0]]
    seconds, n = len(returns) // MINUTE_S, len(block)
    facts = {
        "excess kurtosis, 1 s": Value(stylised.excess_kurtosis(returns), seconds),
        "excess kurtosis, 60 s": Value(stylised.excess_kurtosis(block.sum(axis=1)), n),
    }
    for lag in SECOND_LAGS:
        value, pairs = stylised.autocorrelation(np.abs(returns), key, lag)
        facts[f"ACF of abs(r), {lag} s"] = Value(value, pairs // MINUTE_S)
    log_rv = np.log(np.maximum(rv, floor_bps))
    value, pairs = stylised.autocorrelation(log_rv, minute, MINUTE_S)
    facts["ACF of log RV, 1 min"] = Value(value, pairs)
    for lag in MINUTE_LAGS:
        value, pairs = stylised.autocorrelation(rankdata(rv), minute, lag * MINUTE_S)
        facts[f"rank ACF of RV, {lag} min"] = Value(value, pairs)
    return facts | {
        "jump share, 1 s": Value(stylised.jump_frac(block), n),
        "jump share, 10 s": Value(stylised.jump_frac(stylised.coarser(block, 10)), n),
        "RV at 1 s / RV at 10 s": Value(stylised.signature_ratio(block, 10), n),
        **{f"minute RV, P{q}, bps": Value(stylised.quantile(rv, q / 100), n) for q in (50, 95, 99)},
    }


def mid_candles(tables: list[FeatureTable]) -> CandleTable:
    """Return high, low and last mid of every minute in which a product ticked."""
    table = join_tables(tables)
    ticks = table.take(np.flatnonzero(table.kind == TICK))
    mid = (ticks.bid + ticks.ask) / (2.0 * 10.0**ticks.price_decimals)
    minute, first = np.unique(ticks.event_ns // (MINUTE_S * NS), return_index=True)
    high, low = np.maximum.reduceat(mid, first), np.minimum.reduceat(mid, first)
    last = mid[np.append(first[1:], len(mid)) - 1]
    none = np.full(len(minute), np.nan)
    return CandleTable(ticks.product, "mids", minute, none, high, low, last, *[none] * 5)


def minute_facts(candles: CandleTable) -> Facts:
    """Return what can be said of a market by its minute candles: of their range, in place of RV."""
    size = 1e4 * np.log(candles.high / candles.low)
    follows = np.diff(candles.minute) == 1
    returns = 1e4 * np.diff(np.log(candles.close))[follows]
    n = len(size)
    facts = {
        "hours with a candle": Value(n / 60, 10**9),
        **{f"minute range, P{q}, bps": Value(stylised.quantile(size, q / 100), n) for q in (50, 95, 99)},
        "excess kurtosis, 60 s": Value(stylised.excess_kurtosis(returns), len(returns)),
    }
    for lag in RANGE_LAGS:
        value, pairs = stylised.autocorrelation(rankdata(size), candles.minute, lag)
        facts[f"rank ACF of the range, {lag} min"] = Value(value, pairs)
    facts["busiest hour / quietest"] = Value(_daily_ratio(candles.minute, size), n)
    return facts


def _daily_ratio(minute: I8, size: F8) -> float:
    """Return the mean range in the widest hour of the day over that in the narrowest; NaN below a week."""
    if len(size) < _WEEK:
        return np.nan
    hour = minute // 60 % 24
    by_hour = np.bincount(hour, size, 24) / np.bincount(hour, minlength=24)
    return float(by_hour.max() / by_hour.min())
