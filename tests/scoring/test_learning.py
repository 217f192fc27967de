"""Models that learn while they serve are fed once a second, a minute later, with what was seen then."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from scoring_streams import TAU_BPS, TinyPredictor, feed, make_scorer, random_stream

from online_models import online_model
from volspike.features.window import last_closed_second
from volspike.labels.tau import TauSpec
from volspike.labels.trailing import Context, TrailingState
from volspike.pipeline.learned_store import keep_learned, resume_learned
from volspike.records import Mark
from volspike.scoring.lineup import Lineup
from volspike.scoring.scorer import Scorer
from volspike.testing.manual_clock import ManualClock


class Pupil(TinyPredictor):
    """Keeps the lessons it was given."""

    def __init__(self, version: str = "pupil") -> None:
        super().__init__("pupil", version)
        self.lessons: list[list[Any]] = []

    def learn(self, context: Context, sigma_future_bps: float, tau_bps: float) -> None:
        self.lessons.append([context.rv_bps, context.tau_bps, sigma_future_bps, tau_bps])

    def export_state(self) -> dict[str, Any]:
        return {"lessons": self.lessons}

    def import_state(self, state: dict[str, Any]) -> None:
        self.lessons = state["lessons"]


def scorer_with(challenger: Any, predictor: Any = None) -> Scorer:
    trailing = TrailingState(TauSpec(mode="fixed"), TAU_BPS, price_decimals=2)
    reference = TinyPredictor("reference")
    lineup = Lineup(predictor or TinyPredictor(), reference, challenger=challenger)
    return Scorer(lineup, trailing, ManualClock())


def lessons_of(predictions: Sequence[Any], graded: Sequence[Any]) -> list[list[Any]]:
    """Return what there is to learn, from the records alone: of each second of a stretch the last row."""
    outcomes = {each.outcome.prediction_id: each for each in graded}
    last: dict[tuple[int, int], Any] = {}
    for made in predictions:
        last[outcomes[made.id].run, last_closed_second(made.event_ns)] = made
    found = [(made, outcomes[made.id].outcome.sigma_future_bps) for made in last.values()]
    return [
        [made.sigma_now_bps, made.tau_bps, sigma, made.tau_bps] for made, sigma in found if sigma is not None
    ]


@pytest.mark.parametrize("seed", range(3))
def test_a_pupil_in_the_shadow_is_taught_each_second_once_with_what_was_seen(seed: int) -> None:
    pupil = Pupil()
    scorer = scorer_with(pupil)
    predictions = feed(scorer, random_stream(seed))
    scorer.end()
    wanted = lessons_of(predictions, scorer.take_graded())
    assert len(wanted) > 50
    assert pupil.lessons == wanted


def test_no_lesson_comes_before_its_minute_is_over() -> None:
    pupil = Pupil()
    scorer = scorer_with(pupil)
    made: dict[int, float] = {}
    for event in random_stream(5):
        before = len(pupil.lessons)
        if isinstance(event, Mark):
            scorer.on_mark(event)
        else:
            prediction = scorer.on_row(event, 0)
            if prediction is not None:
                made[last_closed_second(event.event_ns)] = prediction.sigma_now_bps
        for lesson in pupil.lessons[before:]:
            second = next(s for s, rv in made.items() if rv == lesson[0])
            assert last_closed_second(event.event_ns) >= second + 1 + 60
    assert pupil.lessons


@pytest.mark.parametrize("at", [150, 700, 1_100])
def test_a_scorer_restored_in_the_middle_teaches_the_same(at: int) -> None:
    """The lessons that wait for their labels survive with it."""
    stream = random_stream(4)
    whole = scorer_with(undisturbed := Pupil())
    feed(whole, stream)

    first = scorer_with(Pupil())
    feed(first, stream[:at])
    first.take_graded()
    state, predictions = first.export_state()
    second = scorer_with(resumed := Pupil())
    # The trailing state is restored by its owner; here the same one goes on.
    second._trailing = first._trailing
    second.import_state(json.loads(json.dumps(state)), predictions)
    feed(second, stream[at:])
    assert resumed.lessons == undisturbed.lessons


def test_a_served_online_model_learns_what_the_records_say() -> None:
    model = online_model()
    scorer = scorer_with(Pupil(), model)
    predictions = feed(scorer, random_stream(9))
    scorer.end()
    lessons = lessons_of(predictions, scorer.take_graded())
    assert len(lessons) > 100
    assert model.learned + model.skipped == len(lessons)
    assert model.learned > 100
    assert model.export_state() != online_model().export_state()


def test_a_model_that_moves_up_from_the_shadow_keeps_what_it_has_learned() -> None:
    pupil = Pupil()
    scorer = scorer_with(pupil)
    stream = random_stream(6)
    feed(scorer, stream[:700])
    taught = len(pupil.lessons)
    assert taught
    fresh = Pupil()  # as a bundle that is loaded again gives it
    scorer.serve(Lineup(fresh, TinyPredictor("reference")))
    feed(scorer, stream[700:])
    assert fresh.lessons == []
    assert len(pupil.lessons) > taught


def test_what_another_model_has_learned_is_left() -> None:
    scorer = scorer_with(Pupil("one"))
    feed(scorer, random_stream(3)[:600])
    scorer.take_graded()
    state, predictions = scorer.export_state()
    other = Pupil("two")
    second = scorer_with(other)
    second.import_state(json.loads(json.dumps(state)), predictions)
    assert other.lessons == []


def test_a_damaged_state_of_a_model_begins_it_anew() -> None:
    scorer = scorer_with(online_model("b"))
    feed(scorer, random_stream(2)[:900])
    scorer.take_graded()
    state, predictions = scorer.export_state()
    state["learning"]["learned"]["b"]["version"] = "other"
    again = online_model("b")
    scorer_with(again).import_state(json.loads(json.dumps(state)), predictions)
    assert again.export_state() == online_model("b").export_state()


def test_a_scorer_without_learners_keeps_nothing() -> None:
    scorer = make_scorer()
    feed(scorer, random_stream(1)[:400])
    scorer.take_graded()
    assert scorer.export_state()[0]["learning"]["learned"] == {}
    assert scorer.learned == {}


def taught(pupil: Pupil) -> Pupil:
    pupil.lessons = [[pupil.version]]
    return pupil


def serve(scorer: Scorer, predictor: Any, challenger: Any = None) -> None:
    scorer.serve(Lineup(predictor, TinyPredictor("reference"), challenger=challenger))


def test_a_model_that_is_rolled_back_to_goes_on_from_what_it_had_learned() -> None:
    scorer = scorer_with(taught(Pupil("b")), taught(Pupil("a")))
    serve(scorer, Pupil("b"))
    # Trials come and go meanwhile, one of them of the previous model itself.
    for challenger in ("c", "a", "d"):
        serve(scorer, Pupil("b"), taught(Pupil(challenger)) if challenger != "a" else Pupil("a"))
        assert set(scorer.learned["learned"]) == {"a", "b", challenger}
    back = Pupil("a")
    serve(scorer, back)
    assert back.lessons == [["a"]]
    again = Pupil("b")
    serve(scorer, again)
    assert again.lessons == [["b"]]


def test_what_is_kept_is_of_the_previous_model_alone() -> None:
    scorer = scorer_with(None, taught(Pupil("a")))
    for version in ("b", "c"):
        serve(scorer, taught(Pupil(version)))
    assert set(scorer.learned["learned"]) == {"b", "c"}
    serve(scorer, TinyPredictor("plain", "plain"))
    assert set(scorer.learned["learned"]) == {"c"}
    serve(scorer, TinyPredictor("other", "other"))
    assert scorer.learned == {}


@pytest.mark.parametrize("served", ["a", "b"])
def test_a_rollback_behind_a_restart_or_during_it_finds_what_was_kept(served: str, tmp_path: Path) -> None:
    scorer = scorer_with(None, taught(Pupil("a")))
    serve(scorer, taught(Pupil("b")))
    keep_learned(tmp_path, "BTC-USD", scorer)
    pupils = {version: Pupil(version) for version in ("a", "b")}
    restarted = scorer_with(None, pupils[served])
    resume_learned(tmp_path, "BTC-USD", restarted)
    for version in ("a", "b", "a"):
        serve(restarted, Pupil(version))
    assert restarted.learned["learned"] == {"a": {"lessons": [["a"]]}, "b": {"lessons": [["b"]]}}


def test_what_was_kept_by_version_alone_is_still_read(tmp_path: Path) -> None:
    (tmp_path / "BTC-USD.json").write_text('{"a": {"lessons": [["a"]]}}')
    pupil = Pupil("a")
    resume_learned(tmp_path, "BTC-USD", scorer_with(None, pupil))
    assert pupil.lessons == [["a"]]
