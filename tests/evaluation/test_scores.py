from __future__ import annotations

import json
import warnings

import numpy as np
import pytest
from evaluation_rows import dataset
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics

from volspike.evaluation.ranking import average_precision, precision_recall, roc_auc
from volspike.evaluation.scores import confusion_at, log_loss, score
from volspike.evaluation.sigma_scores import qlike

KEYS = {
    "pr_auc", "base_rate", "lift", "onset_pr_auc", "reference_pr_auc", "qlike", "log_loss", "f1", "precision",
    "recall", "roc_auc", "brier", "clusters", "windows", "blocks", "enough_data",
}  # fmt: skip
rows = st.lists(st.tuples(st.booleans(), st.integers(0, 10).map(lambda k: k / 10)), min_size=1, max_size=60)


@given(rows)
@settings(max_examples=100, deadline=None)
def test_scores_equal_those_of_sklearn(drawn: list[tuple[bool, float]]) -> None:
    y, p = np.array([r[0] for r in drawn]), np.array([r[1] for r in drawn])
    assert log_loss(y, p) == pytest.approx(metrics.log_loss(y, p, labels=[False, True]), abs=1e-12)
    if y.all() or not y.any():
        assert average_precision(y, p) is None
        assert roc_auc(y, p) is None
        return
    assert average_precision(y, p) == pytest.approx(metrics.average_precision_score(y, p), abs=1e-12)
    assert roc_auc(y, p) == pytest.approx(metrics.roc_auc_score(y, p), abs=1e-12)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # sklearn warns where we give None
        expected = metrics.precision_recall_fscore_support(
            y, p >= 0.5, average="binary", zero_division=np.nan
        )
    c = confusion_at(y, p, 0.5)
    assert c.recall == pytest.approx(expected[1])
    assert c.precision == (None if np.isnan(expected[0]) else pytest.approx(expected[0]))
    assert c.f1 == pytest.approx(metrics.f1_score(y, p >= 0.5, zero_division=0.0))


def test_curve_equals_that_of_sklearn() -> None:
    rng = np.random.default_rng(1)
    y, p = rng.random(200) < 0.2, rng.integers(0, 30, 200) / 30
    precision, recall, _ = metrics.precision_recall_curve(y, p)
    ours = precision_recall(y, p)
    assert ours is not None
    # sklearn goes the other way and ends with (1, 0).
    assert ours[0] == pytest.approx(precision[-2::-1])
    assert ours[1] == pytest.approx(recall[-2::-1])


def test_qlike_by_hand() -> None:
    realised, predicted, floor = np.array([2.0, 0.0]), np.array([1.0, 0.5]), np.array([0.1, 1.0])
    # First: ratio 4. Second: both are raised to the floor, so the loss is 0.
    assert qlike(realised, predicted, floor) == pytest.approx((4.0 - np.log(4.0) - 1.0) / 2.0)
    assert qlike(realised[:0], predicted[:0], floor[:0]) is None


def test_a_part_is_scored_on_its_labelled_rows() -> None:
    part = dataset([0] * 60 + [1, 1] + [0] * 60 + [1] + [-1] * 10)
    p = np.linspace(0.0, 1.0, len(part))
    scores = score(part, p, sigma_bps=np.full(len(part), 2.0), reference_p_spike=1.0 - p, threshold=0.9)
    y = part.spike[:123] == 1
    assert (scores.rows, scores.positives, scores.onsets) == (123, 3, 2)
    assert scores.base_rate == pytest.approx(3 / 123)
    assert scores.pr_auc == pytest.approx(metrics.average_precision_score(y, p[:123]))
    assert scores.lift == pytest.approx(scores.pr_auc / scores.base_rate)
    assert scores.reference_pr_auc == pytest.approx(metrics.average_precision_score(y, 1.0 - p[:123]))
    assert scores.brier == pytest.approx(metrics.brier_score_loss(y, p[:123]))
    assert scores.qlike == pytest.approx(3 / 123 * (16.0 - np.log(16.0) - 1.0))
    # Second 62 is continuation: neither a positive nor a negative of the onset score.
    kept = np.delete(np.arange(123), 61)
    assert scores.onset_pr_auc == pytest.approx(metrics.average_precision_score(y[kept], p[kept]))
    assert (scores.clusters, scores.windows, scores.blocks, scores.enough_data) == (1, 3, 1, False)
    assert set(json.loads(json.dumps(scores.as_dict()))) >= KEYS


def test_undefined_scores_are_none() -> None:
    p = np.full(100, 0.2)
    quiet = score(dataset([0] * 100), p)
    assert (quiet.pr_auc, quiet.roc_auc, quiet.lift, quiet.onset_pr_auc) == (None, None, None, None)
    assert (quiet.f1, quiet.recall, quiet.precision, quiet.qlike) == (None, None, None, None)
    assert quiet.base_rate == 0.0
    assert quiet.log_loss == pytest.approx(-np.log(0.8))
    empty = score(dataset([-1] * 100), p, sigma_bps=p)
    assert (empty.rows, empty.base_rate, empty.log_loss, empty.brier, empty.qlike) == (
        0,
        None,
        None,
        None,
        None,
    )
    stormy = score(dataset([1] * 100), p)
    assert (stormy.pr_auc, stormy.onset_pr_auc, stormy.recall) == (None, None, 0.0)


def test_band_coverage_counts_labelled_rows_only() -> None:
    part = dataset([0, 1, 0, -1], [2.0, 8.0, 3.0, np.nan])
    low, high = np.array([1.0, 9.0, 3.0, 0.0]), np.array([2.0, 10.0, 3.0, 9.0])
    assert score(part, np.full(4, 0.2), band_bps=(low, high)).band_coverage == pytest.approx(2 / 3)
    assert score(part, np.full(4, 0.2)).band_coverage is None
