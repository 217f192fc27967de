"""The flow columns against a plain recomputation of every window, worked examples, and the edges."""

from __future__ import annotations

import doctest
import math
import statistics
from fractions import Fraction
from itertools import groupby, pairwise

import numpy as np
import pytest
from feature_streams import (
    NS,
    START_NS,
    Kind,
    assert_in_ranges,
    bits,
    columns_of,
    plain_kinds,
    rows_of,
    ticks_of,
    values_at_last,
)
from hypothesis import given, settings

from volspike.features import flow, flow_values
from volspike.features.engine import Engine, make_engine
from volspike.features.flow import PureFlowEngine
from volspike.features.sets import FLOW, get_feature_set

SET = get_feature_set("flow")
NAMES = [column.name for column in FLOW]
SIZE_NAMES = NAMES[NAMES.index("queue_imbalance_last") :]

Row = tuple[int, ...]


def flow_values_of(rows: list[Row], engine: Engine | None = None) -> dict[str, float]:
    """Return the flow columns at the last of some ticks."""
    return values_at_last(engine or PureFlowEngine(SET, 2), rows, NAMES)


def quotes(*ticks: tuple[float, int, int, int, int]) -> list[Row]:
    """Return ticks of seconds since the start, bid, ask and sizes."""
    return [(START_NS + int(s * NS), START_NS, *quote) for s, *quote in ticks]


def recomputed(rows: list[Row], path_over_rv: float) -> dict[str, float]:
    """Return the values at the last row from nothing but the definition; the ratio of two is given."""
    run = [row for row in rows if row[1] == rows[-1][1]]
    whole, middle, short = (
        [row for row in run if row[0] > rows[-1][0] - span_s * NS] for span_s in (60, 15, 5)
    )
    return {
        **arrivals(whole, middle, short),
        **path(whole, path_over_rv),
        **spreads(whole),
        **sizes(whole, short),
    }


def arrivals(whole: list[Row], middle: list[Row], short: list[Row]) -> dict[str, float]:
    gaps = [b[0] - a[0] for a, b in pairwise(whole)]
    mean = statistics.fmean(gaps) if gaps else math.nan
    spread = statistics.stdev(gaps) if len(gaps) > 1 else math.nan
    return {
        "inter_arrival_mean_s": mean / NS,
        "inter_arrival_cv": spread / mean if mean else math.nan,
        "sweep_frac": gaps.count(0) / len(gaps) if gaps else math.nan,
        "sweep_max_ticks": max(len(list(sweep)) for _, sweep in groupby(whole, key=lambda row: row[0])),
        "intensity_5s": len(short) / 5,
        "intensity_15s": len(middle) / 15,
        "intensity_5s_over_60s": len(short) / 5 / (len(whole) / 60),
        "intensity_15s_over_60s": len(middle) / 15 / (len(whole) / 60),
    }


def path(whole: list[Row], path_over_rv: float) -> dict[str, float]:
    mids = [Fraction(row[2] + row[3], 2) for row in whole]
    returns = [1e4 * math.log1p(float((b - a) / a)) for a, b in pairwise(mids)]
    moves = [r > 0 for r in returns if r]
    turns = [a != b for a, b in pairwise(moves)]
    return {
        "mid_changes": len(moves),
        "mid_reversal_frac": sum(turns) / len(turns) if turns else math.nan,
        "path_bps": sum(abs(r) for r in returns),
        "path_over_rv": path_over_rv,
        "tick_return_max_bps": max((abs(r) for r in returns), default=math.nan),
    }


def spreads(whole: list[Row]) -> dict[str, float]:
    exact = [2 * Fraction(row[3] - row[2], row[2] + row[3]) for row in whole]
    as_bps = [1e4 * float(w) for w in exact]
    deviation = statistics.stdev(exact) if len(set(exact)) > 1 else 0.0
    away = float(exact[-1] - sum(exact) / len(exact))
    return {
        "spread_last_bps": as_bps[-1],
        "spread_max_bps": max(as_bps),
        "spread_z": away / float(deviation) if deviation else math.nan,
    }


def sized(row: Row) -> bool:
    return min(row[4:]) >= 0 and sum(row[4:]) > 0


