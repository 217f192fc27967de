"""Whole runs for the tests of the command line and the pipeline: a verb, a live job, a market for it."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import io
import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from volspike.__main__ import main
from volspike.bus.embedded import EmbeddedLog
from volspike.bus.topics import TOPICS
from volspike.clock import SimulatedClock, SystemClock
from volspike.config import Settings, load_settings
from volspike.exchange.products import PriceScales
from volspike.features.sets import get_feature_set
from volspike.pipeline.assembly import LiveJob, open_live
from volspike.pipeline.home import Home
from volspike.pipeline.recordings import synthetic_history
from volspike.pipeline.replay import replay_features
from volspike.pipeline.verify import verify_features
from volspike.recording.archive import ArchiveWriter
from volspike.recording.reader import Archive
from volspike.records import Record
from volspike.simulation.faults import Fault
from volspike.simulation.later import LaterMarket
from volspike.simulation.market import Market
from volspike.simulation.server import Simulator, SimulatorSettings
from volspike.simulation.synthetic import SyntheticMarket

NS = 1_000_000_000
ORIGIN_NS = 1_893_456_000 * NS  # 2030-01-01T00:00:00Z
SEED = 7
HISTORY_NS = 2 * 3600 * NS
START_NS = ORIGIN_NS + HISTORY_NS
LIMIT_S = 120.0  # generous: a loaded machine is no failure
PRODUCT = "BTC-USD"


@dataclass(frozen=True)
class Ran:
    """How a verb ended and what it said."""

    code: int
    out: str
    err: str

    @property
    def report(self) -> Any:
        """The one JSON object on stdout; fails where there is anything else."""
        return json.loads(self.out)


def volspike(*arguments: object) -> Ran:
    """Run a verb in this process, as ``volspike ARGUMENTS`` would."""
    out, err, before = io.StringIO(), io.StringIO(), sys.argv
    sys.argv = ["volspike", *map(str, arguments)]
    code: Any = 0
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            try:
                main()
            except SystemExit as end:
                code = end.code
    finally:
        sys.argv = before
    return Ran(int(code or 0), out.getvalue(), err.getvalue())


def start(*arguments: object, **environment: str) -> subprocess.Popen[str]:
    """Start a verb in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "volspike", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **environment},
    )


def finished(process: subprocess.Popen[str], limit_s: float = LIMIT_S) -> Ran:
    """Wait for a process."""
    try:
        out, err = process.communicate(timeout=limit_s)
    except subprocess.TimeoutExpired:
        process.kill()
        out, err = process.communicate()
        raise AssertionError(f"still running after {limit_s} s\n{err[-2000:]}") from None
    return Ran(process.returncode, out, err)


def one_line_failure(ran: Ran) -> str:
    """Check that a verb failed the way users are promised; return the line."""
    assert ran.code == 1, (ran.code, ran.err)
    lines = [line for line in ran.err.splitlines() if line.startswith("volspike: ")]
    assert len(lines) == 1, ran.err
    assert "Traceback" not in ran.err
    assert lines[0] == ran.err.splitlines()[-1], ran.err
    return lines[0]


def tree(root: Path) -> dict[str, str]:
    """Return every file below a directory with the sha256 of its bytes, and every directory."""
    found = {}
    for path in sorted(root.rglob("*")):
        content = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "directory"
        found[path.relative_to(root).as_posix()] = content
    return found


def make_history(root: Path, history_ns: int = HISTORY_NS, seed: int = SEED) -> Home:
    """Archive a synthetic history and compute its features."""
    home = Home(root)
    home.create()
    writer = ArchiveWriter(root, SystemClock())
    market = SyntheticMarket(seed, (PRODUCT,), ORIGIN_NS)
    synthetic_history(market, seed, ORIGIN_NS + history_ns, writer)
    writer.close()
    replay_features(home, get_feature_set("core"), PriceScales(), lambda _frames: None)
    return home


def market_after_history(seed: int = SEED) -> Market:
    """Return the market that goes on where ``make_history`` ended."""
    return LaterMarket(SyntheticMarket(seed, (PRODUCT,), ORIGIN_NS), START_NS)


def settings_for(root: Path, **given: Any) -> Settings:
    """Return the settings of a live job on the Exchange dialect, at no address, without the bundled model."""
    return load_settings({"data_dir": root, "dialect": "exchange", "default_model": False, **given})


def verified(root: Path) -> dict[str, int]:
    """Compare the stored rows with the archive."""
    counts: dict[str, int] = verify_features(Home(root), PriceScales(), lambda _frames: None)
    return counts


