"""One client connection: what it is told, when it is closed, and the counting of both."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress

from websockets.asyncio.server import ServerConnection
from websockets.protocol import State

from volspike.clock import Clock
from volspike.simulation import wire
from volspike.simulation.board import Sweep
from volspike.simulation.fault_state import FaultState, half_frame, reset_on_close
from volspike.simulation.faults import Fault
from volspike.simulation.ledger import ConnectionLog, Ledger
from volspike.simulation.limits import Limits, TokenBucket
from volspike.simulation.market import SECOND_NS
from volspike.simulation.voice import Outgoing, Voice

BATCH_NS = 5 * SECOND_NS
NEVER_NS = 2**63 - 1


class Connection:
    """A connection of either dialect.

    Parameters
    ----------
    ws : ServerConnection
        The open WebSocket.
    voice : Voice
        The dialect's side.
    log : ConnectionLog
        This connection's log.
    ledger : Ledger
        The simulator's books.
    limits : Limits
        The exchange's limits.
    idle_close_s : float
        Longest time without an update, unless heartbeats are subscribed (Advanced Trade only).
    waits : bool
        Whether the market waits for this reader; if not, a slow reader is disconnected.
    clock : Clock
        For the limits, which are in wall time.
    notice : callable
        Called when ``ready`` may have changed.

    Attributes
    ----------
    due_ns : int
        Market time of the next heartbeat or batch, ``NEVER_NS`` while none is due.
    """

    def __init__(
        self,
        ws: ServerConnection,
        voice: Voice,
        log: ConnectionLog,
        ledger: Ledger,
        limits: Limits,
        idle_close_s: float,
        waits: bool,
        clock: Clock,
        notice: Callable[[], None],
    ) -> None:
        self.voice = voice
        self.log = log
        self.due_ns = self._beat_ns = self._batch_ns = NEVER_NS
        self._ws = ws
        self._ledger = ledger
        self._limits = limits
        self._idle_close_s = idle_close_s
        self._waits = waits
        self._clock = clock
        self._notice = notice
        rate = limits.messages_per_s[voice.dialect]
        self._messages = TokenBucket(rate, rate)
        self._deadline_passed = False
        self._pending: list[Outgoing] = []
        self._faults = FaultState()
        self._last_update_ns = clock.monotonic_ns()
        self._closing: asyncio.Task[None] | None = None

    @property
    def ready(self) -> bool:
        """Return whether the market may run for this client.

        A client that asks for less than everything is served once its time to subscribe is over.
        """
        asked = self.voice.complete or (self._deadline_passed and self.voice.subscribed)
        return asked and self._ws.state is State.OPEN

    def receive(self, message: str | bytes, market_ns: int) -> None:
        """Take in one client message and answer it."""
        self.log.received += 1
        if not self._messages.take(self._clock.monotonic_ns()):
            self._refuse("ErrSlowRead")
            return
        self._pending.extend(self.voice.receive(message, market_ns))
        self.log.subscribes = self.voice.subscribes
        self._plan(market_ns)
        self.write()
        self._notice()

    def tell_due(self, market_ns: int) -> None:
        """Tell what is due at ``market_ns``: that the feed is whole, what changed since the last batch."""
        if self._beat_ns <= market_ns:
            self._beat(market_ns)
        if self._batch_ns <= market_ns:
            self._batch_ns += BATCH_NS
            self._pending.extend(self.voice.batch(market_ns))
        self.due_ns = min(self._beat_ns, self._batch_ns)

    def tell_status(self, market_ns: int) -> None:
        """Tell which products trade, if that is subscribed."""
        self._pending.extend(self.voice.status(market_ns))
        self.write()

    def tell(self, sweep: Sweep) -> None:
        """Tell of a sweep, if its product is subscribed."""
        if not self.voice.wants(sweep.product):
            return
        for frame in self.voice.ticker(sweep):
            told = self._faults.ticker(frame)
            if not told and not self._faults.holding:
                self._ledger.withheld["gap"] += 1
            self._pending.extend(told)

    def _plan(self, market_ns: int) -> None:
        """Begin or end heartbeats and batches as they are subscribed."""
        if not self.voice.beating:
            self._beat_ns = NEVER_NS
        elif self._beat_ns == NEVER_NS:
            self._beat(market_ns)
        if not self.voice.batching:
            self._batch_ns = NEVER_NS
        elif self._batch_ns == NEVER_NS:
            self._batch_ns = market_ns + BATCH_NS
        self.due_ns = min(self._beat_ns, self._batch_ns)

    def _beat(self, market_ns: int) -> None:
        self._beat_ns = NEVER_NS if self._faults.stalled else market_ns + SECOND_NS
        if not self._faults.stalled:
            self._pending.extend(self._faults.heartbeat(self.voice.heartbeat(market_ns)))

    def write(self) -> None:
        """Hand everything pending to the socket, in one piece."""
        pending, self._pending = self._pending, []
        if not pending or self._ws.state is not State.OPEN:
            return
        if self._faults.muted:
            self._ledger.withheld.update(kind for kind, _ in pending)
            return
        for kind, frame in pending:
            send = self._ws.protocol.send_binary if kind == "binary" else self._ws.protocol.send_text
            send(frame)
            self._ledger.sent(self.log, kind)
        self._ws.transport.write(b"".join(self._ws.protocol.data_to_send()))
        self._last_update_ns = self._clock.monotonic_ns()
        if not self._waits and self._ws.transport.get_write_buffer_size() > self._limits.slow_consumer_bytes:
            self._refuse("ErrSlowConsume")

    async def flush(self) -> None:
        """Hand over what is pending and, where the market waits for its reader, wait for the reader."""
        self.write()
        if self._waits and self._ws.state is State.OPEN:
            try:
                await self._ws.drain()
            except OSError:
                self._pending.clear()

    async def watch(self) -> None:
        """Close a connection that subscribes nothing in time or, without heartbeats, is idle for too long."""
        await asyncio.sleep(self._limits.subscribe_deadline_s)
        self._deadline_passed = True
        if not self.voice.subscribed:
            await self.close(1008, "no subscription")
        self._notice()
        while self.voice.dialect == "advanced" and self._ws.state is State.OPEN:
            idle_s = (self._clock.monotonic_ns() - self._last_update_ns) / SECOND_NS
            if idle_s >= self._idle_close_s and not self.voice.beating:
                await self.close(1001, "idle")
            await asyncio.sleep(max(self._idle_close_s - idle_s, 0.05))

    async def inject(self, fault: Fault) -> None:
        """Put a fault in force."""
        self._pending.extend(self._faults.begin(fault))
        if fault.kind == "close":
            await self.close(fault.argument, "fault")
        elif fault.kind == "drop":
            self._reset()
        elif fault.kind == "silence":
            # Unread pings stay unanswered, as from a host that is gone.
            self._ws.transport.pause_reading()
        self.write()

    async def close(self, code: int, reason: str) -> None:
        """Close after everything pending has been handed over."""
        if self.log.close_by:
            return
        self._pending.extend(self._faults.release())
        self.write()
        self._note_close("server", code, reason)
        await self._end(code, reason)

    def ended(self, code: int | None, reason: str) -> None:
        """Note that the connection is gone; whose doing it was is known if it was ours."""
        self._note_close("client", code, reason)

    async def _end(self, code: int, reason: str) -> None:
        if not self._faults.muted:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._limits.close_timeout_s):
                    await self._ws.close(code, reason)
                    return
        self._ws.transport.abort()

    def _note_close(self, by: str, code: int | None, reason: str) -> None:
        """Note an end; the first one noted stands."""
        if not self.log.close_by:
            self.log.close_by, self.log.close_code, self.log.close_reason = by, code, reason

    def _reset(self) -> None:
        self.write()
        self._note_close("server", 1006, "fault")
        reset_on_close(self._ws.transport.get_extra_info("socket"))
        self._ws.transport.write(half_frame())
        self._ws.transport.abort()

    def _refuse(self, reason: str) -> None:
        """Disconnect an abusive or slow client; Exchange says why."""
        if self._closing is not None:
            return
        if self.voice.dialect == "exchange":
            self._pending.append(("error", wire.error(reason)))
        self._closing = asyncio.create_task(self.close(1008, reason))
