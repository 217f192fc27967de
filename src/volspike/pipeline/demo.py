"""The demonstration: history, a first model, a simulated exchange in its own process, and the live job."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

from volspike.clock import SystemClock
from volspike.config import Settings
from volspike.errors import ConfigError, FeedError
from volspike.exchange.products import PriceScales
from volspike.features.sets import get_tick_set
from volspike.pipeline.home import Home
from volspike.pipeline.recordings import import_history, split_time_ns, synthetic_history
from volspike.pipeline.replay import replay_features
from volspike.pipeline.served_models import choose_models
from volspike.pipeline.training import train_models
from volspike.recording.archive import ArchiveWriter
from volspike.recording.sniff import ImportOptions
from volspike.simulation.synthetic import SyntheticMarket

Begun = TypeVar("Begun")

HISTORY_FRAC = 0.4
# Marks a directory that holds nothing but a history that is being made.
PREPARING = ".demo-preparing"
START_LIMIT_S = 30.0
POLL_S = 0.25
DRAIN_LIMIT_S, DRAIN_POLL_S = 5.0, 0.02
HOUR_NS = 3_600_000_000_000
# A proxy of the environment does not reach loopback.
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@dataclass(frozen=True)
class DemoPlan:
    """What is shown: recordings (none: a synthetic market), speed, history, and how long."""

    recordings: tuple[Path, ...]
    speed: float
    history_hours: float
    zone: str
    exit_after_s: float | None


class Demo:
    """Prepares the demonstration; as a context manager it ends the simulator it started.

    Raises
    ------
    ConfigError
        If the data directory is in use: a demonstration begins in an empty one.
    """

    def __init__(self, settings: Settings, plan: DemoPlan, say: Callable[[str], None]) -> None:
        self._settings = settings
        self._plan = plan
        self._say = say
        self._home = Home(settings.data_dir)
        self._scales = PriceScales(settings.price_decimals)
        self._options = ImportOptions(zone=plan.zone)
        self._deadline_s = None if plan.exit_after_s is None else time.monotonic() + plan.exit_after_s
        self._closing = ExitStack()
        self._admin = ""
        self._sent: int | None = None
        self.title = "volspike demo"

    def __enter__(self) -> Demo:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing.close()

    def seconds_left(self) -> float | None:
        """Return how much of the time limit is left."""
        return None if self._deadline_s is None else max(0.0, self._deadline_s - time.monotonic())

    def open(self, begin: Callable[[Settings, str], Begun]) -> Begun:
        """Make the history and the model, start the simulator, and begin on it.

        Parameters
        ----------
        begin : callable
            Given the settings, with the dialect, and the feed's address; begins what is shown.
        """
        is_new = self._home.create()
        if (self._home.root / PREPARING).exists():
            self._home.clear(False)  # an earlier demonstration was killed before it had anything to show
        if any(self._home.root.iterdir()):
            raise ConfigError(
                str(self._home.root),
                "is not empty",
                "name a new directory with --data-dir, or remove this one",
            )
        try:
            (self._home.root / PREPARING).touch()
            begun = begin(*self._prepare())
        except BaseException:
            self._home.clear(is_new)
            raise
        (self._home.root / PREPARING).unlink()
        return begun

    def _prepare(self) -> tuple[Settings, str]:
        choose_models(self._home, self._settings)  # a model that can't be served is told before the long work
        start_ns, origin_ns = self._make_history()
        if not self._settings.model:
            self._train()
        urls = self._start_simulator(start_ns, origin_ns)
        dialect = choose_models(self._home, self._settings, tuple(urls)).dialect.name
        source = self._plan.recordings[0].name if self._plan.recordings else "a synthetic market"
        self.title = f"volspike demo: {source} at x{self._plan.speed:g}"
        self._say(f"live: {self.title}")
        return self._settings.model_copy(update={"dialect": dialect}), urls[dialect]

    async def watch(self, has_all: Callable[[int | None], bool], asked: asyncio.Event) -> None:
        """Wait until the market is over or the end is asked for; then let every frame sent arrive.

        Parameters
        ----------
        has_all : callable
            Tells whether everything has arrived, given how many frames were sent; None where that is unknown.
        """
        while not asked.is_set():
            if (await asyncio.to_thread(self._ask, "state"))["finished"]:
                break
            await asyncio.sleep(POLL_S)
        try:
            await asyncio.to_thread(self._ask, "finish")
        except FeedError as error:
            self._sent = None
            self._say(str(error))
        for _ in range(int(DRAIN_LIMIT_S / DRAIN_POLL_S)):
            if has_all(self._sent):
                return
            await asyncio.sleep(DRAIN_POLL_S)

    def report(self, counts: Mapping[str, Any]) -> dict[str, Any]:
        """Return all counts, the simulator's own first: None where it could not be asked at the end."""
        return {"sent": self._sent, **counts, "data_dir": str(self._home.root)}

    def _make_history(self) -> tuple[int, int | None]:
        """Archive the history; return where the live part starts, and where a synthetic market began."""
        writer = ArchiveWriter(self._home.root, SystemClock())
        try:
            if self._plan.recordings:
                return self._recorded_history(writer), None
            start_ns = SystemClock().market_ns() // 1_000_000_000 * 1_000_000_000
            origin_ns = start_ns - int(self._plan.history_hours * HOUR_NS)
            self._say(f"making {self._plan.history_hours:g} h of synthetic history")
            market = SyntheticMarket(self._settings.seed, self._settings.products, origin_ns)
            frames = synthetic_history(market, self._settings.seed, start_ns, writer)
            self._say(f"archived {frames:,} frames of history")
            return start_ns, origin_ns
        finally:
            writer.close()

    def _recorded_history(self, writer: ArchiveWriter) -> int:
        if self._settings.model:
            return 0
        start_ns = split_time_ns(self._plan.recordings, HISTORY_FRAC, self._options, self._scales)
        frames = import_history(self._plan.recordings, start_ns, writer, self._options, self._scales)
        self._say(f"archived the first {HISTORY_FRAC:.0%} as history: {frames:,} frames")
        return start_ns

    def _train(self) -> None:
        replay_features(
            self._home, get_tick_set(self._settings.feature_set), self._scales, lambda _frames: None
        )
        trained = train_models(self._home, self._settings, self._settings.products[0], None, self._say)
        result = trained.result
        for name, reason in result.not_fitted.items():
            self._say(f"{name}: {reason}")
        self._say(f"champion: {result.champion}, {result.champion_reason}; reference: {result.reference}")

    def _start_simulator(self, start_ns: int, origin_ns: int | None) -> dict[str, str]:
        directory = Path(self._closing.enter_context(tempfile.TemporaryDirectory(prefix="volspike-")))
        ready = directory / "ready.json"
        with self._simulator_log.open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "volspike", *self._simulator_arguments(start_ns, origin_ns, ready)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=log,
                start_new_session=True,  # a terminal sends Ctrl-C to the whole group: this one must end last
            )
        self._closing.callback(_end, process)
        deadline_s = time.monotonic() + START_LIMIT_S
        while not ready.exists():
            if process.poll() is not None or time.monotonic() > deadline_s:
                said = self._simulator_log.read_text(encoding="utf-8", errors="replace").strip()
                reason = f"did not start ({said.splitlines()[-1] if said else 'and said nothing'})"
                raise FeedError("simulator", reason, "run volspike simulate to see more")
            time.sleep(0.05)
        told = json.loads(ready.read_text(encoding="utf-8"))
        self._admin = told["admin"]
        urls: dict[str, str] = told["urls"]
        return urls

    def _simulator_arguments(self, start_ns: int, origin_ns: int | None, ready: Path) -> list[str]:
        plan, seed = self._plan, self._settings.seed
        arguments = ["simulate", "--stamps", "kept", "--speed", str(plan.speed), "--seed", str(seed)]
        arguments += ["--start-ns", str(start_ns), "--tz", plan.zone]
        for path in plan.recordings:
            arguments += ["--recording", str(path)]
        for product in self._settings.products:
            arguments += ["--product", product]
        if origin_ns is not None:
            arguments += ["--origin-ns", str(origin_ns)]
        return [*arguments, "--ready-file", str(ready)]

    @property
    def _simulator_log(self) -> Path:
        return self._home.root / "simulator.log"

    def _ask(self, what: str) -> dict[str, Any]:
        try:
            with _DIRECT.open(f"{self._admin}/admin/{what}", timeout=10) as answer:
                state: dict[str, Any] = json.load(answer)
        except (OSError, ValueError) as error:
            reason = f"does not answer ({error})"
            raise FeedError("simulator", reason, f"see {self._simulator_log}") from None
        self._sent = state["sent"]["total"]
        return state


def _end(process: subprocess.Popen[bytes]) -> None:
    """Stop the simulator that was started here."""
    process.terminate()
    try:
        process.wait(timeout=10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
