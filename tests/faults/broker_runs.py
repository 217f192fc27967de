"""Both stages on a real broker, their workers in processes that are killed, frozen and started again."""

from __future__ import annotations

import multiprocessing
import os
import secrets
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from multiprocessing import forkserver
from pathlib import Path
from signal import SIGKILL, SIGTERM, Signals

import msgspec
import pytest
import stage_worker
from stage_runs import Runs, outputs, write

from volspike.bus.kafka import KafkaLog
from volspike.bus.port import Log, LogRecord
from volspike.bus.topic_plan import TopicPlan, is_compacted, planned_topics
from volspike.bus.topics import ALERTS, FEATURES, OUTCOMES, PREDICTIONS, TICKS
from volspike.records import Record

PARTITIONS = 4
LONGEST_S = 90.0
STAGES = ("featurize", "score")
SOURCES = {"featurize": TICKS, "score": FEATURES}
SHOWN = (FEATURES, PREDICTIONS, OUTCOMES, ALERTS)
# What is to be seen: by topic and product, in order.
Found = dict[str, dict[str, list]]
_FORKS = multiprocessing.get_context("forkserver")


def start_forks() -> None:
    """Start the process that all workers are forked from: lives are many, and imports take seconds."""
    _FORKS.set_forkserver_preload(["warm_worker"])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
        forkserver.ensure_running()


class Worker:
    """A process of ``stage_worker`` with its output in a file."""

    def __init__(self, arguments: Sequence[str], output: Path) -> None:
        self.stage, _, self.name, *_ = arguments
        self._output = output
        output.touch()
        self._process = _FORKS.Process(target=_live, args=(str(output), *arguments), daemon=True)
        self._process.start()

    @property
    def exit_code(self) -> int | None:
        """None while the worker runs; minus the signal that ended it."""
        return self._process.exitcode

    @property
    def is_at_work(self) -> bool:
        """True from when it has restored a partition."""
        return "restored" in self.said()

    def said(self) -> list[str]:
        """Return the lines of its output."""
        return self._output.read_text().splitlines()

    def send(self, number: Signals) -> None:
        assert self._process.pid is not None
        os.kill(self._process.pid, number)

    def wait(self) -> int | None:
        """Return the exit code."""
        self._process.join(LONGEST_S)
        return self.exit_code


def _live(output: str, *arguments: str) -> None:
    file = os.open(output, os.O_WRONLY | os.O_APPEND)
    os.dup2(file, 1)
    os.dup2(file, 2)
    stage_worker.main(*arguments)


