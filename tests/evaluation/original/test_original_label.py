"""Both labels by hand; the true one shares no tick with the features and reaches over no break."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from original_market import of_mids, random_market, recorded, with_prices

from volspike.evaluation.original.columns import SNAPSHOT, TICK, OriginalRows, original_rows
from volspike.evaluation.original.label import FutureLabels, future_labels, next_row_spikes, shared_tick_frac

NS = 1_000_000_000
EVERY_S = 3  # 20 ticks a minute
TIMES = np.arange(0, 303, EVERY_S)


def zigzag(calm: int = 1, wild: int = 50, wild_from_s: int = 150) -> tuple[np.ndarray, np.ndarray]:
    """Return times and mids that alternate by a few cents, by many from some time on."""
    step = np.where(wild_from_s <= TIMES, wild, calm)
    return TIMES, 10_000 + step * (np.arange(len(TIMES)) % 2)


def test_the_next_row_label_is_the_next_rows_std_and_the_last_row_is_calm() -> None:
    std = np.array((1.0, 3.0, 2.0, 5.0))
    assert next_row_spikes(std, 3.0).tolist() == [True, False, True, False]


def test_the_shared_ticks_are_counted_from_the_windows() -> None:
    rows = original_rows(of_mids((0, 1, 2, 3), (10_000,) * 4))
    # windows of 2, 3 and 4 tickers: the label windows of the first two rows share 2 of 3 and 3 of 4
    assert shared_tick_frac(rows) == pytest.approx(5 / 7)


def test_a_break_shares_nothing_and_one_row_has_no_share() -> None:
    apart = original_rows(of_mids((0, 1, 2, 3), (10_000,) * 4, cover=(0, 0, 2, 2)))
    assert shared_tick_frac(apart) == 0.0
    assert shared_tick_frac(original_rows(of_mids((0, 1), (10_000,) * 2))) is None


def test_steady_ticks_share_all_but_one() -> None:
    rows = original_rows(of_mids(np.arange(1_200) * 0.05, (10_000,) * 1_200))
    settled = original_rows(of_mids(np.arange(6_000) * 0.05, (10_000,) * 6_000))
    # a full window holds 1,201 tickers and the next one drops one of them and adds one
    assert shared_tick_frac(settled) == pytest.approx(1_200 / 1_201, abs=2e-4)
    assert shared_tick_frac(rows) > 0.99


def test_the_true_label_by_hand() -> None:
    times, mid = zigzag(wild_from_s=120)
    market = of_mids(times, mid)
    rows = original_rows(market)
    labels = future_labels(market, rows)
    begin = int(np.flatnonzero(times[rows.event[labels.row]] == 90)[0])
    inside = (times > 90) & (times <= 150)
    returns = np.diff(np.log(mid[inside]))
    assert len(returns) == 19
    assert labels.sigma_bps[begin] == pytest.approx(returns.std(ddof=1) * 1e4, rel=1e-9)
    assert returns.std(ddof=1) > 5 * rows.std[labels.row[begin]]


def test_only_rows_with_a_whole_window_and_a_whole_minute_after_have_a_true_label() -> None:
    market = of_mids(*zigzag())
    rows = original_rows(market)
    labels = future_labels(market, rows)
    assert TIMES[rows.event[labels.row]].tolist() == [t for t in TIMES if t >= 60]
    # second t + 60 is closed by a tick after it
    assert TIMES[rows.event[labels.row[labels.labelled]]].tolist() == [t for t in TIMES if 60 <= t < 240]


def test_a_snapshot_has_a_row_and_no_true_label() -> None:
    times, mid = zigzag()
    kind = np.where(times == 120, SNAPSHOT, TICK)
    market = recorded(times, mid - 1, mid + 1, kind=kind)
    rows = original_rows(market)
    labels = future_labels(market, rows)
    assert 120 in times[rows.event]
    assert 120 not in times[rows.event[labels.row]]


def test_the_label_of_a_stale_market_is_zero_and_of_too_few_ticks_none() -> None:
    still = of_mids(TIMES, np.full(len(TIMES), 10_000))
    labels = future_labels(still, original_rows(still))
    assert set(labels.sigma_bps[labels.labelled].tolist()) == {0.0}
    times = np.concatenate((np.arange(0, 63, 3), np.arange(70, 200, 10)))  # 6 ticks a minute from 63 s on
    thin = of_mids(times, 10_000 + np.arange(len(times)) % 2)
    labels = future_labels(thin, original_rows(thin))
    assert len(labels.row)
    assert not labels.labelled.any()


@given(st.integers(0, 10**6), st.integers(200, 400))
def test_the_true_label_shares_no_tick_with_the_features(seed: int, count: int) -> None:
    market = random_market(seed, count, break_rate=0.004, longest_s=4.0)
    rows = original_rows(market)
    labels = future_labels(market, rows)
    for row, event_ns in zip(labels.row[labels.labelled], labels.event_ns[labels.labelled], strict=True):
        of_label = np.flatnonzero((market.event_ns > event_ns) & (market.event_ns <= event_ns + 60 * NS))
        of_features = np.arange(rows.first[row], rows.last[row] + 1)
        assert not np.intersect1d(of_label, of_features).size
        assert len(set(market.covered_since_ns[np.concatenate((of_features, of_label))])) == 1


@given(st.integers(0, 10**6), st.integers(200, 400), st.data())
def test_the_true_label_depends_on_later_ticks_alone(seed: int, count: int, data: st.DataObject) -> None:
    market = random_market(seed, count, break_rate=0.004, longest_s=4.0)
    rows, labels = _labelled(market)
    at_ns = int(market.event_ns[data.draw(st.integers(0, count - 1))])
    _, earlier = _labelled(with_prices(market, market.event_ns <= at_ns))
    _, later = _labelled(with_prices(market, market.event_ns > at_ns + 60 * NS))
    own = labels.event_ns == at_ns
    for other in (earlier, later):
        assert other.sigma_bps[own].tolist() == pytest.approx(labels.sigma_bps[own].tolist(), nan_ok=True)
    assert len(rows)


@given(st.integers(0, 10**6), st.integers(200, 400), st.data())
def test_invariant_04_no_row_or_label_changes_with_what_lies_beyond_a_break(
    seed: int, count: int, data: st.DataObject
) -> None:
    market = random_market(seed, count, break_rate=0.01, longest_s=4.0)
    cover = data.draw(st.sampled_from(sorted(set(market.covered_since_ns.tolist()))))
    rows, labels = _labelled(market)
    other_rows, other_labels = _labelled(with_prices(market, market.covered_since_ns != cover))
    inside = market.covered_since_ns[rows.event] == cover
    assert other_rows.values[inside].tolist() == rows.values[inside].tolist()
    own = inside[labels.row]
    assert other_labels.sigma_bps[own].tolist() == pytest.approx(labels.sigma_bps[own].tolist(), nan_ok=True)


def _labelled(market) -> tuple[OriginalRows, FutureLabels]:
    rows = original_rows(market)
    return rows, future_labels(market, rows)
