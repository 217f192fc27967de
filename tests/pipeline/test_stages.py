"""Featurize and score between topics of the embedded log, killed at every step and at random points."""

from __future__ import annotations

import random
from pathlib import Path

import msgspec
import pytest
from stage_runs import (
    CORE,
    NS,
    POINTS,
    SCALES,
    Runs,
    bundle,
    decoded,
    market,
    outputs,
    policy,
    rows_of,
    write,
)

from volspike.bus.port import Outgoing, Place, Retention
from volspike.bus.state_store import StateStore
from volspike.bus.topics import ALERTS, DEADLETTER, FEATURES, GAPS, OUTCOMES, PREDICTIONS, TICKS
from volspike.features.columns import FeatureSet
from volspike.features.sets import TICK_SETS, get_feature_set
from volspike.features.window import PureWindowEngine
from volspike.pipeline.feature_rows import FeatureRows
from volspike.pipeline.featurize_stage import FeaturizeStage
from volspike.pipeline.served_models import trailing_for
from volspike.pipeline.stage import FeatureStages
from volspike.records import FeatureRow, Mark, Tick
from volspike.scoring.lineup import Lineup
from volspike.scoring.scorer import Scorer
from volspike.testing.crash_point import CrashPoint
from volspike.testing.manual_clock import ManualClock

LATE = (700, 1100)


@pytest.fixture(scope="module")
def ticks() -> list:
    return market()


def prepared(path: Path, ticks: list, late: tuple[int, int] = (0, 0), features: FeatureSet = CORE) -> Runs:
    runs = Runs(path, late, features)
    write(runs.open(), ticks)
    return runs


@pytest.fixture(scope="module")
def undisturbed(ticks, tmp_path_factory) -> dict[str, list]:
    runs = prepared(tmp_path_factory.mktemp("whole") / "log.db", ticks, LATE)
    assert runs.run("featurize")
    assert runs.run("score")
    found = outputs(runs.open())
    runs.close()
    return found


def test_the_market_holds_what_matters(ticks, undisturbed) -> None:
    assert len(ticks) > 1_500
    assert len({(t.product, t.event_ns) for t in ticks}) < len(ticks) - 50
    assert sum(not isinstance(t, Tick) for t in ticks) > 10
    predictions = undisturbed[PREDICTIONS.name]
    assert {p.late for p in predictions} == {True, False}
    assert {p.product for p in predictions} == {"BTC-USD", "ETH-USD"}
    outcomes = [OUTCOMES.decode(value) for value in undisturbed[OUTCOMES.name]]
    assert {outcome.unlabelled for outcome in outcomes} == {None, "break", "late"}
    assert {ALERTS.decode(value).state for value in undisturbed[ALERTS.name]} == {"opened", "closed"}


@pytest.mark.parametrize("stage", ["featurize", "score"])
@pytest.mark.parametrize("point", POINTS)
def test_invariant_06_a_stage_killed_at_each_step_shows_every_result_once(
    stage: str, point: str, ticks, undisturbed, tmp_path: Path
) -> None:
    runs = prepared(tmp_path / "log.db", ticks, LATE)
    if stage == "score":
        assert runs.run("featurize")
    for nth in (1, 3, 6):
        runs.run(stage, CrashPoint(point, nth=nth))
    assert runs.crashes >= 1
    assert runs.run("featurize")
    assert runs.run("score")
    assert outputs(runs.open()) == undisturbed
    runs.close()


@pytest.mark.parametrize("seed", range(4))
def test_invariant_06_stages_killed_at_random_points_show_every_result_once(
    seed: int, ticks, undisturbed, tmp_path: Path
) -> None:
    rng = random.Random(seed)
    runs = prepared(tmp_path / "log.db", ticks, LATE)
    for stage in ("featurize", "score"):
        for _ in range(8):
            runs.run(stage, CrashPoint(rng.choice(POINTS), nth=rng.randrange(1, 4)))
    assert runs.crashes >= 4
    assert runs.run("featurize")
    assert runs.run("score")
    assert outputs(runs.open()) == undisturbed
    runs.close()


