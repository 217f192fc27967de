"""The simulated exchange's minute candles: made of the trades it told, as they were stamped."""

from __future__ import annotations

import msgspec

from volspike.exchange.decimals import format_decimal
from volspike.records import SIZE_DECIMALS
from volspike.simulation.market import MarketTick

MINUTE_NS = 60_000_000_000
MINUTE_S = 60


class Bar(msgspec.Struct):
    """One minute: prices at the product's scale, volume in units of 1e-8."""

    open: int
    high: int
    low: int
    close: int
    volume: int
    price_decimals: int

    def trade(self, tick: MarketTick) -> None:
        """Take in a trade; a size that a recording does not say counts as nothing."""
        self.high = max(self.high, tick.price)
        self.low = min(self.low, tick.price)
        self.close = tick.price
        self.volume += max(tick.size, 0)


class CandleBook:
    """The candles of every product; a minute without a trade has none."""

    def __init__(self) -> None:
        self._bars: dict[str, dict[int, Bar]] = {}

    def trade(self, tick: MarketTick, offset_ns: int = 0) -> None:
        """Take in a trade, whose stamp is shifted by ``offset_ns``."""
        bars = self._bars.get(tick.product)
        if bars is None:
            bars = self._bars[tick.product] = {}
        minute = (tick.event_ns + offset_ns) // MINUTE_NS
        bar = bars.get(minute)
        if bar is None:
            price = tick.price
            bar = bars[minute] = Bar(price, price, price, price, 0, tick.price_decimals)
        bar.trade(tick)

    def rows(self, product: str, first: int, last: int, most: int) -> list[str]:
        """Return the newest candles from minute ``first`` to ``last``, newest first, as the wire has them.

        A row is ``[time, low, high, open, close, volume]``, the time in seconds since 1970.
        """
        bars = self._bars.get(product, {})
        minutes = sorted((minute for minute in bars if first <= minute <= last), reverse=True)
        return [_row(minute, bars[minute]) for minute in minutes[:most]]


def _row(minute: int, bar: Bar) -> str:
    prices = (bar.low, bar.high, bar.open, bar.close)
    figures = [format_decimal(price, bar.price_decimals) for price in prices]
    return f"[{minute * MINUTE_S},{','.join(figures)},{format_decimal(bar.volume, SIZE_DECIMALS)}]"
