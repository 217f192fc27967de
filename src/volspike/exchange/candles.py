"""Minute candles: what one is, what makes one unusable, and a table of those of one product and source.

Candles come from the exchange's REST interface, from CSV files and from what is stored of both. They all pass
through here, so that a bad row is refused for the same reason wherever it comes from.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import nan
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

FEED = "candles"  # what stands for the feed where rows are made of candles
MINUTE_NS = 60_000_000_000
MINUTE_S = 60
DAY_MINUTES = 1_440
EARLIEST_MINUTE = 21_038_400  # 2010-01-01: none of these markets is older
JUMP = 2.0  # as of ticks: a price beyond this factor of what lies around it is none

# Every column but the minute, in the order of a candle and of a file.
FIGURES = (
    "open",
    "high",
    "low",
    "close",
    "volume",
    "trades",
    "buy_share",
    "book_imbalance",
    "order_flow_imbalance",
)

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]


class Candle(NamedTuple):
    """One minute of one product; NaN where the source does not say."""

    minute: int
    open: float = nan
    high: float = nan
    low: float = nan
    close: float = nan
    volume: float = nan
    trades: float = nan
    buy_share: float = nan
    book_imbalance: float = nan
    order_flow_imbalance: float = nan


@dataclass(frozen=True, eq=False)
class CandleTable:
    """Minute candles of one product from one source, n of them.

    Attributes
    ----------
    product : str
        Such as ``BTC-USD``.
    source : str
        Where they come from: ``coinbase`` (REST), ``recorder`` or ``csv``.
    minute : ndarray of int64, shape (n,)
        Start of the minute in minutes since 1970, UTC; ascending, each once. Not every minute is there.
    open, high, low, close : ndarray of float64, shape (n,)
        Prices in the quote currency; ``open`` is NaN where the source has none. The close of a ``recorder``
        comes from its book, and so may lie outside ``[low, high]``, which are of trades.
    volume : ndarray of float64, shape (n,)
        In the base currency; NaN where the source has none, as with those that follow.
    trades : ndarray of float64, shape (n,)
        How many there were.
    buy_share : ndarray of float64, shape (n,)
        Share of the volume that buyers took, 0 to 1.
    book_imbalance, order_flow_imbalance : ndarray of float64, shape (n,)
        From -1 to 1.
    """

    product: str
    source: str
    minute: Integers
    open: Floats
    high: Floats
    low: Floats
    close: Floats
    volume: Floats
    trades: Floats
    buy_share: Floats
    book_imbalance: Floats
    order_flow_imbalance: Floats

    def __len__(self) -> int:
        return len(self.minute)

    @classmethod
    def of(cls, product: str, source: str, candles: Sequence[Candle]) -> CandleTable:
        """Make a table of candles whose minutes ascend."""
        columns = list(zip(*candles, strict=True)) or [()] * len(Candle._fields)
        figures = {
            name: np.array(column, dtype=np.float64)
            for name, column in zip(FIGURES, columns[1:], strict=True)
        }
        return cls(product, source, np.array(columns[0], dtype=np.int64), **figures)

    @property
    def figures(self) -> Floats:
        """Every column but the minute, shape (n, 9), in the order of ``FIGURES``."""
        return np.column_stack([getattr(self, name) for name in FIGURES])

    @property
    def missing_minutes(self) -> int:
        """How many minutes from the first to the last have no candle."""
        return int(self.minute[-1] - self.minute[0]) + 1 - len(self) if len(self) else 0

    @property
    def jumps(self) -> Integers:
        """Return the minutes whose close is beyond a factor of two of the one before, on the same day."""
        moved = np.abs(np.diff(np.log(self.close))) > np.log(JUMP)
        found: Integers = self.minute[1:][moved & (np.diff(self.minute) < DAY_MINUTES)]
        return found

    def take(self, index: npt.NDArray[Any]) -> CandleTable:
        """Return the candles at an index or where a mask is true, as copies."""
        return replace(self, **{name: getattr(self, name)[index] for name in ("minute", *FIGURES)})

    def joined(self, other: CandleTable) -> CandleTable:
        """Return these candles and others of other minutes, in order."""
        minute = np.concatenate([self.minute, other.minute])
        order = np.argsort(minute, kind="stable")
        figures = np.concatenate([self.figures, other.figures])[order]
        columns: dict[str, Any] = {name: figures[:, position].copy() for position, name in enumerate(FIGURES)}
        return replace(self, minute=minute[order], **columns)


def fault_of(candle: Candle, close_is_traded: bool = True) -> str:
    """Return why a candle can't be used, or nothing.

    Parameters
    ----------
    candle : Candle
        Its high, low and close are numbers.
    close_is_traded : bool
        Whether the close is the price of a trade of the minute, and so lies between low and high.

    Returns
    -------
    str
        ``non_positive`` (a price), ``high_below_low``, ``outside_range`` (open or close), ``out_of_bounds``
        (a negative volume or count, a share or imbalance beyond its limits), or nothing.
    """
    prices = (candle.high, candle.low, candle.close, candle.open)
    if any(price <= 0 for price in prices):
        return "non_positive"
    if candle.high < candle.low:
        return "high_below_low"
    traded = (candle.open, candle.close) if close_is_traded else (candle.open,)
    if any(price < candle.low or price > candle.high for price in traded):
        return "outside_range"
    return "" if _is_bounded(candle) else "out_of_bounds"


def _is_bounded(candle: Candle) -> bool:
    return not (
        candle.volume < 0
        or candle.trades < 0
        or abs(candle.buy_share - 0.5) > 0.5
        or abs(candle.book_imbalance) > 1
        or abs(candle.order_flow_imbalance) > 1
    )


def assemble(product: str, source: str, candles: Sequence[Candle], rejected: Counter[str]) -> CandleTable:
    """Make a table of sound candles in the order of their source, oldest or newest first.

    Parameters
    ----------
    product, source : str
        Of all of them.
    candles : sequence of Candle
        As read; of one minute the first stays.
    rejected : Counter
        What is left out is counted here: ``repeated`` (a minute again with the same figures),
        ``contradictory`` (with others), ``out_of_order``, as few as will leave the rest in order, and
        ``jump`` (a high or low beyond a factor of two of both neighbours).
    """
    first: dict[int, Candle] = {}
    for candle in candles:
        known = first.setdefault(candle.minute, candle)
        if known is not candle:
            rejected["repeated" if _are_equal(known, candle) else "contradictory"] += 1
    kept = max((_in_order(list(first.values())), _in_order(list(first.values())[::-1])), key=len)
    if len(kept) < len(first):
        rejected["out_of_order"] += len(first) - len(kept)
    table = CandleTable.of(product, source, kept)
    jumps = _jumping(table)
    if np.any(jumps):
        rejected["jump"] += int(np.count_nonzero(jumps))
        table = table.take(~jumps)
    return table


def _jumping(table: CandleTable) -> npt.NDArray[np.bool_]:
    """Return which candles have a high or a low beyond a factor of two of both neighbours (bool[n]).

    The first and the last have two on one side. Neighbours a day away, or more, tell nothing.
    """
    n = len(table)
    if n < 3:
        return np.zeros(n, np.bool_)
    at = np.arange(n)
    before, after = np.where(at > 0, at - 1, 2), np.where(at < n - 1, at + 1, n - 3)
    high = np.maximum(table.high[before], table.high[after])
    low = np.minimum(table.low[before], table.low[after])
    near = np.maximum(np.abs(table.minute[before] - table.minute), np.abs(table.minute[after] - table.minute))
    beyond = (table.high > JUMP * high) | (table.low < low / JUMP)
    return np.asarray(beyond & (near < DAY_MINUTES), np.bool_)


def _are_equal(one: Candle, other: Candle) -> bool:
    return all(a == b or (a != a and b != b) for a, b in zip(one, other, strict=True))


def _in_order(candles: Sequence[Candle]) -> list[Candle]:
    """Return a longest part whose minutes ascend (Fredman, Discrete Mathematics 11, 1975)."""
    ends: list[int] = []  # the smallest minute in which an ascent of this length ends
    places: list[int] = []
    before: list[int] = []
    for place, candle in enumerate(candles):
        length = bisect_left(ends, candle.minute)
        before.append(places[length - 1] if length else -1)
        ends[length : length + 1] = [candle.minute]
        places[length : length + 1] = [place]
    found: list[Candle] = []
    place = places[-1] if places else -1
    while place >= 0:
        found.append(candles[place])
        place = before[place]
    return found[::-1]
