"""Both logs between real processes: nothing lost, nothing twice, whole batches after kill -9."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter, defaultdict
from pathlib import Path

import pytest

from buses import read_all, values
from volspike.bus.port import Outgoing

WORKER = Path(__file__).with_name("log_worker.py")


def start(mode: str, where: str, *args: object) -> subprocess.Popen[str]:
    command = [sys.executable, str(WORKER), mode, where, *map(str, args)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finish(process: subprocess.Popen[str]) -> list[str]:
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    return out.splitlines()


def test_concurrent_writers_and_readers_see_every_record_once_and_in_order(bus) -> None:
    topics = bus.topic("a"), bus.topic("b")
    # All four open a log that may not exist yet.
    writers = [start("write", bus.where, name, 60, 20, *topics) for name in ("w1", "w2")]
    readers = [start("read", bus.where, bus.name(group), 2 * 60 * 20, *topics) for group in ("g1", "g2")]
    for writer in writers:
        finish(writer)
    outputs = [finish(reader) for reader in readers]
    for lines in outputs:
        assert max(Counter(lines).values()) == 1
        assert len(lines) == 2 * 60 * 20
        by_writer: dict[tuple[str, str], list[tuple[int, int]]] = defaultdict(list)
        for line in lines:
            topic, _, writer_name, batch, row = line.split()
            by_writer[topic, writer_name].append((int(batch), int(row)))
        assert len(by_writer) == 4
        assert all(positions == sorted(positions) for positions in by_writer.values())
    assert sorted(outputs[0]) == sorted(outputs[1])


def test_kill_9_leaves_whole_batches_and_everything_acknowledged(bus) -> None:
    topics = bus.topic("a"), bus.topic("b")
    lives = 8 if bus.where.endswith("log.db") else 3
    for life in range(lives):
        writer = start("write", bus.where, f"life{life}", 100_000, 50, *topics)
        assert writer.stdout is not None
        acknowledged = -1
        for _ in range(1 + 7 * life):
            acknowledged = int(writer.stdout.readline())
        writer.kill()
        writer.communicate()
        log = bus.open()
        rows: Counter[tuple[str, int]] = Counter()
        for topic in topics:
            for record in read_all(log, topic, 25 * (acknowledged + 1)):
                name, batch, _ = record.value.decode().split()
                rows[name, int(batch)] += 1
        assert set(rows.values()) == {50}
        assert {(f"life{life}", batch) for batch in range(acknowledged + 1)} <= set(rows)


@pytest.mark.parametrize(
    "point", ["bus.append.begun", "bus.append.inserted", "bus.append.before_commit", "bus.append.committed"]
)
def test_a_copying_stage_killed_at_each_step_copies_exactly_once(bus, point: str) -> None:
    log, source, target = bus.open(), bus.topic("in"), bus.topic("out")
    log.append([Outgoing(source, "k", str(n).encode(), n) for n in range(30)])
    killed = start("process", bus.where, bus.name("copy"), source, target, 29, point, 3)
    killed.communicate(timeout=60)
    assert killed.returncode == -9
    finish(start("process", bus.where, bus.name("copy"), source, target, 29, "never", 1))
    assert values(read_all(log, target, 30)) == list(range(30))
