from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from volspike.errors import ConfigError
from volspike.labels.splits import split_times

NS = 1_000_000_000
times = st.lists(st.integers(1, 400), max_size=300).map(lambda gaps: np.cumsum(np.array(gaps, np.int64)) * NS)


@given(times, st.integers(0, 600))
@settings(max_examples=100)
def test_parts_are_in_order_disjoint_and_purged(event_ns: np.ndarray, purge_s: int) -> None:
    split = split_times(event_ns, purge_s=purge_s)
    parts = [index for _, index in split.parts() if len(index)]
    rows = np.concatenate([*parts, np.zeros(0, np.int64)])
    assert np.all(np.diff(rows) > 0)
    assert len(rows) + split.purged == len(event_ns)
    for earlier, later in pairwise(parts):
        assert event_ns[later[0]] - event_ns[earlier[-1]] >= (60 + purge_s) * NS


@given(times)
@settings(max_examples=50)
def test_only_rows_close_before_a_boundary_are_purged(event_ns: np.ndarray) -> None:
    split = split_times(event_ns)
    kept = np.concatenate([index for _, index in split.parts()])
    for row in np.setdiff1d(np.arange(len(event_ns)), kept):
        assert any(0 < b - event_ns[row] < 360 * NS for b in split.boundaries_ns)


def test_a_day_is_split_by_rows() -> None:
    event_ns = np.arange(1, 86_401, dtype=np.int64) * NS
    split = split_times(event_ns)
    assert split.counts() == {
        "fit": 60_480 - 359,
        "tune": 6_480 - 359,
        "calibrate": 6_480 - 359,
        "test": 12_960,
        "purged": 3 * 359,
    }
    assert split.boundaries_ns == tuple(int(event_ns[i]) for i in (60_480, 66_960, 73_440))
    assert split.test[-1] == 86_399


def test_a_few_minutes_leave_parts_empty() -> None:
    split = split_times(np.arange(1, 601, dtype=np.int64) * NS)
    assert split.counts() == {"fit": 61, "tune": 0, "calibrate": 0, "test": 90, "purged": 449}
    assert split_times(np.zeros(0, np.int64)).counts()["test"] == 0


def test_boundary_rows_follow_the_rule_to_the_nanosecond() -> None:
    boundary = 1_000 * NS
    event_ns = np.array([boundary - 360 * NS, boundary - 360 * NS + 1, boundary, boundary + 1], np.int64)
    split = split_times(event_ns, fractions=(0.5, 0.5, 0.0, 0.0))
    assert split.fit.tolist() == [0]
    assert split.tune.tolist() == [2, 3]


@pytest.mark.parametrize("fractions", [(0.5, 0.5, 0.5, 0.5), (1.2, -0.2, 0.0, 0.0), (0.5, 0.5)])
def test_bad_fractions_are_refused(fractions: tuple[float, ...]) -> None:
    with pytest.raises(ConfigError, match="split fractions"):
        split_times(np.zeros(1, np.int64), fractions)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="purge"):
        split_times(np.zeros(1, np.int64), purge_s=-1)
