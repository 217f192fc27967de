"""Candle tables for the tests of candles as features and labels: by hand, and random ones with holes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from hypothesis import strategies as st

from volspike.exchange.candles import Candle, CandleTable

PRODUCT = "BTC-USD"
INCREMENT = 0.01
FIRST = 28_401_120  # 2024-01-01T00:00:00Z
DAY = 1440
PARKINSON = math.sqrt(4.0 * math.log(2.0))
PRICES = ("high", "low", "close")


def minutes_of(
    sigma_bps: Sequence[float], first: int = FIRST, volume: Sequence[float] | float = 1.0
) -> CandleTable:
    """Return consecutive minutes of these volatilities; each closes at its low of 100."""
    volumes = [volume] * len(sigma_bps) if isinstance(volume, float) else volume
    return CandleTable.of(
        PRODUCT,
        "coinbase",
        [
            Candle(first + i, 100.0, 100.0 * math.exp(sigma * PARKINSON * 1e-4), 100.0, 100.0, volumes[i])
            for i, sigma in enumerate(sigma_bps)
        ],
    )


def without(table: CandleTable, *places: int) -> CandleTable:
    """Return the table with holes at these places."""
    return table.take(np.setdiff1d(np.arange(len(table)), places))


def random_table(
    seed: int, minutes: int, hole_rate: float = 0.05, source: str = "coinbase", first: int = FIRST
) -> CandleTable:
    """Return candles of a random walk with holes, still minutes, and volumes that may be unknown.

    The close of ``recorder`` comes from the book: now and then it lies outside the minute's range.
    """
    rng = np.random.default_rng(seed)
    middle = 100.0 * np.exp(np.cumsum(rng.normal(0.0, 5e-4, minutes)))
    spread = np.where(rng.random(minutes) < 0.1, 0.0, rng.exponential(6e-4, minutes))
    low, high = np.round(middle * (1.0 - spread), 2), np.round(middle * (1.0 + spread), 2)
    close = np.round(low + (high - low) * rng.random(minutes), 2)
    volume = np.where(rng.random(minutes) < 0.02, 0.0, rng.exponential(3.0, minutes))
    if source == "recorder":
        close = np.round(close + np.where(rng.random(minutes) < 0.2, rng.normal(0.0, 0.2, minutes), 0.0), 2)
        volume[rng.random(minutes) < 0.01] = np.nan
    there = rng.random(minutes) >= hole_rate
    for _ in range(2):  # longer ones too
        start = int(rng.integers(0, minutes))
        there[start : start + int(rng.integers(1, 90))] = rng.random() < 0.3
    there[:2] = True
    rows = zip(high.tolist(), low.tolist(), close.tolist(), volume.tolist(), strict=True)
    made = [
        Candle(first + i, high=h, low=min(low, h), close=c, volume=v) for i, (h, low, c, v) in enumerate(rows)
    ]
    return CandleTable.of(PRODUCT, source, made).take(np.flatnonzero(there))


def tables(minutes: int = 400) -> st.SearchStrategy[CandleTable]:
    """Return random tables of so many minutes, from both kinds of source."""
    return st.builds(
        random_table,
        st.integers(0, 10**9),
        st.just(minutes),
        st.sampled_from((0.0, 0.05, 0.5)),
        st.sampled_from(("coinbase", "recorder")),
    )


def changed_after(table: CandleTable, row: int) -> CandleTable:
    """Return the table with other prices and volumes behind a row."""
    later = np.arange(len(table)) > row
    factor = np.where(later, 1.0 + 0.05 * np.sin(np.arange(len(table)) + 1.0), 1.0)
    moved = {name: getattr(table, name) * factor for name in PRICES}
    wide = np.where(later, 1.003, 1.0)
    return replace(table, **moved | {"high": moved["high"] * wide, "volume": table.volume * factor * 3.0})


def bits(values: np.ndarray) -> list:
    """Return floats as the integers their bits are; every NaN is the same."""
    return np.where(np.isnan(values), np.nan, values).view(np.int64).tolist()
