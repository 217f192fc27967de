"""A clock that stands still until it is told to move."""

from __future__ import annotations


class ManualClock:
    """Market and monotonic time set by hand; satisfies ``volspike.clock.Clock``.

    Parameters
    ----------
    market_ns : int
        Market time at the start, nanoseconds UTC.
    monotonic_ns : int
        Monotonic time at the start, nanoseconds.

    Examples
    --------
    >>> clock = ManualClock(market_ns=1_000)
    >>> clock.advance(5)
    >>> clock.market_ns(), clock.monotonic_ns()
    (1005, 5)
    """

    def __init__(self, market_ns: int = 0, monotonic_ns: int = 0) -> None:
        self._market_ns = market_ns
        self._monotonic_ns = monotonic_ns

    def market_ns(self) -> int:
        """Return market time in nanoseconds."""
        return self._market_ns

    def monotonic_ns(self) -> int:
        """Return monotonic time in nanoseconds."""
        return self._monotonic_ns

    def advance(self, elapsed_ns: int) -> None:
        """Move both times forward, as the wall does."""
        if elapsed_ns < 0:
            raise ValueError("monotonic time never steps back; use set_market for a stepped wall clock")
        self._market_ns += elapsed_ns
        self._monotonic_ns += elapsed_ns

    def set_market(self, market_ns: int) -> None:
        """Set market time alone, backwards too, as an NTP step does."""
        self._market_ns = market_ns
