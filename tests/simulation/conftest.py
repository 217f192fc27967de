"""A plain client, written from the protocol description with ``websockets`` and ``json`` alone."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from volspike.simulation.market import MarketBreak, MarketEvent, MarketTick
from volspike.simulation.server import Simulator, SimulatorSettings

SECOND = 1_000_000_000
START = 1_893_456_000 * SECOND  # 2030-01-01T00:00:00Z


class Transcript:
    """What one connection received: frames as text and as objects, arrival times, how it ended."""

    def __init__(self) -> None:
        self.raw: list[str] = []
        self.arrivals: list[float] = []
        self.headers: dict[str, str] = {}
        self.close_code: int | None = None

    @property
    def frames(self) -> list[dict[str, Any]]:
        return [json.loads(text) for text in self.raw]

    async def read(self, ws: ClientConnection) -> None:
        """Read until the connection ends."""
        try:
            while True:
                self.raw.append(await ws.recv())
                self.arrivals.append(time.monotonic())
        except ConnectionClosed:
            self.close_code = ws.close_code


def subscriptions(dialect: str, products: Sequence[str]) -> list[str]:
    if dialect == "advanced":
        requests: list[dict[str, Any]] = [
            {"type": "subscribe", "product_ids": list(products), "channel": "ticker"},
            {"type": "subscribe", "channel": "heartbeats"},
        ]
    else:
        requests = [{"type": "subscribe", "product_ids": list(products), "channels": ["ticker", "heartbeat"]}]
    return [json.dumps(request) for request in requests]


async def listen(url: str, messages: Sequence[str], pause_s: float = 0.0) -> Transcript:
    """Connect, send ``messages``, read to the end; ``pause_s`` before the first read."""
    transcript = Transcript()
    async with connect(url, max_queue=4, ping_interval=None) as ws:
        transcript.headers = dict(ws.response.headers) if ws.response else {}
        for message in messages:
            await ws.send(message)
        await asyncio.sleep(pause_s)
        await transcript.read(ws)
    return transcript


async def admin(simulator: Simulator, target: str) -> tuple[int, str, Any]:
    """Send one plain HTTP GET; return status, content type and the body (JSON decoded if it is)."""
    host, port = simulator.admin_url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(f"GET {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
    head, _, body = (await reader.read()).decode().partition("\r\n\r\n")
    writer.close()
    fields = dict(line.split(": ", 1) for line in head.split("\r\n")[1:])
    kind = fields["Content-Type"]
    return int(head.split()[1]), kind, json.loads(body) if kind == "application/json" else body


class ListMarket:
    """A market that is written down."""

    def __init__(self, events: Sequence[MarketEvent], sweeps: bool = True) -> None:
        self._events = events
        self.products = tuple(sorted({e.product for e in events if isinstance(e, MarketTick)}))
        self.dialects = ("advanced", "exchange")
        self.one_frame_per_sweep = sweeps
        self.truth = None

    def events(self) -> Iterator[MarketEvent]:
        return iter(self._events)


def tick(offset_s: float, trade_id: int = 1, product: str = "BTC-USD", **fields: Any) -> MarketTick:
    values: dict[str, Any] = {
        "product": product,
        "event_ns": START + round(offset_s * SECOND),
        "bid": 6_180_430,
        "ask": 6_180_437,
        "price": 6_180_437,
        "price_decimals": 2,
        "side": "buy",
        "size": 25_011_900,
        "bid_size": 31_770_000,
        "ask_size": 4_419_200,
        "trade_id": trade_id,
    }
    return MarketTick(**(values | fields))


def steady(seconds: float, per_second: float = 10.0) -> ListMarket:
    """Return a market of evenly spaced trades after one stale one."""
    times = [i / per_second for i in range(int(seconds * per_second))]
    ticks = [tick(t, 101 + i) for i, t in enumerate(times)]
    return ListMarket([MarketBreak("start", START, (tick(-20.0, 100),)), *ticks])


@asynccontextmanager
async def serving(market: Any, **settings: Any) -> AsyncIterator[Simulator]:
    """Serve a market for the length of a block."""
    simulator = Simulator(market, SimulatorSettings(**settings))
    await simulator.start()
    try:
        yield simulator
    finally:
        await simulator.stop()


@asynccontextmanager
async def connected(
    market: Any, dialect: str, **settings: Any
) -> AsyncIterator[tuple[Simulator, ClientConnection]]:
    """Serve a market and open one connection to it."""
    async with serving(market, **settings) as simulator:
        url = simulator.urls[dialect]
        async with connect(url, ping_interval=None, close_timeout=0.2) as ws:
            yield simulator, ws


class Kit:
    """The tools above, for tests."""

    SECOND = SECOND
    START = START
    ListMarket = ListMarket
    Transcript = Transcript
    tick = staticmethod(tick)
    steady = staticmethod(steady)
    serving = staticmethod(serving)
    connected = staticmethod(connected)
    listen = staticmethod(listen)
    admin = staticmethod(admin)
    subscriptions = staticmethod(subscriptions)

    @staticmethod
    def whole_run(market: Any, dialect: str, **settings: Any) -> tuple[Transcript, dict[str, Any]]:
        """Serve a whole market to one client; return what it received and the final state."""

        async def run() -> tuple[Transcript, dict[str, Any]]:
            async with serving(market, **settings) as simulator, asyncio.timeout(30):
                messages = subscriptions(dialect, market.products)
                transcript = await listen(simulator.urls[dialect], messages)
                await simulator.wait()
                return transcript, simulator.state()

        return asyncio.run(run())


@pytest.fixture(scope="session")
def kit() -> type[Kit]:
    return Kit
