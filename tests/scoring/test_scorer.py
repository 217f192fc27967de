"""Predictions and their outcomes: maturity, ties, breaks, the end, lateness, and a model that dies."""

from __future__ import annotations

import hashlib
import math

import msgspec
import numpy as np
import pytest
from scoring_streams import (
    NS,
    TAU_BPS,
    TinyPredictor,
    feed,
    make_scorer,
    mark,
    offline_labels,
    random_stream,
    row,
)

from volspike.bus.topics import OUTCOMES, PREDICTIONS
from volspike.errors import ConfigError, FeatureError
from volspike.labels.tau import TauSpec
from volspike.labels.trailing import TrailingState
from volspike.models.adaptive_band import STEP_A_SECOND
from volspike.models.calibration import Scored
from volspike.models.kernels import adapt_rows
from volspike.records import FeatureRow
from volspike.scoring.lineup import Lineup
from volspike.scoring.outcomes import target_end_ns
from volspike.scoring.scorer import Scorer
from volspike.testing.manual_clock import ManualClock


def outcomes(scorer) -> list:
    return [graded.outcome for graded in scorer.take_graded()]


def test_a_row_predicts_only_when_ready() -> None:
    scorer = make_scorer()
    assert feed(scorer, [row(59.9, 100.0)]) == []
    assert feed(scorer, [row(60.0, 100.0, ticks=9)]) == []
    (prediction,) = feed(scorer, [row(60.0, 100.0, ticks=10)])
    assert scorer.pending == scorer.predictions == 1
    assert prediction.id == hashlib.sha256(f"{prediction.identity}\n1".encode()).hexdigest()[:16]
    assert (prediction.model, prediction.tau_bps, prediction.tau_source) == ("tiny", TAU_BPS, "fixed")
    assert (prediction.sigma_now_bps, prediction.mid) == (2.0, 100.0)
    assert prediction.reference_p_spike == prediction.p_spike == pytest.approx(2 / 6)


def test_it_matures_at_the_first_event_beyond_the_boundary() -> None:
    """Time line (covered since 0).

    t = 100.4   s = 101      the minute: r(102) ... r(161)      161   161.000000001
      |------------|----------------------------------------------|----|
     row 100.00   row 100.00 (150.0: 101.00)           tie counts: 102.00
    """
    scorer = make_scorer()
    feed(scorer, [row(100.4, 100.0), row(150.0, 101.0, ticks=1)])
    assert outcomes(scorer) == []
    feed(scorer, [row(161.0, 102.0, ticks=1)])
    assert outcomes(scorer) == []
    scorer.on_mark(msgspec.structs.replace(mark(161), event_ns=161 * NS + 1))
    (outcome,) = outcomes(scorer)
    expected = 1e4 * math.hypot(math.log(101 / 100), math.log(102 / 101))
    assert outcome.sigma_future_bps == pytest.approx(expected, rel=1e-12)
    assert (outcome.spike, outcome.unlabelled, outcome.matured_ns) == (True, None, 161 * NS + 1)
    assert (outcome.event_ns, outcome.tau_bps) == (round(100.4 * NS), TAU_BPS)
    assert scorer.pending == 0


def test_a_move_before_the_next_boundary_belongs_to_the_present() -> None:
    """The mid moves at 100.9, within the row's own second, and at 161.5, after the minute: not the target."""
    scorer = make_scorer()
    feed(scorer, [row(100.4, 100.0), row(100.9, 110.0, ticks=1), row(161.5, 90.0, ticks=1)])
    (outcome,) = outcomes(scorer)
    assert (outcome.sigma_future_bps, outcome.spike) == (0.0, False)


def test_a_row_on_a_boundary_is_about_the_next_sixty_seconds() -> None:
    """t = 100.0 is its own boundary: the minute ends at 160, closed by a mark at 161."""
    scorer = make_scorer()
    feed(scorer, [row(100.0, 100.0), row(100.5, 101.0, ticks=1), mark(160)])
    assert outcomes(scorer) == []
    feed(scorer, [mark(161)])
    (outcome,) = outcomes(scorer)
    assert outcome.sigma_future_bps == pytest.approx(1e4 * math.log(1.01))


