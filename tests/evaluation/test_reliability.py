from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from evaluation_rows import dataset
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression

from volspike.evaluation.deciles import equal_mass
from volspike.evaluation.reliability import judge_reliability, recalibrate

HOURS = 20


def logit(p: np.ndarray) -> np.ndarray:
    return np.log(p) - np.log1p(-p)


def logistic(x: np.ndarray) -> np.ndarray:
    return 1.0 / (1.0 + np.exp(-x))


@given(st.lists(st.integers(0, 8), max_size=60), st.integers(1, 10))
def test_groups_hold_every_row_once_in_order_and_keep_equal_values_together(
    values: list[int], groups: int
) -> None:
    made = equal_mass(np.array(values, np.float64), groups)
    assert sorted(np.concatenate([*made, np.zeros(0, np.int64)]).tolist()) == list(range(len(values)))
    ranges = [(min(values[i] for i in group), max(values[i] for i in group)) for group in made]
    assert all(before[1] < after[0] for before, after in pairwise(ranges))
    assert len(made) <= groups


def test_groups_of_distinct_values_are_of_equal_size() -> None:
    assert [len(group) for group in equal_mass(np.random.default_rng(0).random(1_003))] == [
        *(100, 101, 100, 100, 101, 100, 100, 100, 101, 100)
    ]


def test_recalibration_is_the_maximum_of_the_likelihood() -> None:
    rng = np.random.default_rng(1)
    p = logistic(rng.normal(-2.0, 1.5, 4_000))
    y = rng.random(4_000) < logistic(0.6 * logit(p) - 0.4)
    line = recalibrate(y, p, 60.0)
    assert line is not None
    peer = LogisticRegression(C=np.inf, tol=1e-10, max_iter=1_000).fit(logit(p)[:, None], y)
    assert line.slope == pytest.approx(peer.coef_[0, 0], rel=1e-5)
    assert line.intercept == pytest.approx(peer.intercept_[0], rel=1e-5)
    # The interval of rows that count one each, from the information matrix.
    alone = recalibrate(y, p, 1.0)
    assert alone is not None
    q = logistic(line.slope * logit(p) + line.intercept)
    design = np.column_stack((logit(p), np.ones(len(p))))
    deviation = np.sqrt(np.linalg.inv(design.T @ (design * (q * (1 - q))[:, None]))[0, 0])
    assert alone.slope_high - alone.slope == pytest.approx(1.959964 * deviation, rel=1e-4)
    assert line.slope_high - line.slope == pytest.approx(np.sqrt(60.0) * 1.959964 * deviation, rel=1e-4)


def test_no_line_where_none_is_finite() -> None:
    y = np.array([0, 0, 1, 1], np.bool_)
    assert recalibrate(y, np.array([0.1, 0.2, 0.3, 0.4]), 1.0) is None  # separated
    assert recalibrate(y, np.array([0.4, 0.3, 0.2, 0.1]), 1.0) is None
    assert recalibrate(y, np.array([0.1, 0.2, 0.2, 0.4]), 1.0) is None  # but for a tie
    assert recalibrate(y, np.full(4, 0.3), 1.0) is None
    assert recalibrate(np.zeros(4, np.bool_), np.array([0.1, 0.2, 0.3, 0.4]), 1.0) is None
    assert recalibrate(y[:0], np.zeros(0), 1.0) is None
    assert recalibrate(y, np.array([0.0, 0.5, 0.3, 1.0]), 1.0) is not None


def enough(slope: float, seed: int = 5) -> tuple[np.ndarray, np.ndarray]:
    """Return spikes and probabilities of 20 hours; the true log-odds are ``slope`` times those given.

    A quarter of each hour is unlabelled, so that each hour is a cluster of its own.
    """
    rng = np.random.default_rng(seed)
    p = logistic(np.repeat(rng.normal(-2.5, 1.2, HOURS * 120), 30))
    spike = (rng.random(len(p)) < logistic(slope * logit(p))).astype(int)
    return np.where(np.arange(len(p)) % 3_600 < 900, -1, spike), p


def test_good_probabilities_pass_and_boastful_ones_fail() -> None:
    spike, p = enough(1.0)
    judged = judge_reliability(dataset(spike.tolist()), p)
    assert (judged.slope_verdict, judged.top_decile_verdict) == ("pass", "pass")
    assert len(judged.bins) == 10
    assert sum(group.rows for group in judged.bins) == np.count_nonzero(spike >= 0)
    for group in judged.bins:
        assert group.observed_frac == pytest.approx(group.p_mean, abs=0.03)
    top = (p >= np.quantile(p[spike >= 0], 0.9)) & (spike >= 0)
    assert judged.top_decile_ratio == pytest.approx(np.mean(spike[top]) / np.mean(p[top]), rel=0.02)
    spike, p = enough(0.5)
    boastful = judge_reliability(dataset(spike.tolist()), p)
    assert boastful.line is not None
    assert boastful.line.slope == pytest.approx(0.5, abs=0.05)
    assert boastful.slope_verdict == "fail"


def test_thin_rows_are_not_judged_and_one_probability_has_no_slope() -> None:
    spike, p = enough(1.0)
    thin = judge_reliability(dataset(spike[:3_600].tolist()), p[:3_600])
    assert (thin.slope_verdict, thin.top_decile_verdict) == ("not enough data", "not enough data")
    assert thin.line is not None
    base = np.full(len(p), float(np.mean(spike[spike >= 0])))
    flat = judge_reliability(dataset(spike.tolist()), base)
    assert (len(flat.bins), flat.line, flat.slope_verdict) == (1, None, "undefined")
    assert (flat.top_decile_ratio, flat.top_decile_verdict) == (pytest.approx(1.0), "pass")


def test_unlabelled_rows_and_windows() -> None:
    judged = judge_reliability(dataset([0] * 60 + [1] * 60 + [-1] * 60), np.repeat([0.1, 0.8, 0.9], 60))
    assert [(g.p_mean, g.observed_frac, g.rows, g.windows) for g in judged.bins] == [
        (pytest.approx(0.1), 0.0, 60, 1),
        (pytest.approx(0.8), 1.0, 60, 1),
    ]
    assert judged.top_decile_ratio == pytest.approx(1.25)
    none = judge_reliability(dataset([-1] * 5), np.full(5, 0.1))
    assert (none.bins, none.line, none.top_decile_ratio) == ((), None, None)
