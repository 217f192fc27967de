"""What the simulated exchange knows of each product: its last trade, rolling statistics, sequence."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence

import msgspec

from volspike.simulation import wire
from volspike.simulation.candle_book import CandleBook
from volspike.simulation.market import MarketTick
from volspike.simulation.rolling import RollingDay


class Sweep(msgspec.Struct, frozen=True, gc=False):
    """Trades of one product under one stamp, written once for all connections of a dialect."""

    product: str
    stamp: str
    advanced_rows: list[str]
    exchange_frames: list[bytes]


class Listing(msgspec.Struct):
    """One product's public state."""

    last: MarketTick
    day: RollingDay
    sequence: int


class Board:
    """The public state of every product.

    Parameters
    ----------
    seed : int
        Decides the invented parts: rolling statistics and sequence numbers.
    candles : CandleBook, optional
        Goes on with the trades that are told.

    Attributes
    ----------
    rebased_ns, skew_ns : int
        What a rebased market and a clock that has stepped add to every stamp.
    delisted : set of str
        Products that trade no more.
    """

    def __init__(self, seed: int, candles: CandleBook | None = None) -> None:
        self._rng = random.Random(f"board {seed}")
        self._listings: dict[str, Listing] = {}
        self.rebased_ns = 0
        self.skew_ns = 0
        self.delisted: set[str] = set()
        self.candles = candles or CandleBook()

    @property
    def offset_ns(self) -> int:
        """Return what is added to every stamp that is written; market time itself is not shifted."""
        return self.rebased_ns + self.skew_ns

    def listing(self, product: str) -> Listing | None:
        """Return the product's state, or None before anything is known of it."""
        return self._listings.get(product)

    def record(self, tick: MarketTick) -> Listing:
        """Take in one trade."""
        listing = self._listings.get(tick.product)
        if listing is None:
            first = self._rng.randrange(10**9, 10**11)
            listing = self._listings[tick.product] = Listing(tick, RollingDay(tick, self._rng), first)
        # The channel samples the product's sequence: steps of 2 and more, sometimes of thousands.
        listing.sequence += 2 + int(self._rng.paretovariate(1.2))
        listing.last = tick
        listing.day.trade(tick)
        return listing

    def publish(self, sweep: Sequence[MarketTick], dialects: Iterable[str]) -> Sweep:
        """Take in the trades of one sweep and write them in each of ``dialects``."""
        advanced, exchange = "advanced" in dialects, "exchange" in dialects
        rows: list[str] = []
        frames: list[bytes] = []
        for tick in sweep:
            listing = self.record(tick)
            self.candles.trade(tick, self.offset_ns)
            if advanced:
                rows.append(wire.advanced_ticker_row(tick, listing.day))
            if exchange:
                frames.append(wire.exchange_ticker(tick, listing.day, listing.sequence, self.offset_ns))
        stamp = wire.advanced_stamp(sweep[0].event_ns + self.offset_ns) if advanced else ""
        return Sweep(sweep[0].product, stamp, rows, frames)