def test_the_stages_equal_the_way_in_one_process(ticks, tmp_path: Path) -> None:
    runs = prepared(tmp_path / "log.db", ticks)
    assert runs.run("featurize")
    assert runs.run("score")
    found = outputs(runs.open())
    stages, scorers, policies = FeatureStages(CORE, tmp_path / "features"), {}, {}
    expected: dict[str, list] = {name: [] for name in found}
    for record in ticks:
        product, prediction = record.product, None
        if isinstance(record, Tick):
            row = stages.for_tick(record).tick(record, keep=False)
            expected[FEATURES.name].append(FEATURES.encode(row))
            if product not in scorers:
                model = bundle(product)
                trailing = trailing_for(model, SCALES, keeps_regime=False)
                scorers[product] = Scorer(Lineup(model.predictor, model.reference), trailing, ManualClock())
                policies[product] = policy()
            prediction = scorers[product].on_row(row, 0)
        else:
            expected[FEATURES.name].append(FEATURES.encode(record))
            scorers[product].on_mark(record)
        if prediction is not None:
            expected[PREDICTIONS.name].append(prediction)
        alert = policies[product].step(product, record.event_ns, record.covered_since_ns, prediction)
        if alert is not None:
            expected[ALERTS.name].append(ALERTS.encode(alert))
        graded = scorers[product].take_graded()
        expected[OUTCOMES.name] += [OUTCOMES.encode(each.outcome) for each in graded]
    assert found == expected
    runs.close()


@pytest.mark.parametrize("name", TICK_SETS)
def test_a_window_rebuilt_from_the_last_minute_goes_on_like_a_restored_one(
    ticks, tmp_path: Path, name: str
) -> None:
    cut, features = len(ticks) * 3 // 4, get_feature_set(name)
    runs = prepared(tmp_path / "log.db", ticks[:cut], features=features)
    assert runs.run("featurize")
    write(runs.open(), ticks[cut:])
    assert runs.run("featurize")
    rows = rows_of(decoded(runs.open(), FEATURES))
    for product in ("BTC-USD", "ETH-USD"):
        mine = [t for t in ticks if isinstance(t, Tick) and t.product == product]
        later = [t for t in ticks[cut:] if isinstance(t, Tick) and t.product == product]
        seek_ns = later[0].event_ns - 121 * NS
        rebuilt = FeatureRows(features, 2)
        again = [FEATURES.encode(rebuilt.row(t, t.covered_since_ns)) for t in mine if t.event_ns > seek_ns]
        written = [FEATURES.encode(row) for row in rows if row.product == product]
        assert again[-len(later) :] == written[-len(later) :]
    runs.close()


def test_a_record_that_is_none_becomes_a_dead_letter_and_the_stream_goes_on(ticks, tmp_path: Path) -> None:
    runs = prepared(tmp_path / "log.db", ticks[:400])
    log = runs.open()
    crossed = msgspec.structs.replace(next(t for t in ticks if isinstance(t, Tick)), bid=9, ask=8)
    huge = msgspec.structs.replace(crossed, bid=2**70, ask=2**70)
    bad = [b"\xff junk", TICKS.encode(crossed), TICKS.encode(huge)]
    log.append([Outgoing(TICKS.name, "BTC-USD", value, ticks[399].event_ns) for value in bad])
    log.append([Outgoing(FEATURES.name, "BTC-USD", b"{}", ticks[399].event_ns)])
    write(log, ticks[400:])
    assert runs.run("featurize")
    assert runs.run("score")
    letters = decoded(log, DEADLETTER)
    assert [letter.raw for letter in letters] == [*bad, b"{}"]
    assert [(letter.error, letter.topic, letter.partition) for letter in letters] == [
        ("ProtocolError", TICKS.name, 0),
        ("FeatureError", TICKS.name, 0),
        (letters[2].error, TICKS.name, 0),
        ("ProtocolError", FEATURES.name, 0),
    ]
    assert [letter.offset for letter in letters] == [400, 401, 402, 0]
    assert len(rows_of(decoded_sound(log))) == sum(isinstance(t, Tick) for t in ticks)
    runs.close()


def decoded_sound(log) -> list:
    return [FEATURES.decode(record.value) for record in log.read(FEATURES.name, 1, 10**6)]


