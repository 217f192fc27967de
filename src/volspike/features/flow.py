"""The flow features, defined once in plain Python integers; see ``window`` for those of ``core``.

What stands in ``_Sums`` is the definition: the integers that one tick adds to its window, and that a pair
of consecutive ticks adds. They hold what lies wholly inside (t - span, t] since the last break, so each value
is a function of those ticks and of nothing before. Maxima and the mid's moves are queues of what is inside.

Order flow imbalance: Cont, Kukanov and Stoikov (2014), "The price impact of order book events", section 2.1.
"""

from __future__ import annotations

import math
from collections import deque
from typing import NamedTuple

import numpy as np

from volspike.features.fixedpoint import (
    RETURN_SCALE,
    log_return_fixed,
    relative_spread_fixed,
    wide_to_float,
)
from volspike.features.flow_snapshot import Quotes, split_snapshot, write_flow_snapshot
from volspike.features.flow_values import (
    MIDDLE_S,
    SHORT_S,
    fixed_bps,
    gap_cv,
    mean_gap_s,
    microprice_fraction,
    queue_imbalance,
    ratio,
    z_score,
)
from volspike.features.sets import RV_60S, FeatureSet
from volspike.features.window import SECOND_NS, WINDOW_S, PureWindowEngine


def is_sized(bid_size: int, ask_size: int) -> bool:
    """Tell whether both sizes are known and not both are 0."""
    return bid_size >= 0 and ask_size >= 0 and (bid_size > 0 or ask_size > 0)


def microprice_fixed(bid: int, ask: int, bid_size: int, ask_size: int) -> int:
    """Return (microprice - mid) / mid of a sized quote at scale ``2**60``.

    Examples
    --------
    >>> microprice_fixed(99, 101, 3, 1) / 2**60
    0.005
    """
    imbalance = queue_imbalance(float(bid_size), float(ask_size))
    return round(microprice_fraction(float(ask - bid), float(bid + ask), imbalance) * RETURN_SCALE)


class _Tick(NamedTuple):
    """A tick inside the window; ``q`` is the return from the tick before it, 0 where that had left."""

    event_ns: int
    bid: int
    ask: int
    bid_size: int
    ask_size: int
    q: int
    relative: int

    @property
    def sized(self) -> bool:
        return is_sized(self.bid_size, self.ask_size)

    @property
    def microprice(self) -> int:
        if not self.sized:
            return 0
        return microprice_fixed(self.bid, self.ask, self.bid_size, self.ask_size)


def order_flow(before: _Tick, after: _Tick) -> tuple[int, int]:
    """Return the order flow between two quotes, above 0 for buying pressure, and the sum of their sizes.

    Size that a better or equal price brings to a side counts for it, size that it had at a worse or equal
    price before counts against it. In 1e-8 of the base currency; (0, 0) where one of the two is not sized.

    Examples
    --------
    >>> order_flow(_Tick(0, 99, 101, 5, 5, 0, 0), _Tick(1, 99, 101, 8, 4, 0, 0))  # 3 more bid, 1 less ask
    (4, 22)
    >>> order_flow(_Tick(0, 99, 101, 5, 5, 0, 0), _Tick(1, 100, 101, 2, 5, 0, 0))  # a better bid of 2
    (2, 17)
    """
    if not (before.sized and after.sized):
        return 0, 0
    flow = 0
    if after.bid >= before.bid:
        flow += after.bid_size
    if after.bid <= before.bid:
        flow -= before.bid_size
    if after.ask <= before.ask:
        flow -= after.ask_size
    if after.ask >= before.ask:
        flow += before.ask_size
    return flow, before.bid_size + before.ask_size + after.bid_size + after.ask_size


class _Sums:
    """The ticks of (t - span, t] and the sums over them."""

    def __init__(self, span_s: int) -> None:
        self.span_ns = span_s * SECOND_NS
        self.inside: deque[_Tick] = deque()
        self.relative = self.relative_squares = 0
        self.sized = self.microprice = self.bid_sizes = self.sizes = 0
        self.gap_squares = self.ties = self.path = self.order_flow = self.order_sizes = 0

    def evict(self, event_ns: int) -> None:
        """Let go of what has left the window of a tick."""
        while self.inside and self.inside[0].event_ns <= event_ns - self.span_ns:
            gone = self.inside.popleft()
            self._tick(gone, -1)
            if self.inside:
                self._pair(gone, self.inside[0], -1)

    def insert(self, tick: _Tick) -> None:
        """Take a tick."""
        if self.inside:
            self._pair(self.inside[-1], tick, 1)
        self._tick(tick, 1)
        self.inside.append(tick)

    def _tick(self, tick: _Tick, sign: int) -> None:
        self.relative += sign * tick.relative
        self.relative_squares += sign * tick.relative * tick.relative
        if tick.sized:
            self.sized += sign
            self.microprice += sign * tick.microprice
            self.bid_sizes += sign * tick.bid_size
            self.sizes += sign * (tick.bid_size + tick.ask_size)

    def _pair(self, before: _Tick, after: _Tick, sign: int) -> None:
        gap_ns = after.event_ns - before.event_ns
        self.gap_squares += sign * gap_ns * gap_ns
        self.ties += sign * (gap_ns == 0)
        self.path += sign * abs(after.q)
        flow, sizes = order_flow(before, after)
        self.order_flow += sign * flow
        self.order_sizes += sign * sizes


