"""The trade columns against a plain recomputation of every window, worked examples, and the edges."""

from __future__ import annotations

import doctest
import gzip
import math
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from feature_streams import (
    NS,
    START_NS,
    Kind,
    assert_in_ranges,
    bits,
    inputs_of,
    plain_kinds,
    rows_of,
    ticks_of,
    values_at_last,
)
from hypothesis import given, settings

from volspike.features import trade, trade_values
from volspike.features.engine import Engine, make_engine
from volspike.features.sets import get_feature_set
from volspike.features.trade import PureTradeEngine
from volspike.features.trade_columns import TRADE
from volspike.features.trade_values import side_of

SET = get_feature_set("trade")
NAMES = [column.name for column in TRADE]

Row = tuple[int, ...]


def trade_values_of(rows: list[Row], engine: Engine | None = None) -> dict[str, float]:
    """Return the trade columns at the last of some ticks."""
    return values_at_last(engine or PureTradeEngine(SET, 2), rows, NAMES)


def trades(*ticks: tuple[float, int, int], quote: tuple[int, int] = (999, 1001)) -> list[Row]:
    """Return ticks of seconds since the start, price and size; the 24 h volume is what the sizes sum to."""
    rows, total = [], 0
    for s, price, size in ticks:
        total += max(size, 0)
        rows.append((START_NS + int(s * NS), START_NS, *quote, -1, -1, price, size, total))
    return rows


def priced(*rows: Row) -> bool:
    return all(0 < row[6] < 2**61 for row in rows)


def recomputed(rows: list[Row], decimals: int) -> dict[str, float]:
    """Return the values at the last row from nothing but the definition."""
    run = [row for row in rows if row[1] == rows[-1][1]]
    whole, short = ([row for row in run if row[0] > rows[-1][0] - span_s * NS] for span_s in (60, 5))
    volume, volume_5s = (of_sizes([row[7] for row in span if row[7] > 0]) for span in (whole, short))
    notional = sum(
        Fraction(row[6] * row[7], 10 ** (decimals + 8)) for row in whole if priced(row) if row[7] > 0
    )
    largest = max((row[7] for row in whole if row[7] > 0), default=0) / 1e8
    return {
        "volume_5s": volume_5s,
        "volume_60s": volume,
        "volume_5s_over_60s": 12 * volume_5s / volume,
        "notional_60s": float(notional) if notional else math.nan,
        "volume_imbalance_60s": imbalance(whole),
        "largest_trade_frac": largest / volume,
        "roll_spread_bps": roll(whole),
        "amihud_bps_per_million": path_bps(whole) / float(notional / 10**6) if notional else math.nan,
        "volume_diff_60s": (whole[-1][8] - whole[0][8]) / 1e8
        if min(whole[-1][8], whole[0][8]) >= 0
        else math.nan,
    }


def of_sizes(sizes: list[int]) -> float:
    return sum(sizes) / 1e8 if sizes else math.nan


def imbalance(whole: list[Row]) -> float:
    sides = [
        (Fraction(row[6]) - Fraction(before[2] + before[3], 2), row[7])
        for before, row in pairwise(whole)
        if priced(row) and row[7] > 0
    ]
    above, below = (sum(size for side, size in sides if sign * side > 0) for sign in (1, -1))
    return float(Fraction(above - below, above + below)) if above + below else math.nan


def roll(whole: list[Row]) -> float:
    products = [
        (c[6] - b[6]) * (b[6] - a[6])
        for a, b, c in zip(whole, whole[1:], whole[2:], strict=False)
        if priced(a, b, c)
    ]
    if not products:
        return math.nan
    mid = Fraction(whole[-1][2] + whole[-1][3], 2)
    return 1e4 * 2 * math.sqrt(max(0, Fraction(-sum(products), len(products)))) / float(mid)


def path_bps(whole: list[Row]) -> float:
    moves = [Fraction(b[6], a[6]) for a, b in pairwise(whole) if priced(a, b)]
    # A single move counts as a factor of four at most, as those of the mid do.
    return sum(abs(1e4 * math.log(min(max(move, Fraction(1, 4)), Fraction(4)))) for move in moves)


@settings(max_examples=40, deadline=None)
@given(kind=plain_kinds)
def test_every_value_equals_its_definition(kind: Kind) -> None:
    rows, engine = rows_of(inputs_of(SET, ticks_of(kind))), PureTradeEngine(SET, 8)
    found = [dict(zip(SET.names, engine.step(*row)[:-1], strict=True)) for row in rows]
    for i in range(0, len(rows), 7):
        expected = recomputed(rows[: i + 1], decimals=8)
        assert list(expected) == NAMES
        values = {name: found[i][name] for name in NAMES}
        assert values == pytest.approx(expected, rel=1e-6, abs=1e-8, nan_ok=True)


