"""The flow features, defined once in plain Python integers; see ``window`` for those of ``core``.

What stands in ``_Window`` is the definition: the integers that a tick adds to its window, and that a pair of
consecutive ticks adds. They hold what lies wholly inside (t - span, t] since the last break, so each value
is a function of those ticks and of nothing before. Maxima and the mid's moves are queues of what is inside.

Order flow imbalance: Cont, Kukanov and Stoikov (2014), "The price impact of order book events", section 2.1.
"""

from __future__ import annotations

import math
from collections import deque
from typing import NamedTuple

import numpy as np

from volspike.features.columns import FeatureSet
from volspike.features.fixedpoint import (
    RETURN_SCALE,
    log_return_fixed,
    relative_spread_fixed,
    wide_to_float,
)
from volspike.features.flow_values import (
    MIDDLE_S,
    SHORT_S,
    fixed_bps,
    gap_cv,
    is_sized,
    mean_gap_s,
    microprice_fraction,
    queue_imbalance,
    ratio,
    z_score,
)
from volspike.features.held_ticks import FLOW_TICKS, Ticks
from volspike.features.sets import RV_60S
from volspike.features.window import SECOND_NS, WINDOW_S, PureWindowEngine


def microprice_fixed(bid: int, ask: int, bid_size: int, ask_size: int) -> int:
    """Return (microprice - mid) / mid of a sized quote at scale ``2**60``.

    Examples
    --------
    >>> microprice_fixed(99, 101, 3, 1) / 2**60
    0.005
    """
    imbalance = queue_imbalance(float(bid_size), float(ask_size))
    return round(microprice_fraction(float(ask - bid), float(bid + ask), imbalance) * RETURN_SCALE)


class _Quote(NamedTuple):
    """Best prices, and sizes in 1e-8 of the base currency."""

    bid: int
    ask: int
    bid_size: int
    ask_size: int

    @property
    def sized(self) -> bool:
        return is_sized(self.bid_size, self.ask_size)


