"""Market time: it follows the monotonic clock at a speed while the market runs, else it stands still."""

from __future__ import annotations

from volspike.clock import Clock

MAX_LAG_S = 1.0
"""Above speed 1, market time waits once it is this much wall time ahead of what could be told."""


class MarketTime:
    """Market time as the simulator keeps it.

    Parameters
    ----------
    clock : Clock
        The monotonic clock it follows.
    speed : float
        Market seconds per wall second.
    """

    def __init__(self, clock: Clock, speed: float) -> None:
        self._clock = clock
        self.speed = speed
        self._origin_monotonic_ns = 0
        self._origin_market_ns = 0
        self.running = False

    def run_from(self, market_ns: int) -> None:
        """Let time run, from ``market_ns`` now."""
        self._origin_monotonic_ns = self._clock.monotonic_ns()
        self._origin_market_ns = market_ns
        self.running = True

    def stand(self) -> None:
        """Let time stand still."""
        self.running = False

    def now_ns(self) -> int:
        """Return market time, while it runs."""
        elapsed_ns = self._clock.monotonic_ns() - self._origin_monotonic_ns
        return self._origin_market_ns + int(elapsed_ns * self.speed)

    def wait_for(self, due_ns: int) -> None:
        """Step back to ``due_ns``, the next thing to tell, if its telling is far behind.

        Only above speed 1: at speed 1 the market does not wait for anybody.
        """
        if self.speed > 1.0 and self.now_ns() - due_ns > MAX_LAG_S * 1e9 * self.speed:
            self.run_from(due_ns)

    def wall_s(self, due_ns: int) -> float:
        """Return the wall time until ``due_ns``, in seconds; negative if it is past."""
        return (due_ns - self.now_ns()) * 1e-9 / self.speed
