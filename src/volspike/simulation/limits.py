"""The exchange's limits (from the vendor documentation), as values and as a token bucket."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import msgspec


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """Limits of the exchange; seconds are wall time.

    ``connects_per_s`` may burst to ``connect_burst``; beyond, the handshake is answered HTTP 429. An Advanced
    Trade connection without heartbeats is closed after ``idle_close_s`` without an update. At speed 1 a
    connection whose unsent bytes exceed ``slow_consumer_bytes`` is closed. ``requests_per_s`` and
    ``request_burst`` bound the REST interface.
    """

    subscribe_deadline_s: float = 5.0
    idle_close_s: tuple[float, float] = (60.0, 90.0)
    connects_per_s: float = 8.0
    connect_burst: Mapping[str, int] = MappingProxyType({"advanced": 8, "exchange": 20})
    messages_per_s: Mapping[str, int] = MappingProxyType({"advanced": 8, "exchange": 100})
    slow_consumer_bytes: int = 8 * 2**20
    close_timeout_s: float = 30.0
    requests_per_s: float = 10.0
    request_burst: int = 15


class TokenBucket:
    """Admit at most ``burst`` at once and ``rate`` per second in the long run.

    Parameters
    ----------
    rate : float
        Tokens per second.
    burst : int
        Size of the bucket, full at the start.
    """

    def __init__(self, rate: float, burst: int) -> None:
        self._rate = rate
        self._burst = burst
        self._tokens = float(burst)
        self._filled_ns: int | None = None

    def take(self, monotonic_ns: int) -> bool:
        """Take one token at ``monotonic_ns``; return whether there was one."""
        if self._filled_ns is not None:
            grown = (monotonic_ns - self._filled_ns) * 1e-9 * self._rate
            self._tokens = min(float(self._burst), self._tokens + grown)
        self._filled_ns = monotonic_ns
        if self._tokens < 1.0:
            return False
        self._tokens -= 1.0
        return True
