"""A simulated exchange in a process of its own, so that it takes no time from what is measured."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from benchmarks.ticks import PRICE_DECIMALS, make_ticks
from benchmarks.trained import PRODUCT, SEED
from volspike.simulation.market import MarketBreak, MarketEvent, MarketTick
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


async def serve(per_second: int, speed: float, ready: Path) -> None:
    """Serve a steady market until the parent process is gone or ends this one."""
    parent = os.getppid()
    market = SteadyMarket(per_second, 600 if speed > 1.0 else 300)
    simulator = Simulator(market, SimulatorSettings(speed=speed, seed=SEED, stamps="rebased"))
    await simulator.start()
    temporary = ready.with_suffix(".tmp")
    temporary.write_text(json.dumps(simulator.urls), encoding="utf-8")
    temporary.replace(ready)
    while os.getppid() == parent:
        await asyncio.sleep(0.2)


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), float(sys.argv[2]), Path(sys.argv[3])))
