"""The live pipeline with a retraining beside it: what that costs the predictions.

The exchange has a process of its own, so with the retraining three busy processes share the machine's cores,
as they would where everything runs on one small server. The retraining is what ``volspike run`` begins:
``volspike retrain`` at the lowest priority but four, within its bounds of time and memory.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.bytes_to_prediction import PER_SECOND, Recorder
from benchmarks.exchange_process import served
from benchmarks.figures import Figure
from benchmarks.trained import PRODUCT, data_directory
from volspike.cli.driving import prepare_process
from volspike.clock import SimulatedClock
from volspike.config import load_settings
from volspike.pipeline.assembly import LiveJob, open_live

TITLE = "predictions beside a retraining, 2,000 ticks/s"
STRETCHES, STRETCH_S = 3, 15.0


def run(quick: bool) -> list[Figure]:
    """Predict in stretches without and with a retraining, in turn."""
    per_second, stretches, stretch_s = (20, 1, 2.0) if quick else (PER_SECOND, STRETCHES, STRETCH_S)
    with tempfile.TemporaryDirectory(prefix="volspike-bench-") as name:
        root = Path(name)
        home = data_directory(root, 0.5 if quick else 6.0, "zscore" if quick else "xgboost")
        settings = load_settings({"data_dir": home.root, "products": (PRODUCT,), "dialect": "exchange"})
        speed = 60.0 if quick else 1.0
        with served("benchmarks.exchange_process", root / "ready.json", per_second, speed) as market:
            job = open_live(settings, SimulatedClock(), (), market.addresses["exchange"])
            recorder = job.pipeline.latency = Recorder(job)
            prepare_process()
            try:
                found = asyncio.run(_drive(job, recorder, root / "history", stretches, stretch_s))
            finally:
                job.close()
    return _figures(found)


Latencies = dict[bool, list[np.ndarray]]


async def _drive(
    job: LiveJob, recorder: Recorder, history: Path, stretches: int, stretch_s: float
) -> Latencies:
    stop = asyncio.Event()
    running = asyncio.create_task(job.run(stop))
    while not recorder.from_bytes_ns and not running.done():
        await asyncio.sleep(0.1)
    await asyncio.sleep(2.0)
    found: Latencies = {False: [], True: []}
    for _ in range(stretches):
        for beside in (False, True):
            process = _retraining(history) if beside else None
            try:
                if process is not None:
                    await asyncio.sleep(4.0)  # behind its imports it is at work
                first = len(recorder.from_bytes_ns)
                await _wait(stretch_s, process)
                found[beside].append(np.array(recorder.from_bytes_ns[first:]))
            finally:
                if process is not None:
                    process.kill()
                    process.wait()
    stop.set()
    await running
    return found


async def _wait(stretch_s: float, process: subprocess.Popen[bytes] | None) -> None:
    """Let a stretch pass; it ends with the retraining."""
    ends_s = time.monotonic() + stretch_s
    while time.monotonic() < ends_s and (process is None or process.poll() is None):
        await asyncio.sleep(0.1)


def _retraining(history: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "volspike", "retrain", "--data-dir", str(history), "--json"]
    quiet = subprocess.DEVNULL
    return subprocess.Popen(command, stdin=quiet, stdout=quiet, stderr=quiet)


def _figures(found: Latencies) -> list[Figure]:
    figures: list[Figure] = []
    quantiles: dict[bool, list[float]] = {}
    for beside, stretches in found.items():
        told = [np.percentile(each, (50, 99, 99.9)) / 1e3 for each in stretches if len(each)]
        middle = np.median(np.array(told), axis=0)
        quantiles[beside] = middle.tolist()
        words = "with a retraining" if beside else "without"
        figures += [
            Figure(f"bytes in hand to prediction, {name}: {words}", value, "us")
            for name, value in zip(("p50", "p99", "p99.9"), quantiles[beside], strict=True)
        ]
        figures.append(Figure(f"predictions: {words}", float(sum(map(len, stretches))), ""))
    return [
        *figures,
        Figure("p99, with / without", quantiles[True][1] / quantiles[False][1], "x"),
    ]
