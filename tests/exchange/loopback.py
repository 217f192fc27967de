"""A tiny exchange on the loopback interface, and a sink that writes down what it is handed."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from random import Random
from typing import Any

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from volspike.clock import Clock, SystemClock
from volspike.exchange.backoff import BackoffPolicy, TokenBucket
from volspike.exchange.client import ClientSettings, FeedClient
from volspike.exchange.dialects import Dialect, get_dialect
from volspike.exchange.items import Decoded
from volspike.exchange.products import PriceScales

Script = Callable[["Peer", int], Awaitable[None]]

IMPATIENT = ClientSettings(
    silence_timeout_s=0.6,
    ack_timeout_s=0.5,
    check_interval_s=0.03,
    close_timeout_s=0.5,
    stable_s=0.3,
    backoff=BackoffPolicy(first_s=0.01, cap_s=0.04),
)


def ticker(n: int, product: str = "BTC-USD") -> str:
    return json.dumps(
        {"type": "ticker", "sequence": n * 3, "product_id": product, "price": "100.5", "best_bid": "100.4"}
        | {"best_ask": "100.6", "time": f"2032-03-01T00:00:00.{n:06d}Z", "trade_id": n, "last_size": "0.5"}
    )


def heartbeat(product: str = "BTC-USD") -> str:
    return json.dumps(
        {"type": "heartbeat", "sequence": 5, "last_trade_id": 5, "product_id": product}
        | {"time": "2032-03-01T00:00:01.5Z"}
    )


def acknowledgement(*products: str) -> str:
    channels = [{"name": name, "product_ids": list(products)} for name in ("ticker", "heartbeat")]
    return json.dumps({"type": "subscriptions", "channels": channels})


def envelope(channel: str, sequence: int, *events: object) -> str:
    return json.dumps(
        {
            "channel": channel,
            "timestamp": "2032-03-01T00:00:01.5Z",
            "sequence_num": sequence,
            "events": events,
        }
    )


@dataclass
class Peer:
    """The server's end of one connection."""

    connection: ServerConnection
    headers: dict[str, str]
    opened_s: float
    received: list[Any] = field(default_factory=list)
    sent: list[str] = field(default_factory=list)

    async def send(self, *frames: str) -> None:
        for frame in frames:
            await self.connection.send(frame)
            self.sent.append(frame)

    async def read_subscribes(self, count: int) -> None:
        for _ in range(count):
            self.received.append(json.loads(await self.connection.recv()))

    async def read_to_the_end(self) -> None:
        """Note whatever else the client sends, until it closes."""
        try:
            while True:
                self.received.append(json.loads(await self.connection.recv()))
        except ConnectionClosed:
            return

    async def beat(self, *frames: str, every_s: float = 0.1) -> None:
        """Send some frames again and again until the client closes."""
        try:
            while True:
                await self.send(*frames)
                await asyncio.sleep(every_s)
        except ConnectionClosed:
            return

    def reset(self) -> None:
        """Cut the TCP connection with a reset, in the middle of a frame."""
        transport = self.connection.transport
        transport.write(b"\x81\x7e\x01\x00half a fr")
        raw = transport.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()


@dataclass
class Loopback:
    """The exchange: one script for all connections, and a log of them."""

    server: Server
    peers: list[Peer]
    refused: list[int]

    @property
    def url(self) -> str:
        port = next(iter(self.server.sockets)).getsockname()[1]
        return f"ws://127.0.0.1:{port}"


@asynccontextmanager
async def loopback(
    script: Script,
    statuses: Sequence[int] = (),
    extra_headers: Callable[[], dict[str, str]] = dict,
    subscribes: int = 1,
) -> Any:
    """Serve; the first handshakes are answered with ``statuses``, the others accepted."""
    peers: list[Peer] = []
    refused: list[int] = []
    coming = iter(statuses)

    def admit(connection: ServerConnection, request: Request) -> Response | None:
        status = next(coming, None)
        if status is None:
            return None
        refused.append(status)
        return connection.respond(status, "not now\n")

    def decorate(connection: ServerConnection, request: Request, response: Response) -> None:
        response.headers.update(extra_headers())

    async def handle(connection: ServerConnection) -> None:
        request = connection.request
        assert request is not None
        peer = Peer(connection, {k.lower(): v for k, v in request.headers.raw_items()}, time.monotonic())
        peers.append(peer)
        try:
            await peer.read_subscribes(subscribes)
            await script(peer, len(peers))
        except ConnectionClosed:
            return

    async with serve(handle, "127.0.0.1", 0, process_request=admit, process_response=decorate) as server:
        yield Loopback(server, peers, refused)


class NotingSink:
    """Decode every frame and keep it."""

    def __init__(self, dialect: Dialect) -> None:
        self._decoder = dialect.make_decoder(PriceScales())
        self.log: list[tuple[str, ...]] = []
        self.frames: list[bytes] = []
        self.decoded: list[Decoded] = []
        self.receive_ns: list[int] = []
        self.on_frame: Callable[[int], None] = lambda count: None

    @property
    def ends(self) -> list[str]:
        return [entry[2] for entry in self.log if entry[0] == "end"]

    def begin(self, session: str) -> None:
        self.log.append(("begin", session))

    def frame(self, session: str, receive_ns: int, raw: bytes, monotonic_ns: int) -> Decoded:
        assert self.log[-1] == ("begin", session)
        decoded = self._decoder.decode(raw)
        self.frames.append(raw)
        self.decoded.append(decoded)
        self.receive_ns.append(receive_ns)
        self.on_frame(len(self.frames))
        return decoded

    def end(self, session: str, reason: str) -> None:
        assert self.log[-1] == ("begin", session)
        self.log.append(("end", session, reason))


@dataclass
class Rig:
    """A client with its sink and its stop."""

    client: FeedClient
    sink: NotingSink
    stop: asyncio.Event

    async def run_until(self, condition: Callable[[], bool], limit_s: float = 10.0) -> None:
        """Run the client until the condition holds, then stop it; fail after ``limit_s``."""
        running = asyncio.create_task(self.client.run(self.stop))
        try:
            async with asyncio.timeout(limit_s):
                while not condition() and not running.done():
                    await asyncio.sleep(0.005)
        finally:
            self.stop.set()
            async with asyncio.timeout(limit_s):
                await running


def make_rig(
    url: str,
    dialect: str = "exchange",
    products: tuple[str, ...] = ("BTC-USD",),
    settings: ClientSettings = IMPATIENT,
    clock: Clock | None = None,
    bucket: TokenBucket | None = None,
) -> Rig:
    sink = NotingSink(get_dialect(dialect))
    client = FeedClient(
        get_dialect(dialect),
        url,
        products,
        clock or SystemClock(),
        Random(7),
        sink,
        settings,
        bucket or TokenBucket(rate_per_s=500.0),
    )
    return Rig(client, sink, asyncio.Event())


@contextmanager
def closed_port() -> Iterator[int]:
    """Give a port at which nothing listens."""
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        yield holder.getsockname()[1]


async def serve_well(peer: Peer, number: int) -> None:
    """Acknowledge, then beat and tick until the client goes."""
    await peer.send(acknowledgement("BTC-USD"), ticker(1), heartbeat())
    reader = asyncio.create_task(peer.read_to_the_end())
    await peer.beat(heartbeat(), ticker(2))
    await reader


def quote_row(product: str) -> dict[str, str]:
    """Return an Advanced Trade ticker row."""
    return {"type": "ticker", "product_id": product, "price": "9", "best_bid": "8.5", "best_ask": "9.5"}
