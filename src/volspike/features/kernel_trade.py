"""The compiled trade kernel: the trade window's sums, and its entry points for a live step and for a batch.

The definition is ``trade.PureTradeEngine``. As of ``kernel_flow``, a live step takes the tick into both
memories (``memory`` and ``trade_memory``), a batch comes behind ``kernel.batch``; ``m`` is the address of the
memory, a tick is the address of its first word, ``sign`` is 1 to add and -1 to take away again.
"""

from __future__ import annotations

import math
from types import ModuleType
from typing import Any

from volspike.features import (
    columns,
    flow_memory,
    flow_values,
    kernel,
    kernel_flow_sums,
    sets,
    trade_columns,
    trade_memory,
    trade_values,
)
from volspike.features.builtin import (
    BuiltinMaker,
    bound_integer,
    call_instead,
    nine_integers,
    tuple_of_words,
)
from volspike.features.columns import QUOTE_INPUTS, TRADE_INPUTS
from volspike.features.flow_memory import (
    ASK,
    BID,
    COVERED,
    EVENT_NS,
    HEAD,
    OUT,
    SHORT_NS,
    TAIL,
    TAIL_SHORT,
    WINDOW_NS,
)
from volspike.features.flow_values import SHORT_S
from volspike.features.kernel import WORDS, Floats, take
from volspike.features.kernel_flow_sums import (
    count,
    is_full,
    largest,
    leave,
    push_largest,
    sum_at,
    tick_at,
    total,
    word,
)
from volspike.features.kernel_grid import log_return
from volspike.features.memory import Words
from volspike.features.sets import get_feature_set
from volspike.features.trade_columns import TRADE
from volspike.features.trade_memory import (
    ABOVE,
    BELOW,
    HEADER_WORDS,
    LARGEST,
    NOTIONAL,
    PATH,
    PRICE,
    PRICE_SCALE,
    PRODUCTS,
    RETURN,
    SIDE,
    SIZE,
    SIZED,
    SIZED_SHORT,
    TRIPLES,
    VOLUME,
    VOLUME_24H,
    VOLUME_SHORT,
)
from volspike.features.trade_values import SIZE_UNITS
from volspike.features.wide import (
    add_product3,
    difference_float3,
    load,
    load_float,
    signed_float,
    store,
    store_float,
    subtract_words,
)
from volspike.features.window import WINDOW_S
from volspike.jit import address_of, direct, entry, inlined, keyed_by, part, sources_digest

_SOURCES: tuple[ModuleType, ...] = (
    *kernel.SOURCES,
    columns,
    flow_memory,
    flow_values,
    kernel,
    kernel_flow_sums,
    sets,
    trade_columns,
    trade_memory,
    trade_values,
)

_ALL_COLUMNS = get_feature_set("trade").columns
_COLUMNS = len(_ALL_COLUMNS)
_FIRST_COLUMN = _ALL_COLUMNS.index(TRADE[0])
_INPUTS = len(QUOTE_INPUTS + TRADE_INPUTS)

_ratio = inlined(flow_values.ratio)
_fixed_bps = inlined(flow_values.fixed_bps)
_is_priced = inlined(trade_values.is_priced)
_side_of = inlined(trade_values.side_of)
_volume_or_nan = inlined(trade_values.volume_or_nan)
_notional_or_nan = inlined(trade_values.notional_or_nan)
_roll_bps = inlined(trade_values.roll_bps)
_per_million = inlined(trade_values.per_million)

# The integers of a tick, or the addresses of their columns.
_Nine = tuple[int, int, int, int, int, int, int, int, int]


@inlined
def _reset(m: int, covered_since_ns: int) -> None:
    for at in range(COVERED + 1, HEADER_WORDS):
        store(m, at, 0)
    store(m, COVERED, covered_since_ns)


@inlined
def _product(address: int, a: int, b: int) -> None:
    """Add a product to a sum of three words."""
    low, middle, high = add_product3(load(address, 0), load(address, 1), load(address, 2), a, b)
    store(address, 0, low)
    store(address, 1, middle)
    store(address, 2, high)


@inlined
def _priced(tick: int) -> bool:
    return _is_priced(load(tick, PRICE))


@part
def _change_short(m: int, tick: int, sign: int) -> None:
    if load(tick, SIZE) > 0:
        count(m + 8 * SIZED_SHORT, sign)
        total(m + 8 * VOLUME_SHORT, sign * load(tick, SIZE))


@part
def _change_tick(m: int, tick: int, sign: int) -> None:
    size = load(tick, SIZE)
    if size > 0:
        count(m + 8 * SIZED, sign)
        total(m + 8 * VOLUME, sign * size)
        if _priced(tick):
            _product(m + 8 * NOTIONAL, load(tick, PRICE), sign * size)