def order_flow(rows: list[Row]) -> float:
    total, seen = 0, 0
    for (_, _, bid0, ask0, qb0, qa0), (_, _, bid1, ask1, qb1, qa1) in [
        pair for pair in pairwise(rows) if all(map(sized, pair))
    ]:
        total += (bid1 >= bid0) * qb1 - (bid1 <= bid0) * qb0 - (ask1 <= ask0) * qa1 + (ask1 >= ask0) * qa0
        seen += qb0 + qb1 + qa0 + qa1
    return float(Fraction(total, seen)) if seen else math.nan


def sizes(whole: list[Row], short: list[Row]) -> dict[str, float]:
    known, last = [row for row in whole if sized(row)], whole[-1]
    micro = [1e4 * float(microprice(row)) for row in known]
    summed = sum(sum(row[4:]) for row in known)
    nan = math.nan
    return {
        "queue_imbalance_last": float(imbalance(last)) if sized(last) else nan,
        "order_flow_imbalance_5s": order_flow(short),
        "order_flow_imbalance_60s": order_flow(whole),
        "microprice_last_bps": micro[-1] if sized(last) else nan,
        "microprice_mean_bps": statistics.fmean(micro) if known else nan,
        "depth_bid_frac": float(Fraction(sum(row[4] for row in known), summed)) if known else nan,
        "depth_fade": float(Fraction(sum(last[4:]) * len(known), summed)) if sized(last) else nan,
    }


def imbalance(row: Row) -> Fraction:
    return Fraction(row[4] - row[5], row[4] + row[5])


def microprice(row: Row) -> Fraction:
    _, _, bid, ask, bid_size, ask_size = row
    mid = Fraction(bid + ask, 2)
    return (Fraction(ask * bid_size + bid * ask_size, bid_size + ask_size) - mid) / mid


@settings(max_examples=40, deadline=None)
@given(kind=plain_kinds)
def test_every_value_equals_its_definition(kind: Kind) -> None:
    rows, engine = rows_of(ticks_of(kind)), PureFlowEngine(SET, 8)
    found = [dict(zip(SET.names, engine.step(*row)[:-1], strict=True)) for row in rows]
    for i in range(0, len(rows), 7):
        rv_60s = found[i]["rv_60s"]
        expected = recomputed(rows[: i + 1], found[i]["path_bps"] / rv_60s if rv_60s else math.nan)
        assert list(expected) == NAMES
        values = {name: found[i][name] for name in NAMES}
        assert values == pytest.approx(expected, rel=1e-6, abs=1e-8, nan_ok=True)


@settings(max_examples=40, deadline=None)
@given(kind=plain_kinds)
def test_values_lie_in_their_ranges_and_none_is_infinite(kind: Kind) -> None:
    values, _ = make_engine(SET, 8).batch(*ticks_of(kind))
    ranges = [
        ("sweep_frac", 0, 1),
        ("intensity_5s_over_60s", 0, 12),
        ("intensity_15s_over_60s", 0, 4),
        ("mid_reversal_frac", 0, 1),
        ("queue_imbalance_last", -1, 1),
        ("order_flow_imbalance_5s", -1, 1),
        ("order_flow_imbalance_60s", -1, 1),
        ("depth_bid_frac", 0, 1),
    ]
    assert_in_ranges(SET, values, ranges)


def test_arrivals_and_sweeps_by_hand() -> None:
    found = flow_values_of(quotes(*((s, 99, 101, -1, -1) for s in (0, 1, 1, 1, 4, 8))))
    assert found["inter_arrival_mean_s"] == 8 / 5
    assert found["inter_arrival_cv"] == pytest.approx(statistics.stdev([1, 0, 0, 3, 4]) / 1.6)
    assert found["sweep_frac"] == 2 / 5
    assert found["sweep_max_ticks"] == 3.0
    assert found["intensity_5s"] == 2 / 5  # of 4 s and 8 s; a tick 5 s old would be out
    assert found["intensity_15s"] == 6 / 15
    assert (found["intensity_5s_over_60s"], found["intensity_15s_over_60s"]) == (4.0, 4.0)


