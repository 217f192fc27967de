"""The exactly-once loop: killed at each step, fenced, joined by another member, with the broker away."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections import defaultdict
from itertools import accumulate
from pathlib import Path
from types import SimpleNamespace

import pytest

from buses import Bus, read_all
from volspike.bus.embedded import EmbeddedLog
from volspike.bus.port import Log, LogRecord, Outgoing
from volspike.bus.transactions import ExactlyOnce
from volspike.clock import SystemClock
from volspike.errors import UnavailableError, UndoneError
from volspike.testing.manual_clock import ManualClock

SUM = Path(__file__).with_name("running_sum.py")
ROWS = 60


def feed(bus: Bus, partitions: int = 1, rows: int = ROWS) -> tuple[Log, tuple[str, str, str]]:
    source, target, state = bus.topic("in", partitions), bus.topic("out", partitions), bus.topic("state")
    log = bus.open()
    for start in range(0, rows, 10):
        log.append([Outgoing(source, f"k{n % 9}", str(n).encode(), n) for n in range(start, start + 10)])
    return log, (source, target, state)


def start(bus: Bus, name: str, topics: tuple[str, str, str], point: str = "never", nth: int = 1):
    command = [sys.executable, str(SUM), bus.where, bus.name(name), *topics, point, str(nth)]
    worker = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert worker.stdout is not None
    assert worker.stdout.readline() == "ready\n"
    return worker


def finish(worker: subprocess.Popen[str]) -> str:
    out, err = worker.communicate(timeout=100)
    assert worker.returncode == 0, err
    return out


def everything(log: Log, topic: str, partitions: int, count: int) -> list[LogRecord]:
    records: list[LogRecord] = []
    deadline = time.monotonic() + 30
    while len(records) < count and time.monotonic() < deadline:
        records = [r for n in range(partitions) for r in log.read(topic, 0, 100_000, n)]
    return records


def assert_summed_once(log: Log, topics: tuple[str, str, str], partitions: int = 1, rows: int = ROWS) -> None:
    source, target, _ = topics
    expected: dict[int, list[tuple[int, int]]] = {}
    for partition in range(partitions):
        records = log.read(source, 0, 100_000, partition)
        sums = accumulate(int(record.value) for record in records)
        expected[partition] = list(zip((r.offset for r in records), sums, strict=True))
    assert sum(map(len, expected.values())) == rows
    got: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for record in everything(log, target, partitions, rows):
        partition, offset, total = map(int, record.value.split())
        got[partition].append((offset, total))
    assert {n: sorted(pairs) for n, pairs in got.items()} == {n: p for n, p in expected.items() if p}


@pytest.mark.parametrize(
    "point", ["bus.append.begun", "bus.append.inserted", "bus.append.before_commit", "bus.append.committed"]
)
def test_invariant_06_a_stage_with_memory_killed_at_each_step_shows_every_result_once(
    bus, point: str
) -> None:
    log, topics = feed(bus)
    killed = start(bus, "w", topics, point, 4)
    killed.communicate(timeout=60)
    assert killed.returncode == -signal.SIGKILL
    finish(start(bus, "w", topics))
    assert_summed_once(log, topics)


def test_a_frozen_worker_is_fenced_when_it_wakes_and_says_so_in_one_line(kafka) -> None:
    log, topics = feed(kafka)
    frozen = start(kafka, "w", topics)
    frozen.send_signal(signal.SIGSTOP)
    finish(start(kafka, "w", topics))
    log.append([Outgoing(topics[0], "k1", b"5", 1)])
    frozen.send_signal(signal.SIGCONT)
    _, err = frozen.communicate(timeout=60)
    assert frozen.returncode == 1
    assert err.startswith("fenced: ")
    assert len(err.splitlines()) == 1
    finish(start(kafka, "w", topics))
    read_all(log, topics[0], ROWS + 1)
    assert_summed_once(log, topics, rows=ROWS + 1)


def test_two_workers_share_the_partitions_and_show_every_result_once(kafka) -> None:
    log, topics = feed(kafka, partitions=4, rows=600)
    workers = [start(kafka, "w1", topics), start(kafka, "w2", topics)]
    for worker in workers:
        finish(worker)
    assert_summed_once(log, topics, partitions=4, rows=600)


def test_an_interval_is_waited_for_unless_a_full_batch_was_read(tmp_path, monkeypatch) -> None:
    log = EmbeddedLog(tmp_path / "log.db", SystemClock())
    stage = SimpleNamespace(process=lambda _: (), restore=lambda _: None)
    loop = ExactlyOnce(
        log, "g", ["in"], stage, ManualClock(), batch_rows=3, poll_s=0.0, state_s=600, interval_s=0.25
    )
    slept = []
    monkeypatch.setattr("volspike.bus.transactions.time.sleep", slept.append)
    log.append([Outgoing("in", "k", b"1", n) for n in range(8)])
    assert [loop.step() for _ in range(5)] == [3, 3, 2, 0, 0]
    assert slept == [0.0, 0.0, 0.0, 0.25, 0.25]


@pytest.mark.parametrize(("kind", "is_away"), [(UnavailableError, True), (UndoneError, False)])
def test_a_bus_that_is_away_is_told_once_and_an_undone_batch_is_not(
    kind, is_away: bool, tmp_path, monkeypatch, capsys
) -> None:
    log = EmbeddedLog(tmp_path / "log.db", SystemClock())
    troubles = iter([kind("log", "no answer", "wait")] * 3)

    def process(_records) -> tuple[()]:
        for trouble in troubles:
            raise trouble
        return ()

    stage = SimpleNamespace(process=process, restore=lambda _: None, drop=lambda *_: None)
    loop = ExactlyOnce(log, "g", ["in"], stage, ManualClock(), poll_s=0.0, state_s=600)
    monkeypatch.setattr("volspike.bus.transactions.time.sleep", lambda _s: None)
    log.append([Outgoing("in", "k", b"1", 1)])
    seen = []
    for _ in range(4):
        loop.step()
        seen.append(loop.is_away)
    assert seen == [is_away, is_away, is_away, False]
    assert (loop.undone, loop.processed) == (3, 1)
    said = capsys.readouterr().err
    assert said.count("the bus is away; waiting") == said.count("the bus is back") == int(is_away)


@pytest.mark.slow
def test_a_worker_of_another_name_goes_on_after_a_death(kafka) -> None:
    log, topics = feed(kafka, partitions=2)
    killed = start(kafka, "w1", topics, "bus.append.committed", 3)
    killed.communicate(timeout=60)
    assert killed.returncode == -signal.SIGKILL
    out = finish(start(kafka, "w2", topics))
    assert "restored" in out
    assert_summed_once(log, topics, partitions=2)
