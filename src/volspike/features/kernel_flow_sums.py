"""Compiled parts of the flow window: what a tick and a pair of ticks add to the sums, and the queues.

The definition is ``flow``. ``m`` is the address of the memory (``flow_memory``), a tick or an entry of a
queue is the address of its first word. ``sign`` is 1 to add and -1 to take away again. Sums are handed on as
addresses: of an index that is a constant, numba would compile a function anew for each one.
"""

from __future__ import annotations

import math

import numpy as np

from volspike.features.fixedpoint import RETURN_SCALE
from volspike.features.flow_memory import (
    ASK,
    ASK_SIZE,
    BID,
    BID_SIZE,
    BID_SIZES,
    ENTRY_WORDS,
    EVENT_NS,
    FLOW_WINDOW,
    GAP_SQUARES,
    HEAD,
    MASK,
    MICRO,
    MICROPRICE,
    MOVES,
    PATH,
    QUEUES,
    RELATIVE,
    RELATIVE_SQUARES,
    RETURN,
    REVERSALS,
    SIZED,
    SIZES,
    SPREAD,
    TAIL,
    TICK_WORDS,
    TICKS,
    TIES,
)
from volspike.features.flow_values import is_sized as _is_sized
from volspike.features.flow_values import microprice_fraction as _microprice_fraction
from volspike.features.flow_values import queue_imbalance as _queue_imbalance
from volspike.features.kernel_grid import rounded
from volspike.features.wide import (
    add,
    add_square,
    add_square3,
    load,
    signed_float,
    store,
    subtract_square,
    subtract_square3,
)
from volspike.jit import inlined, part

is_sized = inlined(_is_sized)
queue_imbalance = inlined(_queue_imbalance)
microprice_fraction = inlined(_microprice_fraction)


@inlined
def word(x: int) -> int:
    """Return a constant or an address as a plain int64; of another type, all it goes to is compiled again."""
    return np.int64(x)  # type: ignore[return-value]


@inlined
def tick_at(m: int, counter: int) -> int:
    """Return the address of a tick."""
    return m + 8 * (TICKS + (counter & load(m, MASK)) * TICK_WORDS)


@inlined
def sized(tick: int) -> bool:
    """Tell whether both sizes of a tick are known and not both are 0."""
    return is_sized(load(tick, BID_SIZE), load(tick, ASK_SIZE))


@part
def microprice(bid: int, ask: int, bid_size: int, ask_size: int) -> int:
    """Return (microprice - mid) / mid at scale ``2**60``; 0 where the tick is not sized."""
    if not is_sized(bid_size, ask_size):
        return 0
    imbalance = queue_imbalance(float(bid_size), float(ask_size))
    return rounded(microprice_fraction(float(ask - bid), float(bid + ask), imbalance) * RETURN_SCALE)


@inlined
def count(address: int, change: int) -> None:
    """Change a word of the header."""
    store(address, 0, load(address, 0) + change)


@inlined
def total(address: int, change: int) -> None:
    """Change a sum of two words."""
    low, high = add(load(address, 0), load(address, 1), change)
    store(address, 0, low)
    store(address, 1, high)


@inlined
def sum_at(address: int) -> float:
    """Return the float of a sum of two words."""
    return signed_float(load(address, 0), load(address, 1))


@inlined
def _gap_square(m: int, gap_ns: int, sign: int) -> None:
    low, high = load(m, GAP_SQUARES), load(m, GAP_SQUARES + 1)
    low, high = add_square(low, high, gap_ns) if sign > 0 else subtract_square(low, high, gap_ns)
    store(m, GAP_SQUARES, low)
    store(m, GAP_SQUARES + 1, high)


@inlined
def _relative_square(m: int, relative: int, sign: int) -> None:
    at = RELATIVE_SQUARES
    low, middle, high = load(m, at), load(m, at + 1), load(m, at + 2)
    if sign > 0:
        low, middle, high = add_square3(low, middle, high, relative)
    else:
        low, middle, high = subtract_square3(low, middle, high, relative)
    store(m, at, low)
    store(m, at + 1, middle)
    store(m, at + 2, high)


@part
def change_tick(m: int, tick: int, sign: int) -> None:
    """Add a tick to the sums of the window, or take it away."""
    total(m + 8 * RELATIVE, sign * load(tick, SPREAD))
    _relative_square(m, load(tick, SPREAD), sign)
    if sized(tick):
        count(m + 8 * SIZED, sign)
        total(m + 8 * MICROPRICE, sign * load(tick, MICRO))
        total(m + 8 * BID_SIZES, sign * load(tick, BID_SIZE))
        total(m + 8 * SIZES, sign * load(tick, BID_SIZE))
        total(m + 8 * SIZES, sign * load(tick, ASK_SIZE))