class _Largest:
    """The largest of what is inside: a queue in which each value is below the one before it."""

    def __init__(self) -> None:
        self._queue: deque[tuple[int, int]] = deque()

    def evict(self, left_ns: int) -> None:
        """Let go of values that came with a stamp up to ``left_ns``."""
        while self._queue and self._queue[0][0] <= left_ns:
            self._queue.popleft()

    def insert(self, stamp_ns: int, value: int) -> None:
        """Take a value that leaves with a stamp; the smaller ones before it can't be the largest any more."""
        while self._queue and self._queue[-1][1] <= value:
            self._queue.pop()
        self._queue.append((stamp_ns, value))

    def value(self) -> float:
        """Return the largest value, NaN of none."""
        return wide_to_float(self._queue[0][1]) if self._queue else math.nan


class _Moves:
    """The moves of the mid whose two ticks are inside, and how many of them turn back."""

    def __init__(self) -> None:
        self.queue: deque[tuple[int, bool]] = deque()
        self.reversals = 0

    def evict(self, left_ns: int) -> None:
        """Let go of moves from a tick with a stamp up to ``left_ns``."""
        while self.queue and self.queue[0][0] <= left_ns:
            _, up = self.queue.popleft()
            self.reversals -= bool(self.queue) and self.queue[0][1] != up

    def insert(self, from_ns: int, q: int) -> None:
        """Take a move with the stamp of the tick it began at."""
        up = q > 0
        self.reversals += bool(self.queue) and self.queue[-1][1] != up
        self.queue.append((from_ns, up))


