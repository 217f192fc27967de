"""The original system's five columns, by its own formulas, one row a ticker.

It takes every ticker of a product, by the clock of its receiver, into a window [t - 60 s, t] and computes

=====================  ================================================================================
midprice_return_mean   mean of the log returns between the window's tickers
midprice_return_std    their standard deviation, ddof 0; 0 for a single return
bid_ask_spread         mean of ask - bid, quote currency
trade_intensity        tickers / seconds between the window's first and last one (not 60); 0 where that is 0
order_book_imbalance   ``bid_ask_spread`` / current mid: a relative spread, no imbalance
=====================  ================================================================================

A row needs two tickers, so the first of a stretch has none. Source: ``features/featurizer.py`` of
nicolelyu021/detecting_crypto_volatility. One thing differs: a window never reaches over a break. There the
clock alone emptied it, so a silence below 60 s was bridged.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from volspike.features.fixedpoint import RETURN_SCALE, log_returns_fixed
from volspike.features.window import SECOND_NS, WINDOW_S, return_std
from volspike.labels.exactsum import prefix_squares, stretch_words, words_to_ints

COLUMNS = (
    "midprice_return_mean",
    "midprice_return_std",
    "bid_ask_spread",
    "trade_intensity",
    "order_book_imbalance",
)
STD = COLUMNS.index("midprice_return_std")

TICK, MARK, SNAPSHOT = range(3)

F8 = npt.NDArray[np.float64]
I8 = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Recorded:
    """What a recording says of one product, n events in replay order.

    Attributes
    ----------
    product : str
        Of which product.
    price_decimals : int
        Prices are in units of ``10**-price_decimals``.
    kind : int8[n]
        ``TICK``; ``MARK``, a proof of quiet without prices; ``SNAPSHOT``, the first ticker of a subscription,
        which the original counted and volspike does not.
    receive_ns, event_ns : int64[n]
        The recorder's clock, which the original went by, and the exchange's, ns.
    covered_since_ns : int64[n]
        Since when the feed has been whole; it changes with every break. A snapshot has that of the tick
        after it.
    bid, ask : int64[n]
        Best prices in price units; 0 for a mark.
    """

    product: str
    price_decimals: int
    kind: npt.NDArray[np.int8]
    receive_ns: I8
    event_ns: I8
    covered_since_ns: I8
    bid: I8
    ask: I8


@dataclass(frozen=True, slots=True, eq=False)
class OriginalRows:
    """The original's rows, m of them, in the order in which it would have written them.

    Attributes
    ----------
    event : int64[m]
        Position of the row's ticker among the events.
    first, last : int64[m]
        Positions of the window's first and last ticker among the tickers, both inside.
    stretch : int32[m]
        Number of the unbroken stretch.
    event_ns : int64[m]
        Exchange time of the ticker, ns.
    seconds : float64[m]
        Receive time, seconds since 1970.
    values : float64[m, 5]
        ``COLUMNS``.
    """

    event: I8
    first: I8
    last: I8
    stretch: npt.NDArray[np.int32]
    event_ns: I8
    seconds: F8
    values: F8

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.event)

    @property
    def std(self) -> F8:
        """Return ``midprice_return_std``, a pure number, float64[m]."""
        return self.values[:, STD]


def original_rows(recorded: Recorded) -> OriginalRows:
    """Compute the original's columns at every ticker that is not the first of its stretch."""
    event = np.flatnonzero(recorded.kind != MARK)
    cover = recorded.covered_since_ns[event]
    stretch = np.zeros(len(event), np.int32)
    np.cumsum(cover[1:] != cover[:-1], out=stretch[1:])
    seconds = _float_seconds(recorded.receive_ns[event])
    starts = np.array(_window_starts(seconds.tolist(), stretch.tolist()), np.int64)
    last = np.flatnonzero(starts < np.arange(len(starts)))
    first = starts[last]
    bid, ask = recorded.bid[event], recorded.ask[event]
    return OriginalRows(
        event=event[last],
        first=first,
        last=last,
        stretch=stretch[last],
        event_ns=recorded.event_ns[event][last],
        seconds=seconds[last],
        values=_values(bid, ask, seconds, first, last, 10.0**recorded.price_decimals),
    )


def _float_seconds(receive_ns: I8) -> F8:
    """Return times as the float the recorder wrote: the nearest one to the decimal text."""
    whole, rest = np.divmod(receive_ns, SECOND_NS)
    seconds: F8 = whole + rest / SECOND_NS
    return seconds


def _window_starts(seconds: list[float], stretch: list[int]) -> list[int]:
    """Return the position of each window's first ticker; only the front of a window is ever dropped."""
    starts, first = [], 0
    for now, number in zip(seconds, stretch, strict=True):
        while stretch[first] != number or seconds[first] < now - WINDOW_S:
            first += 1
        starts.append(first)
    return starts


def _values(bid: I8, ask: I8, seconds: F8, first: I8, last: I8, price_units: float) -> F8:
    mid_sum = bid + ask
    q = np.zeros(len(bid), np.int64)
    q[1:] = log_returns_fixed(mid_sum[:-1], mid_sum[1:])
    returns = last - first
    sum_q = np.cumsum(q)[last] - np.cumsum(q)[first]
    spread = _window_sums(ask - bid, first, last) / (returns + 1) / price_units
    duration_s = seconds[last] - seconds[first]
    intensity = np.zeros(len(last))
    np.divide(returns + 1, duration_s, out=intensity, where=duration_s > 0)
    mid = mid_sum[last] / (2.0 * price_units)
    mean = sum_q / returns / RETURN_SCALE
    return np.column_stack((mean, _stds(q, sum_q, first, last), spread, intensity, spread / mid))


def _window_sums(amount: I8, first: I8, last: I8) -> I8:
    running = np.concatenate((np.zeros(1, np.int64), np.cumsum(amount)))
    sums: I8 = running[last + 1] - running[first]
    return sums


def _stds(q: I8, sum_q: I8, first: I8, last: I8) -> F8:
    """Return the standard deviation, ddof 0, of the returns behind each window's first ticker."""
    squares = words_to_ints(stretch_words(prefix_squares(q), first + 1, last + 1))
    counted = zip(sum_q.tolist(), squares, (last - first).tolist(), strict=True)
    return np.array([_population_std(s, ss, k) for s, ss, k in counted], np.float64)


def _population_std(sum_q: int, sum_qq: int, k: int) -> float:
    return return_std(sum_q, sum_qq, k) * math.sqrt((k - 1) / k) if k > 1 else 0.0