def test_marks_mature_a_quiet_minute_without_volatility() -> None:
    scorer = make_scorer()
    feed(scorer, [row(100.4, 100.0), *(mark(second) for second in range(102, 162))])
    assert outcomes(scorer) == []
    feed(scorer, [mark(162)])
    (outcome,) = outcomes(scorer)
    assert (outcome.sigma_future_bps, outcome.spike, outcome.matured_ns) == (0.0, False, 162 * NS)


def test_ties_are_predicted_one_by_one_and_share_their_target() -> None:
    scorer = make_scorer()
    tied = [row(100.4, mid) for mid in (100.0, 100.1, 100.2)]
    predictions = feed(scorer, tied)
    assert len({prediction.id for prediction in predictions}) == 3
    feed(scorer, [row(130.0, 101.0, ticks=1), mark(162)])
    graded = outcomes(scorer)
    assert [outcome.prediction_id for outcome in graded] == [prediction.id for prediction in predictions]
    assert len({outcome.sigma_future_bps for outcome in graded}) == 1


def test_a_future_volatility_equal_to_tau_is_a_spike_and_one_below_is_none() -> None:
    def grade(tau_bps: float):
        scorer = make_scorer(tau_bps=tau_bps)
        feed(scorer, [row(100.0, 100.0), row(130.0, 101.0, ticks=1), mark(161)])
        (outcome,) = outcomes(scorer)
        assert outcome.tau_bps == tau_bps
        return outcome

    sigma = grade(TAU_BPS).sigma_future_bps
    assert grade(sigma).spike is True
    assert grade(math.nextafter(sigma, math.inf)).spike is False


def test_a_break_leaves_it_unlabelled_not_zero() -> None:
    scorer = make_scorer()
    feed(scorer, [row(100.4, 100.0), row(150.0, 100.0), row(151.0, 100.0, covered_since_s=151.0)])
    graded = outcomes(scorer)
    assert [outcome.unlabelled for outcome in graded] == ["break", "break"]
    assert all(outcome.sigma_future_bps is None and outcome.spike is None for outcome in graded)
    feed(scorer, [mark(300, covered_since_s=151.0)])
    assert outcomes(scorer) == []


def test_a_break_told_by_a_mark_counts_too() -> None:
    scorer = make_scorer()
    feed(scorer, [row(100.4, 100.0), mark(170, covered_since_s=120.0)])
    assert [outcome.unlabelled for outcome in outcomes(scorer)] == ["break"]


def test_the_end_of_the_stream_leaves_the_rest_unlabelled() -> None:
    scorer = make_scorer()
    feed(scorer, [row(100.4, 100.0), row(110.0, 100.0), row(161.5, 100.0, ticks=1)])
    scorer.end()
    assert [outcome.unlabelled for outcome in outcomes(scorer)] == [None, "end"]
    scorer.end()
    assert outcomes(scorer) == []


def test_a_late_prediction_is_published_and_never_graded() -> None:
    clock = ManualClock(market_ns=161 * NS)
    scorer = make_scorer(clock=clock)
    (on_time,) = feed(scorer, [row(100.4, 100.0)])
    clock.advance(1)
    (late,) = feed(scorer, [row(100.5, 100.0)])
    assert (on_time.late, late.late) == (False, True)
    assert [(o.prediction_id, o.unlabelled) for o in outcomes(scorer)] == [(late.id, "late")]
    feed(scorer, [mark(162)])
    assert [(o.prediction_id, o.unlabelled) for o in outcomes(scorer)] == [(on_time.id, None)]


def test_latency_is_measured_from_the_frame() -> None:
    scorer = make_scorer(clock=ManualClock(monotonic_ns=5_000))
    prediction = scorer.on_row(row(100.0, 100.0), 1_200)
    assert prediction is not None
    assert prediction.latency_ns == 3_800


@pytest.mark.parametrize("seed", range(12))
def test_live_outcomes_equal_the_offline_labels_to_the_bit(seed: int) -> None:
    events = random_stream(seed)
    scorer = make_scorer()
    predictions = feed(scorer, events)
    scorer.end()
    live = {
        g.prediction.identity: (g.outcome.sigma_future_bps, g.outcome.unlabelled)
        for g in scorer.take_graded()
    }
    assert live == offline_labels(events)
    assert len(live) == len(predictions) > 100