class PureFlowWindow:
    """The window of the flow columns, tick by tick."""

    def __init__(self) -> None:
        self._reset(covered_since_ns=0)

    def _reset(self, covered_since_ns: int) -> None:
        self._covered_since_ns = covered_since_ns
        self._whole, self._middle, self._short = (_Sums(span_s) for span_s in (WINDOW_S, MIDDLE_S, SHORT_S))
        self._moves, self._returns, self._spreads, self._sweeps = _Moves(), _Largest(), _Largest(), _Largest()
        self._sweep = 0

    def step(
        self,
        event_ns: int,
        covered_since_ns: int,
        bid: int,
        ask: int,
        bid_size: int,
        ask_size: int,
        rv_60s: float,
    ) -> tuple[float, ...]:
        """Take a tick that a window engine has taken, and the ``rv_60s`` it gave; return the flow columns."""
        if covered_since_ns != self._covered_since_ns:
            self._reset(covered_since_ns)
        self._evict(event_ns)
        inside = self._whole.inside
        before = inside[-1] if inside else None
        q = log_return_fixed(before.bid + before.ask, bid + ask) if before else 0
        tick = _Tick(event_ns, bid, ask, bid_size, ask_size, q, relative_spread_fixed(bid, ask))
        self._note(before, tick)
        for sums in (self._whole, self._middle, self._short):
            sums.insert(tick)
        return (*self._arrivals(), *self._path(rv_60s), *self._spread(tick), *self._sizes(tick))

    def _evict(self, event_ns: int) -> None:
        for sums in (self._whole, self._middle, self._short):
            sums.evict(event_ns)
        for queue in (self._moves, self._returns, self._spreads, self._sweeps):
            queue.evict(event_ns - self._whole.span_ns)

    def _note(self, before: _Tick | None, tick: _Tick) -> None:
        """Note moves and what may be the largest; a pair leaves with its first tick."""
        self._sweep = self._sweep + 1 if before and before.event_ns == tick.event_ns else 1
        self._sweeps.insert(tick.event_ns, self._sweep)
        self._spreads.insert(tick.event_ns, tick.relative)
        if before:
            self._returns.insert(before.event_ns, abs(tick.q))
        if before and tick.q:
            self._moves.insert(before.event_ns, tick.q)

    def _arrivals(self) -> tuple[float, ...]:
        whole = self._whole
        n, n_middle, n_short = (float(len(each.inside)) for each in (whole, self._middle, self._short))
        k, span_ns = len(whole.inside) - 1, whole.inside[-1].event_ns - whole.inside[0].event_ns
        return (
            mean_gap_s(float(span_ns), float(k)),
            gap_cv(wide_to_float(k * whole.gap_squares - span_ns * span_ns), float(span_ns), float(k)),
            ratio(float(whole.ties), float(k)),
            self._sweeps.value(),
            n_short / float(SHORT_S),
            n_middle / float(MIDDLE_S),
            ratio(float(WINDOW_S // SHORT_S) * n_short, n),
            ratio(float(WINDOW_S // MIDDLE_S) * n_middle, n),
        )

    def _path(self, rv_60s: float) -> tuple[float, ...]:
        moves = float(len(self._moves.queue))
        path_bps = fixed_bps(wide_to_float(self._whole.path))
        return (
            moves,
            ratio(float(self._moves.reversals), moves - 1.0),
            path_bps,
            ratio(path_bps, rv_60s),
            fixed_bps(self._returns.value()),
        )

    def _spread(self, tick: _Tick) -> tuple[float, ...]:
        n, total = len(self._whole.inside), self._whole.relative
        dispersion = wide_to_float(n * self._whole.relative_squares - total * total)
        return (
            fixed_bps(float(tick.relative)),
            fixed_bps(self._spreads.value()),
            z_score(wide_to_float(n * tick.relative - total), dispersion, float(n)),
        )

    def _sizes(self, tick: _Tick) -> tuple[float, ...]:
        whole, short = self._whole, self._short
        size = wide_to_float(tick.bid_size + tick.ask_size)
        imbalance = queue_imbalance(float(tick.bid_size), float(tick.ask_size)) if tick.sized else math.nan
        return (
            imbalance,
            ratio(wide_to_float(short.order_flow), wide_to_float(short.order_sizes)),
            ratio(wide_to_float(whole.order_flow), wide_to_float(whole.order_sizes)),
            fixed_bps(float(tick.microprice)) if tick.sized else math.nan,
            ratio(fixed_bps(wide_to_float(whole.microprice)), float(whole.sized)),
            ratio(wide_to_float(whole.bid_sizes), wide_to_float(whole.sizes)),
            ratio(float(whole.sized) * size, wide_to_float(whole.sizes)) if tick.sized else math.nan,
        )

    def quotes(self) -> Quotes:
        """Return the ticks inside the window, oldest first, int64[n, 5]."""
        return np.array([tick[:5] for tick in self._whole.inside], np.int64).reshape(-1, 5)

    def restore(self, covered_since_ns: int, quotes: Quotes) -> None:
        """Begin anew with the ticks of a window."""
        self._reset(covered_since_ns)
        for event_ns, *quote in quotes.tolist():
            self.step(event_ns, covered_since_ns, *quote, rv_60s=math.nan)


class PureFlowEngine(PureWindowEngine):
    """The window engine of the set ``flow``: the columns of ``core-sized``, then those of ``PureFlowWindow``.

    Parameters and methods are those of ``PureWindowEngine``.

    Examples
    --------
    >>> from volspike.features.sets import get_feature_set
    >>> engine = PureFlowEngine(get_feature_set("flow"), price_decimals=2)
    >>> for second, mid in [(100, 10000), (101, 10100), (102, 10050)]:
    ...     row = engine.step(second * SECOND_NS, 100 * SECOND_NS, mid - 1, mid + 1, 30, 10)
    >>> values = dict(zip(engine.feature_set.names, row))
    >>> [round(values[name], 3) for name in ("mid_changes", "mid_reversal_frac", "path_bps")]
    [2.0, 1.0, 149.131]
    """

    def __init__(self, feature_set: FeatureSet, price_decimals: int) -> None:
        super().__init__(feature_set, price_decimals)
        self._flow = PureFlowWindow()
        self._rv_column = feature_set.columns.index(RV_60S)

    def step(
        self, event_ns: int, covered_since_ns: int, bid: int, ask: int, bid_size: int, ask_size: int
    ) -> tuple[float, ...]:
        """Take one tick; return its feature values, then the tick count. See ``PureWindowEngine.step``."""
        tick = (event_ns, covered_since_ns, bid, ask, bid_size, ask_size)
        *values, ticks = super().step(*tick)
        return (*values, *self._flow.step(*tick, rv_60s=values[self._rv_column]), ticks)

    def snapshot(self) -> bytes:
        """Return the state as bytes, which either engine can restore."""
        return write_flow_snapshot(super().snapshot(), self._flow.quotes())

    def restore(self, data: bytes) -> None:
        """Continue from a snapshot. See ``PureWindowEngine.restore``."""
        window, quotes = split_snapshot(data)
        super().restore(window)
        self._flow.restore(self._covered_since_ns, quotes)
