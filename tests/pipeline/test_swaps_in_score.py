"""A promotion in the middle of the stage ``score``, which is killed around it at every step."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace

import pytest
from stage_runs import (
    BATCH_ROWS,
    NS,
    PAIRS,
    POINTS,
    SCALES,
    Runs,
    bundle,
    decoded,
    market,
    outputs,
    policy,
    write,
)

from volspike.bus.topics import ALERTS, FEATURES, OUTCOMES, PREDICTIONS
from volspike.bus.transactions import ExactlyOnce
from volspike.features.sets import get_feature_set
from volspike.models.bundle import Bundle
from volspike.models.calibration import Scored
from volspike.pipeline.score_stage import ScoreStage
from volspike.pipeline.standing_watch import Swap
from volspike.testing.crash_point import CrashError, CrashPoint
from volspike.testing.manual_clock import ManualClock


class Share:
    """The probability is a share of what rv's part of rv + tau is."""

    target = "rv"

    def __init__(self, name: str, version: str, share: float, feature_set: str) -> None:
        self.name, self.version, self.share, self.feature_set = name, version, share, feature_set

    def predict(self, values, context) -> Scored:
        rv_bps = context.rv_bps
        assert len(values) == len(get_feature_set(self.feature_set).columns)
        return Scored(self.share * rv_bps / (rv_bps + context.tau_bps), rv_bps + 1.0, rv_bps, rv_bps + 2.0)


def model(product: str, version: str, share: float, feature_set: str = "core") -> Bundle:
    known, name = bundle(product), f"share-{product[:3].lower()}"
    changes = {"name": name, "version": version, "target": "rv", "feature_set": feature_set}
    manifest = SimpleNamespace(**{**vars(known.manifest), **changes})
    return Bundle(manifest, {}, Share(name, version, share, feature_set), known.reference)


def tiny(product: str) -> Bundle:
    """Return the model before the promotion."""
    return model(product, "1", 1.0)


def half(product: str) -> Bundle:
    """Return the model behind it."""
    return model(product, "2", 0.5)


def of_regime(product: str) -> Bundle:
    """Return a model before the promotion that has regime columns as inputs."""
    return model(product, "1", 1.0, "regime")


class Shelf:
    """Two models; from ``at`` on, an offset of ``ticks.features``, the other one is to serve.

    ``late`` is a product that none serves before.
    """

    def __init__(self, at: int, first: Callable[[str], Bundle] = tiny, late: str = "") -> None:
        self.at = at
        self.first = first
        self.late = late

    def served(self, offset: int) -> dict[str, Bundle]:
        if offset >= self.at:
            return {product: half(product) for product in PAIRS}
        return {product: self.first(product) for product in PAIRS if product != self.late}

    def on_shelf(self, name: str, version: str) -> Bundle | None:
        known = [make(product) for make in (self.first, half) for product in PAIRS]
        return next((b for b in known if (b.manifest.name, b.manifest.version) == (name, version)), None)


class Swapping(Runs):
    """Runs the score stage with a promotion at an offset; one that begins behind it begins with the other."""

    def __init__(self, path: Path, shelf: Shelf) -> None:
        super().__init__(path)
        self.shelf = shelf
        self.challenged = True
        self.stands_by = False  # since before the promotion

    def score(self, reached: Callable[[str], None] | None = None, *, is_over: bool = True) -> bool:
        clock, log = ManualClock(), self.open(reached)
        topic = FEATURES.name

        def offset() -> int:
            return log.group_offset("score", topic) or 0

        began = 0 if self.stands_by else offset()
        serves = "1" if began < self.shelf.at else "2"

        def changes() -> Sequence[Swap]:
            nonlocal serves
            if serves == "2" or offset() < self.shelf.at:
                return []
            serves = "2"
            return [Swap(product, half(product), tiny(product)) for product in PAIRS]

        stage = ScoreStage(
            log,
            self.shelf.served(began),
            SCALES,
            policy,
            clock,
            changes=changes,
            on_shelf=self.shelf.on_shelf,
            challengers={p: tiny(p) for p in PAIRS} if serves == "2" and self.challenged else {},
        )
        try:
            loop = ExactlyOnce(
                log,
                "score",
                [topic],
                stage,
                clock,
                batch_rows=BATCH_ROWS,
                poll_s=0.0,
                state_s=3.5,
                reached=reached,
            )
            while offset() < log.end_offset(topic):
                clock.advance(NS)
                loop.step()
            loop.close(is_over=is_over)
        except CrashError:
            self.crashes += 1
            return False
        return True


@pytest.fixture(scope="module")
def featurized(tmp_path_factory) -> bytes:
    runs = Runs(tmp_path_factory.mktemp("rows") / "log.db")
    write(runs.open(), market())
    assert runs.run("featurize")
    runs.close()
    return runs.path.read_bytes()


def swapping(featurized: bytes, path: Path, at: int, late: str = "") -> Swapping:
    path.write_bytes(featurized)
    return Swapping(path, Shelf(at, late=late))


AT = 5 * BATCH_ROWS  # an alert of each product is open there


@pytest.fixture(scope="module")
def undisturbed(featurized: bytes, tmp_path_factory) -> dict[str, list]:
    runs = swapping(featurized, tmp_path_factory.mktemp("whole") / "log.db", AT)
    assert runs.score()
    found = outputs(runs.open())
    runs.close()
    return found