@pytest.mark.parametrize("seed", range(4))
def test_invariant_05_no_later_tick_changes_a_prediction(seed: int) -> None:
    events = random_stream(seed, 800)
    cut = 500
    rest = [
        msgspec.structs.replace(event, bid=event.bid * 2, ask=event.ask * 2)
        if isinstance(event, FeatureRow)
        else event
        for event in events[cut:]
    ]
    before = feed(make_scorer(), events[:cut])
    assert before
    assert feed(make_scorer(), events)[: len(before)] == before
    assert feed(make_scorer(), events[:cut] + rest)[: len(before)] == before


@pytest.mark.parametrize("seed", range(4))
def test_invariant_05_published_before_its_outcome_and_graded_once(seed: int) -> None:
    clock = ManualClock()
    scorer = make_scorer(clock=clock)
    published: dict[str, int] = {}
    graded: list[str] = []
    for event in random_stream(seed):
        clock.set_market(event.event_ns + (seed % 2) * 70 * NS * (event.archive_seq % 3 == 0))
        prediction = scorer.on_row(event, 0) if isinstance(event, FeatureRow) else scorer.on_mark(event)
        for settled in scorer.take_graded():
            outcome = settled.outcome
            graded.append(outcome.prediction_id)
            if outcome.unlabelled is None:
                assert (
                    outcome.matured_ns > target_end_ns(outcome.event_ns) >= published[outcome.prediction_id]
                )
                assert not settled.prediction.late
        if prediction is not None:
            assert prediction.late == (clock.market_ns() > target_end_ns(prediction.event_ns))
            published[prediction.id] = clock.market_ns()
    scorer.end()
    graded += [settled.outcome.prediction_id for settled in scorer.take_graded()]
    assert sorted(graded) == sorted(published)
    assert len(set(graded)) == len(graded) > 100


