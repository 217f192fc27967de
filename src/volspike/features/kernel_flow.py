"""The compiled flow kernel: its entry points for a live step and for a batch.

The definition is ``flow.PureFlowEngine``. A live step takes the tick into the memory of the window engine
(``kernel.take``) and into that of the flow window in one call; a batch comes behind ``kernel.batch``.
"""

from __future__ import annotations

import math
from types import ModuleType
from typing import Any

from volspike.features import (
    flow_memory,
    flow_values,
    kernel,
    kernel_flow_sums,
    sets,
)
from volspike.features.builtin import (
    BuiltinMaker,
    bound_integer,
    call_instead,
    six_integers,
    tuple_of_words,
)
from volspike.features.flow_memory import (
    ASK_SIZE,
    BID_SIZE,
    BID_SIZES,
    COVERED,
    EVENT_NS,
    FLOW_SHORT,
    FLOW_WINDOW,
    GAP_SQUARES,
    HEAD,
    HEADER_WORDS,
    MICRO,
    MICROPRICE,
    MIDDLE_NS,
    MOVES,
    OUT,
    PATH,
    RELATIVE,
    RELATIVE_SQUARES,
    RETURNS,
    REVERSALS,
    SHORT_NS,
    SIZED,
    SIZES,
    SPREAD,
    SPREADS,
    SWEEP,
    SWEEPS,
    TAIL,
    TAIL_MIDDLE,
    TAIL_SHORT,
    TIES,
    WINDOW_NS,
)
from volspike.features.flow_values import MIDDLE_S, SHORT_S
from volspike.features.kernel import COLUMNS, WORDS, Arrays, Floats, take
from volspike.features.kernel_flow_sums import (
    change_order_flow,
    change_pair,
    change_tick,
    is_full,
    largest,
    leave,
    leave_moves,
    microprice,
    push_largest,
    push_move,
    queue_imbalance,
    queued,
    sized,
    sum_at,
    tick_at,
    word,
)
from volspike.features.kernel_grid import log_return
from volspike.features.kernel_sums import relative
from volspike.features.memory import Words
from volspike.features.sets import FLOW, RV_60S, get_feature_set
from volspike.features.wide import (
    add,
    dispersion_float,
    dispersion_words,
    load,
    load_float,
    signed_float,
    store,
    store_float,
    subtract_words,
    unsigned_float,
)
from volspike.features.window import WINDOW_S
from volspike.jit import address_of, direct, entry, inlined, keyed_by, part, sources_digest

_SOURCES: tuple[ModuleType, ...] = (
    *kernel.SOURCES,
    flow_memory,
    flow_values,
    kernel,
    kernel_flow_sums,
    sets,
)

_ALL_COLUMNS = get_feature_set("flow").columns
_COLUMNS = len(_ALL_COLUMNS)
_FIRST_COLUMN = _ALL_COLUMNS.index(FLOW[0])
_RV_COLUMN = _ALL_COLUMNS.index(RV_60S)

_ratio = inlined(flow_values.ratio)
_fixed_bps = inlined(flow_values.fixed_bps)
_mean_gap_s = inlined(flow_values.mean_gap_s)
_gap_cv = inlined(flow_values.gap_cv)
_z_score = inlined(flow_values.z_score)


@inlined
def _reset(m: int, covered_since_ns: int) -> None:
    for at in range(COVERED + 1, HEADER_WORDS):
        store(m, at, 0)
    store(m, COVERED, covered_since_ns)


@part
def _leave_short(m: int, head: int, left_ns: int) -> None:
    tail = load(m, TAIL_SHORT)
    while tail < head and load(tick_at(m, tail), EVENT_NS) <= left_ns:
        if tail + 1 < head:
            change_order_flow(m + 8 * FLOW_SHORT, tick_at(m, tail), tick_at(m, tail + 1), -1)
        tail += 1
    store(m, TAIL_SHORT, tail)


@part
def _leave_middle(m: int, head: int, left_ns: int) -> None:
    tail = load(m, TAIL_MIDDLE)
    while tail < head and load(tick_at(m, tail), EVENT_NS) <= left_ns:
        tail += 1
    store(m, TAIL_MIDDLE, tail)


@part
def _leave_window(m: int, head: int, left_ns: int) -> None:
    tail = load(m, TAIL)
    while tail < head and load(tick_at(m, tail), EVENT_NS) <= left_ns:
        change_tick(m, tick_at(m, tail), -1)
        if tail + 1 < head:
            change_pair(m, tick_at(m, tail), tick_at(m, tail + 1), -1)
        tail += 1
    store(m, TAIL, tail)


@part
def _evict(m: int, event_ns: int) -> None:
    """Let go of what has left the windows of a tick."""
    head, left_ns = load(m, HEAD), event_ns - WINDOW_NS
    _leave_short(m, head, event_ns - SHORT_NS)
    _leave_middle(m, head, event_ns - MIDDLE_NS)
    _leave_window(m, head, left_ns)
    leave_moves(m, left_ns)
    leave(m, RETURNS, left_ns)
    leave(m, SPREADS, left_ns)
    leave(m, SWEEPS, left_ns)


