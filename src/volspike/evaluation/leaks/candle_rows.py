"""Rows of minute candles as rows under audit."""

from __future__ import annotations

import numpy as np

from volspike.evaluation.leaks.duplicates import SHARE, TWICE, duplicates
from volspike.evaluation.leaks.finding import Finding
from volspike.evaluation.leaks.level_clock import CLOCK, level_clock
from volspike.evaluation.leaks.rows import AuditRows
from volspike.evaluation.leaks.shift_search import Match
from volspike.exchange.candles import CandleTable
from volspike.features.candle_columns import CANDLE
from volspike.features.candle_features import range_sigma_bps
from volspike.labels.dataset import Dataset
from volspike.labels.splits import Split

FEWEST_DAYS = 2
DAY_NS = 86_400 * 10**9


def candle_rows(table: CandleTable, dataset: Dataset, split: Split) -> AuditRows:
    """Put labels and split of a dataset of candles in the form that the detectors read.

    What came in the minute after each row is taken from the high and low of its candle, and not from the
    label.
    """
    in_test = np.full(len(dataset), -1, np.int8)
    for name, index in split.parts():
        in_test[index] = name == "test"
    step_ns = dataset.step_s * 10**9
    place = np.minimum(np.searchsorted(table.minute, dataset.event_ns // step_ns), len(table) - 1)
    known = table.minute[place] == dataset.event_ns // step_ns
    came = np.where(known, range_sigma_bps(table.high[place], table.low[place]), np.nan)
    return AuditRows(
        subject=table.product,
        products=(table.product,),
        product=np.zeros(len(dataset), np.int32),
        time_ns=dataset.event_ns,
        stretch=dataset.run - dataset.run[0],
        names=CANDLE.names,
        values=dataset.features,
        label=dataset.spike,
        target=dataset.sigma_future_bps,
        target_name=dataset.target,
        came=came,
        trade_id=dataset.event_ns // step_ns,
        in_test=in_test,
        tau=dataset.tau_bps,
        window_s=float(dataset.step_s),
        horizon_s=float(dataset.step_s),
    )


def candle_clock(rows: AuditRows, match: Match | None) -> Finding:
    """Look for columns that name the moment; in less than two days the time of day does."""
    span_days = float(np.ptp(rows.time_ns)) / DAY_NS
    if span_days < FEWEST_DAYS:
        return CLOCK.unknown(f"not enough data: {span_days:.1f} days, that takes {FEWEST_DAYS}")
    return level_clock(rows, match)


def repeated_candles(table: CandleTable, rows: AuditRows, match: Match | None) -> Finding:
    """Look for minutes that are there twice, and for those that repeat the one before in every figure."""
    traded = (table.high > table.low) & (np.nan_to_num(table.volume, nan=1.0) > 0.0)
    same = np.append(False, np.all(np.diff(np.nan_to_num(table.figures), axis=0) == 0.0, axis=1))
    share = float(np.mean(same & traded))
    if share >= SHARE:
        return TWICE.found(share, f"{share:.1%} of the minutes repeat the one before in every figure")
    return duplicates(rows, match)
