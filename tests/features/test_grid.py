from __future__ import annotations

import json
from itertools import pairwise

from hypothesis import given, settings
from label_streams import Event, as_closed, at, batch_grid, mark, random_events, streams, tick

from volspike.features.fixedpoint import log_return_fixed
from volspike.features.grid import ClosedSecond, SecondGrid, mid_price

S = 1_000_000


def run_online(events: list[Event], grid: SecondGrid | None = None) -> list[ClosedSecond]:
    grid = grid or SecondGrid()
    closed: list[ClosedSecond] = []
    for e in events:
        if e.mid_sum is None:
            closed += grid.on_mark(e.event_ns, e.covered_since_ns)
        else:
            closed += grid.on_tick(e.event_ns, e.mid_sum, e.covered_since_ns)
    return closed


def test_ties_on_a_boundary_count_into_it() -> None:
    # 10.2: 2000   10.9: 2002   11.0: 2004   11.0: 2006   13.4: mark
    events = [tick(10.2, 2000, 10.2), tick(10.9, 2002, 10.2), tick(11.0, 2004, 10.2), tick(11.0, 2006, 10.2)]
    assert run_online(events) == []  # 11 is open: another tick may carry its stamp
    closed = run_online([*events, mark(13.4, 10.2)])
    assert closed == [
        ClosedSecond(S + 11, None, 0, 2006),
        ClosedSecond(S + 12, 0, 0, 2006),
        ClosedSecond(S + 13, 0, 0, 2006),
    ]


def test_boundary_is_closed_by_a_strictly_later_event() -> None:
    events = [tick(10.5, 2000, 10.5), tick(11.5, 2002, 10.5), mark(12.0, 10.5)]
    assert [c.second for c in run_online(events)] == [S + 11]
    later = Event(at(12.0) + 1, at(10.5), None)
    assert run_online([*events, later])[1] == ClosedSecond(S + 12, log_return_fixed(2000, 2002), 0, 2002)


def test_first_tick_on_a_boundary_sets_its_mid() -> None:
    closed = run_online([tick(10.0, 2000, 10.0), tick(11.5, 2002, 10.0)])
    assert closed == [ClosedSecond(S + 10, None, 0, 2000), ClosedSecond(S + 11, 0, 0, 2000)]


def test_event_older_than_the_newest_is_ignored() -> None:
    events = [tick(10.2, 2000, 10.2), mark(12.5, 10.2), tick(12.1, 9999, 10.2), mark(14.5, 10.2)]
    assert {c.mid_sum for c in run_online(events)} == {2000}
    assert as_closed(batch_grid(events)) == run_online(events)


def test_invariant_04_no_return_spans_a_break() -> None:
    events = [tick(10.2, 2000, 10.2), tick(12.2, 2000, 10.2), tick(13.5, 3000, 13.5), tick(16.5, 3000, 13.5)]
    closed = run_online(events)
    assert closed == [
        ClosedSecond(S + 11, None, 0, 2000),
        ClosedSecond(S + 12, 0, 0, 2000),
        ClosedSecond(S + 14, None, 1, 3000),
        ClosedSecond(S + 15, 0, 1, 3000),
        ClosedSecond(S + 16, 0, 1, 3000),
    ]


@given(streams)
@settings(max_examples=60, deadline=None)
def test_online_equals_batch(events: list[Event]) -> None:
    closed = run_online(events)
    assert as_closed(batch_grid(events)) == closed
    assert all(a.second < b.second for a, b in pairwise(closed))


def test_batch_of_nothing() -> None:
    assert as_closed(batch_grid([])) == []
    assert as_closed(batch_grid([mark(1.0, 0.0), mark(9.0, 0.0)])) == []


def test_state_goes_through_json() -> None:
    events = random_events(7, 400)
    for cut in (0, 1, 150, 399):
        grid, resumed = SecondGrid(), SecondGrid()
        before = run_online(events[:cut], grid)
        resumed.import_state(json.loads(json.dumps(grid.export_state())))
        assert before + run_online(events[cut:], resumed) == run_online(events)


def test_mid_price_is_half_the_sum_in_quote_currency() -> None:
    assert mid_price(20001, 2) == 100.005