@pytest.mark.parametrize("restored", [True, False])
def test_invariant_04_no_window_spans_what_retention_deleted_unread(
    restored: bool, ticks, tmp_path: Path
) -> None:
    """Read up to 900; written on; 900 to 1100 are deleted before they were read."""
    runs = prepared(tmp_path / "log.db", ticks[:900])
    if restored:
        assert runs.run("featurize")
    else:  # dies right after a commit: the state is older than the offset, and the records between are gone
        runs.run("featurize", CrashPoint("bus.append.committed", nth=6))
    log = runs.open()
    committed = log.group_offset("featurize", TICKS.name) or 0
    write(log, ticks[900:])
    log.retain(TICKS.name, Retention(rows=len(ticks) - 1100))
    rows_before = len(decoded(log, FEATURES))
    assert runs.run("featurize")
    told = decoded(log, FEATURES)
    before, behind = told[:rows_before], rows_of(told[rows_before:])
    gaps = decoded(log, GAPS)
    assert {(gap.product, gap.reason) for gap in gaps} == {("BTC-USD", "retention"), ("ETH-USD", "retention")}
    assert len(gaps) == 2
    assert committed <= 900
    for product in ("BTC-USD", "ETH-USD"):
        first_ns = next(row.event_ns for row in behind if row.product == product)
        known = {row.covered_since_ns for row in rows_of(before) if row.product == product}
        engine = PureWindowEngine(CORE, 2)
        for tick in (t for t in ticks[1100:] if isinstance(t, Tick) and t.product == product):
            row = next(row for row in behind if row.identity == tick.identity)
            assert row.covered_since_ns == max(first_ns, tick.covered_since_ns)
            assert row.covered_since_ns not in known
            assert row.complete == (row.event_ns - row.covered_since_ns >= 60 * NS)
            values = engine.step(
                tick.event_ns, row.covered_since_ns, tick.bid, tick.ask, tick.bid_size, tick.ask_size
            )
            assert row.values == tuple(None if v != v else v for v in values[:-1])
    runs.close()


def test_invariant_04_ticks_deleted_between_state_and_offset_begin_a_new_stretch(
    ticks, tmp_path: Path
) -> None:
    runs = prepared(tmp_path / "log.db", ticks)
    runs.run("featurize", CrashPoint("bus.append.committed", nth=7))
    log = runs.open()
    committed = log.group_offset("featurize", TICKS.name) or 0
    store = StateStore(log, "featurize")
    state = store.offset(store.load(0))
    assert state is not None
    assert state.offset < committed - 5
    log.retain(TICKS.name, Retention(rows=len(ticks) - committed + 5))
    assert runs.run("featurize")
    told = decoded(log, FEATURES)
    assert [r.identity for r in rows_of(told)] == [t.identity for t in ticks if isinstance(t, Tick)]
    for product in ("BTC-USD", "ETH-USD"):
        first = next(row for row in rows_of(told[committed:]) if row.product == product)
        assert (first.covered_since_ns, first.ticks) == (first.event_ns, 1)
    assert {gap.product for gap in decoded(log, GAPS)} == {"BTC-USD", "ETH-USD"}
    runs.close()


def test_a_hole_in_the_rows_leaves_what_was_pending_unlabelled(tmp_path: Path) -> None:
    ticks = market(breaks_s=())
    runs = prepared(tmp_path / "log.db", ticks[:1000])
    assert runs.run("featurize")
    assert runs.run("score")
    log = runs.open()
    write(log, ticks[1000:])
    assert runs.run("featurize")
    pending = {p.id for p in decoded(log, PREDICTIONS)} - {o.prediction_id for o in decoded(log, OUTCOMES)}
    assert pending
    log.retain(FEATURES.name, Retention(rows=len(ticks) - 1200))
    assert runs.run("score")
    outcomes = decoded(log, OUTCOMES)
    assert {o.prediction_id for o in outcomes if o.unlabelled == "break"} == pending
    ids = [o.prediction_id for o in outcomes]
    assert len(ids) == len(set(ids))
    # The minutes behind it are graded again.
    behind = ticks[1200].event_ns
    assert any(o.unlabelled is None and o.event_ns >= behind for o in outcomes)
    runs.close()


