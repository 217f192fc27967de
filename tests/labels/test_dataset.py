from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st
from label_streams import (
    CORE,
    NS,
    START_S,
    Event,
    feature_table,
    mark,
    mutate_after,
    random_events,
    tick,
    ticks_of,
)

from volspike.errors import ConfigError, FeatureError, NotEnoughDataError
from volspike.features.grid import mid_price
from volspike.labels.dataset import Dataset, build_dataset, fixed_tau
from volspike.labels.splits import chronological_split
from volspike.labels.targets import UNLABELLED_REASONS, make_labeller
from volspike.labels.tau import TauSpec
from volspike.labels.trailing import TrailingState

FIXED = TauSpec(mode="fixed", quantile=0.9)


def steady(seconds: int, start: float = 0.0, seed: int = 0) -> list[Event]:
    """Return two ticks a second with a random walk whose steps grow and shrink."""
    rng = np.random.default_rng(seed)
    n = 2 * seconds
    size = 1 + np.round(8 * np.sin(np.arange(n) / 300.0) ** 2)
    mid_sum = 2_000_000 + np.cumsum(rng.integers(-1, 2, n) * size.astype(np.int64))
    return [tick(start + 0.25 + i / 2, int(m), start + 0.25) for i, m in enumerate(mid_sum)]


def same(a: Dataset, b: Dataset, rows: slice = slice(None), without: tuple[str, ...] = ()) -> bool:
    """Tell whether two datasets hold the same bits in the given rows."""
    for field in fields(Dataset):
        x, y = getattr(a, field.name), getattr(b, field.name)
        if isinstance(x, np.ndarray) and field.name not in without and x[rows].tobytes() != y[rows].tobytes():
            return False
    return True


def test_one_row_a_second_its_last_tick_once_ready() -> None:
    events = [tick(s + offset, 20_000 + s % 3, 0.1) for s in range(200) for offset in (0.1, 0.4, 1.0)]
    data = build_dataset([feature_table(events)], fixed_tau_bps=5.0)
    # The first tick at 0.1: from 61 (the tick on that boundary) on the window is complete.
    assert data.second.tolist() == [START_S + s for s in range(61, 201)]
    assert np.all(data.event_ns == data.second * NS)
    assert data.features.shape == (140, len(CORE))
    assert data.rv_bps.tolist() == data.features[:, CORE.index("rv_60s")].tolist()
    assert data.unlabelled.tolist() == [0] * 79 + [UNLABELLED_REASONS.index("end")] * 61
    assert np.array_equal(np.isnan(data.sigma_future_bps), data.spike == -1)


def test_thin_windows_give_no_row() -> None:
    sparse = [tick(7.0 * i, 20_000, 0.0) for i in range(60)]  # 8 or 9 ticks a minute
    with pytest.raises(NotEnoughDataError, match="BTC-USD: no usable second in 60 ticks"):
        build_dataset([feature_table(sparse)], fixed_tau_bps=5.0)


def test_spike_is_sigma_at_or_above_tau() -> None:
    table = feature_table(steady(1_000))
    data = build_dataset([table], tau=FIXED, fixed_tau_bps=1.0)
    labelled = data.spike >= 0
    exact = float(np.sort(data.sigma_future_bps[labelled])[100])
    at_tie = build_dataset([table], tau=FIXED, fixed_tau_bps=exact)
    assert np.array_equal(at_tie.spike[labelled] == 1, data.sigma_future_bps[labelled] >= exact)
    assert np.count_nonzero(at_tie.spike == 0) == 100
    assert at_tie.sha256 != data.sha256


def test_adaptive_tau_takes_over_after_half_an_hour() -> None:
    data = build_dataset([feature_table(steady(2_400))], tau=TauSpec(floor_bps=0.01))
    first = int(np.argmax(data.tau_adaptive))
    # First boundary 1, first return 2, first RV 61, the 1800th 1860; a tick in (1860, 1861] has it.
    assert data.second[first] - START_S == 1_861
    assert not data.tau_adaptive[:first].any()
    assert data.tau_adaptive[first:].all()
    assert set(data.tau_bps[:first]) == {data.fixed_tau_bps}


