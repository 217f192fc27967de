"""Minute candles of a market with calm and wild hours, for the tests of thresholds."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np

from volspike.evaluation.threshold.candidates import Build
from volspike.exchange.candles import FIGURES, CandleTable
from volspike.labels.candles import candle_dataset

START_MINUTE = 29_000_160  # midnight, UTC


def candles(days: float, seed: int = 1, asleep: tuple[int, int] | None = None) -> CandleTable:
    """Return candles whose volatility wanders; none in the minutes ``asleep`` (from, to before)."""
    rng = np.random.default_rng(seed)
    n = int(days * 1_440)
    log_sigma = np.zeros(n)
    for i in range(1, n):
        log_sigma[i] = 0.9 * log_sigma[i - 1] + 0.35 * rng.standard_normal()
    sigma = 3e-4 * np.exp(log_sigma)
    close = 50_000.0 * np.exp(np.cumsum(sigma * rng.standard_normal(n)))
    reach = 0.5 * sigma * (1.0 + rng.random(n))
    columns = dict.fromkeys(FIGURES, np.full(n, np.nan)) | {
        "high": np.round(close * (1.0 + reach), 2),
        "low": np.round(close * (1.0 - reach), 2),
        "close": np.round(close, 2),
    }
    table = CandleTable("BTC-USD", "csv", START_MINUTE + np.arange(n), **columns)
    if asleep is None:
        return table
    position = np.arange(n)
    return table.take((position < asleep[0]) | (position >= asleep[1]))


def wilder_from(table: CandleTable, first: int, factor: float) -> CandleTable:
    """Return the candles with a range so many times as wide from a position on."""
    stretch = np.where(np.arange(len(table)) >= first, factor, 1.0)
    middle = table.close
    return replace(
        table, high=middle + stretch * (table.high - middle), low=middle + stretch * (table.low - middle)
    )


def builder(table: CandleTable) -> Build:
    """Return what makes the dataset of candles under any tau."""
    return partial(candle_dataset, table)
