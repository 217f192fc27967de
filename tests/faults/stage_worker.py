"""A worker of a stage between topics: ``stage_worker.py STAGE BOOTSTRAP NAME SUFFIX SESSION_S [POINT NTH]``.

It runs until SIGTERM, or dies by SIGKILL at the ``NTH`` visit of step ``POINT``. An error ends it with one
line on stderr and exit code 1.
"""

from __future__ import annotations

import signal
import sys
import threading
from pathlib import Path

from volspike.bus.kafka import KafkaLog
from volspike.bus.topics import FEATURES, TICKS
from volspike.bus.transactions import ExactlyOnce
from volspike.clock import SystemClock
from volspike.errors import BusError
from volspike.testing.crash_point import CrashPoint

sys.path.append(str(Path(__file__).parents[1] / "pipeline"))

from stage_runs import featurize, score

# Small, so that a life has time for some batches, and its state is behind by several of them when it dies.
BATCH_ROWS = 80
STATE_S = 0.2
PATIENCE_S = 15.0


class MarketAtRest(SystemClock):
    """Market time stands, so no prediction is ever late."""

    def market_ns(self) -> int:
        return 0


class Steps(CrashPoint):
    """Tells on stdout when a partition is restored."""

    def __call__(self, point: str) -> None:
        if point == "stage.restored":
            print("restored", flush=True)
        super().__call__(point)


def main(
    stage: str, bootstrap: str, name: str, suffix: str, session_s: str, point: str = "never", nth: str = "1"
) -> None:
    stop_asked = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop_asked.set())
    reached = Steps(point, nth=int(nth), kill=True)
    identity = f"{stage}-{name}{suffix}"
    try:
        log = KafkaLog(
            bootstrap,
            name=identity,
            session_s=float(session_s),
            patience_s=PATIENCE_S,
            reached=reached,
        )
        reader = KafkaLog(bootstrap)
        is_first = stage == "featurize"
        loop = ExactlyOnce(
            log,
            stage + suffix,
            [(TICKS if is_first else FEATURES).name + suffix],
            featurize(reader, suffix) if is_first else score(reader, MarketAtRest(), suffix),
            SystemClock(),
            batch_rows=BATCH_ROWS,
            poll_s=0.05,
            state_s=STATE_S,
            reached=reached,
        )
        loop.run(stop_asked.is_set)
        print(f"processed {loop.processed}")
        log.close()
        reader.close()
    except BusError as error:
        sys.exit(f"{type(error).__name__}: {error}")


if __name__ == "__main__":
    main(*sys.argv[1:])
