"""What is kept of a product's past gives any state of any model what it would have seen itself."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from label_streams import random_events
from test_trailing import contexts, feed, new_state, regimes, with_regime

from volspike.labels.kept_past import KeptPast


@settings(max_examples=20, deadline=None)
@given(
    seed=st.integers(0, 1 << 30),
    cuts=st.tuples(st.integers(0, 400), st.integers(0, 400)),
    long_gap_s=st.sampled_from((20.0, 900.0, 30_000.0)),
)
def test_invariant_01_a_state_made_of_what_was_kept_is_one_that_saw_all(
    seed: int, cuts: tuple[int, int], long_gap_s: float
) -> None:
    events = random_events(seed, 400, long_gap_s=long_gap_s)
    first, second = sorted(cuts)
    past, state, whole = KeptPast(), new_state(), new_state()
    for event in events[:first]:
        feed(past, event)
    so_far = past.so_far()
    for event in events[first:second]:
        feed(past, event)
    so_far.give(state)
    past.catch_up(state)
    for event in events[:second]:
        feed(whole, event)
    assert state.export_state() == whole.export_state()
    assert repr(contexts(events[second:], state)) == repr(contexts(events[second:], whole))  # NaN is NaN


@pytest.mark.parametrize("cut", [0, 1, 130, 299])
def test_a_model_of_regime_columns_is_given_them_too(cut: int) -> None:
    events = random_events(5, 300, long_gap_s=900.0)
    past, state, whole = KeptPast(), with_regime(), with_regime()
    for event in events[:cut]:
        feed(past, event)
        feed(whole, event)
    past.so_far().give(state)
    past.catch_up(state)
    assert regimes(events[cut:], state) == regimes(events[cut:], whole)


def test_a_day_is_kept_and_no_more() -> None:
    past = KeptPast()
    for second in range(0, 3 * 86_400, 30):
        past.on_tick(second * 1_000_000_000, 200 + second % 7, 0)
    assert len(past.so_far().minutes) == 1_500
