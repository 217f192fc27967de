"""The trade features, defined once in plain Python integers; see ``window`` for those of ``core``.

What stands in ``PureTradeWindow`` is the definition: what a tick adds to its window by its trade, what a pair
of consecutive ticks adds, and what a triple does. All hold what lies wholly inside (t - span, t] since the
last break, so each value is a function of those ticks and of nothing before.
"""

from __future__ import annotations

import math
from collections import deque
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from volspike.features.columns import FeatureSet
from volspike.features.fixedpoint import log_return_fixed, wide_to_float
from volspike.features.flow import Largest
from volspike.features.flow_values import SHORT_S, fixed_bps, ratio
from volspike.features.held_ticks import TRADE_TICKS, Ticks
from volspike.features.trade_values import (
    SIZE_UNITS,
    is_priced,
    notional_or_nan,
    per_million,
    roll_bps,
    side_of,
    volume_or_nan,
)
from volspike.features.window import SECOND_NS, WINDOW_NS, WINDOW_S, Ints, PureWindowEngine, step_each

SHORT_NS = SHORT_S * SECOND_NS


class _Tick(NamedTuple):
    """A tick inside the window: its quote, then what the feed said of the last trade."""

    event_ns: int
    bid: int
    ask: int
    price: int
    size: int
    volume_24h: int

    @property
    def priced(self) -> bool:
        return is_priced(self.price)

    @property
    def sized(self) -> bool:
        return self.size > 0


