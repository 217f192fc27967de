"""A scorer, its labeller and an alert policy go on from their state as if nothing had happened."""

from __future__ import annotations

import json

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scoring_streams import TinyPredictor, random_stream

from volspike.alerts.policy import AlertPolicy
from volspike.labels.tau import TauSpec
from volspike.labels.trailing import TrailingState
from volspike.records import FeatureRow, Prediction
from volspike.scoring.lineup import Lineup
from volspike.scoring.scorer import Scorer
from volspike.testing.manual_clock import ManualClock


class Scoring:
    def __init__(self, target: str) -> None:
        predictor = TinyPredictor()
        predictor.target = target
        self.trailing = TrailingState(TauSpec(quantile=0.5, floor_bps=0.5), 4.0, price_decimals=2)
        self.closed: list = []
        self.trailing.on_closed = self.closed.extend
        self.scorer = Scorer(Lineup(predictor, TinyPredictor("reference")), self.trailing, ManualClock())
        self.policy = AlertPolicy("tiny", 0.55, 0.45, cooldown_s=20, hold_s=3)

    def feed(self, events) -> list:
        out: list = []
        for event in events:
            prediction = None
            if isinstance(event, FeatureRow):
                prediction = self.scorer.on_row(event, 0)
                if prediction is not None:
                    out.append(prediction)
            else:
                self.scorer.on_mark(event)
            out.append(self.policy.step(event.product, event.event_ns, event.covered_since_ns, prediction))
            out += self.scorer.take_graded()
        return [each for each in out if each is not None]

    def resumed(self, target: str) -> Scoring:
        other = Scoring(target)
        other.trailing.import_state(json.loads(json.dumps(self.trailing.export_state())), self.closed)
        other.closed += self.closed
        state, predictions = self.scorer.export_state()
        pending = msgspec.msgpack.decode(msgspec.msgpack.encode(predictions), type=list[Prediction])
        other.scorer.import_state(json.loads(json.dumps(state)), pending)
        other.policy.import_state(json.loads(json.dumps(self.policy.export_state())))
        return other


@pytest.mark.parametrize("target", ["rv", "std"])
@given(seed=st.integers(0, 10**6), cuts=st.lists(st.integers(0, 900), max_size=4))
@settings(max_examples=12, deadline=None)
def test_what_goes_on_from_its_state_gives_the_same(target: str, seed: int, cuts: list[int]) -> None:
    events = random_stream(seed, 900)
    whole = Scoring(target)
    expected = whole.feed(events)
    scoring, got, start = Scoring(target), [], 0
    for cut in sorted(cuts):
        got += scoring.feed(events[start:cut])
        scoring, start = scoring.resumed(target), cut
    got += scoring.feed(events[start:])
    assert got == expected
    assert (scoring.scorer.pending, scoring.scorer.predictions) == (
        whole.scorer.pending,
        whole.scorer.predictions,
    )


def test_the_streams_hold_what_matters() -> None:
    out = Scoring("rv").feed(random_stream(3, 900))
    kinds = {type(each).__name__ for each in out}
    assert kinds == {"Prediction", "Alert", "GradedPrediction"}
    assert {each.outcome.unlabelled for each in out if hasattr(each, "outcome")} == {None, "break"}


def test_the_band_goes_on_where_it_was_and_not_for_another_model() -> None:
    scoring = Scoring("rv")
    made = [each for each in scoring.feed(random_stream(3, 900)) if isinstance(each, Prediction)]
    band = scoring.scorer.band
    assert len({each.band_log_stretch for each in made}) > 5
    assert scoring.resumed("rv").scorer.band.as_dict()["log_stretch"] == band.log_stretch
    assert scoring.resumed("rv").scorer.band.outcomes == band.outcomes > 10
    state, _ = scoring.scorer.export_state()
    state["band"][0] = "another version"
    other = Scoring("rv")
    other.scorer.import_state(state, [])
    assert (other.scorer.band.log_stretch, other.scorer.band.outcomes) == (0.0, 0)


def test_a_band_goes_on_from_the_newest_prediction_that_the_model_made() -> None:
    made = [each for each in Scoring("rv").feed(random_stream(3, 900)) if isinstance(each, Prediction)]
    newest = made[-1]
    assert newest.band_log_stretch != 0.0
    fallback = msgspec.structs.replace(newest, model="tiny!fallback", band_log_stretch=0.0)
    older = msgspec.structs.replace(newest, model_version="0", band_log_stretch=0.3)
    fresh = Scoring("rv").scorer
    fresh.resume_band([*made, fallback, older])
    assert fresh.band.log_stretch == newest.band_log_stretch
    for others in ((), (older,)):
        left = Scoring("rv").scorer
        left.resume_band(others)
        assert left.band.log_stretch == 0.0


def test_sums_beyond_64_bits_survive() -> None:
    scoring = Scoring("rv")
    scoring.feed(random_stream(3, 900))
    state, _ = scoring.scorer.export_state()
    assert max(state["labeller"]["sum_sq"]) > 2**64


@pytest.mark.parametrize(("version", "failures"), [("1", {"ValueError": 412}), ("2", {})])
def test_failures_and_band_are_those_of_the_model_that_they_were_noted_of(
    version: str, failures: dict[str, int]
) -> None:
    def scorer_of(predictor: TinyPredictor) -> Scorer:
        trailing = TrailingState(TauSpec(mode="fixed"), 4.0, price_decimals=2)
        return Scorer(Lineup(predictor, TinyPredictor("reference")), trailing, ManualClock())

    failed = scorer_of(TinyPredictor("one", "1"))
    failed._model.failures["ValueError"] = 412
    failed._model.last_failure = "ValueError: no finite prediction"
    state, predictions = failed.export_state()
    other = scorer_of(TinyPredictor("one", version))
    other.import_state(json.loads(json.dumps(state)), predictions)
    assert other.failures == failures
    assert other.model_state == (failed.model_state if failures else None)