class Pipeline:
    """Topics of its own on a broker, from ticks to alerts, with workers that are started again when they end.

    Parameters
    ----------
    bootstrap : str
        The broker.
    directory : Path
        Where workers leave what they say.
    session_s : float
        How long the partitions of a worker wait for it.

    Attributes
    ----------
    workers : dict of str to Worker
        By stage and name.
    ended : list of str
        What workers that ended unasked had to say, or their exit code.
    foreign : set of bytes
        Values that the stages have not written, to be left out.
    """

    def __init__(self, bootstrap: str, directory: Path, session_s: float) -> None:
        self.bootstrap = bootstrap
        self.suffix = f"-{secrets.token_hex(4)}"
        self.log = KafkaLog(bootstrap)
        self.workers: dict[str, Worker] = {}
        self.ended: list[str] = []
        self.foreign: set[bytes] = set()
        self._directory = directory
        self._session_s = session_s
        self._places: dict[tuple[str, int], int] = {}
        self._found: dict[str, dict[str, list[LogRecord]]] = {topic.name: {} for topic in SHOWN}
        self.log.cluster.create(
            [
                TopicPlan(plan.name + self.suffix, PARTITIONS, -1, is_compacted(plan.name))
                for plan in planned_topics(1, None)
            ]
        )

    def feed(self, records: Sequence[Record]) -> None:
        write(self.log, records, self.suffix)

    def start(self, stage: str, name: str = "w1", point: str = "never", nth: int = 1) -> Worker:
        """Start a worker, in the place of the one before of its name."""
        arguments = (stage, self.bootstrap, name, self.suffix, str(self._session_s), point, str(nth))
        output = self._directory / f"{stage}-{name}-{len(list(self._directory.iterdir()))}.txt"
        worker = self.workers[f"{stage}-{name}"] = Worker(arguments, output)
        return worker

    def tend(self) -> None:
        """Start again, without a crash point, what has ended."""
        for worker in list(self.workers.values()):
            if worker.exit_code is not None:
                errors = [line for line in worker.said() if "Error" in line]
                self.ended += errors or [str(worker.exit_code)]
                self.start(worker.stage, worker.name)

    def until(self, condition: Callable[[], bool], longest_s: float = LONGEST_S) -> None:
        """Tend the workers until a condition holds."""
        deadline = time.monotonic() + longest_s
        while not condition():
            assert time.monotonic() < deadline, (self.counts(), self.ended)
            self.tend()
            time.sleep(0.2)

    def counts(self) -> list[int]:
        """Return how many records of each topic a read-committed reader that follows has seen."""
        for topic in SHOWN:
            for number in range(PARTITIONS):
                self._follow(topic.name, number)
        return totals(self._found)

    def rows(self) -> int:
        """Return how many feature rows and marks that reader has seen."""
        return self.counts()[0]

    def finish(self, expected: Found) -> None:
        """Wait until all is there, stop the workers; check that it is what was expected and no more."""
        self.until(
            lambda: all(seen >= whole for seen, whole in zip(self.counts(), totals(expected), strict=True))
        )
        self.stop()
        self.counts()
        assert_equal(by_product(self._found), expected)

    def stop(self, workers: Sequence[Worker] = ()) -> None:
        """Stop workers, or all, in order."""
        leaving = list(workers or self.workers.values())
        for worker in leaving:
            worker.send(SIGTERM)
        for worker in leaving:
            assert worker.wait() == 0, worker.said()
        self.workers = {name: each for name, each in self.workers.items() if each not in leaving}

    def has_read_all(self, stage: str) -> bool:
        """Tell whether a stage has committed all that its topic holds."""
        topic = SOURCES[stage].name + self.suffix
        offsets = [self.log.group_offset(stage + self.suffix, topic, n) or 0 for n in range(PARTITIONS)]
        return not any(self.log.read(topic, offset, 1, n) for n, offset in enumerate(offsets))

    def read(self, topic: str) -> list[LogRecord]:
        """Read all partitions of a topic from their start."""
        return [record for number in range(PARTITIONS) for record in self.records(topic, number)]

    def records(self, topic: str, partition: int) -> list[LogRecord]:
        """Read a partition from its start."""
        return read_from(self.log, topic + self.suffix, 0, partition)

    def close(self) -> None:
        for worker in self.workers.values():
            if worker.exit_code is None:
                worker.send(SIGKILL)
                worker.wait()
        self.log.close()

    def _follow(self, topic: str, number: int) -> None:
        place = (topic, number)
        for record in read_from(self.log, topic + self.suffix, self._places.get(place, 0), number):
            self._places[place] = record.offset + 1
            if record.value not in self.foreign:
                self._found[topic].setdefault(record.key, []).append(record)


def totals(found: Mapping[str, Mapping[str, Sequence]]) -> list[int]:
    """Return the number of records of each topic in ``SHOWN``."""
    return [sum(map(len, found[topic.name].values())) for topic in SHOWN]


def read_from(log: Log, topic: str, offset: int, partition: int) -> list[LogRecord]:
    """Read a partition from an offset to its end."""
    found: list[LogRecord] = []
    while records := log.read(topic, offset, 10_000, partition):
        found += records
        offset = records[-1].offset + 1
    return found


def by_product(found: dict[str, dict[str, list[LogRecord]]]) -> Found:
    """Return what was written; predictions without their latency."""
    return {
        name: {product: [_plain(name, r.value) for r in records] for product, records in each.items()}
        for name, each in found.items()
    }


def _plain(topic: str, value: bytes) -> object:
    if topic != PREDICTIONS.name:
        return value
    return msgspec.structs.replace(PREDICTIONS.decode(value), latency_ns=0)


def assert_equal(found: Found, expected: Found) -> None:
    """Check that both hold the same; tell the first difference of many thousand records."""
    for topic, each in expected.items():
        assert found[topic].keys() == each.keys(), topic
        for product, values in each.items():
            got = found[topic][product]
            differ = next((i for i, (a, b) in enumerate(zip(got, values, strict=False)) if a != b), None)
            assert differ is None, (topic, product, differ, got[differ], values[differ])
            assert len(got) == len(values), (topic, product)


def undisturbed(records: Sequence[Record], path: Path) -> Found:
    """Return what the stages make of the records in one go on the embedded log."""
    runs = Runs(path)
    write(runs.open(), records)
    assert all(runs.run(stage) for stage in STAGES)
    found = shown_by(runs)
    runs.close()
    return found


def shown_by(runs: Runs) -> Found:
    """Return what runs on the embedded log have written."""
    log = runs.open()
    found: Found = {}
    for name, values in outputs(log).items():
        keys = [record.key for record in log.read(name, 0, 10**6)]
        found[name] = grouped(zip(keys, values, strict=True))
    return found


def grouped(pairs: Iterable[tuple[str, object]]) -> dict[str, list]:
    groups: dict[str, list] = {}
    for key, value in pairs:
        groups.setdefault(key, []).append(value)
    return groups