@settings(max_examples=40, deadline=None)
@given(kind=plain_kinds)
def test_values_lie_in_their_ranges_and_none_is_infinite(kind: Kind) -> None:
    values, _ = make_engine(SET, 8).batch(*inputs_of(SET, ticks_of(kind)))
    ranges = [
        ("volume_5s", 1e-8, math.inf),
        ("volume_60s", 1e-8, math.inf),
        ("volume_5s_over_60s", 0, 12),
        ("notional_60s", 0, math.inf),
        ("volume_imbalance_60s", -1, 1),
        ("largest_trade_frac", 0, 1),
        ("roll_spread_bps", 0, math.inf),
        ("amihud_bps_per_million", 0, math.inf),
    ]
    assert_in_ranges(SET, values, ranges)


def test_volumes_by_hand() -> None:
    found = trade_values_of(trades((0, 1000, 4 * 10**8), (3, 1002, 10**8), (6, 998, 3 * 10**8)))
    assert (found["volume_5s"], found["volume_60s"]) == (4.0, 8.0)
    assert found["volume_5s_over_60s"] == 6.0
    assert found["notional_60s"] == pytest.approx(4 * 10.00 + 10.02 + 3 * 9.98)
    assert found["largest_trade_frac"] == 0.5
    assert found["volume_imbalance_60s"] == (1 - 3) / 4  # the first meets no quote that is known
    assert found["volume_diff_60s"] == 4.0
    moved_bps = 1e4 * (math.log(1.002) + math.log(1002 / 998))
    assert found["amihud_bps_per_million"] == pytest.approx(moved_bps / (79.96 / 1e6))


def test_a_trade_is_held_against_the_quote_before_it() -> None:
    # Bought at 1001; the quote that the trade left behind lies above that price.
    before = (START_NS, START_NS, 999, 1001, -1, -1, 1000, 5, 0)
    bought = (START_NS + NS, START_NS, 1003, 1005, -1, -1, 1001, 5, 0)
    assert trade_values_of([before, bought])["volume_imbalance_60s"] == 1.0


def test_prices_at_the_mid_are_of_neither_side() -> None:
    found = trade_values_of(trades((0, 1000, 5), (1, 1000, 5)))
    assert math.isnan(found["volume_imbalance_60s"])
    found = trade_values_of(trades((0, 1000, 5), (1, 1000, 5), (2, 999, 5), (3, 1000, 90)))
    assert found["volume_imbalance_60s"] == -1.0


def test_the_spread_of_roll_by_hand() -> None:
    to_and_fro = trade_values_of(trades(*((s, 1001 - 2 * (s % 2), 5) for s in range(9))))
    assert to_and_fro["roll_spread_bps"] == pytest.approx(1e4 * 2 * 2 / 1000)  # changes of 2 that all turn
    trend = trade_values_of(trades(*((s, 1000 + s, 5) for s in range(9))))
    assert trend["roll_spread_bps"] == 0.0
    two = trade_values_of(trades((0, 1001, 5), (1, 999, 5)))
    assert math.isnan(two["roll_spread_bps"])
    three = trade_values_of(trades((0, 1001, 5), (1, 999, 5), (2, 1000, 5)))
    assert three["roll_spread_bps"] == pytest.approx(1e4 * 2 * math.sqrt(2) / 1000)


def test_a_feed_without_sizes_tells_the_spread_and_the_volume_by_difference_alone() -> None:
    rows = [(*row[:7], -1, row[8]) for row in trades(*((s, 1000 + s % 3, 10**8) for s in range(20)))]
    found = trade_values_of(rows)
    assert {name for name, value in found.items() if not math.isnan(value)} == {
        "roll_spread_bps",
        "volume_diff_60s",
    }
    assert found["volume_diff_60s"] == 19.0


def test_a_feed_without_trades_has_none_of_the_values() -> None:
    bare = [(*row[:6], -1, -1, -1) for row in trades(*((s, 1000, 5) for s in range(20)))]
    assert all(math.isnan(value) for value in trade_values_of(bare).values())


@pytest.mark.parametrize("price", [-1, 0, 2**61, 2**63 - 1])
def test_a_tick_without_a_price_joins_no_pair_and_its_size_counts(price: int) -> None:
    ticks = [(0, 1001, 10**8), (1, price, 10**8), (2, 999, 10**8), (3, 1001, 10**8)]
    found = trade_values_of(trades(*ticks))
    assert found["volume_60s"] == 4.0
    assert found["notional_60s"] == pytest.approx(30.01)
    assert math.isnan(found["roll_spread_bps"])
    assert found["amihud_bps_per_million"] == pytest.approx(1e10 * math.log(1001 / 999) / 30.01)
    assert found["volume_imbalance_60s"] == 0.0