def order_flow(before: _Quote, after: _Quote) -> tuple[int, int]:
    """Return the order flow between two quotes, above 0 for buying pressure, and the sum of their sizes.

    Size that a better or equal price brings to a side counts for it, size that it had at a worse or equal
    price before counts against it. In 1e-8 of the base currency; (0, 0) where one of the two is not sized.

    Examples
    --------
    >>> order_flow(_Quote(99, 101, 5, 5), _Quote(99, 101, 8, 4))  # 3 more bid, 1 less ask
    (4, 22)
    >>> order_flow(_Quote(99, 101, 5, 5), _Quote(100, 101, 2, 5))  # a better bid of 2
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


class _Pair(NamedTuple):
    """What a tick and the one before it make together."""

    from_ns: int
    gap_ns: int
    q: int
    order_flow: int
    order_sizes: int


class _Tick(NamedTuple):
    """A tick inside the window."""

    event_ns: int
    quote: _Quote
    relative: int
    sized: bool
    microprice: int
    pair: _Pair | None  # None where the tick before had left


def _tick(event_ns: int, quote: _Quote, before: _Tick | None) -> _Tick:
    relative, sized = relative_spread_fixed(quote.bid, quote.ask), quote.sized
    return _Tick(
        event_ns,
        quote,
        relative,
        sized,
        microprice_fixed(*quote) if sized else 0,
        _pair(event_ns, quote, before) if before else None,
    )


def _pair(event_ns: int, quote: _Quote, before: _Tick) -> _Pair:
    q = log_return_fixed(before.quote.bid + before.quote.ask, quote.bid + quote.ask)
    return _Pair(before.event_ns, event_ns - before.event_ns, q, *order_flow(before.quote, quote))


class _Span:
    """The ticks of (t - span, t], and the order flow of the pairs among them."""

    def __init__(self, span_s: int) -> None:
        self.span_ns = span_s * SECOND_NS
        self.inside: deque[_Tick] = deque()
        self.order_flow = self.order_sizes = 0

    def evict(self, event_ns: int) -> None:
        """Let go of what has left the span of a tick; a pair leaves with its first tick."""
        while self.inside and self.inside[0].event_ns <= event_ns - self.span_ns:
            self._change_tick(self.inside.popleft(), -1)
            if self.inside and (pair := self.inside[0].pair):
                self._change_pair(pair, -1)

    def insert(self, tick: _Tick) -> None:
        """Take a tick."""
        if self.inside and tick.pair:
            self._change_pair(tick.pair, 1)
        self._change_tick(tick, 1)
        self.inside.append(tick)

    def _change_tick(self, tick: _Tick, sign: int) -> None:
        """Add what a tick adds by itself, or take it away."""

    def _change_pair(self, pair: _Pair, sign: int) -> None:
        self.order_flow += sign * pair.order_flow
        self.order_sizes += sign * pair.order_sizes


class _Window(_Span):
    """The same of the whole window, with all its sums."""

    def __init__(self) -> None:
        super().__init__(WINDOW_S)
        self.relative = self.relative_squares = 0
        self.sized = self.microprice = self.bid_sizes = self.sizes = 0
        self.gap_squares = self.ties = self.path = 0

    def _change_tick(self, tick: _Tick, sign: int) -> None:
        self.relative += sign * tick.relative
        self.relative_squares += sign * tick.relative * tick.relative
        if tick.sized:
            self.sized += sign
            self.microprice += sign * tick.microprice
            self.bid_sizes += sign * tick.quote.bid_size
            self.sizes += sign * (tick.quote.bid_size + tick.quote.ask_size)

    def _change_pair(self, pair: _Pair, sign: int) -> None:
        super()._change_pair(pair, sign)
        self.gap_squares += sign * pair.gap_ns * pair.gap_ns
        self.ties += sign * (pair.gap_ns == 0)
        self.path += sign * abs(pair.q)


class Largest:
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
        self._whole, self._middle, self._short = _Window(), _Span(MIDDLE_S), _Span(SHORT_S)
        self._moves, self._returns, self._spreads, self._sweeps = _Moves(), Largest(), Largest(), Largest()
        self._sweep = 0

    def take(
        self, event_ns: int, covered_since_ns: int, bid: int, ask: int, bid_size: int, ask_size: int
    ) -> None:
        """Take a tick that a window engine has taken."""
        if covered_since_ns != self._covered_since_ns:
            self._reset(covered_since_ns)
        self._evict(event_ns)
        inside = self._whole.inside
        tick = _tick(event_ns, _Quote(bid, ask, bid_size, ask_size), inside[-1] if inside else None)
        self._note(tick)
        for span in (self._whole, self._middle, self._short):
            span.insert(tick)

    def values(self, rv_60s: float) -> tuple[float, ...]:
        """Return the flow columns at the newest tick, given the ``rv_60s`` there."""
        tick = self._whole.inside[-1]
        return (*self._arrivals(), *self._path(rv_60s), *self._spread(tick), *self._sizes(tick))

    def _evict(self, event_ns: int) -> None:
        for span in (self._whole, self._middle, self._short):
            span.evict(event_ns)
        for queue in (self._moves, self._returns, self._spreads, self._sweeps):
            queue.evict(event_ns - self._whole.span_ns)

    def _note(self, tick: _Tick) -> None:
        """Note moves and what may be the largest."""
        pair = tick.pair
        self._sweep = self._sweep + 1 if pair and pair.gap_ns == 0 else 1
        self._sweeps.insert(tick.event_ns, self._sweep)
        self._spreads.insert(tick.event_ns, tick.relative)
        if pair:
            self._returns.insert(pair.from_ns, abs(pair.q))
        if pair and pair.q:
            self._moves.insert(pair.from_ns, pair.q)

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
        _, _, bid_size, ask_size = tick.quote
        size = wide_to_float(bid_size + ask_size)
        imbalance = queue_imbalance(float(bid_size), float(ask_size)) if tick.sized else math.nan
        return (
            imbalance,
            ratio(wide_to_float(short.order_flow), wide_to_float(short.order_sizes)),
            ratio(wide_to_float(whole.order_flow), wide_to_float(whole.order_sizes)),
            fixed_bps(float(tick.microprice)) if tick.sized else math.nan,
            ratio(fixed_bps(wide_to_float(whole.microprice)), float(whole.sized)),
            ratio(wide_to_float(whole.bid_sizes), wide_to_float(whole.sizes)),
            ratio(float(whole.sized) * size, wide_to_float(whole.sizes)) if tick.sized else math.nan,
        )

    def held(self) -> Ticks:
        """Return the ticks inside the window, oldest first, int64[n, 5]."""
        return np.array([(tick.event_ns, *tick.quote) for tick in self._whole.inside], np.int64)

    def restore(self, covered_since_ns: int, ticks: Ticks) -> None:
        """Begin anew with the ticks of a window."""
        self._reset(covered_since_ns)
        for event_ns, *quote in ticks.tolist():
            self.take(event_ns, covered_since_ns, *quote)


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
        self._flow.take(*tick)
        return (*values, *self._flow.values(rv_60s=values[self._rv_column]), ticks)

    def snapshot(self) -> bytes:
        """Return the state as bytes, which either engine can restore."""
        return FLOW_TICKS.write(super().snapshot(), self._flow.held())

    def restore(self, data: bytes) -> None:
        """Continue from a snapshot. See ``PureWindowEngine.restore``."""
        window, ticks = FLOW_TICKS.split(data)
        super().restore(window)
        self._flow.restore(self._covered_since_ns, ticks)
