"""What a child process does in the log's tests: ``python log_worker.py MODE PATH ARGS...``."""

from __future__ import annotations

import sys
from pathlib import Path

from volspike.bus.embedded import EmbeddedLog
from volspike.bus.port import Outgoing
from volspike.clock import SystemClock
from volspike.testing.crash_point import CrashPoint


def write(path: Path, writer: str, batches: str, rows: str) -> None:
    """Append numbered batches, half of each to topic ``a`` and half to ``b``; acknowledge each on stdout."""
    log = EmbeddedLog(path, SystemClock(), busy_timeout_s=60)
    for batch in range(int(batches)):
        log.append(
            [
                Outgoing("ab"[row % 2], writer, f"{writer} {batch} {row}".encode(), batch)
                for row in range(int(rows))
            ]
        )
        print(batch, flush=True)
    log.close()


def read(path: Path, group: str, expected: str) -> None:
    """Follow both topics until ``expected`` records came, committing each poll; print them."""
    log = EmbeddedLog(path, SystemClock(), busy_timeout_s=60)
    consumer = log.consumer(group, ["a", "b"])
    seen = 0
    while seen < int(expected):
        for record in consumer.poll(500, 0.2):
            print(record.topic, record.offset, record.value.decode())
            seen += 1
        log.append((), consumer)
    log.close()


def process(path: Path, point: str, nth: str) -> None:
    """Copy topic ``in`` to ``out`` exactly once, dying at the ``nth`` visit of a step."""
    log = EmbeddedLog(path, SystemClock(), reached=CrashPoint(point, nth=int(nth), kill=True))
    consumer = log.consumer("copy", ["in"])
    while records := consumer.poll(7, 0.0):
        log.append([Outgoing("out", r.key, r.value, r.event_ns) for r in records], consumer)
    log.close()


if __name__ == "__main__":
    {"write": write, "read": read, "process": process}[sys.argv[1]](Path(sys.argv[2]), *sys.argv[3:])