@given(st.integers(0, 10**9), st.sampled_from((0.0, 0.003)))
@settings(max_examples=10, deadline=None)
def test_rows_equal_what_a_live_scorer_sees(seed: int, break_rate: float) -> None:
    events = random_events(seed, 600, long_gap_s=4.0, break_rate=break_rate)
    try:
        data = build_dataset([feature_table(events)], fixed_tau_bps=6.5)
    except NotEnoughDataError:
        reject()
    state, labeller = TrailingState(TauSpec(), 6.5, price_decimals=2), make_labeller("rv")
    row_of = {int(t): i for i, t in enumerate(data.event_ns)}
    contexts, sigmas = {}, {}
    values = {e.event_ns: i for i, e in ticks_of(events)}
    rv = feature_table(events).values[:, CORE.index("rv_60s")]
    for i, e in enumerate(events):
        if e.mid_sum is None:
            graded = labeller.on_event(
                e.event_ns, None, state.on_mark(e.event_ns, e.covered_since_ns), state.run
            )
        else:
            closed = state.on_tick(e.event_ns, e.mid_sum, e.covered_since_ns)
            graded = labeller.on_event(e.event_ns, e.mid_sum, closed, state.run)
            if e.event_ns in row_of and values[e.event_ns] == i:
                contexts[row_of[e.event_ns]] = state.context(float(rv[i]), mid_price(e.mid_sum, 2))
                labeller.add(row_of[e.event_ns], e.event_ns)
        sigmas |= {g.key: (g.sigma_future_bps, g.unlabelled) for g in graded}
    sigmas |= {g.key: (None, g.unlabelled) for g in labeller.end()}
    for i in range(len(data)):
        har = tuple(data.har_bps[i].tolist())
        row = (data.rv_bps[i], data.tau_bps[i], har, data.z[i], data.mid[i], data.tau_adaptive[i])
        assert repr(tuple(contexts[i])) == repr(tuple(v if type(v) is tuple else v.item() for v in row))
        code = int(data.unlabelled[i])
        expected = (float(data.sigma_future_bps[i]), None) if code == 0 else (None, UNLABELLED_REASONS[code])
        assert sigmas[i] == expected


