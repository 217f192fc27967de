"""The live scoreboard: one row a second, the same figures as the evaluation gives, and the counts."""

from __future__ import annotations

import random

import msgspec
import numpy as np
import pytest
from scoring_streams import NS, TinyPredictor, feed, make_scorer, mark, row

from made_records import make_alert
from volspike.evaluation.ranking import average_precision
from volspike.evaluation.scores import log_loss
from volspike.records import Alert, Outcome
from volspike.scoring.outcomes import GradedPrediction
from volspike.scoring.scoreboard import Scoreboard


def graded(
    second: float, p: float, spike: bool | None, *, reference_p: float | None = 0.5, run: int = 0, reason=None
):
    (prediction,) = feed(make_scorer(), [row(100.0, 100.0)])
    prediction = msgspec.structs.replace(
        prediction,
        event_ns=round(second * NS),
        p_spike=p,
        reference_p_spike=reference_p,
        late=reason == "late",
    )
    outcome = Outcome(
        prediction_id=prediction.id,
        product="BTC-USD",
        event_ns=prediction.event_ns,
        matured_ns=0,
        p_spike=p,
        tau_bps=4.0,
        sigma_future_bps=None if spike is None else 1.0,
        spike=spike,
        unlabelled=reason,
    )
    return GradedPrediction(prediction, outcome, run)


def alert(opened: float, closed: float | None = None) -> Alert:
    return make_alert(
        state="opened" if closed is None else "closed",
        event_ns=round((opened if closed is None else closed) * NS),
        opened_ns=round(opened * NS),
    )


def test_an_empty_board_has_no_figures_and_says_not_enough() -> None:
    snapshot = Scoreboard().snapshot()
    assert (snapshot.rows, snapshot.base_rate, snapshot.model.pr_auc, snapshot.model.onset_recall) == (
        0,
        None,
        None,
        None,
    )
    assert snapshot.enough_data is False


def test_only_the_last_prediction_of_a_second_counts() -> None:
    board = Scoreboard()
    for second, p in ((100.2, 0.1), (100.9, 0.2), (101.0, 0.3), (101.1, 0.4), (102.0, 0.5)):
        board.add(graded(second, p, second > 101))
    snapshot = board.snapshot()
    # (100, 101] holds three of them, (101, 102] two.
    assert (len(board), snapshot.rows, snapshot.spikes) == (2, 2, 1)
    assert snapshot.model.log_loss == pytest.approx(-(np.log(0.5) + np.log(0.7)) / 2)


def test_figures_equal_the_evaluation_code_on_the_same_rows() -> None:
    rng = np.random.default_rng(3)
    n = 3_000
    spike, p, reference = rng.random(n) < 0.2, rng.random(n), rng.random(n)
    board = Scoreboard()
    for i in range(n):
        board.add(graded(1_000 + i, p[i], bool(spike[i]), reference_p=reference[i]))
    snapshot = board.snapshot()
    assert snapshot.base_rate == pytest.approx(spike.mean())
    assert snapshot.model.pr_auc == average_precision(spike, p)
    assert snapshot.model.lift == pytest.approx(average_precision(spike, p) / spike.mean())
    assert snapshot.reference.pr_auc == average_precision(spike, reference)
    assert snapshot.reference.log_loss == log_loss(spike, reference)
    assert (snapshot.windows, snapshot.clusters, snapshot.enough_data) == (50, 1, False)


def test_an_alert_before_an_onset_is_a_hit_with_its_lead_and_one_without_is_false() -> None:
    """Time line: no spike 1000..1299, spikes 1300..1329, none until 1800.

    model alert   1290-1310 hit, lead (1300 + 60) - 1290 = 70 s
    reference     1500-1600 false, and no hit
    """
    board = Scoreboard()
    for second in range(1_000, 1_801):
        board.add(graded(second, 0.1, 1_300 <= second < 1_330))
    for event in (alert(1_290), alert(1_290, 1_310)):
        board.model_alerts.add(event)
    for event in (alert(1_500), alert(1_500, 1_600)):
        board.reference_alerts.add(event)
    snapshot = board.snapshot()
    assert (snapshot.onsets, snapshot.model.onset_recall, snapshot.model.lead_s) == (1, 1.0, 70.0)
    assert snapshot.model.false_alarms_per_hour == 0.0
    assert snapshot.model.duty_frac == pytest.approx(20 / 801)
    assert (snapshot.reference.onset_recall, snapshot.reference.lead_s) == (0.0, None)
    assert snapshot.reference.false_alarms_per_hour == pytest.approx(3600 / 801)


