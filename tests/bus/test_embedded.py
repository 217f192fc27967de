"""The embedded log beyond the port: contiguous offsets, turns, retention by age, bad files."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from buses import numbered, values
from volspike.bus.embedded import EmbeddedLog
from volspike.bus.port import Outgoing, Retention
from volspike.clock import SystemClock
from volspike.errors import BusError
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


def test_records_come_back_in_order_with_contiguous_offsets(log: EmbeddedLog) -> None:
    log.append(numbered("a", range(5)))
    log.append(numbered("a", range(5, 8)) + numbered("b", range(2)))
    records = log.read("a", 0, 100)
    assert values(records) == list(range(8))
    assert [record.offset for record in records] == list(range(8))
    assert records[3].key == "BTC-USD"
    assert records[3].event_ns == 3_000_000
    assert values(log.read("a", 6, 1)) == [6]
    assert (log.start_offset("a"), log.end_offset("a"), log.end_offset("b")) == (0, 8, 2)


def test_a_busy_topic_does_not_starve_the_others(log: EmbeddedLog) -> None:
    log.append(numbered("busy", range(100)) + numbered("calm", range(2)))
    consumer = log.consumer("g", ["busy", "calm"])
    topics = {record.topic for _ in range(2) for record in consumer.poll(10, 0)}
    assert topics == {"busy", "calm"}


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
