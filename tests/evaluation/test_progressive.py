"""Delayed progressive validation: a label is learned from once it has matured, and not before."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from online_models import online_model, random_rows
from volspike.evaluation.progressive import progressive
from volspike.labels.dataset import Dataset
from volspike.models.kernels import MATURE_S


def one_by_one(rows: Dataset, killed_at: int = -1) -> np.ndarray:
    """Predict row by row, learning from each label in the first row at least 61 s after its own.

    At ``killed_at`` the process is replaced: its model and the labels it waits for pass through JSON.
    """
    model, done, said = online_model(rows_a_window=rows.rows_a_window), 0, []
    second = rows.second
    for i in range(len(rows)):
        if i == killed_at:
            saved = json.dumps([model.export_state(), done])
            model = online_model(rows_a_window=rows.rows_a_window)
            state, done = json.loads(saved)
            model.import_state(state)
        while second[done] + 61 <= second[i]:
            if rows.spike[done] >= 0:
                model.learn(rows.context(done), float(rows.sigma_future_bps[done]), float(rows.tau_bps[done]))
            done += 1
        said.append(model.predict((), rows.context(i)))
    return np.array(said).T


@given(st.integers(0, 2**32 - 1), st.sampled_from((1, 60)), st.integers(-1, 149))
@settings(max_examples=20, deadline=None)
def test_it_equals_prediction_row_by_row_also_killed_and_resumed(seed: int, step_s: int, cut: int) -> None:
    rows = random_rows(seed, 150, step_s)
    made = np.array(progressive(online_model(rows_a_window=rows.rows_a_window), rows))
    np.testing.assert_array_equal(made, one_by_one(rows, cut))


@given(st.integers(0, 2**32 - 1), st.sampled_from((1, 60)), st.integers(0, 199))
@settings(max_examples=25, deadline=None)
def test_invariant_05_no_prediction_depends_on_a_label_that_matures_later(
    seed: int, step_s: int, cut: int
) -> None:
    """All labels from a row on are changed: what is predicted before 61 s after it stays to the bit."""
    rows = random_rows(seed, 200, step_s)
    sigma = rows.sigma_future_bps.copy()
    sigma[cut:] = 90.0 - sigma[cut:]
    other = replace(rows, sigma_future_bps=np.abs(sigma), spike=np.where(rows.spike >= 0, 1 - rows.spike, -1))
    other = replace(other, spike=np.where(np.arange(200) < cut, rows.spike, other.spike).astype(np.int8))
    one, two = (
        np.array(progressive(online_model(rows_a_window=rows.rows_a_window), part)) for part in (rows, other)
    )
    known = rows.second < rows.second[cut] + MATURE_S
    np.testing.assert_array_equal(one[:, known], two[:, known])
    later = np.flatnonzero(~known)
    mature = np.flatnonzero(rows.second + MATURE_S <= rows.second[-1])
    if (rows.spike[mature[mature >= cut]] >= 0).any():
        assert (one[:, later[-1]] != two[:, later[-1]]).any()


@given(st.integers(0, 2**32 - 1), st.integers(1, 120))
@settings(max_examples=15, deadline=None)
def test_invariant_02_rows_that_come_later_change_no_prediction(seed: int, cut: int) -> None:
    rows = random_rows(seed, 120, step_s=1)
    whole = np.array(progressive(online_model(rows_a_window=60.0), rows))
    part = np.array(progressive(online_model(rows_a_window=60.0), rows.rows(np.arange(cut))))
    np.testing.assert_array_equal(whole[:, :cut], part)


def test_of_candles_a_label_is_known_to_the_next_row_but_one() -> None:
    rows = random_rows(3, 4, step_s=60, holes=0.0)
    learned = []
    for n in (1, 2, 3, 4):
        model = online_model()
        progressive(model, rows.rows(np.arange(n)))
        learned.append(model.learned)
    assert learned == [0, 0, 1, 2]


def test_a_row_without_label_is_predicted_and_not_learned_from() -> None:
    rows = random_rows(11, 300)
    assert 0 < np.count_nonzero(rows.spike < 0) < 100
    model = online_model()
    said = progressive(model, rows)
    assert len(said.p_spike) == 300
    mature = rows.second + MATURE_S <= rows.second[-1]
    assert model.learned == np.count_nonzero(mature & (rows.spike >= 0))
    assert model.skipped == 0


def test_no_rows_give_no_predictions() -> None:
    said = progressive(online_model(), random_rows(1, 3).rows(np.zeros(0, np.int64)))
    assert [len(column) for column in said] == [0] * 5


def test_a_market_that_moves_away_is_followed() -> None:
    rows = random_rows(12, 4_000, level=0.8, holes=0.0)
    frozen, online = online_model().predict_batch(rows), progressive(online_model(), rows)
    off = [np.log(rows.sigma_future_bps / said.sigma_bps) for said in (frozen, online)]
    assert np.mean(off[0][-1_000:]) > 0.5
    assert abs(np.mean(off[1][-1_000:])) < 0.35