@pytest.mark.parametrize("nth", [9, 15, 21])
def test_rows_deleted_between_state_and_offset_are_graded_once_all_the_same(nth: int, tmp_path: Path) -> None:
    """Results of the deleted rows were written, and the state does not know of them."""
    ticks = market(breaks_s=())
    runs = prepared(tmp_path / "log.db", ticks)
    assert runs.run("featurize")
    assert not runs.run("score", CrashPoint("bus.append.committed", nth=nth))
    log = runs.open()
    committed = log.group_offset("score", FEATURES.name) or 0
    store = StateStore(log, "score")
    state = store.offset(store.load(0))
    assert state is not None
    assert state.offset < committed - 5
    before = {o.prediction_id for o in decoded(log, OUTCOMES)}
    made = {p.id for p in decoded(log, PREDICTIONS)}
    log.retain(FEATURES.name, Retention(rows=len(ticks) - committed + 5))
    assert runs.run("score")
    outcomes = decoded(log, OUTCOMES)
    ids = [o.prediction_id for o in outcomes]
    assert len(ids) == len(set(ids))
    assert {o.prediction_id for o in outcomes if o.unlabelled == "break"} == made - before
    for product in ("BTC-USD", "ETH-USD"):
        told = [(a.id, a.state) for a in decoded(log, ALERTS) if a.product == product]
        assert [state for _, state in told] == ["opened", "closed"] * (len(told) // 2) + ["opened"] * (
            len(told) % 2
        )
        assert [each for each, _ in told[1::2]] == [each for each, _ in told[: len(told) // 2 * 2 : 2]]
    runs.close()


@pytest.mark.parametrize("days", [0.5, 30_000])
@pytest.mark.parametrize("same_stretch", [True, False])
@pytest.mark.parametrize("kind", ["row", "mark"])
def test_a_record_far_in_the_future_is_a_dead_letter_and_no_clock_moves(
    kind: str, same_stretch: bool, days: float, ticks, undisturbed, tmp_path: Path
) -> None:
    runs = prepared(tmp_path / "log.db", ticks, LATE)
    assert runs.run("featurize")
    log = runs.open()
    found = log.read(FEATURES.name, 0, 10**6)
    other = Runs(tmp_path / "other.db", LATE)
    copy = other.open()
    decoded_rows = [FEATURES.decode(record.value) for record in found]
    at = next(i for i in range(1200, len(found)) if isinstance(decoded_rows[i], FeatureRow))
    near = decoded_rows[at]
    assert isinstance(near, FeatureRow)
    ahead_ns = near.event_ns + int(days * 86_400) * NS
    since_ns = near.covered_since_ns if same_stretch else ahead_ns
    wrong = msgspec.structs.replace(near, event_ns=ahead_ns, covered_since_ns=since_ns)
    if kind == "mark":
        shared = set(Mark.__struct_fields__) & set(FeatureRow.__struct_fields__)
        wrong = Mark(**{name: getattr(wrong, name) for name in shared})
    values = [(r.key, r.value, r.event_ns) for r in found]
    values.insert(at + 1, (near.product, FEATURES.encode(wrong), ahead_ns))
    copy.append([Outgoing(FEATURES.name, *each) for each in values])
    while not other.run("score", CrashPoint("bus.append.committed", nth=14)):
        pass
    assert [letter.raw for letter in decoded(copy, DEADLETTER)] == [values[at + 1][1]]
    for topic in (PREDICTIONS, OUTCOMES, ALERTS):
        assert outputs(copy)[topic.name] == undisturbed[topic.name]
    runs.close()
    other.close()


def test_a_group_set_back_begins_anew_and_clears_the_state_that_is_ahead(ticks, tmp_path: Path) -> None:
    runs = prepared(tmp_path / "log.db", ticks)
    assert runs.run("featurize")
    log = runs.open()
    first = decoded(log, FEATURES)
    log._connection.execute("UPDATE group_offsets SET next_offset = 0")
    assert not runs.run("featurize", CrashPoint("bus.append.committed", nth=2))
    assert runs.run("featurize")
    assert decoded(log, FEATURES) == first + first
    runs.close()


def test_a_stage_of_another_suffix_reads_and_writes_topics_of_its_own(ticks, tmp_path: Path) -> None:
    runs = Runs(tmp_path / "log.db")
    log = runs.open()
    write(log, ticks[:10], "-b")
    stage = FeaturizeStage(log, CORE, suffix="-b")
    stage.restore(Place(TICKS.name + "-b", 0, 0))
    topics = {out.topic for out in stage.process(log.read(TICKS.name + "-b", 0, 10))}
    assert topics == {FEATURES.name + "-b", "volspike.state.featurize-b"}
    runs.close()