@part
def _change_pair(m: int, second: int, sign: int) -> None:
    """Add a pair of consecutive ticks, or take it away; the second holds what it needs of the first."""
    side = load(second, SIDE)
    if side > 0:
        total(m + 8 * ABOVE, sign * load(second, SIZE))
    elif side < 0:
        total(m + 8 * BELOW, sign * load(second, SIZE))
    total(m + 8 * PATH, sign * abs(load(second, RETURN)))


@part
def _change_triple(m: int, first: int, second: int, third: int, sign: int) -> None:
    if _priced(first) and _priced(second) and _priced(third):
        price = load(second, PRICE)
        count(m + 8 * TRIPLES, sign)
        _product(m + 8 * PRODUCTS, load(third, PRICE) - price, sign * (price - load(first, PRICE)))


@part
def _leave_short(m: int, head: int, left_ns: int) -> None:
    tail = load(m, TAIL_SHORT)
    while tail < head and load(tick_at(m, tail), EVENT_NS) <= left_ns:
        _change_short(m, tick_at(m, tail), -1)
        tail += 1
    store(m, TAIL_SHORT, tail)


@part
def _leave_window(m: int, head: int, left_ns: int) -> None:
    tail = load(m, TAIL)
    while tail < head and load(tick_at(m, tail), EVENT_NS) <= left_ns:
        first, second = tick_at(m, tail), tick_at(m, tail + 1)
        _change_tick(m, first, -1)
        if tail + 1 < head:
            _change_pair(m, second, -1)
        if tail + 2 < head:
            _change_triple(m, first, second, tick_at(m, tail + 2), -1)
        tail += 1
    store(m, TAIL, tail)


@part
def _evict(m: int, event_ns: int) -> None:
    """Let go of what has left the windows of a tick."""
    head = load(m, HEAD)
    _leave_short(m, head, event_ns - SHORT_NS)
    _leave_window(m, head, event_ns - WINDOW_NS)
    leave(m, LARGEST, event_ns - WINDOW_NS)


@inlined
def _put(tick: int, ns: int, bid: int, ask: int, price: int, size: int, volume_24h: int) -> None:
    words = (ns, bid, ask, price, size, volume_24h, 0, 0)
    for i in range(8):
        store(tick, i, words[i])


@inlined
def _pair(m: int, before: int, tick: int) -> None:
    """Take in a tick together with the one before it."""
    if _priced(tick):
        if load(tick, SIZE) > 0:
            store(tick, SIDE, _side_of(load(tick, PRICE), load(before, BID) + load(before, ASK)))
        if _priced(before):
            store(tick, RETURN, log_return(load(before, PRICE), load(tick, PRICE)))
    _change_pair(m, tick, 1)


@part
def _insert(m: int, ns: int, bid: int, ask: int, price: int, size: int, volume_24h: int) -> None:
    """Take in a tick, for which the ring has room."""
    head, tail = load(m, HEAD), load(m, TAIL)
    tick = tick_at(m, head)
    _put(tick, ns, bid, ask, price, size, volume_24h)
    _change_short(m, tick, 1)
    _change_tick(m, tick, 1)
    if size > 0:
        push_largest(m, LARGEST, ns, size)
    if head > tail:
        _pair(m, tick_at(m, head - 1), tick)
    if head - 1 > tail:
        _change_triple(m, tick_at(m, head - 2), tick_at(m, head - 1), tick, 1)
    store(m, HEAD, head + 1)


@inlined
def _sides(m: int) -> float:
    """Return (above - below) / (above + below) of the volumes."""
    above, below = m + 8 * ABOVE, m + 8 * BELOW
    low, high = subtract_words(load(above, 0), load(above, 1), load(below, 0), load(below, 1))
    minus_low, minus_high = subtract_words(0, 0, load(below, 0), load(below, 1))
    both_low, both_high = subtract_words(load(above, 0), load(above, 1), minus_low, minus_high)
    return _ratio(signed_float(low, high), signed_float(both_low, both_high))


@inlined
def _turned(m: int) -> float:
    """Return minus the sum of products where that is above 0, else 0."""
    at = m + 8 * PRODUCTS
    low, middle, high = load(at, 0), load(at, 1), load(at, 2)
    return difference_float3(0, 0, 0, low, middle, high) if high < 0 else 0.0


@inlined
def _volume_diff(oldest: int, newest: int) -> float:
    before, now = load(oldest, VOLUME_24H), load(newest, VOLUME_24H)
    return float(now - before) / SIZE_UNITS if before >= 0 and now >= 0 else math.nan


