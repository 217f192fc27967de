from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from evaluation_rows import NS, dataset
from sklearn import metrics

from volspike.evaluation.days import score_days, worst_day
from volspike.evaluation.missing_labels import unlabelled_by_sigma
from volspike.models.calibration import ScoredRows

DAY = 86_400
START = 20_000 * DAY  # 2024-10-04


def scored(p: np.ndarray, sigma_bps: float) -> ScoredRows:
    sigma = np.full(len(p), sigma_bps)
    return ScoredRows(p, sigma, sigma / 2, sigma * 2, np.zeros(len(p)))


def three_days() -> tuple:
    """Return ten rows on each of three days; the third has no label."""
    part = dataset([0, 0, 1, 0, 0, 1, 1, 0, 0, 0, *[0, 1] * 5, *[-1] * 10])
    second = np.concatenate([START + day * DAY + 60 * np.arange(1, 11) for day in range(3)])
    part = replace(part, event_ns=second * NS, run=np.repeat([0, 1, 2], 10).astype(np.int32))
    rng = np.random.default_rng(1)
    return part, rng.random(30), rng.random(30)


def test_each_day_is_scored_by_itself_and_the_worst_is_named() -> None:
    part, p, q = three_days()
    days = score_days(part, scored(p, 4.0), scored(q, 2.0))
    assert [day.date for day in days] == ["2024-10-04", "2024-10-05"]
    for day, rows in zip(days, (slice(0, 10), slice(10, 20)), strict=True):
        y = part.spike[rows] == 1
        ours, theirs = metrics.log_loss(y, p[rows]), metrics.log_loss(y, q[rows])
        assert (day.rows, day.windows, day.positives) == (10, 10, int(y.sum()))
        assert day.log_loss == pytest.approx(ours)
        assert day.log_loss_gain == pytest.approx(theirs - ours)
        assert day.pr_auc == pytest.approx(metrics.average_precision_score(y, p[rows]))
        assert day.reference_pr_auc == pytest.approx(metrics.average_precision_score(y, q[rows]))
    # A spike is 8 bps and calm 2: at 4 bps the ratio is 4 or a quarter, at 2 bps it is 16 or 1.
    at_4 = [4.0 - np.log(4.0) - 1.0, 0.25 + np.log(4.0) - 1.0]
    at_2 = [16.0 - np.log(16.0) - 1.0, 0.0]
    assert days[1].qlike == pytest.approx(np.mean(at_4))
    assert days[1].qlike_gain == pytest.approx(np.mean(at_2) - np.mean(at_4))
    worst = min(days, key=lambda day: day.log_loss_gain)
    assert worst_day(days) == worst.date
    assert worst_day(()) is None


def test_a_day_of_one_class_has_a_loss_and_no_precision() -> None:
    part = dataset([0] * 5)
    (day,) = score_days(part, scored(np.full(5, 0.1), 2.0), scored(np.full(5, 0.2), 2.0))
    assert (day.date, day.pr_auc, day.reference_pr_auc) == ("1970-01-01", None, None)
    assert day.log_loss_gain == pytest.approx(np.log(0.9) - np.log(0.8))


def test_missing_labels_are_counted_by_the_volatility_of_now() -> None:
    n = 200
    part = dataset([0] * n)
    why = np.zeros(n, np.uint8)
    why[[190, 195, 199]], why[5] = 1, 2  # break, end
    order = np.random.default_rng(0).permutation(n)
    part = replace(part, rv_bps=1.0 + np.arange(n)[order] / 10, unlabelled=why[order])
    groups = unlabelled_by_sigma(part)
    assert [group.rows for group in groups] == [20] * 10
    assert [group.unlabelled for group in groups] == [1, 0, 0, 0, 0, 0, 0, 0, 0, 3]
    assert groups[-1].unlabelled_frac == pytest.approx(0.15)
    assert (groups[-1].reasons, groups[0].reasons, groups[1].reasons) == ({"break": 3}, {"end": 1}, {})
    assert (groups[0].rv_low_bps, groups[-1].rv_high_bps) == (1.0, pytest.approx(20.9))
    assert unlabelled_by_sigma(part.rows(np.arange(0))) == ()
