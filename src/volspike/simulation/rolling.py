"""The rolling statistics that every ticker row carries beside its price."""

from __future__ import annotations

import random

from volspike.records import UNKNOWN
from volspike.simulation.market import MarketTick

MINUTE_NS = 60_000_000_000
MINUTES_PER_DAY = 1_440


class RollingDay:
    """24-hour, 30-day and 52-week statistics of one product, made plausible for a market that just began.

    Prices are at the tick's scale, volumes in units of 1e-8. Each new minute takes a 1,440th of the first
    day's volume out again, so ``volume_24h`` can fall.
    """

    def __init__(self, tick: MarketTick, rng: random.Random) -> None:
        price = tick.price
        self.open_24h = round(price * rng.uniform(0.97, 1.03))
        self.low_24h = round(min(price, self.open_24h) * rng.uniform(0.98, 1.0))
        self.high_24h = round(max(price, self.open_24h) * rng.uniform(1.0, 1.02))
        self.low_52w = round(self.low_24h * rng.uniform(0.4, 0.9))
        self.high_52w = round(self.high_24h * rng.uniform(1.1, 1.8))
        self.volume_24h = rng.randrange(2_000 * 10**8, 100_000 * 10**8)
        self.volume_30d = self.volume_24h * rng.randrange(20, 40)
        self._minute = tick.event_ns // MINUTE_NS
        self._outflow = self.volume_24h // MINUTES_PER_DAY

    def trade(self, tick: MarketTick) -> None:
        """Take in one trade."""
        price = tick.price
        if price < self.low_24h:
            self.low_24h = price
            self.low_52w = min(self.low_52w, price)
        elif price > self.high_24h:
            self.high_24h = price
            self.high_52w = max(self.high_52w, price)
        if tick.size != UNKNOWN:
            self.volume_24h += tick.size
            self.volume_30d += tick.size
            minute = tick.event_ns // MINUTE_NS
            if minute > self._minute:
                self.volume_24h = max(self._outflow, self.volume_24h - self._outflow)
                self._minute = minute

    def change_percent(self, price: int) -> float:
        """Return the change of ``price`` against 24 hours ago, in per cent."""
        return (price / self.open_24h - 1.0) * 100.0 if self.open_24h else 0.0
