"""What makes a candle unusable, and how candles of one source become a table."""

from __future__ import annotations

import random
from collections import Counter
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from volspike.exchange.candles import FIGURES, Candle, CandleTable, assemble, fault_of

SOUND = {
    "open": 10.0,
    "high": 12.0,
    "low": 9.0,
    "close": 11.0,
    "volume": 3.5,
    "trades": 4.0,
    "buy_share": 0.5,
    "book_imbalance": -0.25,
    "order_flow_imbalance": 1.0,
}


def candle(minute: int = 0, **figures: float) -> Candle:
    return Candle(minute, **{**SOUND, **figures})


def test_a_sound_candle_has_no_fault_whatever_else_is_absent() -> None:
    assert fault_of(candle()) == ""
    assert fault_of(Candle(0, high=12.0, low=9.0, close=9.0)) == ""
    assert fault_of(Candle(0, high=9.0, low=9.0, close=9.0)) == ""


@pytest.mark.parametrize(
    ("figures", "fault"),
    [
        ({"low": 0.0}, "non_positive"),
        ({"close": -1.0}, "non_positive"),
        ({"open": 0.0}, "non_positive"),
        ({"high": 8.0, "close": 8.5, "open": 8.5}, "high_below_low"),
        ({"close": 12.01}, "outside_range"),
        ({"close": 8.99}, "outside_range"),
        ({"open": 12.01}, "outside_range"),
        ({"volume": -0.1}, "out_of_bounds"),
        ({"trades": -1.0}, "out_of_bounds"),
        ({"buy_share": 1.01}, "out_of_bounds"),
        ({"buy_share": -0.01}, "out_of_bounds"),
        ({"book_imbalance": 1.01}, "out_of_bounds"),
        ({"order_flow_imbalance": -1.01}, "out_of_bounds"),
    ],
)
def test_a_fault_is_named(figures: dict[str, float], fault: str) -> None:
    assert fault_of(candle(**figures)) == fault


def test_a_close_of_the_book_may_lie_outside_the_trades_and_an_open_may_not() -> None:
    assert fault_of(candle(close=12.01), close_is_traded=False) == ""
    assert fault_of(candle(open=12.01), close_is_traded=False) == "outside_range"


def test_of_one_minute_the_first_candle_stays_and_the_others_are_counted() -> None:
    rejected: Counter[str] = Counter()
    rows = [candle(1), candle(2, close=9.5), candle(2, close=9.5), candle(2, close=9.6), candle(3)]
    table = assemble("BTC-USD", "csv", rows, rejected)
    assert table.minute.tolist() == [1, 2, 3]
    assert table.close.tolist() == [11.0, 9.5, 11.0]
    assert rejected == {"repeated": 1, "contradictory": 1}


def test_absent_figures_are_equal_to_each_other() -> None:
    rejected: Counter[str] = Counter()
    rows = [Candle(1, high=2.0, low=1.0, close=1.5, open=float("nan")) for _ in range(2)]
    assemble("BTC-USD", "csv", rows, rejected)
    assert rejected == {"repeated": 1}


def bars(*prices: float, step: int = 1) -> list[Candle]:
    return [Candle(i * step, high=p * 1.01, low=p * 0.99, close=p) for i, p in enumerate(prices)]


@pytest.mark.parametrize(
    ("prices", "kept"),
    [
        ((100, 100, 10_000, 100, 100), [0, 1, 3, 4]),
        ((100, 100, 1, 100, 100), [0, 1, 3, 4]),
        ((10_000, 100, 100, 100), [1, 2, 3]),
        ((100, 100, 100, 1), [0, 1, 2]),
        ((100, 100, 1_000, 1_000, 1_000), [0, 1, 2, 3, 4]),  # a new level is no jump
        ((100, 190, 100, 190), [0, 1, 2, 3]),
        ((100, 10_000), [0, 1]),  # which of them is wrong?
    ],
)
def test_a_price_beyond_a_factor_of_two_of_both_neighbours_is_left_out(
    prices: tuple[float, ...], kept: list[int]
) -> None:
    rejected: Counter[str] = Counter()
    assert assemble("BTC-USD", "csv", bars(*prices), rejected).minute.tolist() == kept
    assert rejected["jump"] == len(prices) - len(kept)


def test_a_wick_alone_is_a_jump_too_and_neighbours_of_another_day_tell_nothing() -> None:
    rejected: Counter[str] = Counter()
    rows = bars(100, 100, 100, 100)
    rows[1] = rows[1]._replace(high=10_000.0)
    assert assemble("BTC-USD", "csv", rows, rejected).minute.tolist() == [0, 2, 3]
    assert len(assemble("BTC-USD", "csv", bars(100, 1_000, 100, step=1_440), rejected)) == 3


def test_moves_beyond_a_factor_of_two_within_a_day_are_told() -> None:
    table = assemble("BTC-USD", "csv", bars(100, 100, 1_000, 1_000, 1_000), Counter())
    assert table.jumps.tolist() == [2]
    apart = assemble("BTC-USD", "csv", bars(100, 1_000, 1_000, step=1_440), Counter())
    assert apart.jumps.tolist() == []


def test_newest_first_is_an_order_too() -> None:
    rejected: Counter[str] = Counter()
    table = assemble("BTC-USD", "csv", [candle(minute) for minute in (9, 7, 6, 2)], rejected)
    assert table.minute.tolist() == [2, 6, 7, 9]
    assert not rejected


def test_one_minute_far_away_does_not_cost_the_others() -> None:
    rejected: Counter[str] = Counter()
    rows = [candle(minute) for minute in (1, 2, 9_000_000, 3, 4)]
    assert assemble("BTC-USD", "csv", rows, rejected).minute.tolist() == [1, 2, 3, 4]
    assert rejected == {"out_of_order": 1}


@given(st.lists(st.integers(0, 12), unique=True, max_size=9))
def test_no_more_rows_are_out_of_order_than_must_be(minutes: list[int]) -> None:
    rejected: Counter[str] = Counter()
    table = assemble("BTC-USD", "csv", [candle(minute) for minute in minutes], rejected)
    longest = max(
        size
        for size in range(len(minutes) + 1)
        for part in combinations(minutes, size)
        if list(part) in (sorted(part), sorted(part, reverse=True))
    )
    assert len(table) == longest
    assert len(table) + rejected["out_of_order"] == len(minutes)
    assert (np.diff(table.minute) > 0).all()


def test_tables_are_joined_in_order_with_every_figure() -> None:
    rng = random.Random(3)
    rows = [candle(minute, volume=rng.random(), close=rng.uniform(9, 12)) for minute in range(40)]
    whole = CandleTable.of("BTC-USD", "csv", rows)
    odd, even = whole.take(whole.minute % 2 == 1), whole.take(whole.minute % 2 == 0)
    joined = odd.joined(even)
    assert joined.minute.tolist() == whole.minute.tolist()
    assert (joined.figures == whole.figures).all()
    assert all(getattr(joined, name).flags.c_contiguous for name in FIGURES)


def test_missing_minutes_are_those_between_the_first_and_the_last() -> None:
    assert CandleTable.of("BTC-USD", "csv", [candle(m) for m in (3, 4, 8)]).missing_minutes == 3
    assert CandleTable.of("BTC-USD", "csv", []).missing_minutes == 0