@part
def change_order_flow(flow: int, before: int, after: int, sign: int) -> None:
    """Add the order flow between two ticks and their sizes to the sums at an address, or take it away."""
    if not (sized(before) and sized(after)):
        return
    if load(after, BID) >= load(before, BID):
        total(flow, sign * load(after, BID_SIZE))
    if load(after, BID) <= load(before, BID):
        total(flow, -sign * load(before, BID_SIZE))
    if load(after, ASK) <= load(before, ASK):
        total(flow, -sign * load(after, ASK_SIZE))
    if load(after, ASK) >= load(before, ASK):
        total(flow, sign * load(before, ASK_SIZE))
    for tick in (before, after):
        total(flow + 16, sign * load(tick, BID_SIZE))
        total(flow + 16, sign * load(tick, ASK_SIZE))


@part
def change_pair(m: int, before: int, after: int, sign: int) -> None:
    """Add a pair of consecutive ticks to the sums of the window, or take it away."""
    gap_ns = load(after, EVENT_NS) - load(before, EVENT_NS)
    _gap_square(m, gap_ns, sign)
    if gap_ns == 0:
        count(m + 8 * TIES, sign)
    total(m + 8 * PATH, sign * abs(load(after, RETURN)))
    change_order_flow(m + 8 * FLOW_WINDOW, before, after, sign)


@inlined
def _entry(m: int, queue: int, counter: int) -> int:
    mask = load(m, MASK)
    ring = TICKS + (mask + 1) * (TICK_WORDS + ENTRY_WORDS * queue)
    return m + 8 * (ring + ENTRY_WORDS * (counter & mask))


@inlined
def queued(m: int, queue: int) -> int:
    """Return the number of entries in a queue."""
    at = QUEUES + 2 * queue
    return load(m, at + 1) - load(m, at)


@inlined
def front(m: int, queue: int) -> int:
    """Return the value at the front of a queue that is not empty."""
    return load(_entry(m, queue, load(m, QUEUES + 2 * queue)), 1)


@inlined
def largest(m: int, queue: int) -> float:
    """Return the value at the front of a queue, NaN where it is empty."""
    return float(front(m, queue)) if queued(m, queue) > 0 else math.nan


@inlined
def is_full(m: int) -> bool:
    """Tell whether the ring has no room for another tick."""
    return load(m, HEAD) - load(m, TAIL) > load(m, MASK)


@inlined
def _push(m: int, queue: int, back: int, stamp_ns: int, value: int) -> None:
    entry = _entry(m, queue, back)
    store(entry, 0, stamp_ns)
    store(entry, 1, value)
    store(m, QUEUES + 2 * queue + 1, back + 1)


@part
def push_largest(m: int, queue: int, stamp_ns: int, value: int) -> None:
    """Put a value into a queue of what may be the largest, and drop those that can't be any more."""
    first, back = load(m, QUEUES + 2 * queue), load(m, QUEUES + 2 * queue + 1)
    while back > first and load(_entry(m, queue, back - 1), 1) <= value:
        back -= 1
    _push(m, queue, back, stamp_ns, value)


@part
def leave(m: int, queue: int, left_ns: int) -> None:
    """Drop the entries of a queue with a stamp up to ``left_ns``."""
    first, back = load(m, QUEUES + 2 * queue), load(m, QUEUES + 2 * queue + 1)
    while first < back and load(_entry(m, queue, first), 0) <= left_ns:
        first += 1
    store(m, QUEUES + 2 * queue, first)


@part
def push_move(m: int, from_ns: int, q: int) -> None:
    """Put a move of the mid into its queue, as 1 for up and 0 for down."""
    up, back = 1 if q > 0 else 0, load(m, QUEUES + 2 * MOVES + 1)
    if queued(m, MOVES) > 0 and load(_entry(m, MOVES, back - 1), 1) != up:
        count(m + 8 * REVERSALS, 1)
    _push(m, MOVES, back, from_ns, up)


@part
def leave_moves(m: int, left_ns: int) -> None:
    """Drop the moves from a tick with a stamp up to ``left_ns``, and the reversals they were part of."""
    first, back = load(m, QUEUES + 2 * MOVES), load(m, QUEUES + 2 * MOVES + 1)
    while first < back and load(_entry(m, MOVES, first), 0) <= left_ns:
        up = load(_entry(m, MOVES, first), 1)
        first += 1
        if first < back and load(_entry(m, MOVES, first), 1) != up:
            count(m + 8 * REVERSALS, -1)
    store(m, QUEUES + 2 * MOVES, first)