@given(st.integers(0, 10**9), st.integers(200, 1_100))
@settings(max_examples=10, deadline=None)
def test_invariant_02_rows_ignore_what_comes_after(seed: int, cut: int) -> None:
    events = steady(600, seed=seed)
    changed = mutate_after(events, events[cut].event_ns)
    whole, mutated = (build_dataset([feature_table(e)], fixed_tau_bps=5.0) for e in (events, changed))
    # The row of the cut's own second may hold a later tick of that second.
    known = slice(0, int(np.searchsorted(whole.event_ns, events[cut].event_ns, side="right")) - 1)
    labels = ("sigma_future_bps", "spike", "unlabelled")
    assert same(whole, mutated, known, without=labels)
    over = slice(0, int(np.searchsorted(whole.second, events[cut].event_ns // NS - 60, side="right")))
    assert same(whole, mutated, over)


def test_invariant_04_rows_after_a_break_start_afresh() -> None:
    second = [replace(e, mid_sum=(e.mid_sum or 0) + 500_000) for e in steady(400, start=403.0)]
    data = build_dataset([feature_table([*steady(400), *second])], fixed_tau_bps=5.0)
    assert sorted(set(data.run.tolist())) == [0, 1]
    assert np.all(data.unlabelled[(data.run == 0)][-61:] == UNLABELLED_REASONS.index("break"))
    assert data.event_ns[data.run == 1][0] - second[0].event_ns >= 60 * NS
    assert np.nanmax(data.sigma_future_bps) < 100.0  # the step of 25 % is in no label
    assert np.nanmax(data.rv_bps) < 100.0
    assert np.nanmax(data.har_bps) < 100.0


def test_invariant_09_the_fixed_tau_is_fitted_on_fit_alone() -> None:
    events = steady(4_000)
    data = build_dataset([feature_table(events)], tau=FIXED)
    split = chronological_split(data)
    fit = data.sigma_future_bps[split.fit]
    assert data.fixed_tau_bps == np.sort(fit[~np.isnan(fit)])[int(np.ceil(0.9 * np.sum(~np.isnan(fit)))) - 1]
    # A market gone wild from the last fit label on changes neither the fit labels nor tau.
    wild_from = int(data.event_ns[split.fit[-1]]) + 61 * NS
    wild = [
        replace(e, mid_sum=(e.mid_sum or 0) + 20_000 * (i // 2 % 2)) if e.event_ns > wild_from else e
        for i, e in enumerate(events)
    ]
    mutated = build_dataset([feature_table(wild)], tau=FIXED)
    assert mutated.fixed_tau_bps == data.fixed_tau_bps
    assert np.nanmedian(mutated.sigma_future_bps[split.test]) > 10 * np.nanmedian(
        data.sigma_future_bps[split.test]
    )


def test_invariant_10_same_tables_same_hash() -> None:
    events = steady(500)
    a, b = (build_dataset([feature_table(events)], fixed_tau_bps=5.0) for _ in range(2))
    assert a.sha256 == b.sha256
    assert len(a.sha256) == 64
    assert same(a, b)
    assert a.rows(np.arange(10)).sha256 != a.sha256
    assert a.rows(a.spike >= 0).sha256 == a.rows(np.flatnonzero(a.spike >= 0)).sha256


def test_tables_of_several_sessions_join_in_time_order() -> None:
    first, second = steady(300), steady(300, start=900.0, seed=1)
    together = build_dataset([feature_table([*first, *second])], fixed_tau_bps=5.0)
    apart = build_dataset([feature_table(second), feature_table(first)], fixed_tau_bps=5.0)
    assert apart.sha256 == together.sha256


def test_marks_label_a_quiet_end() -> None:
    events = steady(120)
    without = build_dataset([feature_table(events)], fixed_tau_bps=5.0)
    marked = [*events, *(mark(120.0 + i, 0.25) for i in range(1, 63))]
    with_marks = build_dataset([feature_table(marked)], fixed_tau_bps=5.0)
    assert np.count_nonzero(without.unlabelled == 0) == 0
    assert np.count_nonzero(with_marks.unlabelled == 0) == len(with_marks)


def test_mixed_tables_are_refused() -> None:
    table = feature_table(steady(100))
    with pytest.raises(FeatureError, match="they differ in product: BTC-USD, ETH-USD"):
        build_dataset([table, replace(table, product="ETH-USD")])
    with pytest.raises(NotEnoughDataError, match="no rows"):
        build_dataset([])


def test_too_short_a_recording_has_no_fit_slice() -> None:
    table = feature_table(steady(400))
    with pytest.raises(NotEnoughDataError, match=r"no labelled row in the fit slice \(340 rows"):
        build_dataset([table])


def test_other_targets_need_a_fixed_tau() -> None:
    table = feature_table(steady(300))
    for target in ("std", "next-row"):
        with pytest.raises(ConfigError, match="adaptive"):
            build_dataset([table], target=target)
        data = build_dataset([table], target=target, tau=FIXED, fixed_tau_bps=0.1)
        assert data.target == target
        assert np.count_nonzero(data.spike >= 0) > 100
    with pytest.raises(ConfigError, match="unknown"):
        build_dataset([table], target="range")


def test_next_row_repeats_the_present_std() -> None:
    data = build_dataset([feature_table(steady(300))], target="next-row", tau=FIXED, fixed_tau_bps=0.1)
    now = data.features[:, CORE.index("midprice_return_std")] * 1e4
    labelled = data.spike >= 0
    assert np.corrcoef(now[labelled], data.sigma_future_bps[labelled])[0, 1] > 0.99


def test_fixed_tau_floors() -> None:
    sigma = np.array([1.0, 2.0, 3.0, 4.0])
    assert fixed_tau(sigma, TauSpec(mode="fixed", quantile=0.5), mid=100.0, increment=0.01) == 2.0
    assert fixed_tau(sigma, TauSpec(quantile=0.5, floor_bps=2.5), mid=100.0, increment=0.01) == 2.5
    assert fixed_tau(0 * sigma, TauSpec(mode="fixed"), mid=100.0, increment=0.01) == 1.0


def test_invariant_09_an_unknown_increment_is_that_of_the_fit_slice() -> None:
    events = [replace(e, mid_sum=5 * (e.mid_sum or 0)) for e in steady(3_000)]
    table = feature_table(events, product="HBAR-USD", price_decimals=5)
    five = replace(table, bid=table.bid // 5 * 5, ask=table.ask // 5 * 5)
    data = build_dataset([five], fixed_tau_bps=5.0)
    assert data.increment == pytest.approx(5e-5)
    # One odd quote after the fit slice says nothing about it; one inside does.
    split = chronological_split(data)
    for part, increment in (("test", 5e-5), ("fit", 1e-5)):
        at = int(data.event_ns[getattr(split, part)[0]])
        odd = replace(five, bid=np.where(five.event_ns == at, five.bid - 1, five.bid))
        assert build_dataset([odd], fixed_tau_bps=5.0).increment == pytest.approx(increment)
    assert build_dataset([table], fixed_tau_bps=5.0, increment=0.25).increment == 0.25
    assert build_dataset([feature_table(steady(300))], fixed_tau_bps=5.0).increment == 0.01
