from __future__ import annotations

import numpy as np
import pytest

from volspike.evaluation.enough import Evidence, count_clusters, count_evidence, count_windows


def seconds(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


def test_spikes_within_ten_minutes_are_one_cluster() -> None:
    assert count_clusters(seconds()) == 0
    assert count_clusters(seconds(5)) == 1
    assert count_clusters(seconds(5, 6, 606)) == 1
    assert count_clusters(seconds(5, 6, 607, 700, 1301)) == 3


def test_windows_are_disjoint_and_stay_in_their_run() -> None:
    hour = np.arange(3_600)
    assert count_windows(hour, np.zeros(3_600, np.int32)) == 60
    assert count_windows(seconds(0, 59, 60, 119, 120), np.zeros(5, np.int32)) == 3
    assert count_windows(seconds(0, 30, 59), np.array([0, 1, 2], np.int32)) == 3
    assert count_windows(seconds(), np.zeros(0, np.int32)) == 0


def test_only_labelled_rows_count() -> None:
    spike = np.full(7_200, -1, np.int8)
    spike[:1_800] = 0
    spike[100] = 1
    evidence = count_evidence(np.arange(7_200), np.zeros(7_200, np.int32), spike)
    assert evidence == Evidence(clusters=1, windows=30, blocks=1)
    assert str(evidence) == "not enough data (1 cluster, 30 windows, 1 block)"


@pytest.mark.parametrize(
    ("clusters", "windows", "blocks", "enough"),
    [(20, 300, 20, True), (19, 300, 20, False), (20, 299, 20, False), (20, 300, 19, False)],
)
def test_enough_needs_all_three(clusters: int, windows: int, blocks: int, enough: bool) -> None:
    assert Evidence(clusters, windows, blocks).enough_data is enough
