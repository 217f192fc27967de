"""The graded ledger from the topics: complete, the same after a death at any point, and nothing twice."""

from __future__ import annotations

import random
from pathlib import Path

import msgspec
import pytest

import volspike.pipeline.grading_topics as module
from graded_rows import START_S, Told, assert_same, plain_blocks, rows_of, tell
from volspike.bus.embedded import EmbeddedLog
from volspike.bus.port import Outgoing, Retention
from volspike.bus.topics import OUTCOMES, PREDICTIONS
from volspike.errors import BusError, ModelError
from volspike.monitoring.grading import GradedBlock
from volspike.monitoring.ledger import Ledger
from volspike.pipeline.grading_topics import TopicGrader
from volspike.records import Outcome, Prediction
from volspike.scoring.outcomes import outcome_of
from volspike.testing.manual_clock import ManualClock

PRODUCTS = ("BTC-USD", "ETH-USD", "SOL-USD")
STORY = sorted(
    [each for n, product in enumerate(PRODUCTS) for each in tell(product, n, 9_000, START_S + 500 * n)],
    key=lambda each: each.known_ns,
)
BLOCKS = plain_blocks(STORY)


@pytest.fixture
def log(tmp_path: Path):
    opened = EmbeddedLog(tmp_path / "log.db", ManualClock())
    yield opened
    opened.close()


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(tmp_path / "ledger")


def write(log: EmbeddedLog, told: list[Told]) -> None:
    topics = [PREDICTIONS if isinstance(each.record, Prediction) else OUTCOMES for each in told]
    log.append(
        [
            Outgoing(topic.name, each.record.product, topic.encode(each.record), each.record.event_ns)
            for topic, each in zip(topics, told, strict=True)
        ]
    )


def assert_complete(ledger: Ledger) -> None:
    for product in PRODUCTS:
        plain = [row for (of, _), rows in sorted(BLOCKS.items()) if of == product for row in rows]
        assert len(plain) > 500
        assert_same(ledger.rows(product), rows_of(plain))


def test_every_product_has_all_its_blocks(log: EmbeddedLog, ledger: Ledger) -> None:
    write(log, STORY)
    grader = TopicGrader(log, ledger)
    assert grader.step() == set(PRODUCTS)
    assert grader.newest_ns == max(e.record.event_ns for e in STORY if isinstance(e.record, Prediction))
    assert_complete(ledger)
    assert grader.step() == set()


