"""The live pipeline over a real WebSocket, the exchange in another process: how long a prediction takes.

The clock starts when the frame's bytes are in hand and stops when its prediction has been handed to the log
buffer and the alerts: archive write, decoding, admission, features and both models lie between. The second
figure starts at the exchange's stamp of the tick. Market time runs at wall speed there and stamps are cut to
microseconds, so it holds the exchange's own pacing (it writes once a millisecond), the socket and the queue.
"""

from __future__ import annotations

import asyncio
import gc
import resource
import sys
import tempfile
import time
from array import array
from pathlib import Path

import numpy as np

from benchmarks.exchange_process import served
from benchmarks.figures import Figure, at_least, at_most
from benchmarks.trained import PRODUCT, data_directory
from volspike.cli.driving import prepare_process
from volspike.clock import SimulatedClock
from volspike.config import load_settings
from volspike.pipeline.assembly import LiveJob, open_live
from volspike.pipeline.latency import LatencyHistogram

TITLE = "bytes to prediction, 2,000 ticks/s"
PER_SECOND = 2_000
LIMIT_S = 300.0


class Recorder(LatencyHistogram):
    """Keeps every latency, and the time since the exchange's stamp, in nanoseconds."""

    def __init__(self, job: LiveJob) -> None:
        super().__init__()
        self._scoring = job.pipeline.scoring
        self.from_bytes_ns = array("q")
        self.from_stamp_ns = array("q")
        self.preempted = array("b")
        self._preemptions = 0

    def add(self, latency_ns: int) -> None:
        """Take one prediction's latency."""
        super().add(latency_ns)
        self.from_bytes_ns.append(latency_ns)
        prediction = self._scoring[PRODUCT].prediction
        if prediction is not None:
            self.from_stamp_ns.append(time.time_ns() - prediction.event_ns)
        preemptions = resource.getrusage(resource.RUSAGE_THREAD).ru_nivcsw
        self.preempted.append(preemptions != self._preemptions)
        self._preemptions = preemptions


def run(quick: bool) -> list[Figure]:
    """Serve, predict, and wait until there are enough predictions."""
    wanted, per_second, speed = (500, 20, 60.0) if quick else (120_000, PER_SECOND, 1.0)
    with tempfile.TemporaryDirectory(prefix="volspike-bench-") as name:
        home = data_directory(Path(name), 0.5 if quick else 4.0, "zscore" if quick else "xgboost")
        settings = load_settings({"data_dir": home.root, "products": (PRODUCT,), "dialect": "exchange"})
        with served("benchmarks.exchange_process", Path(name) / "ready.json", per_second, speed) as market:
            job = open_live(settings, SimulatedClock(), (), market.addresses["exchange"])
            recorder = job.pipeline.latency = Recorder(job)
            try:
                elapsed_s = drive(job, recorder, wanted)
            finally:
                job.close()
    assert job.pipeline.accounting.adds_up
    assert job.pipeline.accounting.archived == job.pipeline.accounting.frames
    return figures(job, recorder, elapsed_s, wanted, speed)


def figures(job: LiveJob, recorder: Recorder, elapsed_s: float, wanted: int, speed: float) -> list[Figure]:
    """Return the quantiles."""
    from_bytes = np.percentile(recorder.from_bytes_ns, (50, 99, 99.9)) / 1e3
    alone = np.percentile(np.array(recorder.from_bytes_ns)[np.array(recorder.preempted) == 0], 99) / 1e3
    measured = [
        at_least("predictions", len(recorder.from_bytes_ns), "", min(wanted, 100_000)),
        Figure("ticks a second", job.pipeline.accounting.ticks / elapsed_s, ""),
        at_most("bytes in hand to prediction, p50", from_bytes[0], "us", 50.0),
        at_most("bytes in hand to prediction, p99", from_bytes[1], "us", 200.0),
        Figure("bytes in hand to prediction, p99.9", float(from_bytes[2]), "us"),
        at_most("p99 where no other process took the core meanwhile", alone, "us", 200.0),
        Figure("share of predictions where one did", float(np.mean(recorder.preempted)), ""),
    ]
    if speed > 1.0:  # market time runs ahead of the wall there
        return measured
    from_stamp = np.percentile(recorder.from_stamp_ns, (50, 99, 99.9)) / 1e3
    names = (f"exchange's stamp to prediction, {name}" for name in ("p50", "p99", "p99.9"))
    return measured + [
        Figure(name, float(value), "us") for name, value in zip(names, from_stamp, strict=True)
    ]


def drive(job: LiveJob, recorder: Recorder, wanted: int) -> float:
    """Run the job as ``volspike run`` does until there are enough predictions; return the seconds it took."""
    interval_s, threshold = sys.getswitchinterval(), gc.get_threshold()
    prepare_process()
    started_ns = time.perf_counter_ns()
    try:
        asyncio.run(_drive(job, recorder, wanted))
    finally:
        sys.setswitchinterval(interval_s)
        gc.set_threshold(*threshold)
        gc.unfreeze()
    return (time.perf_counter_ns() - started_ns) / 1e9


async def _drive(job: LiveJob, recorder: Recorder, wanted: int) -> None:
    stop = asyncio.Event()
    running = asyncio.create_task(job.run(stop))
    deadline_s = time.monotonic() + LIMIT_S
    while not running.done() and len(recorder.from_bytes_ns) < wanted and time.monotonic() < deadline_s:
        await asyncio.sleep(0.1)
    stop.set()
    await running
