"""Both buses behind one face, so that a test of the port runs on each."""

from __future__ import annotations

import secrets
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path

from volspike.bus.embedded import EmbeddedLog
from volspike.bus.port import Consumer, Log, LogRecord, Outgoing
from volspike.clock import SystemClock

Reached = Callable[[str], None]
_LONGEST_S = 30.0


class Bus(ABC):
    """Opens logs of one bus; topic and group names of a test are its own.

    ``where`` is what a child process (log_worker.py) opens the same bus by.
    """

    where: str

    def __init__(self) -> None:
        self._logs: list[Log] = []
        self._suffix = ""

    def open(self, name: str | None = None, reached: Reached | None = None) -> Log:
        self._logs.append(self._open(name, reached))
        return self._logs[-1]

    def name(self, name: str) -> str:
        return name + self._suffix

    def topic(self, name: str, partitions: int = 1) -> str:
        return self.name(name)

    def close(self) -> None:
        for log in self._logs:
            log.close()

    @abstractmethod
    def _open(self, name: str | None, reached: Reached | None) -> Log:
        """Open another log on the bus."""


class EmbeddedBus(Bus):
    def __init__(self, path: Path) -> None:
        super().__init__()
        self.where = str(path)

    def _open(self, name: str | None, reached: Reached | None) -> Log:
        return EmbeddedLog(Path(self.where), SystemClock(), reached=reached)


class KafkaBus(Bus):
    def __init__(self, bootstrap: str) -> None:
        super().__init__()
        from volspike.bus.kafka_cluster import KafkaCluster

        self._suffix = f"-{secrets.token_hex(4)}"
        self.bootstrap = bootstrap
        self.where = f"kafka:{bootstrap}"
        self.cluster = KafkaCluster(bootstrap)

    def topic(self, name: str, partitions: int = 1) -> str:
        from volspike.bus.topic_plan import TopicPlan

        topic = self.name(name)
        self.cluster.create([TopicPlan(topic, partitions, -1)])
        return topic

    def _open(self, name: str | None, reached: Reached | None) -> Log:
        from volspike.bus.kafka import KafkaLog

        return KafkaLog(self.bootstrap, name=name and self.name(name), reached=reached)


def numbered(topic: str, numbers: range) -> list[Outgoing]:
    return [Outgoing(topic, "BTC-USD", str(n).encode(), n * 1_000_000) for n in numbers]


def copies(records: list[LogRecord], target: str) -> list[Outgoing]:
    return [Outgoing(target, r.key, r.value, r.event_ns) for r in records]


def values(records: list[LogRecord]) -> list[int]:
    return [int(record.value) for record in records]


def read_all(log: Log, topic: str, count: int) -> list[LogRecord]:
    """Read a topic from its start when ``count`` records are visible: Kafka tells readers a moment later."""
    deadline = time.monotonic() + _LONGEST_S
    while len(records := log.read(topic, 0, 100_000)) < count and time.monotonic() < deadline:
        time.sleep(0.01)
    return records


def drain(consumer: Consumer, count: int, limit: int = 100) -> list[LogRecord]:
    """Poll until ``count`` records came; a group may take its time to deal partitions."""
    records: list[LogRecord] = []
    deadline = time.monotonic() + _LONGEST_S
    while len(records) < count and time.monotonic() < deadline:
        records += consumer.poll(min(limit, count - len(records)), 0.1)
    return records


def joined(consumer: Consumer, count: int = 1) -> None:
    """Poll until the member has been given ``count`` partitions."""
    deadline = time.monotonic() + _LONGEST_S
    seen = 0
    while seen < count and time.monotonic() < deadline:
        assert consumer.poll(1, 0.05) == []
        seen += len(consumer.take_changes().gained)
    assert seen == count