def test_a_long_log_is_read_without_holding_all_of_it(
    log: EmbeddedLog, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_READ_ROWS", 100)
    write(log, STORY)
    grader, most = TopicGrader(log, ledger), 0
    grade = grader._grade

    def watched(*given):
        nonlocal most
        most = max(most, len(given[1]))
        return grade(*given)

    monkeypatch.setattr(grader, "_grade", watched)
    grader.step()
    assert_complete(ledger)
    assert most <= 200
    assert len(STORY) > 2_000


@pytest.mark.parametrize("seed", range(5))
def test_invariant_06_begun_anew_at_any_point_it_makes_the_same_blocks(
    seed: int, log: EmbeddedLog, ledger: Ledger
) -> None:
    rng = random.Random(seed)
    grader, at = TopicGrader(log, ledger), 0
    added: list[tuple[str, int]] = []
    add = ledger.add

    def noted(block: GradedBlock) -> bool:
        is_new = add(block)
        if is_new:
            added.append((block.product, block.start_s))
        return is_new

    ledger.add = noted  # type: ignore[method-assign]
    while at < len(STORY):
        step = rng.randrange(1, 600)
        write(log, STORY[at : at + step])
        at += step
        grader.step()
        if rng.random() < 0.5:
            grader = TopicGrader(log, ledger)
    grader.step()
    assert_complete(ledger)
    assert sorted(added) == sorted(set(added)) == sorted(BLOCKS)


@pytest.mark.parametrize("failing", ["add", "move"])
@pytest.mark.parametrize("nth", [1, 2, 5])
def test_a_disk_that_is_full_for_a_while_costs_no_row(
    failing: str, nth: int, log: EmbeddedLog, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = 0
    real = getattr(ledger, failing)

    def fails(given):
        nonlocal calls
        calls += 1
        if calls == nth:
            raise ModelError("ledger", "can't be written (No space left on device)", "free some")
        return real(given)

    monkeypatch.setattr(ledger, failing, fails)
    grader, refused = TopicGrader(log, ledger), 0
    for start in range(0, len(STORY), 700):
        write(log, STORY[start : start + 700])
        try:
            grader.step()
        except ModelError:
            refused += 1
    grader.step()
    assert refused == 1
    assert_complete(ledger)


def test_a_bus_that_goes_away_in_the_middle_of_reading_costs_no_row(
    log: EmbeddedLog, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_READ_ROWS", 150)
    rng, read, refused = random.Random(3), log.read, 0

    def unsteady(*given):
        if rng.random() < 0.02:
            raise BusError("log", "is away", "wait")
        return read(*given)

    monkeypatch.setattr(log, "read", unsteady)
    grader = TopicGrader(log, ledger)
    for start in range(0, len(STORY), 300):
        write(log, STORY[start : start + 300])
        try:
            grader.step()
        except BusError:
            refused += 1
    monkeypatch.setattr(log, "read", read)
    grader.step()
    assert refused > 2
    assert_complete(ledger)


def test_records_that_can_not_be_read_are_passed_over(log: EmbeddedLog, ledger: Ledger) -> None:
    for start in range(0, len(STORY), 50):
        log.append([Outgoing(topic.name, "BTC-USD", b"{}", 1) for topic in (PREDICTIONS, OUTCOMES)])
        write(log, STORY[start : start + 50])
    TopicGrader(log, ledger).step()
    assert_complete(ledger)


def test_behind_what_retention_has_deleted_it_goes_on(log: EmbeddedLog, ledger: Ledger) -> None:
    """The middle third is gone before it was read: its blocks lack, or lack rows, and no row is wrong."""
    third = len(STORY) // 3
    write(log, STORY[:third])
    TopicGrader(log, ledger).step()
    write(log, STORY[third : 2 * third])
    for topic in (PREDICTIONS, OUTCOMES):
        log.retain(topic.name, Retention(rows=0))
    write(log, STORY[2 * third :])
    grader = TopicGrader(log, ledger)
    grader.step()
    for product in PRODUCTS:
        plain = {row["second"]: row for (of, _), rows in BLOCKS.items() if of == product for row in rows}
        rows = ledger.rows(product)
        assert 0 < len(rows) < len(plain)
        assert rows.second[-1] // 1_800 == max(plain) // 1_800
        assert_same(rows, rows_of([plain[second] for second in rows.second.tolist()]))


def test_a_log_that_has_taken_the_place_of_a_damaged_one_is_read_from_its_begin(
    log: EmbeddedLog, ledger: Ledger, tmp_path: Path
) -> None:
    """It begins at offset 0 again, far in front of where the cursor stands."""
    cut = 2 * len(STORY) // 3
    write(log, STORY[:cut])
    TopicGrader(log, ledger).step()
    before = {product: ledger.newest_s(product) for product in PRODUCTS}
    other = EmbeddedLog(tmp_path / "other.db", ManualClock())
    write(other, STORY[cut:])
    grader = TopicGrader(other, ledger)
    for _ in range(2):
        grader.step()
    other.close()
    for product in PRODUCTS:
        newest = max(start for of, start in BLOCKS if of == product)
        assert ledger.newest_s(product) == newest > before[product]


def settled(told: list[Told]) -> list[Told]:
    """Return what a product tells that goes silent, with every outcome: heartbeats let its minutes end."""
    known = {each.record.prediction_id for each in told if isinstance(each.record, Outcome)}
    open_ = [e.record for e in told if isinstance(e.record, Prediction) and e.record.id not in known]
    matured = [made.event_ns + 61 * 10**9 for made in open_]
    return told + [
        Told(at_ns, outcome_of(made, 3.0, None, at_ns)) for at_ns, made in zip(matured, open_, strict=True)
    ]


def renamed(told: list[Told]) -> list[Told]:
    """Return the same under other ids."""
    replace = msgspec.structs.replace
    return [
        Told(
            each.known_ns,
            replace(each.record, id=f"later {each.record.id}")
            if isinstance(each.record, Prediction)
            else replace(each.record, prediction_id=f"later {each.record.prediction_id}"),
        )
        for each in told
    ]


@pytest.mark.parametrize("seed", range(3))
def test_a_product_that_goes_silent_has_its_last_block_and_does_not_hold_up_the_others(
    seed: int, log: EmbeddedLog, ledger: Ledger
) -> None:
    quiet = settled(tell("BTC-USD", seed, 2_400))
    later = renamed(tell("BTC-USD", 8, 3_000, START_S + 40_000))  # so the plain look sees the last block too
    others = tell("ETH-USD", seed, 9_000)
    told = sorted(quiet + others, key=lambda each: each.known_ns)
    expected = {key: rows for key, rows in plain_blocks(quiet + later).items() if key[1] < START_S + 3_600}
    rng, at, grader = random.Random(seed), 0, TopicGrader(log, ledger)
    while at < len(told):
        write(log, told[at : (at := at + rng.randrange(1, 400))])
        grader.step()
        if rng.random() < 0.5:
            grader = TopicGrader(log, ledger)
    rows = [row for _, block in sorted(expected.items()) for row in block]
    assert len(rows) > 200
    assert_same(ledger.rows("BTC-USD"), rows_of(rows))
    cursor = ledger.cursor()
    for topic in (PREDICTIONS, OUTCOMES):
        first = log.read(topic.name, cursor[f"{topic.name}/0"], 1)[0]
        assert first.key == "ETH-USD"
        # The open block, and what is known a minute late: not the hours behind the silent one.
        assert first.event_ns > (START_S + 2 * 3_600 - 60) * 10**9
    # It comes back: a product like any other.
    write(log, later)
    grader.step()
    assert ledger.newest_s("BTC-USD") == START_S + 39_600


def test_what_is_written_twice_is_graded_once(log: EmbeddedLog, ledger: Ledger) -> None:
    """A stage that has begun again writes again: in the middle of a block, and across blocks."""
    story = [each for each in STORY if each.record.product == "BTC-USD"]
    grader, third = TopicGrader(log, ledger), len(story) // 3
    for start, stop in ((0, third), (third // 2, 2 * third), (third // 2, third), (2 * third, len(story))):
        write(log, story[start:stop])
        grader.step()
    rows = [row for (of, _), block in sorted(BLOCKS.items()) if of == "BTC-USD" for row in block]
    assert_same(ledger.rows("BTC-USD"), rows_of(rows))


def test_several_partitions_are_all_read(tmp_path: Path, ledger: Ledger) -> None:
    class Partitioned(EmbeddedLog):
        """A log of three partitions, one a product, made of three logs."""

        def __init__(self) -> None:
            self.parts = [EmbeddedLog(tmp_path / f"log{n}.db", ManualClock()) for n in range(3)]

        def partitions(self, _topic: str) -> int:
            return 3

        def start_offset(self, topic: str, partition: int = 0) -> int:
            return self.parts[partition].start_offset(topic)

        def end_offset(self, topic: str, partition: int = 0) -> int:
            return self.parts[partition].end_offset(topic)

        def read(self, topic: str, offset: int, limit: int, partition: int = 0):
            return self.parts[partition].read(topic, offset, limit)

    log = Partitioned()
    for start in range(0, len(STORY), 800):
        for part, product in zip(log.parts, PRODUCTS, strict=True):
            write(part, [each for each in STORY[start : start + 800] if each.record.product == product])
        TopicGrader(log, ledger).step()
    assert_complete(ledger)
    assert set(ledger.cursor()) == {
        f"{topic.name}/{n}" for topic in (PREDICTIONS, OUTCOMES) for n in range(3)
    }
    for part in log.parts:
        part.close()
