"""What a child process does in the tests of requeue: ``python requeue_worker.py WHERE SUFFIX POINT NTH``.

Requeues all letters and dies at a step's ``nth`` visit. Says "ready" and waits for a line before it begins.
"""

from __future__ import annotations

import sys

from log_worker import open_log

from volspike.bus import requeue
from volspike.bus.dead_letters import Chosen
from volspike.clock import SystemClock
from volspike.testing.crash_point import CrashPoint


def main(where: str, suffix: str, point: str, nth: str) -> None:
    requeue.BATCH_ROWS = 2
    reached = CrashPoint(point, nth=int(nth), kill=True)
    log = open_log(where, requeue.REQUEUER + suffix, reached)
    print("ready", flush=True)
    sys.stdin.readline()
    report = requeue.Requeue(log, SystemClock(), suffix, reached=reached).run(lambda all_: all_.all(Chosen()))
    print(sum(map(len, report.requeued.values())))
    log.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
