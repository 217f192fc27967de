"""One trial: workers in processes of their own take a stream that is there when they begin."""

from __future__ import annotations

import bisect
import json
import secrets
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from benchmarks.kafka_streams import outgoing, show_at_once, topics
from benchmarks.kafka_workers import GROUP
from volspike.bus.kafka_cluster import KafkaCluster
from volspike.records import Tick

ROOT = Path(__file__).parents[1]
_LIMIT_S = 300.0
# What is left out: the start, and the end, where one worker may be done before the other.
_FROM, _TO = 0.15, 0.95

Taken = list[tuple[int, int, int]]


class Pace(NamedTuple):
    """Of all workers together: ticks a second, and microseconds of processor time a tick."""

    per_s: float
    cpu_us: float


def trial(bootstrap: str, kind: str, ticks: Sequence[Tick], workers: int) -> Pace:
    """Return the pace of ``workers`` of a kind on topics of their own."""
    suffix = f"-{secrets.token_hex(4)}"
    with topics(KafkaCluster(bootstrap), suffix):
        commands = [["benchmarks.kafka_workers", kind, bootstrap, suffix, f"w{n}"] for n in range(workers)]
        with started(commands) as processes:
            show_at_once(bootstrap, outgoing(ticks, suffix), GROUP + suffix, workers)
            return pace([json.loads(answer(process)) for process in processes], len(ticks))


@contextmanager
def started(
    commands: Sequence[Sequence[str]], python: str = sys.executable
) -> Iterator[list[subprocess.Popen[str]]]:
    """Run modules in processes of their own, and end those that are left."""
    processes = [
        subprocess.Popen([python, "-m", *command], cwd=ROOT, stdout=subprocess.PIPE, text=True)
        for command in commands
    ]
    try:
        yield processes
    finally:
        for process in processes:
            process.kill()
            process.wait()
            assert process.stdout is not None
            process.stdout.close()


def answer(process: subprocess.Popen[str]) -> str:
    """Return what a process has printed when it is done.

    Raises
    ------
    RuntimeError
        If it has failed.
    """
    told, _ = process.communicate(timeout=_LIMIT_S)
    if process.returncode != 0:
        raise RuntimeError("a process of the benchmark has failed; its words are above")
    return told


def pace(workers: Sequence[Taken], expected: int) -> Pace:
    """Return the pace while all workers were busy.

    Raises
    ------
    AssertionError
        If they have not taken ``expected`` records between them.
    """
    assert sum(taken[-1][2] for taken in workers) == expected
    start_ns = max(_at_share(taken, _FROM) for taken in workers)
    end_ns = min(_at_share(taken, _TO) for taken in workers)
    per_s, cpu_ns, records = 0.0, 0, 0
    for taken in workers:
        inside = [sample for sample in taken if start_ns <= sample[0] <= end_ns]
        first, last = (inside[0], inside[-1]) if len(inside) > 1 else (taken[0], taken[-1])
        per_s += (last[2] - first[2]) / (last[0] - first[0]) * 1e9
        cpu_ns += last[1] - first[1]
        records += last[2] - first[2]
    return Pace(per_s, cpu_ns / 1e3 / records)


def _at_share(taken: Taken, share: float) -> int:
    """Return when a worker had done a share of its own records."""
    last = len(taken) - 1
    return taken[min(bisect.bisect_left(taken, share * taken[-1][2], key=lambda each: each[2]), last)][0]
