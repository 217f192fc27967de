"""An exchange with a past for the tests of candles: trades made by a seed, and the candles they make."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Collection, Iterator, Sequence
from contextlib import asynccontextmanager

from volspike.simulation.candle_book import CandleBook
from volspike.simulation.faults import parse_fault
from volspike.simulation.later import LaterMarket
from volspike.simulation.limits import Limits
from volspike.simulation.market import MarketTick
from volspike.simulation.server import Simulator, SimulatorSettings
from volspike.simulation.synthetic import SyntheticMarket

MINUTE_NS = 60_000_000_000
NOW = 28_401_120  # 2024-01-01T00:00:00Z, the minute that is not over
PRODUCT = "BTC-USD"
Figures = tuple[float, float, float, float, float]
UNLIMITED = Limits(requests_per_s=1e6, request_burst=10**6)


def trades(first: int, end: int, holes: Collection[int] = (), product: str = PRODUCT) -> Iterator[MarketTick]:
    """Yield up to four trades a minute, none in the holes."""
    rng = random.Random(f"{product} {first}")
    cents = 4_200_000
    for minute in range(first, end):
        for position in range(rng.randint(1, 4)):
            cents += rng.randint(-900, 900)
            size = rng.randint(1, 10**9)
            if minute not in holes:
                stamp = minute * MINUTE_NS + position * 14_000_000_000 + rng.randrange(10**9)
                yield MarketTick(product, stamp, cents - 1, cents, cents, 2, "buy", size)


def candles_of(ticks: Sequence[MarketTick]) -> dict[int, Figures]:
    """Return open, high, low, close and volume by minute, from the trades alone."""
    minutes: dict[int, list[MarketTick]] = {}
    for tick in ticks:
        minutes.setdefault(tick.event_ns // MINUTE_NS, []).append(tick)
    return {
        minute: (
            found[0].price / 100,
            max(tick.price for tick in found) / 100,
            min(tick.price for tick in found) / 100,
            found[-1].price / 100,
            sum(tick.size for tick in found) / 10**8,
        )
        for minute, found in minutes.items()
    }


@asynccontextmanager
async def exchange(
    ticks: Sequence[MarketTick], faults: Sequence[str] = (), limits: Limits = UNLIMITED
) -> AsyncIterator[Simulator]:
    """Serve the candles of trades; the market stands at ``NOW``."""
    book = CandleBook()
    for tick in ticks:
        book.trade(tick)
    products = sorted({PRODUCT, *(tick.product for tick in ticks)})
    market = LaterMarket(SyntheticMarket(7, products, NOW * MINUTE_NS), NOW * MINUTE_NS)
    settings = SimulatorSettings(
        stamps="kept", limits=limits, plan=tuple(parse_fault(fault) for fault in faults)
    )
    simulator = Simulator(market, settings, candles=book)
    await simulator.start()
    try:
        yield simulator
    finally:
        await simulator.stop()
