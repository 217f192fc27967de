"""The increment of a product that no table knows: never a price, and the true step where prices tell it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from candle_tables import minutes_of
from volspike.labels.candles import candle_dataset
from volspike.labels.price_step import MOST_FRAC, SURE_PRICES, price_step
from volspike.labels.tau import TauSpec


@pytest.mark.parametrize(
    ("prices", "step"),
    [
        ([50_000.0] * 600, 1.0),  # one price says nothing; its last decimal place is as good as any
        ([0.5] * 600, 1e-5),  # a tenth would be 2,000 bps
        ([50_000.0, 50_001.5], 0.5),
        ([100.0, 100.25], 0.01),  # two prices 25 bps apart may lie many increments apart
        (list(0.05 + 1e-4 * np.arange(SURE_PRICES)), 1e-4),  # 20 bps, as some coins have: twenty prices agree
    ],
)
def test_the_step_is_what_the_prices_speak_for(prices: list[float], step: float) -> None:
    units = np.rint(np.array(prices) * 1e8).astype(np.int64)
    assert price_step(units, 8) == pytest.approx(step)


@given(st.lists(st.integers(1, 10**15), min_size=1, max_size=40))
def test_the_step_divides_every_price_and_few_prices_give_a_small_one(prices: list[int]) -> None:
    units = np.array(prices, np.int64)
    step = round(price_step(units, 0))
    assert step >= 1
    assert (units % step == 0).all()
    if len(set(prices)) < SURE_PRICES:
        assert step <= max(1.0, MOST_FRAC * float(np.median(units)))


def test_a_market_that_stands_still_has_next_to_no_volatility() -> None:
    still = replace(minutes_of([0.0] * 600), product="NEW-USD")
    flat = replace(
        still, high=np.full(600, 50_000.0), low=np.full(600, 50_000.0), close=np.full(600, 50_000.0)
    )
    found = candle_dataset(flat, TauSpec(), fixed_tau_bps=5.0)
    assert found.rv_bps.max() < 0.2
    assert not (found.spike == 1).any()