class PureTradeWindow:
    """The window of the trade columns, tick by tick.

    Parameters
    ----------
    price_decimals : int
        Prices are integers in units of ``10**-price_decimals``.
    """

    def __init__(self, price_decimals: int) -> None:
        self._price_scale = float(10**price_decimals)
        self._reset(covered_since_ns=0)

    def _reset(self, covered_since_ns: int) -> None:
        self._covered_since_ns = covered_since_ns
        self._inside: deque[_Tick] = deque()
        self._short: deque[_Tick] = deque()
        self._sized = self._volume = self._notional = 0
        self._sized_short = self._volume_short = 0
        self._above = self._below = self._path = 0
        self._triples = self._products = 0
        self._largest = Largest()

    def take(self, covered_since_ns: int, *tick: int) -> None:
        """Take a tick that a window engine has taken; its numbers are those of ``held``."""
        if covered_since_ns != self._covered_since_ns:
            self._reset(covered_since_ns)
        new = _Tick(*tick)
        self._evict(new.event_ns)
        self._insert(new)

    def _evict(self, event_ns: int) -> None:
        """Let go of what has left; pairs and triples leave with their first tick."""
        inside, short = self._inside, self._short
        while short and short[0].event_ns <= event_ns - SHORT_NS:
            self._change_short(short.popleft(), -1)
        while inside and inside[0].event_ns <= event_ns - WINDOW_NS:
            gone = inside.popleft()
            self._change_tick(gone, -1)
            if inside:
                self._change_pair(gone, inside[0], -1)
            if len(inside) > 1:
                self._change_triple(gone, inside[0], inside[1], -1)
        self._largest.evict(event_ns - WINDOW_NS)

    def _insert(self, tick: _Tick) -> None:
        inside = self._inside
        self._change_short(tick, 1)
        self._change_tick(tick, 1)
        if inside:
            self._change_pair(inside[-1], tick, 1)
        if len(inside) > 1:
            self._change_triple(inside[-2], inside[-1], tick, 1)
        if tick.sized:
            self._largest.insert(tick.event_ns, tick.size)
        inside.append(tick)
        self._short.append(tick)

    def _change_short(self, tick: _Tick, sign: int) -> None:
        """Add what a tick adds to the shorter span, or take it away."""
        if tick.sized:
            self._sized_short += sign
            self._volume_short += sign * tick.size

    def _change_tick(self, tick: _Tick, sign: int) -> None:
        if tick.sized:
            self._sized += sign
            self._volume += sign * tick.size
            if tick.priced:
                self._notional += sign * tick.price * tick.size

    def _change_pair(self, first: _Tick, second: _Tick, sign: int) -> None:
        if second.priced and second.sized:
            side = side_of(second.price, first.bid + first.ask)
            self._above += sign * second.size * (side > 0)
            self._below += sign * second.size * (side < 0)
        if first.priced and second.priced:
            self._path += sign * abs(log_return_fixed(first.price, second.price))

    def _change_triple(self, first: _Tick, second: _Tick, third: _Tick, sign: int) -> None:
        if first.priced and second.priced and third.priced:
            self._triples += sign
            self._products += sign * (third.price - second.price) * (second.price - first.price)

    def values(self) -> tuple[float, ...]:
        """Return the trade columns at the newest tick."""
        volume, tick = wide_to_float(self._volume), self._inside[-1]
        volume_60s = volume_or_nan(volume, float(self._sized))
        volume_5s = volume_or_nan(wide_to_float(self._volume_short), float(self._sized_short))
        notional = notional_or_nan(wide_to_float(self._notional), self._price_scale)
        return (
            volume_5s,
            volume_60s,
            float(WINDOW_S // SHORT_S) * ratio(volume_5s, volume_60s),
            notional,
            ratio(wide_to_float(self._above - self._below), wide_to_float(self._above + self._below)),
            ratio(self._largest.value(), volume),
            roll_bps(wide_to_float(-self._products), float(self._triples), float(tick.bid + tick.ask)),
            per_million(fixed_bps(wide_to_float(self._path)), notional),
            self._volume_diff(),
        )

    def _volume_diff(self) -> float:
        oldest, newest = self._inside[0].volume_24h, self._inside[-1].volume_24h
        return float(newest - oldest) / SIZE_UNITS if oldest >= 0 and newest >= 0 else math.nan

    def held(self) -> Ticks:
        """Return the ticks inside the window, oldest first, int64[n, 6]: see ``held_ticks.TRADE_TICKS``."""
        return np.array(self._inside, np.int64)

    def restore(self, covered_since_ns: int, ticks: Ticks) -> None:
        """Begin anew with the ticks of a window."""
        self._reset(covered_since_ns)
        for tick in ticks.tolist():
            self.take(covered_since_ns, *tick)


class PureTradeEngine:
    """The engine of the set ``trade``: the columns of ``core``, then those of ``PureTradeWindow``.

    Parameters and methods are those of ``PureWindowEngine``; a tick has three more numbers.

    Examples
    --------
    >>> from volspike.features.sets import get_feature_set
    >>> engine = PureTradeEngine(get_feature_set("trade"), price_decimals=2)
    >>> for second, price in [(100, 10001), (101, 9999), (102, 10001)]:
    ...     trade = (price, 3 * 10**8, 500 * 10**8 + second * 10**8)
    ...     row = engine.step(second * SECOND_NS, 100 * SECOND_NS, 9999, 10001, -1, -1, *trade)
    >>> values = dict(zip(engine.feature_set.names, row))
    >>> [round(values[name], 3) for name in ("volume_60s", "notional_60s", "roll_spread_bps")]
    [9.0, 900.03, 4.0]
    >>> [values[name] for name in ("volume_imbalance_60s", "volume_diff_60s")]
    [0.0, 2.0]
    """

    compiled = False

    def __init__(self, feature_set: FeatureSet, price_decimals: int) -> None:
        self.feature_set = feature_set
        self.price_decimals = price_decimals
        self._core = PureWindowEngine(feature_set, price_decimals)
        self._trades = PureTradeWindow(price_decimals)

    def step(
        self,
        event_ns: int,
        covered_since_ns: int,
        bid: int,
        ask: int,
        bid_size: int,
        ask_size: int,
        price: int,
        size: int,
        volume_24h: int,
    ) -> tuple[float, ...]:
        """Take one tick; return its feature values, then the tick count.

        Parameters
        ----------
        event_ns, covered_since_ns, bid, ask, bid_size, ask_size : int
            As of ``PureWindowEngine.step``.
        price : int
            Of the last trade, in price units; -1 where not sent.
        size, volume_24h : int
            Size of the last trade, and the exchange's volume of 24 h, in ``1e-8`` of the base currency; -1
            where not sent.

        Raises
        ------
        FeatureError
            As ``PureWindowEngine.step``.
        """
        *values, ticks = self._core.step(event_ns, covered_since_ns, bid, ask, bid_size, ask_size)
        self._trades.take(covered_since_ns, event_ns, bid, ask, price, size, volume_24h)
        return (*values, *self._trades.values(), ticks)

    def batch(self, *columns: Ints) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int32]]:
        """Take many ticks, continuing the same state. See ``PureWindowEngine.batch``."""
        return step_each(self.step, columns, len(self.feature_set.columns))

    def snapshot(self) -> bytes:
        """Return the state as bytes, which either engine can restore."""
        return TRADE_TICKS.write(self._core.snapshot(), self._trades.held())

    def restore(self, data: bytes) -> None:
        """Continue from a snapshot. See ``PureWindowEngine.restore``."""
        window, ticks = TRADE_TICKS.split(data)
        self._core.restore(window)
        self._trades.restore(self._core.covered_since_ns, ticks)
