"""Tell the market to whoever listens: events and heartbeats in market-time order, at the market's pace.

The market stands still while nobody has a complete subscription, and resumes at its next event. A break of
the market closes every connection; its hole is not waited out. After the last event heartbeats go on for a
while, so that a minute that has begun can be graded.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeGuard

from volspike.clock import Clock
from volspike.simulation.board import Board
from volspike.simulation.connection import NEVER_NS, Connection
from volspike.simulation.door import Door
from volspike.simulation.fault_plan import FaultPlan
from volspike.simulation.faults import DOOR_KINDS, MARKET_KINDS, Fault
from volspike.simulation.ledger import Ledger
from volspike.simulation.market import SECOND_NS, Market, MarketBreak, MarketEvent, MarketTick
from volspike.simulation.pacing import MarketTime

AFTERGLOW_NS = 125 * SECOND_NS
"""Market time of heartbeats after the last event: two minutes to grade, and some."""

BATCH = 256
"""Events or heartbeats told between two waits for the readers."""

SHORTEST_SLEEP_S = 0.001
SERVICE_RESTART = 1012


class Pump:
    """The one task that moves the market.

    Parameters
    ----------
    market : Market
        What is told.
    board : Board
        The products' public state.
    ledger : Ledger
        The simulator's books.
    clock : Clock
        Wall and monotonic time.
    speed : float
        Market seconds per wall second.
    rebased : bool
        Whether stamps are shifted so that the first event served happens now.
    plan : FaultPlan
        Faults to inject at their time.
    door : Door
        Takes the faults meant for the next connection.
    """

    def __init__(
        self,
        market: Market,
        board: Board,
        ledger: Ledger,
        clock: Clock,
        speed: float,
        rebased: bool,
        plan: FaultPlan,
        door: Door,
    ) -> None:
        self.connections: list[Connection] = []
        self._events = market.events()
        self._one_frame_per_sweep = market.one_frame_per_sweep
        self._board = board
        self._ledger = ledger
        self._clock = clock
        self._time = MarketTime(clock, speed)
        self._rebased = rebased
        self._is_rebased = False
        self._plan = plan
        self._door = door
        self._products = market.products
        self._quiet_until_ns = 0
        self._first_ns: int | None = None
        self._end_ns = 0
        self._head: MarketEvent | None = next(self._events, None)
        self._position_ns = self._head.resume_ns if isinstance(self._head, MarketBreak) else 0
        self._stopping = False
        self._news = asyncio.Event()

    def market_ns(self) -> int:
        """Return current market time: never beyond what is still to be told."""
        if not self._time.running:
            return self._resume_ns()
        return min(self._time.now_ns(), self._due_ns())

    def rebase(self) -> None:
        """Let market time be wall time now; above speed 1 once only, lest it step back."""
        if self._rebased and not self._time.running and (self._time.speed <= 1.0 or not self._is_rebased):
            offset_ns = self._clock.market_ns() - self._resume_ns()
            self._board.rebased_ns = offset_ns // 1_000 * 1_000
            self._is_rebased = True

    def notice(self) -> None:
        """Wake the pump: a subscription is complete, or a connection gone."""
        self._news.set()

    def stop(self) -> None:
        """Tell nothing more."""
        self._stopping = True
        self._news.set()

    async def run(self) -> None:
        """Tell the whole market, then the heartbeats after it."""
        while not self._stopping:
            if isinstance(self._head, MarketBreak):
                await self._break(self._head)
            elif not any(connection.ready for connection in self.connections):
                self._time.stand()
                await self._sleep(None)
            else:
                await self._tell()
                if self._head is None and self._position_ns >= self._due_ns():
                    return

    async def _break(self, event: MarketBreak) -> None:
        """Resume after a break: the new state is known before anybody can subscribe to it."""
        if event.kind != "start":
            self._ledger.breaks[event.kind] += 1
        for tick in event.opening:
            self._board.record(tick)
        self._position_ns = event.resume_ns
        self._head = next(self._events, None)
        self._time.stand()
        await self._on_all(lambda connection: connection.close(SERVICE_RESTART, "service restart"))

    async def _tell(self) -> None:
        """Tell what is due, hand it over, and wait until something is due."""
        if not self._time.running:
            self._time.run_from(self._resume_ns())
        self._time.wait_for(self._next_ns())
        limit_ns = self._time.now_ns()
        if self._first_ns is not None and self._plan.due_ns is not None:
            limit_ns = await self._inject_planned(limit_ns)
        self._tell_until(limit_ns)
        for connection in list(self.connections):
            await connection.flush()
        if not isinstance(self._head, MarketBreak):
            wall_s = self._time.wall_s(self._next_ns())
            await self._sleep(max(wall_s, SHORTEST_SLEEP_S) if wall_s > 0 else 0.0)

    def _tell_until(self, limit_ns: int) -> None:
        """Tell up to a batch of events and heartbeats, in the order of market time."""
        for _ in range(BATCH):
            beat_ns, due_ns = self._beat_ns(), self._due_ns()
            if min(beat_ns, due_ns) > limit_ns or isinstance(self._head, MarketBreak):
                break
            if beat_ns <= due_ns:
                self._beat(beat_ns)
            elif self._head is None:
                self._position_ns = due_ns
                return
            else:
                self._tell_sweep(self._head)
        else:
            return
        if not isinstance(self._head, MarketBreak):
            self._position_ns = max(self._position_ns, limit_ns)

    def _tell_sweep(self, first: MarketTick) -> None:
        sweep = [first]
        self._head = next(self._events, None)
        while self._one_frame_per_sweep and _is_same_order(self._head, first):
            sweep.append(self._head)
            self._head = next(self._events, None)
        self._position_ns = first.event_ns
        if self._first_ns is None:
            self._first_ns = first.event_ns
        if self._head is None:
            self._end_ns = first.event_ns + AFTERGLOW_NS
        reason = self._untold(first)
        if reason:
            self._ledger.withheld[reason] += len(sweep)
            return
        listeners = [c for c in self.connections if c.voice.wants(first.product)]
        told = self._board.publish(sweep, {connection.voice.dialect for connection in listeners})
        for connection in listeners:
            connection.tell(told)

    def _untold(self, tick: MarketTick) -> str:
        """Return why a trade does not take place, or nothing."""
        if tick.event_ns < self._quiet_until_ns:
            return "quiet"
        return "delist" if tick.product in self._board.delisted else ""

    def _beat(self, beat_ns: int) -> None:
        self._position_ns = max(self._position_ns, beat_ns)
        for connection in self.connections:
            if connection.due_ns == beat_ns:
                connection.tell_due(beat_ns)

    def _beat_ns(self) -> int:
        return min((connection.due_ns for connection in self.connections), default=NEVER_NS)

    def _due_ns(self) -> int:
        """Return when the head is due; a break is due at once; after the last event, the end."""
        if isinstance(self._head, MarketTick):
            return self._head.event_ns
        return self._position_ns if self._head is not None else max(self._end_ns, self._position_ns)

    def _resume_ns(self) -> int:
        """Return where market time goes on after standing still."""
        return self._head.event_ns if isinstance(self._head, MarketTick) else self._position_ns

    def _next_ns(self) -> int:
        return min(self._due_ns(), self._beat_ns())

    async def _inject_planned(self, limit_ns: int) -> int:
        """Inject the planned faults that are due; return how far may be told before the next one."""
        first_ns = self._first_ns or 0
        while self._plan.due_ns is not None:
            due_ns = first_ns + self._plan.due_ns
            if due_ns > self._position_ns:
                return min(limit_ns, due_ns)
            await self.inject(self._plan.take())
        return limit_ns

    async def inject(self, fault: Fault) -> None:
        """Put a fault in force: on every connection, on the market, or on the next connection."""
        self._ledger.faults[fault.kind] += 1
        if fault.kind in DOOR_KINDS:
            self._door.arm(fault)
        elif fault.kind in MARKET_KINDS:
            self._change_market(fault)
        else:
            await self._on_all(lambda connection: connection.inject(fault))

    def _change_market(self, fault: Fault) -> None:
        now_ns = self.market_ns()
        if fault.kind == "quiet":
            self._quiet_until_ns = now_ns + fault.argument * SECOND_NS
        elif fault.kind == "clock":
            self._board.skew_ns += fault.argument * SECOND_NS
        else:
            self._board.delisted.update(self._products[-fault.argument :] if fault.argument else ())
            for connection in self.connections:
                connection.tell_status(now_ns)

    async def _on_all(self, act: Callable[[Connection], Awaitable[None]]) -> None:
        await asyncio.gather(*(act(connection) for connection in list(self.connections)))

    async def _sleep(self, wall_s: float | None) -> None:
        """Sleep until ``wall_s`` is over or there is news."""
        if wall_s == 0.0:
            await asyncio.sleep(0)
            return
        self._news.clear()
        if self._stopping:
            return
        try:
            async with asyncio.timeout(wall_s):
                await self._news.wait()
        except TimeoutError:
            return


def _is_same_order(event: MarketEvent | None, first: MarketTick) -> TypeGuard[MarketTick]:
    return (
        isinstance(event, MarketTick) and event.event_ns == first.event_ns and event.product == first.product
    )
