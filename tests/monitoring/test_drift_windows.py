"""Which rows are compared: in order, apart, and as long as asked for."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drift_rows import market_of_ticks
from volspike.labels.dataset import Dataset
from volspike.labels.splits import PURGE_S, chronological_split, reach_ns
from volspike.monitoring.drift_windows import HOUR_NS, REFERENCE_BLOCKS, WindowPair, choose_windows

ROWS = market_of_ticks(hours=20.0)


def gap_ns(dataset: Dataset, pair: WindowPair) -> int:
    """Return how far before the current window the last label of the reference, and the purge, ends."""
    reach = reach_ns(dataset.event_ns, PURGE_S)
    return int(pair.current.first_ns - reach[pair.reference.rows].max())


@given(st.floats(0.01, 19.0))
def test_invariant_09_no_label_of_the_early_rows_reaches_into_the_late_window(hours: float) -> None:
    pair = choose_windows(ROWS, "early-late", hours)
    assert 0 <= gap_ns(ROWS, pair) <= 10**9
    assert pair.reference.rows[0] == 0
    assert pair.current.rows[-1] == len(ROWS) - 1
    assert abs(pair.current.last_ns - pair.current.first_ns - hours * HOUR_NS) < 1.001e9
    assert np.array_equal(pair.current.rows, np.arange(pair.current.rows[0], len(ROWS)))


def test_by_default_the_reference_holds_as_many_blocks_as_a_rate_of_one_in_twenty_needs() -> None:
    pair = choose_windows(ROWS, "early-late")
    assert pair.current.hours == pytest.approx(1.0, abs=0.01)
    assert (pair.reference.hours + 0.1) / pair.current.hours == pytest.approx(REFERENCE_BLOCKS, abs=0.2)


def test_a_short_history_gets_half_an_hour() -> None:
    pair = choose_windows(ROWS.rows(np.arange(7_200)), "early-late")
    assert pair.current.hours == pytest.approx(0.5, abs=0.01)


def test_train_and_test_are_those_of_the_split() -> None:
    split, pair = chronological_split(ROWS), choose_windows(ROWS, "train-test")
    assert np.array_equal(pair.reference.rows, split.fit)
    assert np.array_equal(pair.current.rows, split.test)
    assert (pair.reference.name, pair.current.name) == ("train", "test")


def test_the_reference_of_the_last_hours_is_the_span_less_what_overlaps() -> None:
    first_ns = int(ROWS.event_ns[3_600])
    for last_row in (36_000, len(ROWS) - 1):
        pair = choose_windows(ROWS, "recent", 2.0, (first_ns, int(ROWS.event_ns[last_row])))
        assert pair.reference.first_ns == first_ns
        assert pair.reference.last_ns == int(ROWS.event_ns[min(last_row, len(ROWS) - 7_200 - 360)])
        assert len(pair.current.rows) == 7_200


@pytest.mark.parametrize("compare", ["early-late", "recent", "train-test"])
def test_fault_44_no_row_one_row_and_a_window_longer_than_all_are_thin(compare) -> None:
    hours = None if compare == "train-test" else 30.0
    for count in (0, 1, 300):
        assert choose_windows(ROWS.rows(np.arange(count)), compare, hours).is_thin
    pair = choose_windows(ROWS.rows(np.arange(0)), compare, hours)
    assert pair.current.as_dict()["first"] is None
