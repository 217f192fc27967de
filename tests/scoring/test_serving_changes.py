"""A scorer whose model changes in mid-stream, and whose challenger fails."""

from __future__ import annotations

import math

import msgspec
import pytest
from scoring_streams import TAU_BPS, TinyPredictor, feed, random_stream

from volspike.labels.tau import TauSpec
from volspike.labels.trailing import TrailingState
from volspike.models.calibration import Scored
from volspike.records import Prediction
from volspike.scoring.lineup import NEVER_NS, Lineup
from volspike.scoring.scorer import Scorer
from volspike.testing.manual_clock import ManualClock

SHADOW = ("challenger", "challenger_version", "challenger_p_spike", "challenger_sigma_bps")


class Other(TinyPredictor):
    """Says something else."""

    def predict(self, values, context) -> Scored:
        return Scored(0.75, 9.0, 8.0, 10.0)


class Failing(TinyPredictor):
    """Raises, or says what is no number, now and then."""

    calls = 0

    def predict(self, values, context) -> Scored:
        self.calls += 1
        if self.calls % 3 == 0:
            raise ZeroDivisionError("of its own")
        return Scored(math.nan if self.calls % 3 == 1 else 0.5, 1.0, 1.0, 1.0)


def scorer(challenger=None, stale_ns: int = NEVER_NS) -> Scorer:
    trailing = TrailingState(TauSpec(mode="fixed"), TAU_BPS, price_decimals=2)
    reference = TinyPredictor("reference")
    lineup = Lineup(TinyPredictor(), reference, stale_ns=stale_ns, challenger=challenger)
    return Scorer(lineup, trailing, ManualClock())


def without_shadow(predictions: list[Prediction]) -> list[Prediction]:
    return [msgspec.structs.replace(made, **dict.fromkeys(SHADOW), latency_ns=0) for made in predictions]


@pytest.mark.parametrize("challenger", [Other("other", "9"), Failing("failing", "9")])
def test_invariant_07_a_challenger_changes_nothing_but_its_own_fields(challenger) -> None:
    events = random_stream(3)
    alone, beside = scorer(), scorer(challenger)
    expected, found = feed(alone, events), feed(beside, events)
    assert len(found) > 200
    assert without_shadow(found) == without_shadow(expected)
    assert beside.pending == alone.pending
    assert len(beside.take_graded()) == len(alone.take_graded()) > 50
    assert beside.failures == {}
    assert beside.band.log_stretch == alone.band.log_stretch
    assert {(made.challenger, made.challenger_version) for made in found} == {(challenger.name, "9")}
    told = [made.challenger_p_spike for made in found]
    if isinstance(challenger, Failing):
        assert told == [0.5 if number % 3 == 2 else None for number in range(1, len(found) + 1)]
        assert beside.challenger_failures == {
            "unsound": (len(found) + 2) // 3,
            "ZeroDivisionError": len(found) // 3,
        }
    else:
        assert told == [0.75] * len(found)
        assert beside.challenger_failures == {}


@pytest.mark.parametrize("seed", range(3))
def test_what_is_pending_at_a_change_is_graded_as_it_was_made(seed: int) -> None:
    events = random_stream(seed)
    half = len(events) // 2
    plain, changing, late_half = scorer(), scorer(), scorer()
    before, behind = feed(plain, events), feed(changing, events[:half])
    pending = changing.pending
    changing.serve(Lineup(Other("other", "2"), TinyPredictor("reference")))
    assert changing.pending == pending > 0
    behind += feed(changing, events[half:])
    late_half.serve(Lineup(Other("other", "2"), TinyPredictor("reference")))
    other = feed(late_half, events)
    assert len(behind) == len(before) == len(other)
    versions = [made.model_version for made in behind]
    assert versions == sorted(versions)
    at = versions.index("2")
    # In front of the change as if there were none; behind it as if the other had always served.
    assert without_shadow(behind[:at]) == without_shadow(before[:at])
    assert [(made.id, made.p_spike) for made in behind[at:]] == [
        (made.id, made.p_spike) for made in other[at:]
    ]
    graded = {each.prediction.id: each.outcome for each in changing.take_graded()}
    expected = {each.prediction.identity: each.outcome for each in plain.take_graded()}
    by_id = {made.id: made for made in behind}
    assert len(graded) == len(expected)
    for name, outcome in graded.items():
        same = expected[by_id[name].identity]
        assert outcome.prediction_id == name
        assert outcome.p_spike == by_id[name].p_spike
        assert (outcome.sigma_future_bps, outcome.spike, outcome.unlabelled, outcome.matured_ns) == (
            same.sigma_future_bps,
            same.spike,
            same.unlabelled,
            same.matured_ns,
        )


def test_a_new_model_begins_with_a_band_of_its_own_and_a_new_challenger_leaves_band_and_failures() -> None:
    events = random_stream(5)
    one = scorer()
    feed(one, events[:700])
    stretch, outcomes = one.band.log_stretch, one.band.outcomes
    assert stretch != 0.0
    one._model.failures["ValueError"] += 1
    one.serve(Lineup(TinyPredictor(), TinyPredictor("reference"), challenger=Other("other", "9")))
    assert (one.band.log_stretch, one.band.outcomes) == (stretch, outcomes)
    assert one.failures == {"ValueError": 1}
    one.serve(Lineup(Other("other", "2"), TinyPredictor("reference")))
    assert (one.band.log_stretch, one.band.outcomes) == (0.0, 0)
    assert one.failures == {}
    assert one.challenger_failures == {}
    # Outcomes of the model before teach the new one's band nothing.
    feed(one, events[700:720])
    one.take_graded()
    assert one.band.outcomes == 0


def test_predictions_are_stale_from_the_expiry_on() -> None:
    events = random_stream(2)
    expiry_ns = events[len(events) // 2].event_ns
    made = feed(scorer(stale_ns=expiry_ns), events)
    assert {each.stale for each in made} == {True, False}
    assert all(each.stale == (each.event_ns >= expiry_ns) for each in made)
    assert not any(each.stale for each in feed(scorer(), events))
