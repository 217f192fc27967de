from __future__ import annotations

import numpy as np
from hypothesis import example, given
from hypothesis import strategies as st

from volspike.evaluation.episodes import AlertSpan, GradedSeconds, open_alerts, score_episodes
from volspike.monitoring.alert_costs import cost_differences


def market(start: int, onsets: list[int], length: int = 5_400) -> GradedSeconds:
    """Return rows a second with spikes of 30 s from each onset on."""
    second = np.arange(start, start + length, dtype=np.int64)
    spike = np.zeros(length, np.int8)
    for onset in onsets:
        spike[onset : onset + 30] = 1
    return GradedSeconds(second, np.zeros(length, np.int32), spike)


def test_false_alarms_and_missed_onsets_cost_one_each_where_they_happen() -> None:
    rows = market(3_600, [600, 2_400, 4_000])
    ours = [AlertSpan(3_600 + 590, 3_600 + 700), AlertSpan(3_600 + 1_200, 3_600 + 1_260)]
    assert (score_episodes(rows, ours).hits, score_episodes(rows, ours).false_alarms) == (1, 1)
    found = cost_differences(rows, ours, [])
    assert found.block.tolist() == [2, 3, 4]
    assert found.value.tolist() == [1.0 - 1.0, 0.0, 0.0]  # a false alarm here, a missed onset there
    assert cost_differences(rows, [], []).value.tolist() == [0.0, 0.0, 0.0]
    good = [AlertSpan(3_600 + at - 20, 3_600 + at + 60) for at in (600, 2_400, 4_000)]
    assert cost_differences(rows, good, []).value.tolist() == [-1.0, -1.0, -1.0]
    assert cost_differences(rows, [], good).value.tolist() == [1.0, 1.0, 1.0]


def test_an_alert_left_open_costs_again_and_a_block_at_most_four() -> None:
    rows = market(3_600, [])
    assert cost_differences(rows, [AlertSpan(3_800, None)], []).value.tolist() == [3.0, 3.0, 3.0]
    flapping = [AlertSpan(4_000 + 30 * i, 4_010 + 30 * i) for i in range(20)]
    assert cost_differences(rows, flapping, []).value.tolist() == [4.0, 0.0, 0.0]


def test_what_the_block_before_could_still_know_of_is_left_out() -> None:
    rows = market(3_600, [1_850])
    late = [AlertSpan(3_600 + 1_910, 3_600 + 1_911), AlertSpan(3_600 + 1_919, 3_600 + 1_920)]
    assert score_episodes(rows, late).hits == 0
    found = cost_differences(rows, [*late, AlertSpan(3_600 + 1_921, 3_600 + 1_930)], [])
    assert found.value.tolist() == [0.0, 1.0, 0.0]


def test_without_a_label_there_is_no_block() -> None:
    rows = market(3_600, [600])
    blank = GradedSeconds(rows.second, rows.run, np.full(len(rows.spike), -1, np.int8))
    assert len(cost_differences(blank, [AlertSpan(3_900, 3_950)], []).block) == 0


@given(
    st.lists(st.integers(100, 5_300), max_size=8, unique=True),
    st.lists(st.integers(0, 5_390), min_size=1, max_size=8, unique=True),
    st.integers(1, 900),
)
@example([1_830], [1_795], 60)  # warned of in the last seconds of its block, and known only in the next
@example([1_790], [1_845], 60)  # missed so far at the end of its block
def test_what_a_look_at_the_end_of_a_block_finds_no_later_look_takes_back(
    onsets: list[int], opened: list[int], length_s: int
) -> None:
    rows = market(3_600, onsets)
    p = np.zeros(len(rows.second))
    for at in opened:
        p[at : at + length_s] = 1.0
    figures = []
    for stop in (1_800, 3_600, 5_400):
        seen = GradedSeconds(rows.second[:stop], rows.run[:stop], rows.spike[:stop])
        alerts = open_alerts(seen.second, seen.run, p[:stop], 0.5, 0.4)
        figures.append(cost_differences(seen, alerts, []).value.tolist())
    assert figures[0] == figures[2][:1]
    assert figures[1] == figures[2][:2]
