"""What a child process does in the log's tests: ``python log_worker.py MODE WHERE ARGS...``."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

from volspike.bus.embedded import EmbeddedLog
from volspike.bus.port import Log, Outgoing
from volspike.clock import SystemClock
from volspike.testing.crash_point import CrashPoint


def open_log(where: str, name: str | None = None, reached: Callable[[str], None] | None = None) -> Log:
    """Open a log file, or the cluster in ``kafka:BOOTSTRAP``."""
    kind, _, bootstrap = where.partition(":")
    if kind != "kafka":
        return EmbeddedLog(Path(where), SystemClock(), busy_timeout_s=60, reached=reached)
    from volspike.bus.kafka import KafkaLog

    return KafkaLog(bootstrap, name=name, session_s=6.0, reached=reached)


def write(where: str, writer: str, batches: str, rows: str, *topics: str) -> None:
    """Append numbered batches, dealt evenly to ``topics``; acknowledge each on stdout."""
    log = open_log(where)
    for batch in range(int(batches)):
        log.append(
            [
                Outgoing(topics[row % len(topics)], writer, f"{writer} {batch} {row}".encode(), batch)
                for row in range(int(rows))
            ]
        )
        print(batch, flush=True)
    log.close()


def read(where: str, group: str, expected: str, *topics: str) -> None:
    """Follow the topics until ``expected`` records came, committing each poll; print them."""
    log = open_log(where)
    consumer = log.consumer(group, topics)
    seen = 0
    while seen < int(expected):
        for record in consumer.poll(500, 0.2):
            print(record.topic, record.offset, record.value.decode())
            seen += 1
        log.append((), consumer)
    log.close()


def process(where: str, name: str, source: str, target: str, end: str, point: str, nth: str) -> None:
    """Copy topic ``source`` to ``target`` exactly once up to ``end``; die at a step's ``nth`` visit."""
    log = open_log(where, name, CrashPoint(point, nth=int(nth), kill=True))
    consumer = log.consumer(name, [source])
    last = b""
    while last != end.encode():
        if records := consumer.poll(7, 0.2):
            log.append([Outgoing(target, r.key, r.value, r.event_ns) for r in records], consumer)
            last = records[-1].value
    log.close()


if __name__ == "__main__":
    {"write": write, "read": read, "process": process}[sys.argv[1]](*sys.argv[2:])