@part
def _put_values(m: int, out: int, stride: int) -> None:
    """Write the values at the newest tick, one every ``stride`` bytes."""
    oldest, tick = tick_at(m, load(m, TAIL)), tick_at(m, load(m, HEAD) - 1)
    volume, at = sum_at(m + 8 * VOLUME), m + 8 * NOTIONAL
    volume_60s = _volume_or_nan(volume, float(load(m, SIZED)))
    volume_5s = _volume_or_nan(sum_at(m + 8 * VOLUME_SHORT), float(load(m, SIZED_SHORT)))
    units = difference_float3(load(at, 0), load(at, 1), load(at, 2), 0, 0, 0)
    notional = _notional_or_nan(units, load_float(m, PRICE_SCALE))
    mid_sum = float(load(tick, BID) + load(tick, ASK))
    store_float(out, 0, volume_5s)
    store_float(out + stride, 0, volume_60s)
    store_float(out + 2 * stride, 0, float(WINDOW_S // SHORT_S) * _ratio(volume_5s, volume_60s))
    store_float(out + 3 * stride, 0, notional)
    store_float(out + 4 * stride, 0, _sides(m))
    store_float(out + 5 * stride, 0, _ratio(largest(m, LARGEST), volume))
    store_float(out + 6 * stride, 0, _roll_bps(_turned(m), float(load(m, TRIPLES)), mid_sum))
    store_float(out + 7 * stride, 0, _per_million(_fixed_bps(sum_at(m + 8 * PATH)), notional))
    store_float(out + 8 * stride, 0, _volume_diff(oldest, tick))


@part
def _take_trade(m: int, tick: _Nine, out: int, stride: int) -> None:
    """Take a tick that the window engine has taken and the ring has room for; write the values."""
    event_ns, covered_since_ns, bid, ask, _, _, price, size, volume_24h = tick
    if covered_since_ns != load(m, COVERED):
        _reset(m, covered_since_ns)
    _evict(m, event_ns)
    _insert(m, event_ns, bid, ask, price, size, volume_24h)
    _put_values(m, out, stride)


@part
def _batch(m: int, done: int, stop: int, ticks: _Nine, out: int, n: int) -> int:
    """Take the ticks from ``done`` to ``stop`` of ``n``; return the first for which there was no room."""
    a, b, c, d, e, f, g, h, k = ticks
    for i in range(done, stop):
        if is_full(m):
            return i
        quote = load(a, i), load(b, i), load(c, i), load(d, i), load(e, i), load(f, i)
        trade = load(g, i), load(h, i), load(k, i)
        _take_trade(m, quote + trade, out + 8 * (_FIRST_COLUMN * n + i), 8 * n)
    return stop


@part
def _step(bound: int, arguments: int, argument_count: int) -> int:
    if argument_count != _INPUTS:
        return call_instead(bound, arguments, argument_count)
    valid, event_ns, since_ns, bid, ask, bid_size, ask_size, price, size, volume = nine_integers(arguments)
    if not valid:
        return 0
    table = bound_integer(bound)
    window, m = load(load(table, 0), 0), load(table, 1)
    if is_full(m):
        return call_instead(bound, arguments, argument_count)
    row = take(window, False, event_ns, since_ns, bid, ask, bid_size, ask_size)
    if row[7] < 0.0:
        return call_instead(bound, arguments, argument_count)
    out = m + 8 * OUT
    for i in range(6):
        store_float(out, i, row[i])
    store_float(out, _COLUMNS, row[7])
    tick = (event_ns, since_ns, bid, ask, bid_size, ask_size, price, size, volume)
    _take_trade(m, tick, out + 8 * _FIRST_COLUMN, word(8))
    return tuple_of_words(out, _COLUMNS + 1)


_Arrays = tuple[Words, Words, Words, Words, Words, Words, Words, Words, Words]
_NINE_COLUMNS = "UniTuple(Array(int64, 1, 'C', readonly=True), 9)"


def _entry_points(digest: int) -> tuple[Any, Any]:
    @entry("int64(int64, int64, int64)")
    def step_trade(bound: int, arguments: int, argument_count: int) -> int:
        keyed_by(digest)
        return _step(bound, arguments, argument_count)

    @entry(f"int64({WORDS}, int64, int64, {_NINE_COLUMNS}, float64[:, ::1])")
    def batch(memory: Words, done: int, stop: int, ticks: _Arrays, values: Floats) -> int:
        keyed_by(digest)
        a, b, c, d, e, f, g, h, k = ticks
        quotes = (a.ctypes.data, b.ctypes.data, c.ctypes.data, d.ctypes.data, e.ctypes.data, f.ctypes.data)
        trades = (g.ctypes.data, h.ctypes.data, k.ctypes.data)
        m, out = word(memory.ctypes.data), word(values.ctypes.data)
        return _batch(m, done, stop, quotes + trades, out, values.shape[1])

    return BuiltinMaker("step", address_of(step_trade)), direct(batch)


# As those of ``kernel_flow``, of nine integers and nine columns, and of the trade window's memory.
step, batch = _entry_points(sources_digest(*_SOURCES))
