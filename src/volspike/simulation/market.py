"""What a simulated market is: events in time order, and the truth about them where it is known.

Times are integer nanoseconds UTC, prices integers at ``10 ** -price_decimals``, sizes integers at ``1e-8``;
``UNKNOWN`` (-1) stands for what a recording does not say.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

import msgspec

from volspike.records import UNKNOWN

SECOND_NS = 1_000_000_000


class MarketTick(msgspec.Struct, frozen=True, gc=False):
    """One trade and the best quotes after it; ``side`` is the taker's (``buy`` or ``sell``)."""

    product: str
    event_ns: int
    bid: int
    ask: int
    price: int
    price_decimals: int
    side: str
    size: int = UNKNOWN
    bid_size: int = UNKNOWN
    ask_size: int = UNKNOWN
    trade_id: int = UNKNOWN


class MarketBreak(msgspec.Struct, frozen=True):
    """The feed is cut here and resumes at ``resume_ns``.

    ``kind`` is ``start`` (always the first event of a market), ``session`` or ``silence``. ``opening`` holds
    the last trade of each product as it is known when the feed resumes: a new subscriber is told of it,
    nobody else is.
    """

    kind: str
    resume_ns: int
    opening: tuple[MarketTick, ...] = ()


MarketEvent = MarketTick | MarketBreak


class GroundTruth(Protocol):
    """What only the maker of a market knows."""

    def true_spike_probability(self, product: str, event_ns: int, tau_bps: float) -> float:
        """Return P(volatility of the 60 s after ``event_ns`` >= ``tau_bps``), given the hidden state then."""

    def jump_times_ns(self, product: str, start_ns: int, end_ns: int) -> list[int]:
        """Return the times of the price jumps in ``[start_ns, end_ns)``."""

    def regime_changes(self, start_ns: int, end_ns: int) -> list[tuple[int, str]]:
        """Return (time, regime entered) for every change of regime in ``[start_ns, end_ns)``."""


class Market(Protocol):
    """A source of market events.

    Attributes
    ----------
    products : sequence of str
        What may be subscribed.
    dialects : sequence of str
        The dialects in which this market can be told without inventing identities or sizes.
    one_frame_per_sweep : bool
        Whether trades that share product and stamp are told in one Advanced Trade frame.
    truth : GroundTruth or None
        Known for a synthetic market only.
    """

    @property
    def products(self) -> Sequence[str]:
        """Return the products, in a fixed order."""

    @property
    def dialects(self) -> Sequence[str]:
        """Return the dialects offered."""

    @property
    def one_frame_per_sweep(self) -> bool:
        """Return whether a sweep is one Advanced Trade frame."""

    @property
    def truth(self) -> GroundTruth | None:
        """Return the ground truth, if there is one."""

    def events(self) -> Iterator[MarketEvent]:
        """Yield the events in time order, beginning with a ``MarketBreak`` of kind ``start``."""
