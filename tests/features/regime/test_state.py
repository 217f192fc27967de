"""The online and the batch values against the definition, to the bit, and the invariants they are held to."""

from __future__ import annotations

import hashlib
import math
from dataclasses import replace

import numpy as np
import pytest
from feature_streams import bits
from hypothesis import given, settings
from hypothesis import strategies as st
from label_streams import Event, as_closed, at, batch_grid, random_events
from regime_streams import (
    BP,
    START_S,
    Kind,
    arrays_of,
    changed,
    closed_seconds,
    kinds,
    named,
    online,
    run_of,
    seconds_of,
    state_of,
)

from volspike.features.fixedpoint import LN2_FIXED
from volspike.features.grid import ClosedSecond
from volspike.features.regime.columns import LOOKBACK_S
from volspike.features.regime.definition import regime_values
from volspike.features.regime.history import regime_features
from volspike.features.regime.state import RegimeState

DAY_LONG = Kind(seed=7, seconds=100_000, break_frac=0.0002, longest_hole_s=200)


@pytest.fixture(scope="module")
def day() -> list[ClosedSecond]:
    """Return more than a day of seconds, so that the first are forgotten."""
    return closed_seconds(DAY_LONG)


@given(kinds, st.sampled_from((0, 0, 3, 25, 140, 3_000)))
@settings(max_examples=60, deadline=None)
def test_invariant_01_compiled_values_are_those_of_the_definition(kind: Kind, later_s: int) -> None:
    closed = closed_seconds(kind)
    last = closed[-1].second + later_s
    assert np.array_equal(bits([state_of(closed).values(last)]), bits([regime_values(closed, last)]))


def test_invariant_01_so_they_are_after_more_than_a_day(day: list[ClosedSecond]) -> None:
    state = state_of(day)
    for later_s in (0, 17, 40_000):
        last = day[-1].second + later_s
        assert np.array_equal(bits([state.values(last)]), bits([regime_values(day, last)]))


@given(kinds)
@settings(max_examples=40, deadline=None)
def test_invariant_01_online_equals_batch(kind: Kind) -> None:
    closed = closed_seconds(kind)
    assert np.array_equal(bits(online(closed)), bits(regime_features(arrays_of(closed), seconds_of(closed))))


def test_invariant_01_online_equals_batch_over_more_than_a_day(day: list[ClosedSecond]) -> None:
    state, found, asked = RegimeState(), [], day[::37]
    for i, each in enumerate(day):
        state.add(each)
        if i % 37 == 0:
            found.append(state.values(each.second))
    assert np.array_equal(bits(found), bits(regime_features(arrays_of(day), seconds_of(asked))))


@given(kinds, st.data())
@settings(max_examples=40, deadline=None)
def test_invariant_01_restarted_at_any_second_it_goes_on_alike(kind: Kind, data: st.DataObject) -> None:
    closed = closed_seconds(kind)
    cut = data.draw(st.integers(0, len(closed)))
    asked_before = data.draw(st.booleans())
    resumed = state_of(closed[:cut])
    if asked_before and cut:
        resumed.values(closed[cut - 1].second)
    assert np.array_equal(bits(online(closed[cut:], resumed)), bits(online(closed)[cut:]))


def test_invariant_01_a_restart_needs_no_more_than_the_look_back(day: list[ClosedSecond]) -> None:
    first = next(i for i, each in enumerate(day) if each.second > day[-1].second - LOOKBACK_S)
    assert first > 0
    fresh, whole = state_of(day[first:]), state_of(day)
    assert np.array_equal(bits([fresh.values(day[-1].second)]), bits([whole.values(day[-1].second)]))


@given(kinds, st.lists(st.integers(1, 400), min_size=1))
@settings(max_examples=25, deadline=None)
def test_invariant_01_how_often_it_is_asked_changes_nothing(kind: Kind, chunks: list[int]) -> None:
    closed = closed_seconds(kind)
    state, done = RegimeState(), 0
    for chunk in chunks:
        part = closed[done : done + chunk]
        if not part:
            break
        for each in part:
            state.add(each)
        done += len(part)
        last = part[-1].second
        assert np.array_equal(bits([state.values(last)]), bits([state_of(closed[:done]).values(last)]))


@given(kinds, st.data())
@settings(max_examples=40, deadline=None)
def test_invariant_02_nothing_after_a_second_changes_its_values(kind: Kind, data: st.DataObject) -> None:
    closed = closed_seconds(kind)
    cut = data.draw(st.integers(1, len(closed)))
    asked = seconds_of(closed[:cut])
    whole = bits(regime_features(arrays_of(closed), asked))
    assert np.array_equal(bits(regime_features(arrays_of(closed[:cut]), asked)), whole)  # truncated
    mutated = closed[:cut] + changed(closed[cut:], 2 * LN2_FIXED)
    assert np.array_equal(bits(regime_features(arrays_of(mutated), asked)), whole)