def test_each_row_is_predicted_once_by_exactly_one_version_and_graded_as_it_was(undisturbed) -> None:
    made = undisturbed[PREDICTIONS.name]
    assert {each.model_version for each in made} == {"1", "2"}
    assert len({each.identity for each in made}) == len(made)
    for product in PAIRS:
        versions = [each.model_version for each in made if each.product == product]
        assert versions == sorted(versions)
    by_id = {each.id: each for each in made}
    outcomes = [OUTCOMES.decode(value) for value in undisturbed[OUTCOMES.name]]
    assert sorted(each.prediction_id for each in outcomes) == sorted(by_id)
    assert all(each.p_spike == by_id[each.prediction_id].p_spike for each in outcomes)
    assert {each.challenger_version for each in made if each.model_version == "2"} == {"1"}
    assert {each.challenger for each in made if each.model_version == "1"} == {None}


def test_alerts_open_at_the_change_close_under_their_own_ids(undisturbed) -> None:
    alerts = [ALERTS.decode(value) for value in undisturbed[ALERTS.name]]
    opened = {each.id: each for each in alerts if each.state == "opened"}
    closed = {each.id: each for each in alerts if each.state == "closed"}
    assert opened.keys() == closed.keys()
    across = [name for name in opened if opened[name].model_version != closed[name].model_version]
    assert across, "none was open at the change: move it"
    assert all(closed[name].opened_ns == opened[name].event_ns for name in opened)


# A stage hands over when it ends in front of the end of the feed; here it is over.
@pytest.mark.parametrize("point", [point for point in POINTS if point != "stage.hand_over"])
def test_invariant_06_killed_around_a_promotion_every_row_is_seen_once_and_by_one_version(
    point: str, featurized: bytes, undisturbed, tmp_path: Path
) -> None:
    runs = swapping(featurized, tmp_path / "log.db", AT)
    # It dies in front of the change and behind it, and each time at this point when it goes on.
    assert not runs.score(CrashPoint("stage.processed", nth=AT // BATCH_ROWS))
    runs.score(CrashPoint(point))
    runs.score(CrashPoint("stage.processed", nth=3))
    before = runs.crashes
    for nth in (1, 2, 3):
        runs.score(CrashPoint(point, nth=nth))
    assert runs.crashes > before
    assert runs.score()
    assert_same(outputs(runs.open()), undisturbed)
    runs.close()


def assert_same(found: dict[str, list], expected: dict[str, list]) -> None:
    assert found.keys() == expected.keys()
    for topic in found:
        assert len(found[topic]) == len(expected[topic]), topic
        assert found[topic] == expected[topic], topic


@pytest.mark.parametrize("point", ["", "stage.processed", "bus.append.committed"])
def test_a_products_first_model_predicts_from_its_next_row_on(
    point: str, featurized: bytes, undisturbed, tmp_path: Path
) -> None:
    late = sorted(PAIRS)[0]
    runs = swapping(featurized, tmp_path / "log.db", AT, late)
    for nth in (AT // BATCH_ROWS, 2, 3, 1) if point else ():
        runs.score(CrashPoint(point, nth=nth))
    assert runs.crashes == (4 if point else 0)
    assert runs.score()
    log = runs.open()
    made = [each for each in decoded(log, PREDICTIONS) if each.product == late]
    known = [each.identity for each in undisturbed[PREDICTIONS.name] if each.product == late]
    behind = [each.identity for each in undisturbed[PREDICTIONS.name] if each.model_version == "2"]
    assert [each.identity for each in made] == [each for each in known if each in set(behind)]
    assert {each.model_version for each in made} == {"2"}
    outcomes = [each for each in decoded(log, OUTCOMES) if each.product == late]
    assert sorted(each.prediction_id for each in outcomes) == sorted(each.id for each in made)
    runs.close()


@pytest.mark.parametrize("nth", [2, 14])
@pytest.mark.parametrize("late", PAIRS)
def test_a_worker_that_has_not_looked_since_takes_up_what_a_first_model_had_pending(
    late: str, nth: int, featurized: bytes, tmp_path: Path
) -> None:
    """One that stood by: it began before the first model, and gets the partition after a death."""
    runs = swapping(featurized, tmp_path / "log.db", AT, late)
    assert not runs.score(CrashPoint("stage.processed", nth=AT // BATCH_ROWS + nth))
    runs.stands_by = True
    assert runs.score()
    log = runs.open()
    made = [each.id for each in decoded(log, PREDICTIONS)]
    assert sorted(each.prediction_id for each in decoded(log, OUTCOMES)) == sorted(made)
    assert len([each for each in decoded(log, PREDICTIONS) if each.product == late]) > 100
    runs.close()


@pytest.mark.parametrize("first", [tiny, of_regime])
def test_invariant_06_a_state_of_the_model_before_is_gone_on_with_under_its_ids(
    first: Callable[[str], Bundle], featurized: bytes, tmp_path: Path
) -> None:
    """Killed a few batches behind its newest state, and started again with the other model.

    What is in front was published by the model before: it is taken up under its ids, and graded.
    """
    runs = swapping(featurized, tmp_path / "log.db", 10**9)
    runs.shelf = Shelf(10**9, first)
    assert not runs.score(CrashPoint("stage.processed", nth=8))
    reader = runs.open()
    before = decoded(reader, PREDICTIONS)
    done = reader.group_offset("score", FEATURES.name)
    assert before
    runs.shelf = Shelf(done or 0, first)
    runs.challenged = False
    assert runs.score()
    made, outcomes = decoded(runs.open(), PREDICTIONS), decoded(runs.open(), OUTCOMES)
    assert [each.id for each in made[: len(before)]] == [each.id for each in before]
    assert {each.model_version for each in made[len(before) :]} == {"2"}
    assert sorted(each.prediction_id for each in outcomes) == sorted(each.id for each in made)
    runs.close()
