"""Records of frames reach the bus once and in order: queue full, bus away, answers lost, process killed."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from volspike.bus.embedded import EmbeddedLog
from volspike.bus.topics import TICKS
from volspike.clock import SystemClock
from volspike.errors import BusError, FencedError, UnavailableError
from volspike.pipeline.frame_records import FrameRecords
from volspike.pipeline.publish_position import PublishPosition
from volspike.pipeline.publisher import Publisher
from volspike.records import Mark
from volspike.testing.crash_point import CrashPoint
from whole_runs import wait_until

FRAMES = 400
ARCHIVE = "a" * 32
STEPS = (
    "publish.encoded",
    "bus.append.begun",
    "bus.append.inserted",
    "bus.append.before_commit",
    "bus.append.committed",
    "publish.committed",
)


def frame(seq: int) -> FrameRecords:
    """Return a frame of no, one, two or three records."""
    records = [
        (
            TICKS,
            Mark(
                product=f"P{row}-USD",
                feed="exchange",
                session="s",
                event_ns=seq,
                covered_since_ns=0,
                archive_seq=seq,
                archive_row=row,
            ),
        )
        for row in range(seq % 4)
    ]
    return FrameRecords(seq, seq, records)


def archived(after: int, to: int) -> Iterator[FrameRecords]:
    return (frame(seq) for seq in range(after + 1, to + 1))


class Troubled:
    """A log that is away at times, and loses answers: as ``trouble`` raises before or after an append."""

    def __init__(self, path: Path, trouble: Callable[[str], None]) -> None:
        self._log = EmbeddedLog(path, SystemClock(), reached=trouble)
        self._trouble = trouble
        self.read, self.settle, self.close = self._log.read, self._log.settle, self._log.close

    def append(self, records, consumer=None) -> None:
        self._trouble("before")
        self._log.append(records, consumer)
        self._trouble("after")


class Bench:
    def __init__(self, root: Path) -> None:
        self.root = root
        self.trouble: Callable[[str], None] = lambda _step: None

    def start(self, last_seq: int = 0, **options) -> Publisher:
        position = PublishPosition("ingest", "", self.root / "note.json", 0, ARCHIVE)
        return Publisher(
            lambda: Troubled(self.root / "log.db", lambda step: self.trouble(step)),
            position,
            archived,
            last_seq,
            **{"batch_rows": 37, "interval_s": 0.001, **options},
        )

    def published(self) -> list[tuple[int, int]]:
        log = EmbeddedLog(self.root / "log.db", SystemClock())
        marks = [msgspec.json.decode(record.value) for record in log.read(TICKS.name, 0, 10**6)]
        log.close()
        return [(mark["archive_seq"], mark["archive_row"]) for mark in marks]


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def expected(frames: int = FRAMES) -> list[tuple[int, int]]:
    return [(seq, row) for seq in range(1, frames + 1) for row in range(seq % 4)]


def feed(publisher: Publisher, first: int = 1, last: int = FRAMES, pause_s: float = 0.0) -> list[bool]:
    kept = []
    for seq in range(first, last + 1):
        kept.append(publisher.put(frame(seq)))
        if pause_s:
            time.sleep(pause_s)
    return kept


def test_everything_is_published_once_and_in_order(bench: Bench) -> None:
    publisher = bench.start()
    assert all(feed(publisher))
    publisher.close(30)
    assert bench.published() == expected()
    assert publisher.read_back == 0
    assert not publisher.is_behind


def test_a_pause_holds_what_is_less_than_a_batch_until_the_end(bench: Bench) -> None:
    gate = threading.Event()
    bench.trouble = lambda step: gate.wait(30) and None if step == "before" else None
    publisher = bench.start(pause_s=600.0)
    feed(publisher, last=FRAMES - 4)
    gate.set()
    wait_until(lambda: len(expected()) - publisher.published < 37)
    feed(publisher, FRAMES - 3)
    time.sleep(0.05)
    assert publisher.is_behind
    publisher.close(30)
    assert bench.published() == expected()
    assert not publisher.is_behind


def test_what_a_full_queue_refuses_comes_from_the_archive(bench: Bench) -> None:
    gate = threading.Event()
    bench.trouble = lambda step: gate.wait(30) and None if step == "before" else None
    publisher = bench.start(capacity_rows=50)
    kept = feed(publisher, last=300)
    assert kept[:10] == [True] * 10
    assert not any(kept[60:])
    gate.set()
    wait_until(lambda: publisher.seq == 300)
    assert all(feed(publisher, 301, pause_s=0.001))
    publisher.close(30)
    assert bench.published() == expected()
    assert 0 < publisher.read_back < publisher.published == len(expected())


def test_a_bus_that_is_away_and_loses_answers_gets_everything_once(bench: Bench) -> None:
    calls = iter(range(10**6))

    def trouble(step: str) -> None:
        # Of the answers some are lost before the commit, some behind it.
        if step in ("before", "after") and next(calls) % 5 == 3:
            raise UnavailableError("log", "is away", "wait")

    bench.trouble = trouble
    publisher = bench.start(capacity_rows=120)
    feed(publisher, pause_s=0.002)
    publisher.close(60)
    assert bench.published() == expected()
    assert publisher.outages > 2


def test_a_bus_that_is_away_at_the_start_gets_what_came_meanwhile(bench: Bench) -> None:
    def away(_step: str) -> None:
        raise UnavailableError("log", "is away", "wait")

    def gone(_step: str) -> None:
        raise BusError("log", "is gone", "start again")

    former = Bench(bench.root)
    former.trouble = away
    publisher = former.start(capacity_rows=30)
    feed(publisher, last=200)
    publisher.close(0.2)
    assert publisher.is_behind
    former.trouble = gone
    wait_until(lambda: publisher.failure is not None)
    second = bench.start(last_seq=200)
    feed(second, 201)
    second.close(30)
    assert bench.published() == expected()


@pytest.mark.parametrize("step", STEPS)
def test_a_process_that_dies_at_any_step_is_continued(bench: Bench, step: str) -> None:
    for life, last in enumerate((130, 260, FRAMES)):
        point = CrashPoint(step, nth=2 + life)
        bench.trouble = point if step.startswith("bus") else lambda _step: None
        first = 1 if life == 0 else (130, 260)[life - 1] + 1
        publisher = bench.start(last_seq=first - 1, reached=point)
        feed(publisher, first, last)
        publisher.close(30)
        # In this process a death shows as a failure of the thread.
        assert "CrashError" in str(publisher.failure)
    bench.trouble = lambda _step: None
    publisher = bench.start(last_seq=FRAMES)
    publisher.close(30)
    assert publisher.failure is None
    assert bench.published() == expected()


def test_a_start_with_nothing_to_do_reads_nothing_back(bench: Bench) -> None:
    publisher = bench.start()
    feed(publisher)
    publisher.close(30)

    def past(after: int, to: int):
        raise AssertionError("read back")

    position = PublishPosition("ingest", "", bench.root / "note.json", 0, ARCHIVE)
    again = Publisher(lambda: EmbeddedLog(bench.root / "log.db", SystemClock()), position, past, FRAMES)
    again.close(30)
    assert again.failure is None
    assert again.seq == FRAMES


def test_what_another_process_has_taken_over_is_left_alone(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    def fenced(step: str) -> None:
        if step == "before":
            raise FencedError("log", "another runs", "stop one")

    bench.trouble = fenced
    publisher = bench.start()
    feed(publisher)
    wait_until(lambda: publisher.failure is not None)
    assert isinstance(publisher.failure, FencedError)
    assert publisher.put(frame(FRAMES + 1)) is False
    assert bench.published() == []
    publisher.close(30)
    said = capsys.readouterr().err
    assert "this one ends" in said
    assert "the archive goes on" not in said


def test_a_position_ahead_of_the_archive_is_refused(bench: Bench) -> None:
    publisher = bench.start()
    feed(publisher)
    publisher.close(30)
    behind = bench.start(last_seq=10)
    wait_until(lambda: behind.failure is not None)
    assert "the archive ends at 10" in str(behind.failure)


def test_a_damaged_note_is_told(tmp_path: Path) -> None:
    note = tmp_path / "note.json"
    note.write_bytes(b"{")
    with pytest.raises(BusError, match="tells no position"):
        PublishPosition("ingest", "", note, 0, ARCHIVE)
