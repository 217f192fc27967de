from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from label_streams import (
    Event,
    at,
    batch_grid,
    columns,
    mark,
    mutate_after,
    random_events,
    tick,
    ticks_of,
)

from volspike.errors import ConfigError
from volspike.features.fixedpoint import log_return_fixed, rv_bps
from volspike.features.grid import SecondGrid
from volspike.labels.targets import (
    UNLABELLED_REASONS,
    Graded,
    Labels,
    TickArrays,
    future_rv,
    future_std,
    make_labeller,
    next_row_std,
)

NS = 1_000_000_000


def tick_arrays(events: Sequence[Event]) -> TickArrays:
    event_ns, _, mid_sum, is_tick = columns(events)
    run = batch_grid(events).event_run
    return TickArrays(event_ns[is_tick], run[is_tick], mid_sum[is_tick])


def batch_labels(events: Sequence[Event], target: str = "rv") -> Labels:
    """Label every tick."""
    ticks = tick_arrays(events)
    if target == "rv":
        return future_rv(batch_grid(events), ticks.event_ns, ticks.run)
    return future_std(batch_grid(events), ticks, ticks.event_ns, ticks.run)


def as_pairs(labels: Labels) -> list[tuple[float | None, str | None]]:
    return [
        (sigma, None) if code == 0 else (None, UNLABELLED_REASONS[code])
        for sigma, code in zip(labels.sigma_future_bps.tolist(), labels.unlabelled.tolist(), strict=True)
    ]


def live_labels(events: Sequence[Event], target: str = "rv") -> tuple[list[Graded[int]], list[int]]:
    """Label every tick as a scorer does; return the grades and the position of the event that gave each."""
    grid, labeller = SecondGrid(), make_labeller(target)
    grades: list[Graded[int]] = []
    given_at: list[int] = []
    for i, e in enumerate(events):
        if e.mid_sum is None:
            closed = grid.on_mark(e.event_ns, e.covered_since_ns)
        else:
            closed = grid.on_tick(e.event_ns, e.mid_sum, e.covered_since_ns)
        grades += labeller.on_event(e.event_ns, e.mid_sum, closed, grid.run)
        if e.mid_sum is not None:
            labeller.add(i, e.event_ns)
        given_at += [i] * (len(grades) - len(given_at))
    grades += labeller.end()
    assert len(labeller) == 0
    return grades, given_at


@pytest.mark.parametrize("target", ["rv", "std"])
@given(seed=st.integers(0, 10**9), break_rate=st.sampled_from((0.0, 0.01)), gap=st.sampled_from((3.0, 40.0)))
@settings(max_examples=25, deadline=None)
def test_live_equals_batch(target: str, seed: int, break_rate: float, gap: float) -> None:
    events = random_events(seed, 300, break_rate=break_rate, long_gap_s=gap)
    grades, _ = live_labels(events, target)
    assert [g.key for g in grades] == [i for i, _ in ticks_of(events)]  # each once, in order
    assert [(g.sigma_future_bps, g.unlabelled) for g in grades] == as_pairs(batch_labels(events, target))


def test_maturity_and_ties_by_hand() -> None:
    """The label of a tick at 100.4: returns of boundaries 102 to 161, and nothing else.

      100.4  101.0   101.7        102.0        161.0  161.0   161.001
        t      a       b            c            d      e       f
    s = 101: M(101) = a (a tie with the boundary counts into it)
    r_102 = ln c/a (b is overwritten by c), r_161 = ln e/c (of the tie, the last), f closes 161
    """
    a, b, c, d, e = 20_002, 29_000, 20_004, 25_000, 20_010
    events = [
        tick(100.4, 20_000, 100.4),
        tick(101.0, a, 100.4),
        tick(101.7, b, 100.4),
        tick(102.0, c, 100.4),
        tick(161.0, d, 100.4),
        tick(161.0, e, 100.4),
    ]
    assert as_pairs(batch_labels(events))[0] == (None, "end")  # 161 is still open
    closing = tick(161.001, 40_000, 100.4)
    expected = rv_bps(log_return_fixed(a, c) ** 2 + log_return_fixed(c, e) ** 2)
    assert as_pairs(batch_labels([*events, closing]))[0] == (expected, None)
    assert as_pairs(batch_labels([*events, mark(161.001, 100.4)]))[0] == (expected, None)
    assert as_pairs(batch_labels([*events, mark(161.0, 100.4)]))[0] == (None, "end")


def test_std_by_hand() -> None:
    # Only returns between two ticks inside (100, 160]: the one into 100.5 starts at the row itself.
    inside = [20_000, 20_010, 19_990, 20_005, 20_005, 20_020, 20_000, 20_001, 19_980, 20_000]
    events = [tick(100.0, 15_000, 100.0), tick(100.0, 15_500, 100.0)]
    events += [tick(100.5 + 6 * i, mid, 100.0) for i, mid in enumerate(inside)]
    events += [tick(160.0, 20_003, 100.0), tick(160.2, 40_000, 100.0)]
    expected = np.std(np.diff(np.log([*inside, 20_003])), ddof=1) * 1e4
    labels = batch_labels(events, "std")
    assert labels.sigma_future_bps[:2] == pytest.approx([expected] * 2, rel=1e-9)
    assert as_pairs(labels)[-1] == (None, "end")