@inlined
def _put(tick: int, event_ns: int, bid: int, ask: int, bid_size: int, ask_size: int, q: int) -> None:
    words = (
        event_ns,
        bid,
        ask,
        bid_size,
        ask_size,
        q,
        relative(ask - bid, bid + ask),
        microprice(bid, ask, bid_size, ask_size),
    )
    for i in range(8):
        store(tick, i, words[i])


@inlined
def _pair(m: int, before: int, tick: int, event_ns: int, q: int) -> None:
    """Take in a tick together with the one before it."""
    from_ns = load(before, EVENT_NS)
    change_pair(m, before, tick, 1)
    if load(m, HEAD) > load(m, TAIL_SHORT):
        change_order_flow(m + 8 * FLOW_SHORT, before, tick, 1)
    push_largest(m, RETURNS, from_ns, abs(q))
    if q != 0:
        push_move(m, from_ns, q)


@part
def _insert(m: int, event_ns: int, bid: int, ask: int, bid_size: int, ask_size: int) -> None:
    """Take in a tick, for which the ring has room."""
    head = load(m, HEAD)
    tick, before, paired = tick_at(m, head), tick_at(m, head - 1), head > load(m, TAIL)
    mid_before = load(before, 1) + load(before, 2) if paired else 0
    q = log_return(mid_before, bid + ask)
    _put(tick, event_ns, bid, ask, bid_size, ask_size, q)
    change_tick(m, tick, 1)
    sweep = load(m, SWEEP) + 1 if paired and load(before, EVENT_NS) == event_ns else 1
    store(m, SWEEP, sweep)
    push_largest(m, SWEEPS, event_ns, sweep)
    push_largest(m, SPREADS, event_ns, load(tick, SPREAD))
    if paired:
        _pair(m, before, tick, event_ns, q)
    store(m, HEAD, head + 1)


