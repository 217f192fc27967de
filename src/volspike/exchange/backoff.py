"""When to connect again: exponential backoff with full jitter, and a token bucket over all attempts.

Both are small values that are told the time and never sleep, so that a test can drive a day in a millisecond.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random

from volspike.exchange.decimals import NS_PER_SECOND


@dataclass(frozen=True)
class BackoffPolicy:
    """How long to wait before the n-th attempt in a row.

    Parameters
    ----------
    first_s : float
        Upper end of the first delay, seconds.
    factor : float
        Growth from one attempt to the next.
    cap_s : float
        Upper end of every delay, seconds.

    Notes
    -----
    Full jitter: the delay is uniform in ``[0, min(cap, first * factor**n)]``, so that clients cut off
    together don't come back together. Ref: Brooker, "Exponential Backoff And Jitter", AWS, 2015.
    """

    first_s: float = 0.25
    factor: float = 2.0
    cap_s: float = 30.0

    def ceiling_s(self, failures: int) -> float:
        """Return the longest delay after ``failures`` failures in a row (1 or more), seconds."""
        exponent = min(failures - 1, 64)  # beyond it every sane policy has met its cap
        return float(min(self.cap_s, self.first_s * self.factor**exponent))

    def delay_s(self, failures: int, rng: Random) -> float:
        """Draw the delay after ``failures`` failures in a row, seconds."""
        return rng.uniform(0.0, self.ceiling_s(failures))


@dataclass
class TokenBucket:
    """Bound the rate of attempts.

    Parameters
    ----------
    rate_per_s : float
        Tokens that flow in per second.
    burst : int
        Most tokens it can hold. With 1, attempts are spaced evenly, and no second sees more than the rate.
    """

    rate_per_s: float = 8.0
    burst: int = 1
    _tokens: float = field(init=False)
    _filled_ns: int | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        self._tokens = float(self.burst)

    def reserve_ns(self, now_ns: int) -> int:
        """Take a token and return how long to wait until it is there, nanoseconds (0 if it is now).

        Parameters
        ----------
        now_ns : int
            Monotonic time.
        """
        elapsed_ns = now_ns - (self._filled_ns if self._filled_ns is not None else now_ns)
        self._tokens = min(float(self.burst), self._tokens + elapsed_ns * self.rate_per_s / NS_PER_SECOND)
        self._filled_ns = now_ns
        self._tokens -= 1.0
        return max(0, round(-self._tokens / self.rate_per_s * NS_PER_SECOND))