def test_std_of_nine_ticks_is_insufficient() -> None:
    events = [tick(100.0, 20_000, 100.0), *(tick(101.0 + i, 20_000 + i, 100.0) for i in range(9))]
    assert as_pairs(batch_labels([*events, mark(170.0, 100.0)], "std"))[0] == (None, "insufficient")
    ten = [*events, tick(111.0, 20_000, 100.0), mark(170.0, 100.0)]
    assert as_pairs(batch_labels(ten, "std"))[0][1] is None


def test_invariant_04_no_label_spans_a_break() -> None:
    before = [tick(100.0 + i, 20_000 + i, 100.0) for i in range(70)]
    after = [tick(172.0 + i, 30_000 + i, 172.0) for i in range(70)]
    for target in ("rv", "std"):
        reasons = [reason for _, reason in as_pairs(batch_labels([*before, *after], target))]
        # The last event of the first run, at 169, closes 168: rows up to 108 are labelled.
        assert reasons[:70] == [None] * 9 + ["break"] * 61
        assert reasons[70:] == [None] * 9 + ["end"] * 61
    jump = math.log(30_000 / 20_000) * 1e4
    assert np.nanmax(batch_labels([*before, *after]).sigma_future_bps) < jump / 10


@given(st.integers(0, 10**9), st.data())
@settings(max_examples=40, deadline=None)
def test_invariant_02_a_label_ignores_all_after_its_minute(seed: int, data: st.DataObject) -> None:
    events = random_events(seed, 300, break_rate=0.0)
    i, row = data.draw(st.sampled_from(list(ticks_of(events))))
    end_ns = (-(-row.event_ns // NS) + 60) * NS
    position = sum(1 for j, _ in ticks_of(events) if j < i)
    for target in ("rv", "std"):
        whole = as_pairs(batch_labels(events, target))[position]
        assert as_pairs(batch_labels(mutate_after(events, end_ns), target))[position] == whole


@given(st.integers(0, 10**9))
@settings(max_examples=25, deadline=None)
def test_invariant_05_no_grade_before_its_minute_is_over(seed: int) -> None:
    events = random_events(seed, 300, break_rate=0.0)
    grades, given_at = live_labels(events)
    for grade, position in zip(
        grades, given_at, strict=False
    ):  # those at the end of the stream have no event
        due_ns = (-(-events[grade.key].event_ns // NS) + 60) * NS
        assert events[position].event_ns > due_ns
        assert events[position - 1].event_ns <= due_ns  # and not a single event later


def test_quiet_minute_is_zero_not_missing() -> None:
    events = [tick(100.5, 20_000, 100.5), mark(180.0, 100.5)]
    assert as_pairs(batch_labels(events)) == [(0.0, None)]


def test_labels_of_no_row() -> None:
    assert as_pairs(batch_labels([])) == []
    assert as_pairs(batch_labels([tick(100.5, 20_000, 100.5)])) == [(None, "end")]


def test_std_labeller_forgets_ticks_that_no_row_needs() -> None:
    labeller = make_labeller("std")
    for i in range(1_000):
        labeller.on_event(at(i * 0.1), 20_000, (), 0)
    assert len(labeller._tick_ns) == 1  # type: ignore[attr-defined]


def test_next_row_is_the_present_again() -> None:
    events = [tick(i / 20.0, 20_000 + i % 7, 0.0) for i in range(4_000)]
    ticks = tick_arrays(events)
    rows = np.arange(1_300, 3_999)
    std = np.linspace(1e-5, 2e-5, len(events))
    labels = next_row_std(ticks, std, np.full(len(events), 1_200, np.int32), rows)
    assert labels.sigma_future_bps.tolist() == (std[1_301:4_000] * 1e4).tolist()


def test_next_row_is_unlabelled_at_a_break_and_at_the_end() -> None:
    events = [tick(0.0, 20_000, 0.0), tick(1.0, 20_000, 0.0), tick(9.0, 20_000, 9.0), tick(9.5, 20_000, 9.0)]
    full = np.full(4, 10, np.int32)
    labels = next_row_std(tick_arrays(events), np.ones(4), full, np.arange(4))
    assert [reason for _, reason in as_pairs(labels)] == [None, "break", None, "end"]
    thin = next_row_std(tick_arrays(events), np.ones(4), full - 1, np.arange(4))
    assert as_pairs(thin)[0] == (None, "insufficient")


def test_next_row_is_no_live_target() -> None:
    with pytest.raises(ConfigError, match="next-row"):
        make_labeller("next-row")
