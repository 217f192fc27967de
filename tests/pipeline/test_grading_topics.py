"""The graded ledger from the topics: complete, the same after a death at any point, and nothing twice."""

from __future__ import annotations

import random
from pathlib import Path

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
from volspike.records import Prediction
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


def test_several_partitions_are_all_read(tmp_path: Path, ledger: Ledger) -> None:
    class Partitioned(EmbeddedLog):
        """A log of three partitions, one a product, made of three logs."""

        def __init__(self) -> None:
            self.parts = [EmbeddedLog(tmp_path / f"log{n}.db", ManualClock()) for n in range(3)]

        def partitions(self, _topic: str) -> int:
            return 3

        def start_offset(self, topic: str, partition: int = 0) -> int:
            return self.parts[partition].start_offset(topic)

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
