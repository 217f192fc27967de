"""A live job that dies by SIGKILL at the nth visit of a crash point: ``killed_job.py ROOT POINT NTH``."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from volspike.bus.embedded import EmbeddedLog
from volspike.bus.writer import LogWriter
from volspike.clock import SimulatedClock
from volspike.pipeline import assembly
from volspike.simulation.scripted import exchange_frames
from volspike.simulation.synthetic import SyntheticMarket
from volspike.testing.crash_point import CrashPoint
from whole_runs import ORIGIN_NS, PRODUCT, SEED, settings_for

NS = 1_000_000_000
ALERTS = {"alert_open": 0.02, "alert_close": 0.01, "alert_cooldown_s": 5.0}
# Few records a batch, so that a death falls between any two records of a tick.
BATCH_ROWS = 7


def frames_from(start_s: int, end_s: int) -> list[tuple[int, bytes]]:
    """Return the frames of a stretch of a market."""
    frames = exchange_frames(SyntheticMarket(SEED, (PRODUCT,), ORIGIN_NS), SEED, ORIGIN_NS + end_s * NS)
    return [frame for frame in frames if frame[0] >= ORIGIN_NS + start_s * NS]


def main(root: Path, point: str, nth: int) -> None:
    """Feed a live job until it dies, or to the end."""
    reached = CrashPoint(point, nth=nth, kill=True)
    assembly.EmbeddedLog = partial(EmbeddedLog, reached=reached)  # type: ignore[misc, assignment]
    assembly.LogWriter = partial(LogWriter, interval_s=0.001, batch_rows=BATCH_ROWS)  # type: ignore[misc, assignment]
    job = assembly.open_live(settings_for(root, **ALERTS), SimulatedClock(), ())
    job.pipeline.begin("killed")
    for number, (receive_ns, raw) in enumerate(frames_from(0, 300)):
        # Now and then a frame that can't be read, so that dead letters are among the records.
        spoiled = raw[: len(raw) // 2] if number % 40 == 39 else raw
        job.pipeline.frame("killed", receive_ns, spoiled, 0)
    job.pipeline.end("killed", "stop")
    job.pipeline.finish()
    job.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
