from __future__ import annotations

import numpy as np
import pytest
from evaluation_rows import dataset
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics

from volspike.evaluation.ranking import average_precision
from volspike.evaluation.scores import score
from volspike.evaluation.sessions import session_of, within_session_precision


def test_stretches_less_than_an_hour_apart_are_one_session() -> None:
    second = np.array([0, 10, 3_609, 7_209, 7_300, 20_000], np.int64)
    run = np.array([0, 0, 1, 2, 2, 2], np.int32)
    # 3,599 s to run 1; 3,600 s to run 2; quiet inside run 2 is covered.
    assert session_of(second, run).tolist() == [0, 0, 0, 1, 1, 1]
    assert session_of(second[:0], run[:0]).tolist() == []


def test_sessions_count_by_their_spikes() -> None:
    y = np.array([1, 0, 0, 1, 1, 0, 0, 0], np.bool_)
    p = np.array([0.9, 0.8, 0.1, 0.2, 0.3, 0.25, 0.9, 0.1])
    session = np.array([0, 0, 0, 1, 1, 1, 2, 2])
    first = metrics.average_precision_score(y[:3], p[:3])
    second = metrics.average_precision_score(y[3:6], p[3:6])
    assert (first, second) == (1.0, pytest.approx((1.0 + 2.0 / 3.0) / 2.0))
    value, sessions = within_session_precision(y, p, session)
    assert sessions == 2  # the third has no spike
    assert value == pytest.approx((first + 2.0 * second) / 3.0)
    assert within_session_precision(y[6:], p[6:], session[6:]) == (None, 0)
    assert within_session_precision(y[:1], p[:1], session[:1]) == (None, 0)


@given(
    st.lists(st.tuples(st.booleans(), st.integers(0, 20), st.integers(0, 3)), min_size=1, max_size=80),
    st.lists(st.integers(-1_000, 1_000), min_size=4, max_size=4),
)
def test_within_session_precision_ignores_what_shifts_a_whole_session(
    drawn: list[tuple[bool, int, int]], shifts: list[int]
) -> None:
    drawn.sort(key=lambda row: row[2])
    y = np.array([row[0] for row in drawn])
    p = np.array([float(row[1]) for row in drawn])
    session = np.array([row[2] for row in drawn])
    shifted = p + np.array(shifts, np.float64)[session]
    assert within_session_precision(y, shifted, session) == within_session_precision(y, p, session)


def test_pooled_precision_rewards_telling_wild_days_from_calm_ones_and_within_does_not() -> None:
    rng = np.random.default_rng(3)
    y = np.concatenate((rng.random(2_000) < 0.02, rng.random(2_000) < 0.3))
    session = np.repeat([0, 1], 2_000)
    p = 0.1 + 0.4 * session + 0.01 * rng.random(4_000)  # knows the day and nothing else
    pooled = average_precision(y, p)
    within, _ = within_session_precision(y, p, session)
    assert pooled is not None
    assert within is not None
    assert pooled / np.mean(y) > 1.6
    assert within == pytest.approx(0.3 * 600 / 640 + 0.02 * 40 / 640, abs=0.04)


def test_the_score_of_a_part_names_its_sessions() -> None:
    part = dataset([0, 1, 0, 0, 1, -1])
    scores = score(part, np.array([0.1, 0.9, 0.2, 0.3, 0.25, 0.99]))
    assert (scores.sessions, scores.within_session_pr_auc) == (1, scores.pr_auc)
