"""The write-behind: order, batches, back-pressure, errors that surface."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from volspike.bus.embedded import EmbeddedLog
from volspike.bus.topics import DEADLETTER, GAPS, TICKS
from volspike.bus.writer import LogWriter
from volspike.clock import SystemClock
from volspike.errors import ArchiveError, BusError
from volspike.records import DeadLetter, Gap, Mark


def mark(event_ns: int) -> Mark:
    return Mark(
        product="BTC-USD",
        feed="exchange",
        session="s",
        event_ns=event_ns,
        covered_since_ns=0,
        archive_seq=event_ns,
        archive_row=0,
    )


def open_log(path: Path) -> EmbeddedLog:
    return EmbeddedLog(path, SystemClock(), busy_timeout_s=0.05)


def test_records_of_several_topics_arrive_in_order(tmp_path: Path) -> None:
    writer = LogWriter(open_log(tmp_path / "log.db"), batch_rows=100)
    gap = Gap(
        gap_id="g", product="ETH-USD", feed="exchange", session="s", reason="silence", from_ns=1, to_ns=2
    )
    for n in range(1_050):
        writer.put(TICKS, mark(n))
    writer.put(GAPS, gap)
    writer.flush()
    assert writer.written == 1_051
    log = open_log(tmp_path / "log.db")
    assert [TICKS.decode(record.value) for record in log.read("ticks.raw", 0, 2_000)] == list(
        map(mark, range(1_050))
    )
    (record,) = log.read("ticks.gaps", 0, 10)
    assert (record.key, record.event_ns, GAPS.decode(record.value)) == ("ETH-USD", 2, gap)
    writer.close()
    log.close()


def test_close_writes_what_is_left_and_later_puts_are_refused(tmp_path: Path) -> None:
    writer = LogWriter(open_log(tmp_path / "log.db"), interval_s=60)
    for n in range(10):
        writer.put(TICKS, mark(n))
    writer.close()
    log = open_log(tmp_path / "log.db")
    assert log.end_offset("ticks.raw") == 10
    log.close()
    with pytest.raises(BusError, match="is closed"):
        writer.put(TICKS, mark(10))


def test_a_dead_letter_is_filed_at_the_newest_time(tmp_path: Path) -> None:
    writer = LogWriter(open_log(tmp_path / "log.db"))
    writer.put(TICKS, mark(77))
    letter = DeadLetter(
        reason="json", detail="", feed="exchange", session="s", archive_seq=1, archive_row=0, raw=b"\xff\x00"
    )
    writer.put(DEADLETTER, letter)
    writer.close()
    log = open_log(tmp_path / "log.db")
    (record,) = log.read("ticks.deadletter", 0, 10)
    assert (record.key, record.event_ns) == ("", 77)
    assert DEADLETTER.decode(record.value) == letter
    log.close()


def test_a_full_queue_holds_the_producer_back_and_loses_nothing(tmp_path: Path) -> None:
    gate = threading.Event()
    writer = LogWriter(
        open_log(tmp_path / "log.db"),
        interval_s=0.001,
        batch_rows=10,
        capacity_rows=20,
        before_commit=gate.wait,
    )
    done = threading.Event()

    def produce() -> None:
        for n in range(200):
            writer.put(TICKS, mark(n))
        done.set()

    producer = threading.Thread(target=produce)
    producer.start()
    assert not done.wait(0.2)
    assert writer.backlog <= 20
    gate.set()
    producer.join(timeout=30)
    assert done.is_set()
    writer.close()
    log = open_log(tmp_path / "log.db")
    assert [record.event_ns for record in log.read("ticks.raw", 0, 1_000)] == list(range(200))
    log.close()


def test_an_error_on_the_thread_surfaces_on_the_next_call(tmp_path: Path) -> None:
    class Full(EmbeddedLog):
        def append(self, records: object, consumer: object = None) -> None:
            raise BusError("log.db", "database or disk is full", "free some disk space")

    writer = LogWriter(Full(tmp_path / "log.db", SystemClock()))
    writer.put(TICKS, mark(1))
    with pytest.raises(BusError, match="disk is full"):
        writer.flush()
    with pytest.raises(BusError, match="disk is full"):
        writer.put(TICKS, mark(2))
    with pytest.raises(BusError, match="disk is full"):
        writer.close()


def test_nothing_is_committed_when_the_archive_cannot_be_synced(tmp_path: Path) -> None:
    def sync() -> None:
        raise ArchiveError("raw", "I/O error", "check the disk")

    writer = LogWriter(open_log(tmp_path / "log.db"), before_commit=sync)
    writer.put(TICKS, mark(1))
    with pytest.raises(BusError, match="ArchiveError: raw: I/O error"):
        writer.close()
    log = open_log(tmp_path / "log.db")
    assert log.end_offset("ticks.raw") == 0
    log.close()
