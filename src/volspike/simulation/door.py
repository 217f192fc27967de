"""The door of the exchange: who may connect, and what awaits the next ones."""

from __future__ import annotations

import asyncio
import http
from collections import Counter, deque
from collections.abc import Iterable

from volspike.clock import Clock
from volspike.simulation.faults import Fault
from volspike.simulation.limits import Limits, TokenBucket
from volspike.simulation.voice import Voice


class Door:
    """Admits connections at the exchange's rate, and deals out the faults meant for the next one.

    Parameters
    ----------
    limits : Limits
        The exchange's limits.
    dialects : iterable of str
        Each has a rate of its own.
    refused : Counter
        Refusals by HTTP status, kept up to date.
    clock : Clock
        Monotonic time for the rate.
    """

    def __init__(self, limits: Limits, dialects: Iterable[str], refused: Counter[str], clock: Clock) -> None:
        self._buckets = {
            dialect: TokenBucket(limits.connects_per_s, limits.connect_burst[dialect]) for dialect in dialects
        }
        self._refused = refused
        self._clock = clock
        self._armed: dict[str, deque[int]] = {}
        self.is_shut = False

    def arm(self, fault: Fault) -> None:
        """Have a fault await the next connection, or request, that no other one of its kind awaits."""
        times = fault.argument if fault.kind == "restcut" else 1
        self._armed.setdefault(fault.kind, deque()).extend([fault.argument] * times)

    async def refusal(self, dialect: str) -> http.HTTPStatus | None:
        """Let a handshake take its time; return the status that refuses it, or None."""
        slow_ms = self.take("slow")
        if slow_ms is not None:
            await asyncio.sleep(slow_ms / 1_000)
        status = self._status(dialect)
        if status is not None:
            self._refused[str(status.value)] += 1
        return status

    def receive(self, voice: Voice) -> None:
        """Prepare the voice of a new connection."""
        voice.acknowledges = self.take("noack") is None
        voice.left_out = self.take("partial") or 0

    def _status(self, dialect: str) -> http.HTTPStatus | None:
        if not self._buckets[dialect].take(self._clock.monotonic_ns()):
            return http.HTTPStatus.TOO_MANY_REQUESTS
        if self.is_shut:
            return http.HTTPStatus.SERVICE_UNAVAILABLE
        armed = self.take("http")
        return None if armed is None else http.HTTPStatus(armed)

    def take(self, kind: str) -> int | None:
        """Return the argument of the fault of a kind that awaits whoever comes next, or None."""
        armed = self._armed.get(kind)
        return armed.popleft() if armed else None