def test_moves_by_hand() -> None:
    # Up, flat, up, down: three moves, one of which turns back.
    found = flow_values_of(quotes(*((s, m, m, -1, -1) for s, m in enumerate((1000, 1010, 1010, 1030, 1020)))))
    assert found["mid_changes"] == 3.0
    assert found["mid_reversal_frac"] == 0.5
    assert found["path_bps"] == pytest.approx(1e4 * (math.log(1.03) + math.log(1030 / 1020)))
    assert found["tick_return_max_bps"] == pytest.approx(1e4 * math.log(1030 / 1010))


def test_a_move_leaves_with_the_tick_it_began_at_and_takes_its_reversal_along() -> None:
    engine = PureFlowEngine(SET, 2)
    steps = quotes((0, 100, 100, -1, -1), (1, 110, 110, -1, -1), (2, 105, 105, -1, -1), (3, 107, 107, -1, -1))
    assert flow_values_of(steps, engine)["mid_reversal_frac"] == 1.0
    # At 60 s the first tick has left, the up-move with it: down, up and flat remain.
    found = flow_values_of(quotes((60, 107, 107, -1, -1)), engine)
    assert (found["mid_changes"], found["mid_reversal_frac"]) == (2.0, 1.0)
    assert found["tick_return_max_bps"] == pytest.approx(1e4 * math.log(110 / 105))
    found = flow_values_of(quotes((61, 107, 107, -1, -1)), engine)
    assert found["mid_changes"] == 1.0
    assert math.isnan(found["mid_reversal_frac"])
    assert found["tick_return_max_bps"] == pytest.approx(1e4 * math.log(107 / 105))


def test_spreads_by_hand() -> None:
    found = flow_values_of(quotes((0, 99, 101, -1, -1), (1, 98, 102, -1, -1), (2, 99, 101, -1, -1)))
    assert found["spread_last_bps"] == pytest.approx(200.0)
    assert found["spread_max_bps"] == pytest.approx(400.0)
    assert found["spread_z"] == pytest.approx(-1 / math.sqrt(3))  # of 2, 4, 2: mean 8/3, deviation 2/sqrt(3)


def test_sizes_by_hand() -> None:
    ticks = [(0, 99, 101, 30, 10), (1, 99, 101, 50, 10), (2, 100, 101, 20, 20), (9, 100, 102, 5, 35)]
    found = flow_values_of(quotes(*ticks))
    assert found["queue_imbalance_last"] == -0.75
    # 20 more bid; a better bid of 20 and 10 more on the ask; 15 less bid and the ask of 20 gone.
    assert found["order_flow_imbalance_60s"] == (20 + (20 - 10) + (-15 + 20)) / (100 + 100 + 80)
    assert math.isnan(found["order_flow_imbalance_5s"])  # a single tick lies in the last 5 s
    assert found["microprice_last_bps"] == pytest.approx(1e4 * (-0.75 / 101))
    each = [0.5 / 100, (2 / 3) / 100, 0.0, -0.75 / 101]
    assert found["microprice_mean_bps"] == pytest.approx(1e4 * statistics.fmean(each))
    assert found["depth_bid_frac"] == 105 / 180
    assert found["depth_fade"] == 4 * 40 / 180


def test_a_lone_tick_has_no_pairs() -> None:
    found = flow_values_of(quotes((0, 99, 101, 30, 10)))
    undefined = {name for name, value in found.items() if math.isnan(value)}
    assert undefined == {
        "inter_arrival_mean_s",
        "inter_arrival_cv",
        "sweep_frac",
        "mid_reversal_frac",
        "path_over_rv",
        "tick_return_max_bps",
        "spread_z",
        "order_flow_imbalance_5s",
        "order_flow_imbalance_60s",
    }
    assert (found["sweep_max_ticks"], found["mid_changes"], found["path_bps"]) == (1.0, 0.0, 0.0)
    assert (found["intensity_5s"], found["depth_fade"], found["depth_bid_frac"]) == (0.2, 1.0, 0.75)


