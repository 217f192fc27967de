"""Closed seconds go through minutes of bytes, whenever they are written."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from label_streams import as_closed, batch_grid, random_events

from volspike.features.grid import ClosedSecond
from volspike.labels.second_journal import SLOTS, SecondJournal


@given(st.integers(0, 10**9), st.sets(st.integers(0, 400)))
@settings(max_examples=25, deadline=None)
def test_seconds_come_back_whenever_they_were_written(seed: int, cuts: set[int]) -> None:
    seconds = as_closed(batch_grid(random_events(seed, 300, long_gap_s=50.0)))
    journal, slots = SecondJournal(), {}
    for i, second in enumerate(seconds):
        journal.add([second])
        if i in cuts:
            slots.update(journal.take())
            resumed = SecondJournal()
            assert list(resumed.restore(slots.values())) == seconds[: i + 1]
            journal = resumed
    slots.update(journal.take())
    assert list(SecondJournal().restore(slots.values())) == seconds
    assert journal.take() == []


def test_only_minutes_that_changed_are_written_again() -> None:
    journal = SecondJournal()
    journal.add([ClosedSecond(second, 5, 0, 100) for second in range(180)])
    assert [slot for slot, _ in journal.take()] == [0, 1, 2]
    journal.add([ClosedSecond(180, 5, 0, 100)])
    assert [slot for slot, _ in journal.take()] == [3]


def test_a_slot_is_written_over_after_a_day() -> None:
    journal, slots = SecondJournal(), {}
    for minute in range(SLOTS + 2):
        journal.add([ClosedSecond(60 * minute, 1, 0, 100)])
        slots.update(journal.take())
    assert next(SecondJournal().restore(slots.values())).second == 120