@part
def _put_arrivals(m: int, n: int, out: int, stride: int) -> None:
    head, k = load(m, HEAD), n - 1
    span_ns = load(tick_at(m, head - 1), EVENT_NS) - load(tick_at(m, load(m, TAIL)), EVENT_NS)
    low, high = load(m, GAP_SQUARES), load(m, GAP_SQUARES + 1)
    dispersion = dispersion_float(k, low, high, 0, span_ns, 0)
    short, middle = float(head - load(m, TAIL_SHORT)), float(head - load(m, TAIL_MIDDLE))
    store_float(out, 0, _mean_gap_s(float(span_ns), float(k)))
    store_float(out + stride, 0, _gap_cv(dispersion, float(span_ns), float(k)))
    store_float(out + 2 * stride, 0, _ratio(float(load(m, TIES)), float(k)))
    store_float(out + 3 * stride, 0, largest(m, SWEEPS))
    store_float(out + 4 * stride, 0, short / float(SHORT_S))
    store_float(out + 5 * stride, 0, middle / float(MIDDLE_S))
    store_float(out + 6 * stride, 0, _ratio(float(WINDOW_S // SHORT_S) * short, float(n)))
    store_float(out + 7 * stride, 0, _ratio(float(WINDOW_S // MIDDLE_S) * middle, float(n)))


@part
def _put_path(m: int, rv_60s: float, out: int, stride: int) -> None:
    moves, path_bps = float(queued(m, MOVES)), _fixed_bps(sum_at(m + 8 * PATH))
    store_float(out, 0, moves)
    store_float(out + stride, 0, _ratio(float(load(m, REVERSALS)), moves - 1.0))
    store_float(out + 2 * stride, 0, path_bps)
    store_float(out + 3 * stride, 0, _ratio(path_bps, rv_60s))
    store_float(out + 4 * stride, 0, _fixed_bps(largest(m, RETURNS)))


@part
def _put_spread(m: int, n: int, tick: int, out: int, stride: int) -> None:
    now, low, high = load(tick, SPREAD), load(m, RELATIVE), load(m, RELATIVE + 1)
    at = RELATIVE_SQUARES
    dispersion = dispersion_float(n, load(m, at), load(m, at + 1), load(m, at + 2), low, high)
    # n * now, as a dispersion without its square.
    n_now_low, n_now_high = dispersion_words(n, now, 0, 0)
    low, high = subtract_words(n_now_low, n_now_high, low, high)
    store_float(out, 0, _fixed_bps(float(now)))
    store_float(out + stride, 0, _fixed_bps(largest(m, SPREADS)))
    store_float(out + 2 * stride, 0, _z_score(signed_float(low, high), dispersion, float(n)))


@part
def _put_sizes(m: int, tick: int, out: int, stride: int) -> None:
    bid_size, ask_size, sizes = load(tick, BID_SIZE), load(tick, ASK_SIZE), sum_at(m + 8 * SIZES)
    imbalance, micro_bps, fade = math.nan, math.nan, math.nan
    if sized(tick):
        low, high = add(bid_size, 0, ask_size)
        imbalance = queue_imbalance(float(bid_size), float(ask_size))
        micro_bps = _fixed_bps(float(load(tick, MICRO)))
        fade = _ratio(float(load(m, SIZED)) * unsigned_float(low, high), sizes)
    store_float(out, 0, imbalance)
    store_float(out + stride, 0, _ratio(sum_at(m + 8 * FLOW_SHORT), sum_at(m + 8 * (FLOW_SHORT + 2))))
    store_float(out + 2 * stride, 0, _ratio(sum_at(m + 8 * FLOW_WINDOW), sum_at(m + 8 * (FLOW_WINDOW + 2))))
    store_float(out + 3 * stride, 0, micro_bps)
    store_float(out + 4 * stride, 0, _ratio(_fixed_bps(sum_at(m + 8 * MICROPRICE)), float(load(m, SIZED))))
    store_float(out + 5 * stride, 0, _ratio(sum_at(m + 8 * BID_SIZES), sizes))
    store_float(out + 6 * stride, 0, fade)


@part
def _put_values(m: int, rv_60s: float, out: int, stride: int) -> None:
    """Write the values at the newest tick, one every ``stride`` bytes."""
    head = load(m, HEAD)
    n, tick = head - load(m, TAIL), tick_at(m, head - 1)
    _put_arrivals(m, n, out, stride)
    _put_path(m, rv_60s, out + 8 * stride, stride)
    _put_spread(m, n, tick, out + 13 * stride, stride)
    _put_sizes(m, tick, out + 16 * stride, stride)


@part
def _take_flow(
    m: int,
    event_ns: int,
    covered_since_ns: int,
    bid: int,
    ask: int,
    bid_size: int,
    ask_size: int,
    rv_60s: float,
    out: int,
    stride: int,
) -> None:
    """Take a tick that the window engine has taken and the ring has room for; write the values."""
    if covered_since_ns != load(m, COVERED):
        _reset(m, covered_since_ns)
    _evict(m, event_ns)
    _insert(m, event_ns, bid, ask, bid_size, ask_size)
    _put_values(m, rv_60s, out, stride)


@part
def _batch(m: int, done: int, stop: int, ticks: tuple[int, int, int, int, int, int], out: int, n: int) -> int:
    """Take the ticks from ``done`` to ``stop`` of ``n``; return the first for which there was no room."""
    event_ns, covered_since_ns, bid, ask, bid_size, ask_size = ticks
    for i in range(done, stop):
        if is_full(m):
            return i
        _take_flow(
            m,
            load(event_ns, i),
            load(covered_since_ns, i),
            load(bid, i),
            load(ask, i),
            load(bid_size, i),
            load(ask_size, i),
            load_float(out, _RV_COLUMN * n + i),
            out + 8 * (_FIRST_COLUMN * n + i),
            8 * n,
        )
    return stop


@part
def _step(bound: int, arguments: int, argument_count: int) -> int:
    if argument_count != 6:
        return call_instead(bound, arguments, argument_count)
    valid, event_ns, covered_since_ns, bid, ask, bid_size, ask_size = six_integers(arguments)
    if not valid:
        return 0
    table = bound_integer(bound)
    window, m = load(load(table, 0), 0), load(table, 1)
    if is_full(m):
        return call_instead(bound, arguments, argument_count)
    row = take(window, True, event_ns, covered_since_ns, bid, ask, bid_size, ask_size)
    if row[7] < 0.0:
        return call_instead(bound, arguments, argument_count)
    out = m + 8 * OUT
    for i in range(7):
        store_float(out, i, row[i])
    store_float(out, _COLUMNS, row[7])
    to = out + 8 * _FIRST_COLUMN
    _take_flow(m, event_ns, covered_since_ns, bid, ask, bid_size, ask_size, row[5], to, word(8))
    return tuple_of_words(out, _COLUMNS + 1)


def _entry_points(digest: int) -> tuple[Any, Any]:
    @entry("int64(int64, int64, int64)")
    def step_flow(bound: int, arguments: int, argument_count: int) -> int:
        keyed_by(digest)
        return _step(bound, arguments, argument_count)

    @entry(f"int64({WORDS}, int64, int64, {COLUMNS}, float64[:, ::1])")
    def batch(memory: Words, done: int, stop: int, ticks: Arrays, values: Floats) -> int:
        keyed_by(digest)
        a, b, c, d, e, f = ticks
        addresses = (a.ctypes.data, b.ctypes.data, c.ctypes.data, d.ctypes.data, e.ctypes.data, f.ctypes.data)
        m, out = word(memory.ctypes.data), word(values.ctypes.data)
        return _batch(m, done, stop, addresses, out, values.shape[1])

    return BuiltinMaker("step", address_of(step_flow)), direct(batch)


# step makes builtins as ``kernel.step_core`` does, but bound to the address of two words: the address of a
# word that holds the address of the window engine's memory, and the address of the flow window's memory.
# batch(memory, done, stop, six columns, values (all columns, n) in which the window engine's are written)
# -> as ``_batch``.
step, batch = _entry_points(sources_digest(*_SOURCES))
