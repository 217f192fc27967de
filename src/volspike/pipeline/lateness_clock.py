"""A clock that can repeat how late the predictions of a former run were."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from volspike.clock import Clock, RecordClock

_AFTER_ALL_NS = (1 << 63) - 1


class LatenessClock:
    """The clock of a stage: the given one, or while restoring one by which all or none is late.

    Parameters
    ----------
    clock : Clock
        The clock of the market.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._fixed_ns: int | None = None
        self.monotonic_ns = clock.monotonic_ns

    def heard(self, event_ns: int) -> None:
        """Note the newest event time read, for a clock that goes by it."""
        if isinstance(self._clock, RecordClock):
            self._clock.heard(event_ns)

    def market_ns(self) -> int:
        """Return market time in nanoseconds, or the end or the beginning of all time."""
        return self._clock.market_ns() if self._fixed_ns is None else self._fixed_ns

    @contextmanager
    def repeating(self, late: bool) -> Iterator[None]:
        """Have every prediction made meanwhile come out late, or none."""
        self._fixed_ns = _AFTER_ALL_NS if late else 0
        try:
            yield
        finally:
            self._fixed_ns = None
