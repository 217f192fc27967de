"""What ``scale`` watches from outside: processors, memory, files, lag of groups, age of rows."""

from __future__ import annotations

import json
import os
import time
import urllib.request
from array import array
from collections.abc import Mapping
from pathlib import Path
from threading import Event, Thread
from typing import Any, NamedTuple

from volspike.bus.kafka import KafkaLog
from volspike.bus.port import Log
from volspike.bus.topics import FEATURES
from volspike.records import FeatureRow

_POLL_S = 0.1
_ROWS = 5_000
_CLOCK_READINGS = 20


class Use(NamedTuple):
    """What a process has used: processor seconds so far; memory and open files now."""

    processor_s: float
    resident_mb: float
    files: int


def use_of(process_id: int) -> Use:
    """Return what a process has used; needs Linux."""
    root = Path(f"/proc/{process_id}")
    fields = (root / "stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    pages = int((root / "statm").read_text(encoding="utf-8").split()[1])
    return Use(
        (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK"),
        pages * os.sysconf("SC_PAGE_SIZE") / 1e6,
        len(list((root / "fd").iterdir())),
    )


class Reading(NamedTuple):
    """Everything at one time: what was sent of each kind, rows and marks read back, what processes used.

    ``ages`` is the number of ages that the tail has noted by then.
    """

    wall_s: float
    sent: Mapping[str, int]
    rows: int
    marks: int
    ages: int
    uses: Mapping[str, Use]


class RowTail(Thread):
    """Reads ``ticks.features`` as it grows.

    Attributes
    ----------
    rows, marks : int
        Read so far.
    ages_ns : array
        Of each row as it was read: since the exchange's stamp of its tick.
    """

    def __init__(self, bootstrap: str) -> None:
        super().__init__(name="row-tail", daemon=True)
        self._brokers = bootstrap
        self._stopping = Event()
        self.rows = self.marks = 0
        self.ages_ns = array("q")

    def run(self) -> None:
        """Read until ``stop``."""
        log = KafkaLog(self._brokers)
        try:
            consumer = log.consumer("scale-tail", [FEATURES.name])
            while not self._stopping.is_set():
                records = consumer.poll(_ROWS, _POLL_S)
                now_ns = time.time_ns()
                for record in records:
                    if isinstance(FEATURES.decode(record.value), FeatureRow):
                        self.rows += 1
                        self.ages_ns.append(now_ns - record.event_ns)
                    else:
                        self.marks += 1
        finally:
            log.close()

    def stop(self) -> None:
        """End the thread."""
        self._stopping.set()
        self.join(10.0)


class Watch:
    """Takes readings.

    Parameters
    ----------
    processes : mapping of str to int
        Process ids by name.
    admin : str
        Address of the simulator's control port.
    tail : RowTail
        Running.
    """

    def __init__(self, processes: Mapping[str, int], admin: str, tail: RowTail) -> None:
        self._processes = processes
        self._admin = admin
        self._tail = tail

    def read(self) -> Reading:
        """Return how everything is now."""
        sent = simulator_state(self._admin)["sent_by_type"]
        uses = {name: use_of(number) for name, number in self._processes.items()}
        tail = self._tail
        return Reading(time.monotonic(), sent, tail.rows, tail.marks, len(tail.ages_ns), uses)


def simulator_state(admin: str, what: str = "state") -> dict[str, Any]:
    """Ask a simulator's control port."""
    with urllib.request.urlopen(f"{admin}/admin/{what}", timeout=30) as answer:
        state: dict[str, Any] = json.load(answer)
    return state


def market_behind_ns(admin: str) -> int:
    """Return how far the stamps of a simulated market are behind this machine's clock.

    They are rebased at the first handshake, and the market runs from the first subscription on.
    """
    return min(time.time_ns() - int(simulator_state(admin)["market_ns"]) for _ in range(_CLOCK_READINGS))


def lag(log: Log, group: str, topic: str) -> int:
    """Return how many offsets a group is behind, the marks of transactions among them."""
    behind = 0
    for partition in range(log.partitions(topic)):
        end, offset = log.end_offset(topic, partition), log.group_offset(group, topic, partition)
        behind += max(0, end - (log.start_offset(topic, partition) if offset is None else offset))
    return behind