def test_ticks_of_one_stamp_are_one_sweep_without_a_variation() -> None:
    found = flow_values_of(quotes(*((0, 99, 101, 30, 10) for _ in range(5))))
    assert (found["inter_arrival_mean_s"], found["sweep_frac"], found["sweep_max_ticks"]) == (0.0, 1.0, 5.0)
    assert math.isnan(found["inter_arrival_cv"])
    assert math.isnan(found["spread_z"])
    assert found["order_flow_imbalance_60s"] == 0.0


def test_a_feed_without_sizes_leaves_them_undefined_and_the_rest_as_it_is() -> None:
    with_sizes = [(s, 99 + s % 3, 101 + s % 4, 7 + s, 9) for s in range(30)]
    full = flow_values_of(quotes(*with_sizes))
    bare = flow_values_of(quotes(*((s, bid, ask, -1, -1) for s, bid, ask, _, _ in with_sizes)))
    assert all(math.isnan(bare[name]) for name in SIZE_NAMES)
    others = [name for name in NAMES if name not in SIZE_NAMES]
    assert [bare[name] for name in others] == [full[name] for name in others]


def test_a_tick_without_sizes_among_others_joins_no_pair() -> None:
    ticks = [(0, 99, 101, 30, 10), (1, 99, 101, -1, 10), (2, 99, 101, 40, 10), (3, 99, 101, 50, 10)]
    found = flow_values_of(quotes(*ticks))
    assert found["order_flow_imbalance_60s"] == 10 / 110  # of the last two alone
    assert found["depth_bid_frac"] == 120 / 150
    found = flow_values_of(quotes(*ticks, (4, 99, 101, 0, 0)))
    assert math.isnan(found["queue_imbalance_last"])
    assert math.isnan(found["microprice_last_bps"])
    assert math.isnan(found["depth_fade"])
    assert found["depth_bid_frac"] == 120 / 150


def test_one_side_of_size_zero_counts() -> None:
    found = flow_values_of(quotes((0, 99, 101, 0, 10), (1, 99, 101, 10, 0)))
    assert found["queue_imbalance_last"] == 1.0
    assert found["order_flow_imbalance_60s"] == 1.0  # 10 came to the bid, 10 left the ask
    assert found["depth_bid_frac"] == 0.5


def test_invariant_04_a_break_starts_an_empty_window() -> None:
    engine = PureFlowEngine(SET, 2)
    flow_values_of(quotes((0, 99, 101, 30, 10), (1, 105, 109, 30, 10)), engine)
    after = [(START_NS + 2 * NS, START_NS + 2 * NS, 99, 101, 30, 10)]
    found, alone = flow_values_of(after, engine), flow_values_of(after)
    assert bits([tuple(found.values())]).tolist() == bits([tuple(alone.values())]).tolist()


EXTREMES = [
    [(1, 1, 1, 0), (2**61 - 2, 2**61 - 1, 2**63 - 1, 2**63 - 1)],
    [(1, 2**61 - 1, 2**63 - 1, 0), (1, 1, 0, 2**63 - 1)],
    [(2**61 - 1, 2**61 - 1, 2**63 - 1, 2**63 - 1), (2**61 - 2, 2**61 - 1, 2**63 - 1, 2**63 - 1)],
]


@pytest.mark.parametrize("pair", EXTREMES)
def test_invariant_01_prices_and_sizes_at_the_limits_of_their_words_stay_exact(
    pair: list[tuple[int, ...]],
) -> None:
    rows = [(START_NS + i * NS // 50, START_NS, *pair[i * i % 7 % 2]) for i in range(7000)]
    columns = columns_of(rows)
    expected, found = (engine.batch(*columns)[0] for engine in (PureFlowEngine(SET, 8), make_engine(SET, 8)))
    np.testing.assert_array_equal(bits(expected), bits(found))
    assert not np.isinf(found).any()
    share = found[39, SET.names.index("depth_bid_frac")]
    assert share == pytest.approx(sizes(rows[:40], rows[:40])["depth_bid_frac"])


@pytest.mark.parametrize("module", [flow, flow_values])
def test_the_examples_in_the_docstrings_hold(module: object) -> None:
    result = doctest.testmod(module)  # type: ignore[arg-type]
    assert result.attempted > 0
    assert result.failed == 0
