"""The exchange simulator: one market, two dialects, real WebSockets on loopback."""

from __future__ import annotations

import asyncio
import http
import random
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from functools import partial
from typing import Any, Literal

import msgspec
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from volspike.clock import Clock, SystemClock
from volspike.errors import ConfigError, FeedError
from volspike.simulation import admin
from volspike.simulation.advanced_voice import AdvancedVoice
from volspike.simulation.board import Board
from volspike.simulation.candle_book import CandleBook
from volspike.simulation.candle_desk import PREFIX, CandleDesk
from volspike.simulation.connection import Connection
from volspike.simulation.door import Door
from volspike.simulation.exchange_voice import ExchangeVoice
from volspike.simulation.fault_plan import FaultPlan
from volspike.simulation.faults import Fault
from volspike.simulation.ledger import Ledger
from volspike.simulation.limits import Limits
from volspike.simulation.market import SECOND_NS, Market
from volspike.simulation.pump import Pump
from volspike.simulation.voice import Voice

CLOCK_HEADER = "X-Simulated-Clock"
"""Header of every handshake response: ``<monotonic_ns>,<market_ns>,<speed>``."""

MAX_REQUEST_BYTES = 2**20
NORMAL = 1000


class SimulatorSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How a market is served.

    ``stamps`` "kept": frames carry the market's own times; "rebased": shifted so that the first event served
    happens now. ``ports`` by dialect; 0 takes a free one. ``plan``: faults to inject, see ``faults``.
    """

    speed: float = 1.0
    seed: int = 0
    stamps: Literal["kept", "rebased"] = "kept"
    host: str = "127.0.0.1"
    ports: Mapping[str, int] = {}
    plan: tuple[Fault, ...] = ()
    limits: Limits = Limits()


class Simulator:
    """An exchange on loopback; see ``admin`` for its control port.

    Parameters
    ----------
    market : Market
        What is told; it is told once.
    settings : SimulatorSettings
        How.
    clock : Clock
        Monotonic time for pacing and limits, wall time for rebased stamps.
    candles : CandleBook, optional
        Candles from before the market begins.

    Raises
    ------
    ConfigError
        If the speed is not positive.
    """

    def __init__(
        self,
        market: Market,
        settings: SimulatorSettings | None = None,
        clock: Clock | None = None,
        candles: CandleBook | None = None,
    ) -> None:
        self._settings = settings or SimulatorSettings()
        self._clock = clock or SystemClock()
        if not self._settings.speed > 0:
            raise ConfigError(
                "speed", f"{self._settings.speed} is not positive", "give a number such as 1 or 60"
            )
        self._market = market
        self._ledger = Ledger()
        self._board = Board(self._settings.seed, candles)
        limits = self._settings.limits
        self._door = Door(limits, market.dialects, self._ledger.refused, self._clock)
        self._desk = CandleDesk(
            market.products, self._board.candles, self._door, limits, self._ledger.candle_answers, self._clock
        )
        plan = self._settings.plan
        self._pump = Pump(
            market,
            self._board,
            self._ledger,
            self._clock,
            self._settings.speed,
            self._settings.stamps == "rebased",
            FaultPlan([fault for fault in plan if not fault.opens], self._settings.seed),
            self._door,
        )
        for fault in plan:
            if fault.opens:
                self._ledger.faults[fault.kind] += 1
                self._door.arm(fault)
        self._rng = random.Random(f"connections {self._settings.seed}")
        self._boot_ns = self._pump.market_ns() - self._rng.randrange(10_000, 90_000) * SECOND_NS - 374_103_265
        self._servers: dict[str, Server] = {}
        self._drive: asyncio.Task[None] | None = None

    @property
    def urls(self) -> dict[str, str]:
        """Return the WebSocket address of each dialect offered."""
        return {dialect: _address("ws", server) for dialect, server in self._servers.items()}

    @property
    def admin_url(self) -> str:
        """Return the address under which ``/admin/...`` is found."""
        return _address("http", next(iter(self._servers.values())))

    async def start(self) -> None:
        """Open the ports; the market waits for the first complete subscription.

        Raises
        ------
        FeedError
            If a port can't be opened.
        """
        for dialect in self._market.dialects:
            port = self._settings.ports.get(dialect, 0)
            try:
                self._servers[dialect] = await serve(
                    partial(self._serve, dialect),
                    self._settings.host,
                    port,
                    process_request=partial(self._admit, dialect),
                    process_response=self._tell_clock,
                    compression="deflate",
                    ping_interval=None,
                    close_timeout=self._settings.limits.close_timeout_s,
                    max_size=MAX_REQUEST_BYTES,
                )
            except OSError as error:
                await self.stop()
                raise FeedError(
                    f"port {port}", f"can't be opened ({error})", "choose another port"
                ) from error
        self._drive = asyncio.create_task(self._tell_all())

    async def wait(self) -> None:
        """Wait until the market has been told to its end, or ``finish`` was asked for."""
        if self._drive is not None:
            await asyncio.wait((self._drive,))
            if not self._drive.cancelled():
                self._drive.result()

    async def finish(self) -> None:
        """Stop telling; once everything told is handed over close with 1000; refuse new clients."""
        self._door.is_shut = True
        self._pump.stop()
        if self._drive is not None and not self._drive.done():
            # A client that no longer reads would keep the market waiting for ever.
            await asyncio.wait((self._drive,), timeout=self._settings.limits.close_timeout_s)
            self._drive.cancel()
            await asyncio.wait((self._drive,))

    async def stop(self) -> None:
        """Finish and close the ports."""
        await self.finish()
        for server in self._servers.values():
            server.close()
        for server in self._servers.values():
            await server.wait_closed()

    async def inject(self, fault: Fault) -> None:
        """Put a fault in force, as a plan would."""
        await self._pump.inject(fault)

    def state(self) -> dict[str, Any]:
        """Return counts, times and the log of every connection, as JSON-ready values."""
        return {
            "market_ns": self._now_ns(),
            "offset_ns": self._board.offset_ns,
            "speed": self._settings.speed,
            "finished": self._door.is_shut,
            "products": list(self._market.products),
            "dialects": list(self._market.dialects),
            **self._ledger.as_dict(),
        }

    async def _tell_all(self) -> None:
        try:
            await self._pump.run()
        finally:
            self._door.is_shut = True
            connections = list(self._pump.connections)
            await asyncio.gather(*(connection.close(NORMAL, "finished") for connection in connections))

    async def _admit(self, dialect: str, connection: ServerConnection, request: Request) -> Response | None:
        """Answer control requests and those for candles; refuse connections that are too many or too late."""
        if request.path.startswith("/admin/"):
            return await admin.answer(self, connection, request.path)
        if request.path.startswith(PREFIX):
            return await self._desk.answer(connection, request.path, self._now_ns())
        status = await self._door.refusal(dialect)
        return None if status is None else connection.respond(status, f"{status.phrase.lower()}\n")

    def _tell_clock(self, connection: ServerConnection, request: Request, response: Response) -> None:
        is_opened = response.status_code == http.HTTPStatus.SWITCHING_PROTOCOLS
        if is_opened:
            self._pump.rebase()
        if is_opened or request.path.startswith(PREFIX):
            response.headers[CLOCK_HEADER] = (
                f"{self._clock.monotonic_ns()},{self._now_ns()},{self._settings.speed}"
            )

    def _now_ns(self) -> int:
        return self._pump.market_ns() + self._board.offset_ns

    async def _serve(self, dialect: str, ws: ServerConnection) -> None:
        """Live through one connection."""
        connection = self._open(dialect, ws)
        watch = asyncio.create_task(connection.watch())
        try:
            with suppress(ConnectionClosed):
                async for message in ws:
                    connection.receive(message, self._pump.market_ns())
        finally:
            watch.cancel()
            connection.ended(ws.close_code, ws.close_reason or "")
            self._pump.connections.remove(connection)
            self._pump.notice()

    def _open(self, dialect: str, ws: ServerConnection) -> Connection:
        limits = self._settings.limits
        log = self._ledger.open(dialect, self._pump.market_ns())
        voice = self._voice(dialect)
        self._door.receive(voice)
        connection = Connection(
            ws,
            voice,
            log,
            self._ledger,
            limits,
            idle_close_s=self._rng.uniform(*limits.idle_close_s),
            waits=self._settings.speed > 1.0,
            clock=self._clock,
            notice=self._pump.notice,
        )
        self._pump.connections.append(connection)
        return connection

    def _voice(self, dialect: str) -> Voice:
        if dialect == "exchange":
            return ExchangeVoice(self._board, self._market.products)
        rng = random.Random(self._rng.random())
        return AdvancedVoice(self._board, self._market.products, self._boot_ns, rng)


async def run_simulator(
    market: Market,
    settings: SimulatorSettings,
    announce: Callable[[Simulator], None],
    stop: Awaitable[object],
    candles: CandleBook | None = None,
) -> dict[str, Any]:
    """Serve a market until it has been told, ``/admin/finish`` is asked for, or ``stop`` is done.

    Parameters
    ----------
    market : Market
        What is told.
    settings : SimulatorSettings
        How.
    announce : callable
        Called once with the started simulator, whose addresses are known by then.
    stop : awaitable
        Ends the simulation early, for example the ``wait()`` of an event set by a signal.
    candles : CandleBook, optional
        Candles from before the market begins.

    Returns
    -------
    dict
        The final state.
    """
    simulator = Simulator(market, settings, candles=candles)
    await simulator.start()
    announce(simulator)
    told, stopped = asyncio.ensure_future(simulator.wait()), asyncio.ensure_future(stop)
    try:
        await asyncio.wait((told, stopped), return_when=asyncio.FIRST_COMPLETED)
        if told.done():
            await told
    finally:
        stopped.cancel()
        await simulator.stop()
    return simulator.state()


def _address(scheme: str, server: Server) -> str:
    host, port = next(iter(server.sockets)).getsockname()[:2]
    return f"{scheme}://{host}:{port}"