def test_the_24_h_volume_may_fall_and_is_unknown_where_either_end_is() -> None:
    rows = trades((0, 1000, 5), (1, 1000, 5), (2, 1000, 5))

    def difference(*volumes: int) -> float:
        ticks = [(*row[:8], volume) for row, volume in zip(rows, volumes, strict=True)]
        return trade_values_of(ticks)["volume_diff_60s"]

    assert difference(9 * 10**8, -1, 4 * 10**8) == -5.0
    assert difference(2**63 - 1, 0, 0) == -(2.0**63) / 1e8
    assert math.isnan(difference(-1, 5, 5))
    assert math.isnan(difference(5, 5, -1))


def test_what_leaves_the_window_takes_its_pairs_and_triples_along() -> None:
    engine = PureTradeEngine(SET, 2)
    steps = trades((0, 1001, 8), (1, 999, 2), (2, 1001, 2), (3, 999, 2))
    first = trade_values_of(steps, engine)
    assert (first["largest_trade_frac"], first["volume_imbalance_60s"]) == (8 / 14, -1 / 3)
    later = trade_values_of(trades((61.5, 999, 2)), engine)  # the first two have left
    alone = trade_values_of(trades((2, 1001, 2), (3, 999, 2), (61.5, 999, 2)))
    del later["volume_diff_60s"], alone["volume_diff_60s"]  # the sum begins anew there
    assert later == alone
    assert later["roll_spread_bps"] == 0.0
    assert later["largest_trade_frac"] == 1 / 3


def test_invariant_04_a_break_starts_an_empty_window() -> None:
    engine = PureTradeEngine(SET, 2)
    trade_values_of(trades((0, 1001, 5), (1, 999, 5), (2, 1001, 5)), engine)
    after = [(START_NS + 3 * NS, START_NS + 3 * NS, 999, 1001, -1, -1, 1000, 7, 70)]
    found, alone = trade_values_of(after, engine), trade_values_of(after)
    assert bits([tuple(found.values())]).tolist() == bits([tuple(alone.values())]).tolist()
    assert found["volume_60s"] == 7e-8


LARGEST = 2**63 - 1
EXTREMES = [
    [(1, 1, 1, LARGEST, 0), (2**61 - 2, 2**61 - 1, 2**61 - 1, LARGEST, LARGEST)],
    [(1, 2**61 - 1, 2**61 - 1, 1, LARGEST), (1, 1, 1, LARGEST, LARGEST)],
    [(2**61 - 1, 2**61 - 1, 2**61 - 1, LARGEST, 0), (1, 2**61 - 1, 2**61, LARGEST, 5)],
]


@pytest.mark.parametrize("pair", EXTREMES)
def test_invariant_01_prices_and_sizes_at_the_limits_of_their_words_stay_exact(
    pair: list[tuple[int, ...]],
) -> None:
    rows = []
    for i in range(7000):
        bid, ask, *last = pair[i * i % 7 % 2]
        rows.append((START_NS + i * NS // 50, START_NS, bid, ask, -1, -1, *last))
    columns = tuple(np.array(rows, np.int64).T)
    expected, found = (engine.batch(*columns)[0] for engine in (PureTradeEngine(SET, 8), make_engine(SET, 8)))
    np.testing.assert_array_equal(bits(expected), bits(found))
    assert not np.isinf(found).any()
    values = dict(zip(SET.names, found[39].tolist(), strict=True))
    assert {name: values[name] for name in NAMES} == pytest.approx(recomputed(rows[:40], 8), nan_ok=True)


def test_on_a_recording_differences_are_volumes_and_sides_are_the_takers(shared: Path) -> None:
    path = shared / "data" / "ticks" / "nov-2025-exchange-feed.ndjson.gz"
    with gzip.open(path) as lines:
        messages: list[dict[str, Any]] = [
            msgspec.json.decode(msgspec.json.decode(line)["raw"]) for line in lines
        ]
    tickers = [message for message in messages if message["type"] == "ticker"]
    pairs = [(a, b) for a, b in pairwise(tickers) if b["trade_id"] == a["trade_id"] + 1]
    counted = [
        Fraction(b["volume_24h"]) - Fraction(a["volume_24h"]) == Fraction(b["last_size"]) for a, b in pairs
    ]
    assert sum(counted) / len(counted) > 0.999  # the rest is what rolls off
    sides = [
        side_of(round(float(b["price"]) * 100), round((float(a["best_bid"]) + float(a["best_ask"])) * 100))
        == (1 if b["side"] == "buy" else -1)
        for a, b in pairs
    ]
    own = [
        side_of(round(float(b["price"]) * 100), round((float(b["best_bid"]) + float(b["best_ask"])) * 100))
        == (1 if b["side"] == "buy" else -1)
        for _, b in pairs
    ]
    assert sum(sides) / len(sides) > 0.89
    assert sum(own) < sum(sides)  # the quote of the same tick is that after the trade


@pytest.mark.parametrize("module", [trade, trade_values])
def test_the_examples_in_the_docstrings_hold(module: object) -> None:
    result = doctest.testmod(module)  # type: ignore[arg-type]
    assert result.attempted > 0
    assert result.failed == 0
