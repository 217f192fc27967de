"""The embedded log in one process: order, groups, atomicity, look-up by time, retention, bad files."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from volspike.bus.embedded import EmbeddedLog
from volspike.bus.port import Outgoing, Retention
from volspike.clock import SystemClock
from volspike.errors import BusError
from volspike.testing.crash_point import CrashError, CrashPoint
from volspike.testing.manual_clock import ManualClock

CLOCK = SystemClock()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "log.db"


@pytest.fixture
def log(path: Path) -> Iterator[EmbeddedLog]:
    log = EmbeddedLog(path, CLOCK)
    yield log
    log.close()


def numbered(topic: str, numbers: range) -> list[Outgoing]:
    return [Outgoing(topic, "BTC-USD", str(n).encode(), n) for n in numbers]


def values(records: list) -> list[int]:
    return [int(record.value) for record in records]


def test_records_come_back_in_order_with_contiguous_offsets(log: EmbeddedLog) -> None:
    log.append(numbered("a", range(5)))
    log.append(numbered("a", range(5, 8)) + numbered("b", range(2)))
    records = log.read("a", 0, 100)
    assert values(records) == list(range(8))
    assert [record.offset for record in records] == list(range(8))
    assert records[3].key == "BTC-USD"
    assert records[3].event_ns == 3
    assert values(log.read("a", 6, 1)) == [6]
    assert (log.start_offset("a"), log.end_offset("a"), log.end_offset("b")) == (0, 8, 2)


def test_a_topic_nobody_wrote_to_is_empty(log: EmbeddedLog) -> None:
    assert log.read("none", 0, 10) == []
    assert (log.end_offset("none"), log.offset_at("none", 5), log.start_offset("none")) == (0, 0, 0)
    assert log.retain("none", Retention(rows=1)) == 0


def test_two_groups_have_independent_offsets_that_survive_reopening(log: EmbeddedLog, path: Path) -> None:
    log.append(numbered("a", range(10)))
    slow, fast = log.consumer("slow", ["a"]), log.consumer("fast", ["a"])
    assert values(slow.poll(3, 0)) == [0, 1, 2]
    assert values(fast.poll(8, 0)) == list(range(8))
    log.append((), slow)
    log.append((), fast)
    again = EmbeddedLog(path, CLOCK)
    assert (again.group_offset("slow", "a"), again.group_offset("fast", "a")) == (3, 8)
    assert values(again.consumer("slow", ["a"]).poll(100, 0)) == list(range(3, 10))
    assert again.group_offset("other", "a") is None
    again.close()


def test_what_was_not_committed_is_read_again(log: EmbeddedLog) -> None:
    log.append(numbered("a", range(4)))
    consumer = log.consumer("g", ["a"])
    assert values(consumer.poll(10, 0)) == [0, 1, 2, 3]
    assert consumer.poll(10, 0) == []
    consumer.rewind()
    assert values(consumer.poll(10, 0)) == [0, 1, 2, 3]
    assert values(log.consumer("g", ["a"]).poll(10, 0)) == [0, 1, 2, 3]


def test_a_new_group_can_start_at_the_end(log: EmbeddedLog) -> None:
    log.append(numbered("a", range(4)))
    consumer = log.consumer("tail", ["a", "b"], from_end=True)
    assert consumer.poll(10, 0) == []
    log.append(numbered("a", range(4, 6)) + numbered("b", range(1)))
    assert sorted(values(consumer.poll(10, 0))) == [0, 4, 5]


def test_a_busy_topic_does_not_starve_the_others(log: EmbeddedLog) -> None:
    log.append(numbered("busy", range(100)) + numbered("calm", range(2)))
    consumer = log.consumer("g", ["busy", "calm"])
    topics = {record.topic for _ in range(2) for record in consumer.poll(10, 0)}
    assert topics == {"busy", "calm"}


@pytest.mark.parametrize("point", ["bus.append.begun", "bus.append.inserted", "bus.append.before_commit"])
def test_read_process_write_is_all_or_nothing(path: Path, point: str) -> None:
    log = EmbeddedLog(path, CLOCK, reached=CrashPoint(point, nth=2))
    log.append(numbered("in", range(3)))
    consumer = log.consumer("g", ["in"])
    copies = [Outgoing("out", r.key, r.value, r.event_ns) for r in consumer.poll(10, 0)]
    with pytest.raises(CrashError):
        log.append(copies, consumer)
    assert log.end_offset("out") == 0
    assert log.group_offset("g", "in") is None
    consumer.rewind()
    log.append([Outgoing("out", r.key, r.value, r.event_ns) for r in consumer.poll(10, 0)], consumer)
    assert values(log.read("out", 0, 10)) == [0, 1, 2]
    assert log.group_offset("g", "in") == 3
    log.close()


def test_a_second_member_of_a_group_is_fenced(log: EmbeddedLog, path: Path) -> None:
    log.append(numbered("in", range(3)))
    other_log = EmbeddedLog(path, CLOCK)
    first, zombie = log.consumer("g", ["in"]), other_log.consumer("g", ["in"])
    first.poll(2, 0)
    zombie.poll(3, 0)
    log.append(numbered("out", range(2)), first)
    with pytest.raises(BusError, match="moved on in in by another member"):
        other_log.append(numbered("out", range(3)), zombie)
    assert log.end_offset("out") == 2
    assert log.group_offset("g", "in") == 2
    other_log.close()


def test_offset_at_equals_a_linear_search_over_out_of_order_times(log: EmbeddedLog) -> None:
    rng = random.Random(7)
    times = [n * 10 + rng.randrange(-200, 200) for n in range(2_000)]
    start = 0
    while start < len(times):
        batch = times[start : start + rng.randrange(1, 400)]
        log.append([Outgoing("a", "k", b"x", t) for t in batch])
        start += len(batch)
    for wanted in [
        *rng.sample(range(-300, 20_500), 100),
        -(10**9),
        10**9,
        times[0],
        max(times),
        max(times) + 1,
    ]:
        expected = next((offset for offset, t in enumerate(times) if t >= wanted), len(times))
        assert log.offset_at("a", wanted) == expected


def test_offset_at_finds_the_first_of_many_equal_times(log: EmbeddedLog) -> None:
    for _ in range(10):
        log.append([Outgoing("a", "k", b"x", 5)] * 100)
    log.append([Outgoing("a", "k", b"x", 6)] * 100)
    assert [log.offset_at("a", t) for t in (4, 5, 6, 7)] == [0, 0, 1_000, 1_100]


def test_retention_by_rows_keeps_the_newest(log: EmbeddedLog) -> None:
    log.append(numbered("a", range(5_000)) + numbered("b", range(3)))
    assert log.retain("a", Retention(rows=10)) == 4_990
    assert values(log.read("a", 0, 100)) == list(range(4_990, 5_000))
    assert (log.start_offset("a"), log.end_offset("a"), log.start_offset("b")) == (4_990, 5_000, 0)
    assert log.retain("a", Retention(rows=10)) == 0
    log.append(numbered("a", range(5_000, 5_001)))
    assert log.read("a", 5_000, 1)[0].offset == 5_000


def test_retention_by_event_time_and_look_up_after_it(log: EmbeddedLog) -> None:
    for start in range(0, 3_000, 100):
        log.append(numbered("a", range(start, start + 100)))
    assert log.retain("a", Retention(before_event_ns=1_234)) == 1_234
    assert log.read("a", 0, 1)[0].event_ns == 1_234
    assert [log.offset_at("a", t) for t in (0, 1_234, 2_000, 5_000)] == [1_234, 1_234, 2_000, 3_000]


def test_retention_by_age_never_takes_younger_records(tmp_path: Path) -> None:
    clock = ManualClock(market_ns=1_000)
    log = EmbeddedLog(tmp_path / "log.db", clock)
    for start in range(0, 3_000, 300):
        log.append(numbered("a", range(start, start + 300)))
        clock.advance(10)
    assert log.retain("a", Retention(appended_before_ns=999)) == 0
    assert log.retain("a", Retention(appended_before_ns=1_050)) == 1_500
    assert log.retain("a", Retention(appended_before_ns=1_059)) == 0
    log.close()


def test_a_group_that_retention_overtook_is_told_which_offsets_it_lost(log: EmbeddedLog) -> None:
    log.append(numbered("a", range(10)))
    consumer = log.consumer("g", ["a"])
    consumer.poll(2, 0)
    log.append((), consumer)
    log.retain("a", Retention(rows=4))
    assert values(consumer.poll(100, 0)) == [6, 7, 8, 9]
    (gap,) = consumer.take_gaps()
    assert (gap.topic, gap.expected, gap.resumed) == ("a", 2, 6)
    assert consumer.take_gaps() == []


@pytest.mark.parametrize("size", [100, 5_000])
def test_a_corrupt_file_is_refused_in_one_line(tmp_path: Path, size: int) -> None:
    path = tmp_path / "log.db"
    path.write_bytes(b"no database " * (size // 12))
    with pytest.raises(BusError) as caught:
        EmbeddedLog(path, CLOCK)
    assert "\n" not in str(caught.value)
    assert "move the file away" in str(caught.value)


def test_damage_in_the_middle_is_reported_not_returned(path: Path) -> None:
    log = EmbeddedLog(path, CLOCK)
    log.append([Outgoing("a", "k", bytes(300), n) for n in range(5_000)])
    log.close()
    blob = bytearray(path.read_bytes())
    blob[8192:] = b"\xff" * (len(blob) - 8192)
    path.write_bytes(blob)
    with (
        pytest.raises(BusError, match=r"malformed|not a database"),
        closing(EmbeddedLog(path, CLOCK)) as damaged,
    ):
        damaged.read("a", 0, 10_000)


def test_a_directory_that_cannot_be_made_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(BusError, match="choose a directory that can be written"):
        EmbeddedLog(tmp_path / "file" / "log.db", CLOCK)
    with pytest.raises(BusError, match="unable to open"):
        EmbeddedLog(tmp_path, CLOCK)


def test_a_log_of_another_schema_version_is_refused(path: Path) -> None:
    EmbeddedLog(path, CLOCK).close()
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version=99")
    connection.close()
    with pytest.raises(BusError, match="log schema 99"):
        EmbeddedLog(path, CLOCK)


def test_a_sqlite_file_of_another_program_is_left_alone(path: Path) -> None:
    path.parent.mkdir()
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE precious (x)")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(BusError, match="another program"):
        EmbeddedLog(path, CLOCK)
    assert path.read_bytes() == before


def test_waiting_for_a_writer_has_a_bound(log: EmbeddedLog, path: Path) -> None:
    holder = sqlite3.connect(path, isolation_level=None)
    impatient = EmbeddedLog(path, CLOCK, busy_timeout_s=0.05)
    holder.execute("BEGIN IMMEDIATE")
    with pytest.raises(BusError, match="locked; another process holds a long write"):
        impatient.append(numbered("a", range(1)))
    assert impatient.read("a", 0, 1) == []
    holder.execute("ROLLBACK")
    holder.close()
    impatient.append(numbered("a", range(1)))
    assert log.end_offset("a") == 1
    impatient.close()
