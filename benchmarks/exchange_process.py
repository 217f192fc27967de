"""A simulated exchange in a process of its own, so that it takes no time from what is measured."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from benchmarks.ticks import PRICE_DECIMALS, make_ticks
from benchmarks.trained import PRODUCT, SEED
from volspike.simulation.market import Market, MarketBreak, MarketEvent, MarketTick
from volspike.simulation.server import Simulator, SimulatorSettings


class SteadyMarket:
    """One product at a steady mean rate, its trades in bursts; a synthetic market's rate varies."""

    products = (PRODUCT,)
    dialects = ("exchange",)
    one_frame_per_sweep = False
    truth = None

    def __init__(self, per_second: int, length_s: int) -> None:
        ticks = make_ticks(per_second, per_second * length_s, SEED)
        self._rows = zip(*(column.tolist() for column in ticks), strict=True)
        self._start_ns = int(ticks.event_ns[0])

    def events(self) -> Iterator[MarketEvent]:
        """Yield the ticks."""
        yield MarketBreak("start", self._start_ns)
        for i, (event_ns, _, bid, ask, bid_size, ask_size) in enumerate(self._rows):
            decimals = PRICE_DECIMALS
            yield MarketTick(
                PRODUCT, event_ns, bid, ask, bid, decimals, "sell", 10**6, bid_size, ask_size, 1_000 + i
            )


class Served(NamedTuple):
    """The process, and its addresses: of the ``exchange`` dialect, and of the control port (``admin``)."""

    process_id: int
    addresses: dict[str, str]


@contextmanager
def served(module: str, ready: Path, *arguments: object) -> Iterator[Served]:
    """Run ``python -m MODULE ARGUMENTS READY``, which serves a market."""
    command = [sys.executable, "-m", module, *map(str, arguments), str(ready)]
    process = subprocess.Popen(command, cwd=Path(__file__).parents[1])
    try:
        while not ready.exists():
            if process.poll() is not None:
                raise RuntimeError("the simulated exchange did not start")
            time.sleep(0.05)
        yield Served(process.pid, json.loads(ready.read_text(encoding="utf-8")))
    finally:
        process.terminate()
        process.wait(timeout=10)


async def serve(market: Market, speed: float, ready: Path) -> None:
    """Serve a market until the parent process is gone or ends this one."""
    parent = os.getppid()
    simulator = Simulator(market, SimulatorSettings(speed=speed, seed=SEED, stamps="rebased"))
    await simulator.start()
    temporary = ready.with_suffix(".tmp")
    temporary.write_text(json.dumps(simulator.urls | {"admin": simulator.admin_url}), encoding="utf-8")
    temporary.replace(ready)
    while os.getppid() == parent:
        await asyncio.sleep(0.2)


if __name__ == "__main__":
    _speed = float(sys.argv[2])
    _steady = SteadyMarket(int(sys.argv[1]), 600 if _speed > 1.0 else 300)
    asyncio.run(serve(_steady, _speed, Path(sys.argv[3])))