def test_an_alert_is_judged_when_its_minute_is_graded() -> None:
    board = Scoreboard()
    for second in range(1_000, 1_300):
        board.add(graded(second, 0.1, False))
    board.model_alerts.add(alert(1_250))
    assert board.snapshot().model.alerts == 0
    for second in range(1_300, 1_311):
        board.add(graded(second, 0.1, False))
    snapshot = board.snapshot()
    assert snapshot.model.alerts == 1
    assert snapshot.model.false_alarms_per_hour is not None
    assert snapshot.model.false_alarms_per_hour > 0


def test_unlabelled_predictions_are_counted_by_reason_and_not_scored() -> None:
    board = Scoreboard()
    board.add(graded(100, 0.5, True))
    board.add(graded(130, 0.5, None, reason="late"))
    board.add(graded(101, 0.5, False))
    board.add(graded(102, 0.5, None, reason="break"))
    board.add(graded(200, 0.5, None, reason="end", run=1))
    snapshot = board.snapshot()
    assert (snapshot.rows, snapshot.spikes) == (2, 1)
    assert snapshot.unlabelled == {"late": 1, "break": 1, "end": 1}


def test_a_late_prediction_neither_replaces_a_row_nor_adds_one() -> None:
    board = Scoreboard()
    board.add(graded(100, 0.5, True))
    board.add(graded(100, 0.5, None, reason="late"))
    assert len(board) == 1
    snapshot = board.snapshot()
    assert (snapshot.rows, snapshot.spikes, snapshot.unlabelled) == (1, 1, {"late": 1})


def test_seconds_without_a_reference_are_left_out_of_the_reference() -> None:
    board = Scoreboard()
    for second, reference_p in ((100, 0.9), (101, None), (102, 0.2)):
        board.add(graded(second, 0.5, second == 100, reference_p=reference_p))
    snapshot = board.snapshot()
    assert snapshot.model.pr_auc == pytest.approx(1 / 3)
    assert snapshot.reference.pr_auc == 1.0


def test_old_rows_go_so_that_memory_is_bounded() -> None:
    board = Scoreboard(capacity_rows=100)
    board.model_alerts.add(alert(1_000))
    for second in range(1_000, 2_000):
        board.add(graded(second, 0.5, second % 2 == 0))
        assert len(board) <= 100
    assert board.snapshot().model.alerts == 0


def test_a_snapshot_is_kept_until_the_rows_have_grown() -> None:
    board = Scoreboard()
    for second in range(1_000, 2_000):
        board.add(graded(second, 0.5, False))
    first = board.snapshot()
    board.add(graded(2_000, 0.5, False))
    assert board.snapshot() is first
    for second in range(2_001, 2_004):
        board.add(graded(second, 0.5, False))
    assert board.snapshot().rows == 1_004


def test_it_takes_what_the_scorer_hands_over() -> None:
    scorer, board, rng = make_scorer(TinyPredictor()), Scoreboard(), random.Random(2)
    for n in range(600):
        feed(scorer, [row(1_000 + n / 2, 100.0 + rng.choice([0, 0.05]), rv=rng.random() * 8)])
        for each in scorer.take_graded():
            board.add(each)
    feed(scorer, [mark(1_400)])
    scorer.end()
    for each in scorer.take_graded():
        board.add(each)
    snapshot = board.snapshot()
    assert snapshot.rows == 301
    assert snapshot.unlabelled == {}
    assert 0 < snapshot.spikes < 301
    assert isinstance(msgspec.to_builtins(snapshot)["model"]["pr_auc"], float)
