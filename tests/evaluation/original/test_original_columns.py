"""The original's five columns, by hand and against its formulas in numpy; its own rows: tests/pipeline."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from original_market import of_mids, random_market, recorded, with_prices

from volspike.evaluation.original.columns import COLUMNS, MARK, SNAPSHOT, TICK, Recorded, original_rows

LN = math.log(1.01)


def test_rows_of_three_tickers_by_hand() -> None:
    rows = original_rows(recorded((0, 1, 3), (9_999, 10_098, 9_998), (10_001, 10_102, 10_002)))
    assert COLUMNS[:2] == ("midprice_return_mean", "midprice_return_std")
    second, third = rows.values.tolist()
    # mids 100, 101, 100; spreads 0.02, 0.04, 0.04
    assert second == pytest.approx([LN, 0.0, 0.03, 2.0, 0.03 / 101], rel=1e-12)
    assert third == pytest.approx([0.0, LN, 0.10 / 3, 1.0, 0.10 / 300], rel=1e-12, abs=1e-18)


def test_a_window_holds_a_ticker_of_60_s_ago_and_none_older() -> None:
    rows = original_rows(of_mids((0, 60, 61), (10_000, 10_100, 10_100)))
    assert rows.first.tolist() == [0, 1]
    assert rows.values[:, 3].tolist() == pytest.approx([2 / 60, 2 / 1])


def test_intensity_is_by_the_span_seen_so_far_and_0_without_one() -> None:
    rows = original_rows(of_mids((0, 0, 0.001), (10_000, 10_000, 10_000)))
    assert rows.values[:, 3].tolist() == pytest.approx([0.0, 3_000.0], rel=1e-3)


def test_the_windows_go_by_the_clock_of_the_receiver() -> None:
    market = of_mids((0, 30, 59), (10_000, 10_100, 10_000))
    late = Recorded(**{**_fields(market), "receive_ns": market.receive_ns + np.array((0, 0, 2 * 10**9))})
    assert original_rows(market).first.tolist() == [0, 0]
    assert original_rows(late).first.tolist() == [0, 1]


def test_invariant_04_no_window_reaches_over_a_break() -> None:
    rows = original_rows(of_mids((0, 1, 2, 3), (10_000, 10_100, 10_000, 10_100), cover=(0, 0, 2, 2)))
    assert rows.last.tolist() == [1, 3]  # the first ticker behind the break has no row
    assert rows.first.tolist() == [0, 2]


def test_a_snapshot_counts_and_a_mark_does_not() -> None:
    market = recorded((0, 1, 2), (9_999, 0, 10_099), (10_001, 0, 10_101), kind=(SNAPSHOT, MARK, TICK))
    rows = original_rows(market)
    assert rows.event.tolist() == [2]
    assert rows.values[0, 0] == pytest.approx(LN, rel=1e-12)


@given(st.integers(0, 10**6), st.integers(2, 120))
def test_columns_are_those_of_the_formulas_in_numpy(seed: int, count: int) -> None:
    market = random_market(seed, count, break_rate=0.05)
    rows = original_rows(market)
    seconds, mid = market.receive_ns / 1e9, (market.bid + market.ask) / 200
    spread = (market.ask - market.bid) / 100
    for values, first, last in zip(rows.values, rows.first, rows.last, strict=True):
        inside = slice(first, last + 1)
        assert len(set(market.covered_since_ns[inside])) == 1
        returns = np.diff(np.log(mid[inside]))
        expected = (returns.mean(), returns.std(), spread[inside].mean())
        assert values[:3].tolist() == pytest.approx(expected, rel=1e-9, abs=1e-14)  # log(mid) is near 11
        assert values[4] == pytest.approx(spread[inside].mean() / mid[last])
        assert seconds[first] >= seconds[last] - 60 - 1e-6
        is_first = first == 0 or market.covered_since_ns[first - 1] != market.covered_since_ns[last]
        assert is_first or seconds[first - 1] < seconds[last] - 60 + 1e-6


@given(st.integers(0, 10**6), st.integers(2, 120), st.data())
def test_invariant_02_a_row_never_changes_when_a_later_ticker_changes(
    seed: int, count: int, data: st.DataObject
) -> None:
    market = random_market(seed, count)
    cut = data.draw(st.integers(0, count - 1))
    before, after = original_rows(market), original_rows(with_prices(market, np.arange(count) > cut))
    kept = before.last <= cut
    assert before.values[kept].tolist() == after.values[kept].tolist()


def _fields(market: Recorded) -> dict[str, object]:
    return {name: getattr(market, name) for name in Recorded.__slots__}