def test_invariant_02_nothing_older_than_the_look_back_counts(day: list[ClosedSecond]) -> None:
    last = day[-1].second
    first = next(i for i, each in enumerate(day) if each.second > last - LOOKBACK_S)
    mutated = changed(day[:first], -2 * LN2_FIXED) + day[first:]
    expected = bits([state_of(day).values(last)])
    assert np.array_equal(bits([state_of(mutated).values(last)]), expected)
    assert np.array_equal(bits(regime_features(arrays_of(mutated), np.array([last]))), expected)
    # Of a second later, the oldest return inside counts.
    touched = [*day[:first], day[first]._replace(q=2 * LN2_FIXED), *day[first + 1 :]]
    assert not np.array_equal(bits([state_of(touched).values(last)]), expected)


@given(st.integers(0, 2**32))
@settings(max_examples=25, deadline=None)
def test_invariant_04_no_return_or_range_spans_a_break(seed: int) -> None:
    # A new price level, exactly twice as high, at each break: returns inside the runs stay what they were.
    events = random_events(seed, 400, break_rate=0.03, long_gap_s=40.0)
    level, lifted, covered = 1, [], events[0].covered_since_ns
    for event in events:
        if event.covered_since_ns != covered:
            covered, level = event.covered_since_ns, 3 - level
        lifted.append(event if event.mid_sum is None else replace(event, mid_sum=level * event.mid_sum))
    plain, moved = batch_grid(events), batch_grid(lifted)
    assert np.array_equal(
        bits(regime_features(plain, plain.second)), bits(regime_features(moved, moved.second))
    )


def test_invariant_04_a_fall_over_a_break_is_no_fall() -> None:
    still = [Event(at(s + 0.5), at(0.5), 20_000) for s in range(400)]
    lower = [Event(at(s + 0.5), at(400.5), 10_000) for s in range(400, 800)]
    closed = as_closed(batch_grid([*still, *lower]))
    found = named(state_of(closed).values(closed[-1].second))
    assert found["rv_900s_bps"] == found["parkinson_900s_bps"] == 0.0


@given(kinds, st.sampled_from((0, 0, 3, 25, 140, 3_000, 80_000)))
@settings(max_examples=60, deadline=None)
def test_every_value_is_missing_or_inside_its_bounds(kind: Kind, later_s: int) -> None:
    closed = closed_seconds(kind)
    last = closed[-1].second + later_s
    found = named(state_of(closed).values(last))
    for name, value in found.items():
        if math.isnan(value):
            continue
        assert math.isfinite(value), name
        if name.endswith("_frac"):
            assert 0.0 <= value <= 1.0, name
        elif not name.startswith("day"):
            assert value >= 0.0, name
    for n in (60, 300):
        drift, reach = found[f"drift_over_rv_{n}s"], found[f"range_over_rv_{n}s"]
        if not math.isnan(drift):
            slack = 1.0 + 1e-9
            assert drift <= math.sqrt(n) * slack
            assert drift <= reach * math.sqrt(4.0 * math.log(2.0)) * slack <= math.sqrt(n) * slack * slack


@pytest.mark.parametrize(("q", "position"), [(0, 0.5), (2 * LN2_FIXED, 1.0), (-2 * LN2_FIXED, 0.0)])
def test_a_day_without_a_move_and_one_of_the_largest_stay_exact(q: int, position: float) -> None:
    closed = run_of([q] * LOOKBACK_S)
    last = closed[-1].second
    values = state_of(closed).values(last)
    assert np.array_equal(bits([values]), bits([regime_values(closed, last)]))
    found = named(values)
    assert found["rv_24h_bps"] == pytest.approx(abs(q) / 2.0**60 * 1e4 * math.sqrt(60.0))
    assert found["position_24h_frac"] == position


def test_invariant_10_same_input_same_bytes() -> None:
    closed = closed_seconds(Kind(seed=3, seconds=20_000, break_frac=0.001))
    found = regime_features(arrays_of(closed), seconds_of(closed))
    assert found.tobytes() == regime_features(arrays_of(closed), seconds_of(closed)).tobytes()
    # NaN of any sign counts as one.
    text = np.where(np.isnan(found), np.nan, found).tobytes()
    assert (
        hashlib.sha256(text).hexdigest() == "0166b800e8c6311509948c6921c6569faa645ba301d69f55d9e398de28d76533"
    )


def test_seconds_are_taken_in_order_and_asked_for_in_order() -> None:
    state = state_of(run_of([BP]))
    with pytest.raises(ValueError, match="comes after"):
        state.add(ClosedSecond(START_S + 1, 0, 0, 20_000))
    with pytest.raises(ValueError, match="which is closed"):
        state.values(START_S)
