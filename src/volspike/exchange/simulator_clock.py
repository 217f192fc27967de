"""An exchange simulator states its clock in a header, so that times keep their meaning at any speed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol, runtime_checkable

from volspike.clock import Clock
from volspike.errors import FeedError

SIMULATED_CLOCK_HEADER = "X-Simulated-Clock"


@runtime_checkable
class FollowingClock(Protocol):
    """A clock that takes its market time from the wire."""

    def follow(self, monotonic_ns: int, market_ns: int, speed: float) -> None:
        """Tie market time to the monotonic clock."""

    def heard(self, exchange_ns: int) -> None:
        """Note the newest exchange time."""


def follow_simulator(clock: Clock, headers: Mapping[str, str], subject: str) -> bool:
    """Tie a clock that can follow to the simulator that answered; return whether there is one to follow.

    Parameters
    ----------
    clock : Clock
        Follows if it can.
    headers : mapping
        Of an answer.
    subject : str
        Who answered, for the error.

    Raises
    ------
    FeedError
        If the header is there and malformed.
    """
    header = headers.get(SIMULATED_CLOCK_HEADER)
    if header is None or not isinstance(clock, FollowingClock):
        return False
    try:
        monotonic_ns, market_ns, speed = header.split(",")
        clock.follow(int(monotonic_ns), int(market_ns), float(speed))
    except ValueError:
        raise FeedError(
            subject,
            f"{SIMULATED_CLOCK_HEADER} is {header[:80]!r}",
            "it must be <monotonic_ns>,<market_ns>,<speed>",
        ) from None
    return True