def assert_identical(root: Path) -> int:
    """Check that every stored row equals the archive and none is missing; return how many."""
    counts = verified(root)
    wrong = {name: counts[name] for name in ("different", "missing", "extra", "corrupt")}
    assert not any(wrong.values()), counts
    assert counts["identical"] == counts["rows"] > 0, counts
    return counts["rows"]


async def until(condition: Callable[[], bool], limit_s: float = LIMIT_S) -> None:
    """Wait until a condition holds."""
    async with asyncio.timeout(limit_s):
        while not condition():
            await asyncio.sleep(0.005)


def wait_until(condition: Callable[[], bool], limit_s: float = LIMIT_S) -> None:
    """Wait, without an event loop, until a condition holds."""
    deadline = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.02)


@dataclass
class Session:
    """A live job on a simulator that runs beside it."""

    simulator: Simulator
    settings: Settings
    url: str = ""

    async def run(
        self, enough: Callable[[LiveJob], bool], drain: bool = True, adapt: Callable[[LiveJob], None] = id
    ) -> dict[str, Any]:
        """Run a live job until there is enough; with ``drain``, take every frame that was sent."""
        url = self.url or self.simulator.urls[self.settings.dialect]
        job = open_live(self.settings, SimulatedClock(), (), url)
        adapt(job)
        stop = asyncio.Event()
        running = asyncio.create_task(job.run(stop))
        try:
            await until(lambda: enough(job) or running.done())
            if drain:
                await self.simulator.finish()
                await until(lambda: not job.pipeline.connected or running.done())
        finally:
            stop.set()
            await asyncio.wait((running,))
            job.close()
        await running
        return job.as_dict()


@contextlib.asynccontextmanager
async def session(
    root: Path, market: Market, *, speed: float = 1000.0, plan: Sequence[Fault] = (), **given: Any
) -> Any:
    """Serve a market to live jobs on a data directory."""
    simulator = Simulator(market, SimulatorSettings(speed=speed, seed=SEED, stamps="kept", plan=tuple(plan)))
    await simulator.start()
    try:
        yield Session(simulator, settings_for(root, **given))
    finally:
        await simulator.stop()


def live_run(
    root: Path, market: Market, enough: Callable[[LiveJob], bool], **options: Any
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Run a live job on a simulated market; return its report and the simulator's books."""

    async def run() -> tuple[dict[str, Any], dict[str, Any]]:
        async with session(root, market, **options) as running:
            report = await running.run(enough)
            return report, running.simulator.state()

    return asyncio.run(run())


def ticks_at_least(count: int) -> Callable[[LiveJob], bool]:
    """Return the condition that a job has taken so many ticks."""
    return lambda job: job.pipeline.accounting.ticks >= count


def logged(root: Path, topic: str) -> list[Record]:
    """Return every record of a topic of the embedded log."""
    log = EmbeddedLog(root / "log.db", SystemClock())
    try:
        return [TOPICS[topic].decode(entry.value) for entry in log.read(topic, 0, 10_000_000)]
    finally:
        log.close()


def archived_frames(root: Path) -> list[tuple[int, bytes]]:
    """Return (seq, bytes) of every frame of the archive, in replay order."""
    archive = Archive(root)
    return [(frame.seq, frame.raw) for info in archive.sessions() for frame in archive.frames(info)]


def adds_up(report: dict[str, Any]) -> None:
    """Check the accounts of a live run."""
    assert report["frames"] == report["archived"]
    assert report["items"] == report["ticks"] + sum(report["ignored"].values()) + report["deadlettered"]
    assert report["deadlettered"] == sum(report["deadletter_reasons"].values())
    assert report["features"] == report["ticks"]
    assert report["predictions"] == report["outcomes"]


@contextlib.contextmanager
def simulator_process(ready: Path, *arguments: object) -> Iterator[dict[str, Any]]:
    """Run ``volspike simulate`` beside the test; gives its addresses."""
    process = start("simulate", "--ready-file", ready, "--stamps", "kept", *arguments)
    try:
        wait_until(lambda: ready.exists() or process.poll() is not None)
        assert process.poll() is None, process.communicate()[1]
        yield json.loads(ready.read_text())
    finally:
        process.send_signal(signal.SIGTERM)
        finished(process)


def simulator_state(told: dict[str, Any], what: str = "state") -> dict[str, Any]:
    """Ask a simulator's control port."""
    with urllib.request.urlopen(f"{told['admin']}/admin/{what}", timeout=10) as answer:
        state: dict[str, Any] = json.load(answer)
    return state
