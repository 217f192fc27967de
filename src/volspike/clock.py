"""The only place that reads a clock.

Two kinds of time: ``market_ns`` is the exchange's time as we see it, and runs faster than the wall under a
sped-up simulator; ``monotonic_ns`` is wall time for latency, timeouts and liveness at any speed.
"""

from __future__ import annotations

import time
from typing import Protocol

# Above x1 the simulated world waits for its reader, so its clock never runs further ahead than this.
LEAD_NS = 2_000_000_000


class Clock(Protocol):
    """What every stage with an edge to the world is given instead of ``time``."""

    def market_ns(self) -> int:
        """Return market time in integer nanoseconds since 1970, UTC."""

    def monotonic_ns(self) -> int:
        """Return wall time in integer nanoseconds from an arbitrary start; it never steps back."""


class SystemClock:
    """The real clock: market time is UTC."""

    def market_ns(self) -> int:
        """Return UTC in nanoseconds."""
        return time.time_ns()

    def monotonic_ns(self) -> int:
        """Return the monotonic wall clock in nanoseconds."""
        return time.monotonic_ns()


class SimulatedClock:
    """A market clock that follows an exchange simulator.

    The simulator states, when a connection opens, which market time belongs to which monotonic time and how
    fast market time runs (``follow``). Above x1 the clock also waits for the newest exchange stamp
    (``heard``), because there the simulator waits for its reader.
    """

    def __init__(self) -> None:
        self._origin_monotonic_ns = time.monotonic_ns()
        self._origin_market_ns = time.time_ns()
        self._speed = 1.0
        self._heard_ns: int | None = None

    def follow(self, monotonic_ns: int, market_ns: int, speed: float) -> None:
        """Tie market time to the monotonic clock: at ``monotonic_ns`` it was ``market_ns``."""
        self._origin_monotonic_ns = monotonic_ns
        self._origin_market_ns = market_ns
        self._speed = speed
        self._heard_ns = None

    def heard(self, exchange_ns: int) -> None:
        """Note the newest exchange time seen on the wire."""
        if self._heard_ns is None or exchange_ns > self._heard_ns:
            self._heard_ns = exchange_ns

    def market_ns(self) -> int:
        """Return the simulated market time in nanoseconds."""
        elapsed_ns = time.monotonic_ns() - self._origin_monotonic_ns
        market_ns = self._origin_market_ns + int(elapsed_ns * self._speed)
        if self._speed > 1.0 and self._heard_ns is not None:
            return min(market_ns, self._heard_ns + LEAD_NS)
        return market_ns

    def monotonic_ns(self) -> int:
        """Return the monotonic wall clock in nanoseconds."""
        return time.monotonic_ns()


class RecordClock:
    """The clock of a market of another time: it shows the newest event time that was read."""

    def __init__(self) -> None:
        self._heard_ns = 0

    def heard(self, event_ns: int) -> None:
        """Note an event time."""
        self._heard_ns = max(self._heard_ns, event_ns)

    def market_ns(self) -> int:
        """Return the newest event time heard in nanoseconds, 0 before the first."""
        return self._heard_ns

    def monotonic_ns(self) -> int:
        """Return the monotonic wall clock in nanoseconds."""
        return time.monotonic_ns()
