from __future__ import annotations

import json
import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from label_streams import Event, at, batch_grid, columns, mark, mutate_after, random_events, tick, ticks_of

from volspike.features.fixedpoint import log_return_fixed, rv_bps
from volspike.features.grid import last_closed_second_array, mid_price
from volspike.features.regime.columns import REGIME_COLUMNS
from volspike.features.regime.history import regime_features
from volspike.features.regime.state import RegimeState
from volspike.labels.history import trailing_history
from volspike.labels.kept_past import KeptPast
from volspike.labels.second_journal import SecondJournal
from volspike.labels.tau import TauSpec
from volspike.labels.trailing import Context, TrailingState

DECIMALS = 2
TAU = TauSpec(quantile=0.9, floor_bps=0.5)


def new_state(tau: TauSpec = TAU) -> TrailingState:
    return TrailingState(tau, fixed_tau_bps=6.5, price_decimals=DECIMALS, increment=0.01)


def feed(state: TrailingState | KeptPast, event: Event) -> None:
    if event.mid_sum is None:
        state.on_mark(event.event_ns, event.covered_since_ns)
    else:
        state.on_tick(event.event_ns, event.mid_sum, event.covered_since_ns)


def now_bps(event: Event) -> float:
    """Return a stand-in for rv_60s at a tick, some of them 0."""
    return (event.event_ns // 1000 % 50) / 7.0


def contexts(events: Sequence[Event], state: TrailingState | None = None) -> list[Context]:
    state = state or new_state()
    found = []
    for event in events:
        feed(state, event)
        if event.mid_sum is not None:
            found.append(state.context(now_bps(event), mid_price(event.mid_sum, DECIMALS)))
    return found


def batch_contexts(events: Sequence[Event], tau: TauSpec = TAU) -> list[Context]:
    _, _, mid_sum, is_tick = columns(events)
    event_ns = np.array([e.event_ns for _, e in ticks_of(events)])
    rv = np.array([now_bps(e) for _, e in ticks_of(events)])
    mid = mid_sum[is_tick] / float(2 * 10**DECIMALS)
    history = trailing_history(batch_grid(events), event_ns, rv, mid, tau, DECIMALS, 0.01)
    tau_bps, adaptive = history.tau(tau, 6.5)
    return [
        Context(*row[:2], tuple(row[2]), *row[3:])
        for row in zip(
            rv.tolist(),
            tau_bps.tolist(),
            history.har_bps.tolist(),
            history.z.tolist(),
            mid.tolist(),
            adaptive.tolist(),
            strict=True,
        )
    ]


def bits(found: Sequence[Context]) -> list[str]:
    """Return a text form in which equal floats are equal bits and NaN equals NaN."""
    return [repr(context) for context in found]


@given(st.integers(0, 10**9), st.sampled_from((20.0, 400.0, 4_000.0)), st.sampled_from((0.0, 0.02)))
@settings(max_examples=25, deadline=None)
def test_online_equals_batch(seed: int, long_gap_s: float, break_rate: float) -> None:
    events = random_events(seed, 300, long_gap_s=long_gap_s, break_rate=break_rate)
    assert bits(contexts(events)) == bits(batch_contexts(events))


def test_online_equals_batch_beyond_a_day() -> None:
    events = random_events(11, 200, long_gap_s=60_000.0, break_rate=0.0)
    assert events[-1].event_ns - events[0].event_ns > 86_400 * 10**9
    found = contexts(events)
    assert any(c.tau_adaptive for c in found)
    assert bits(found) == bits(batch_contexts(events))


@given(st.integers(0, 10**9), st.integers(1, 250))
@settings(max_examples=25, deadline=None)
def test_invariant_02_nothing_after_the_tick_changes_its_context(seed: int, cut: int) -> None:
    events = random_events(seed, 300, long_gap_s=400.0)
    whole = batch_contexts(events)
    kept = events[: cut + 1]
    known = sum(1 for _ in ticks_of(kept))
    assert bits(batch_contexts(kept)) == bits(whole[:known])  # truncated
    changed = mutate_after(events, events[cut].event_ns)
    assert bits(batch_contexts(changed)[:known]) == bits(whole[:known])  # mutated


def test_invariant_05_tau_uses_only_seconds_closed_by_the_tick() -> None:
    # A jump at 2000.2 is inside second 2001: no tick in (2000, 2001] may see it in tau, HAR or z.
    quiet = [tick(s + 0.1, 20_000 + s % 2 * (s // 100), 0.1) for s in range(2_000)]
    state = new_state()
    contexts([*quiet, tick(2_000.1, 20_000, 0.1)], state)
    before = state.context(5.0, 100.0)
    feed(state, tick(2_000.2, 30_000, 0.1))
    feed(state, tick(2_001.0, 30_000, 0.1))
    assert bits([state.context(5.0, 100.0)]) == bits([before])
    feed(state, Event(at(2_001.0) + 1, at(0.1), 30_000))
    after = state.context(5.0, 100.0)
    assert after.har_bps[0] > 10 * before.har_bps[0]
    assert after.z != before.z


@pytest.mark.parametrize("cut", [0, 1, 130, 299])
def test_state_goes_through_json(cut: int) -> None:
    events = random_events(5, 300, long_gap_s=900.0)
    state, resumed, closed = new_state(), new_state(), []
    state.on_closed = closed.extend
    before = contexts(events[:cut], state)
    resumed.import_state(json.loads(json.dumps(state.export_state())), closed)
    assert bits(before + contexts(events[cut:], resumed)) == bits(contexts(events))
    assert resumed.run == batch_grid(events).event_run[-1]


def test_har_lags_of_a_steady_market() -> None:
    # The mid alternates each second, so every r^2 is the same and each lag equals RV over a minute.
    events = [tick(s + 0.5, 20_000 + 2 * (s % 2), 0.5) for s in range(7_300)]
    one_minute = rv_bps(60 * log_return_fixed(20_000, 20_002) ** 2)
    found = contexts(events)
    at_half = {lag: 60 * minutes // 2 for lag, minutes in enumerate((1, 5, 30, 240))}
    for lag, covered in at_half.items():
        # Tick i closes boundary i; the first return is that of boundary 2.
        assert math.isnan(found[covered].har_bps[lag])
        assert found[covered + 1].har_bps[lag] == pytest.approx(one_minute, rel=1e-12)


def test_tau_turns_adaptive_after_half_an_hour_of_cover() -> None:
    events = [tick(s + 0.5, 20_000 + 2 * (s % 2), 0.5) for s in range(1_900)]
    found = contexts(events)
    first = next(i for i, c in enumerate(found) if c.tau_adaptive)
    # 60 returns make the first RV (boundary 61), 1800 of them boundary 1860.
    assert first == 1_860
    assert found[first - 1].tau_bps == 6.5
    assert found[first].tau_bps == pytest.approx(
        rv_bps(60 * log_return_fixed(20_000, 20_002) ** 2), rel=0.004
    )


def test_volatility_of_a_motionless_market_is_one_increment_in_logs() -> None:
    events = [tick(0.5, 20_000, 0.5), mark(2_000.5, 0.5), tick(2_000.6, 20_000, 0.5)]
    context = contexts(events)[-1]
    assert context.tau_adaptive
    assert context.tau_bps == pytest.approx(1.0, rel=0.004)  # 0.01 / 100
    assert math.isnan(context.z)


def test_fixed_mode_keeps_the_fixed_tau() -> None:
    events = [tick(0.5, 20_000, 0.5), mark(2_000.5, 0.5), tick(2_000.6, 20_000, 0.5)]
    fixed = TauSpec(mode="fixed")
    assert contexts(events, new_state(fixed))[-1][1] == 6.5
    assert not contexts(events, new_state(fixed))[-1].tau_adaptive


def with_regime() -> TrailingState:
    return TrailingState(TAU, 6.5, DECIMALS, 0.01, RegimeState())


def regimes(events: Sequence[Event], state: TrailingState) -> list[list[int]]:
    """Return the regime values after each tick, as the integers their bits are."""
    found = []
    for event in events:
        feed(state, event)
        if event.mid_sum is not None:
            found.append(state.regime())
    return np.array(found, np.float64).reshape(-1, len(REGIME_COLUMNS)).view(np.int64).tolist()


@given(st.integers(0, 10**9), st.sampled_from((20.0, 4_000.0)), st.sampled_from((0.0, 0.02)))
@settings(max_examples=15, deadline=None)
def test_invariant_01_regime_values_online_equal_those_of_the_batch(
    seed: int, long_gap_s: float, break_rate: float
) -> None:
    events = random_events(seed, 300, long_gap_s=long_gap_s, break_rate=break_rate)
    last = last_closed_second_array(np.array([e.event_ns for _, e in ticks_of(events)]))
    found = regime_features(batch_grid(events), last)
    assert regimes(events, with_regime()) == found.view(np.int64).tolist()


@pytest.mark.parametrize("cut", [0, 1, 130, 299])
def test_invariant_01_regime_values_go_on_after_a_restore_from_the_journal(cut: int) -> None:
    events = random_events(5, 300, long_gap_s=900.0)
    state, resumed, journal = with_regime(), with_regime(), SecondJournal()
    state.on_closed = journal.add
    before = regimes(events[:cut], state)
    written = [value for _, value in journal.take()]
    resumed.import_state(json.loads(json.dumps(state.export_state())), SecondJournal().restore(written))
    assert before + regimes(events[cut:], resumed) == regimes(events, with_regime())


def test_a_state_without_regime_columns_says_so() -> None:
    with pytest.raises(ValueError, match="no regime columns"):
        new_state().regime()
    assert all(math.isnan(value) for value in with_regime().regime())