@pytest.mark.parametrize("seed", range(4))
def test_the_recorded_band_is_that_of_the_arrays_to_the_bit(seed: int) -> None:
    scorer = make_scorer()
    predictions = feed(scorer, random_stream(seed))
    scorer.end()
    realised = {g.outcome.prediction_id: g.outcome.sigma_future_bps for g in scorer.take_graded()}
    last = list({(-(-p.event_ns // NS)): p for p in predictions}.items())
    rv_bps = np.array([p.sigma_now_bps for _, p in last])
    outcomes = [realised[p.id] for _, p in last]
    low, high, log_stretch = adapt_rows(
        np.array([second for second, _ in last]),
        np.array([np.nan if each is None else each for each in outcomes]),
        rv_bps + 1.0,
        rv_bps,
        rv_bps + 2.0,
        STEP_A_SECOND,
        0.0,
    )
    assert len(np.unique(log_stretch)) > 5
    assert [p.band_log_stretch for _, p in last] == log_stretch.tolist()
    assert [p.sigma_low_bps for _, p in last] == low.tolist()
    assert [p.sigma_high_bps for _, p in last] == high.tolist()
    assert scorer.band.outcomes == sum(each is not None for each in outcomes)


def test_a_fallback_has_the_reference_s_own_band_and_teaches_nothing() -> None:
    scorer = make_scorer(SickPredictor(explode), TinyPredictor("reference"))
    predictions = feed(scorer, [row(100.0 + n, 100.0) for n in range(30)])
    scorer.band.take(1.0, 2.0, 3.0)
    predictions += feed(scorer, [row(131.0, 100.0)])
    assert [p.band_log_stretch for p in predictions] == [0.0] * 30 + [scorer.band.log_stretch]
    assert predictions[15].model == "sick!fallback"
    feed(scorer, [mark(300)])
    assert scorer.band.outcomes == 1 + 21


def test_inputs_out_of_bounds_are_recorded_and_counted() -> None:
    class Bounded(TinyPredictor):
        def predict(self, values, context) -> Scored:
            return super().predict(values, context)._replace(outside=float(context.rv_bps > 5.0))

    scorer = make_scorer(Bounded())
    predictions = feed(scorer, [row(100.0 + n, 100.0, rv=float(n)) for n in range(10)])
    assert [p.out_of_distribution for p in predictions] == [False] * 6 + [True] * 4
    assert scorer.out_of_distribution == 4


class SickPredictor(TinyPredictor):
    """Works on rows before 110 s and from 120 s; in between it does as it is told."""

    def __init__(self, sickness) -> None:
        super().__init__("sick")
        self.sickness = sickness
        self.rows = 0

    def predict(self, values, context) -> Scored:
        self.rows += 1
        return self.sickness(context) if 10 < self.rows <= 20 else super().predict(values, context)


def explode(context) -> Scored:
    raise RuntimeError("weights are gone")


SOUND = Scored(0.5, 1.0, 0.5, 2.0)
SICKNESSES = {
    "RuntimeError": explode,
    "AttributeError": lambda context: None,
    "unsound": lambda context: SOUND._replace(p_spike=math.nan),
    "unsound ": lambda context: SOUND._replace(p_spike=1.5),
    "unsound  ": lambda context: SOUND._replace(sigma_high_bps=math.inf),
    "unsound   ": lambda context: SOUND._replace(sigma_bps=-1.0),
}


@pytest.mark.parametrize("reason", SICKNESSES)
def test_invariant_07_a_dead_model_never_stops_the_stream(reason: str) -> None:
    scorer = make_scorer(SickPredictor(SICKNESSES[reason]), TinyPredictor("reference"))
    rows = [row(100.0 + n, 100.0) for n in range(30)]
    predictions, states = [], []
    for each in rows:
        predictions += feed(scorer, [each])
        states.append(scorer.model_state)
    assert len(predictions) == 30
    assert [p.model for p in predictions] == ["sick"] * 10 + ["sick!fallback"] * 10 + ["sick"] * 10
    assert [state is None for state in states] == [True] * 10 + [False] * 10 + [True] * 10
    assert (scorer.failures, scorer.fallbacks, scorer.unpredicted) == ({reason.strip(): 10}, 10, 0)
    assert all(PREDICTIONS.decode(PREDICTIONS.encode(p)) == p for p in predictions)
    feed(scorer, [mark(200)])
    graded = outcomes(scorer)
    assert len(graded) == 30
    assert all(OUTCOMES.decode(OUTCOMES.encode(outcome)) == outcome for outcome in graded)


def test_invariant_07_with_the_reference_dead_too_rows_are_counted_and_the_stream_goes_on() -> None:
    scorer = make_scorer(SickPredictor(explode), SickPredictor(explode))
    predictions = feed(scorer, [row(100.0 + n, 100.0) for n in range(30)])
    assert (len(predictions), scorer.unpredicted, scorer.pending) == (20, 10, 20)


def test_invariant_07_a_dead_reference_leaves_the_model_alone() -> None:
    scorer = make_scorer(reference=SickPredictor(explode))
    predictions = feed(scorer, [row(100.0 + n, 100.0) for n in range(30)])
    assert [p.reference_p_spike is None for p in predictions] == [False] * 10 + [True] * 10 + [False] * 10
    assert {p.model for p in predictions} == {"tiny"}


def test_a_row_without_volatility_is_not_predicted() -> None:
    scorer = make_scorer()
    assert feed(scorer, [msgspec.structs.replace(row(100.0, 100.0), values=(0.0,) * 5 + (None,))]) == []
    assert scorer.unpredicted == 1


def test_a_model_of_another_feature_set_or_target_is_refused() -> None:
    unknown, leaky = TinyPredictor(), TinyPredictor()
    unknown.feature_set, leaky.target = "nonsense", "next-row"
    with pytest.raises(FeatureError):
        make_scorer(unknown)
    with pytest.raises(ConfigError, match="can't be graded live"):
        make_scorer(leaky)


def test_a_prediction_within_the_span_of_training_is_marked_in_sample() -> None:
    scorer = Scorer(
        Lineup(TinyPredictor(), TinyPredictor("reference"), trained_ns=(61 * NS, 62 * NS)),
        TrailingState(TauSpec(mode="fixed"), TAU_BPS, price_decimals=2),
        ManualClock(),
    )
    made = feed(scorer, [row(time_s, 100.0) for time_s in (60.0, 61.0, 62.0, 63.0)])
    assert [prediction.in_sample for prediction in made] == [False, True, True, False]
