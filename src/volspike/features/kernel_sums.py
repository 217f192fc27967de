"""Compiled parts of the window kernel: the sums over the ticks inside, and the values made of them."""

from __future__ import annotations

import math
from typing import NamedTuple

from volspike.features.fixedpoint import IMBALANCE_SCALE, RELATIVE_SCALE, RETURN_SCALE, RV_BPS_SCALE
from volspike.features.jit import inlined
from volspike.features.kernel_grid import rounded
from volspike.features.memory import ROW_WORDS, ROWS, SUM_WORDS
from volspike.features.snapshot import NO_IMBALANCE
from volspike.features.wide import (
    add,
    add_natural,
    add_square,
    add_square3,
    dispersion_float,
    load,
    signed_float,
    store,
    subtract,
    subtract_natural,
    subtract_square3,
    unsigned_float,
)
from volspike.features.window import WINDOW_NS


class Sums(NamedTuple):
    """The counters and sums of the window; the compiler keeps them in registers through a batch."""

    head: int
    tail: int
    q: int
    q_high: int
    qq: int
    qq_middle: int
    qq_high: int
    spread: int
    spread_high: int
    relative: int
    relative_high: int
    imbalance: int
    sized: int


@inlined
def load_sums(m: int) -> Sums:
    """Read the sums from the memory at address ``m``."""
    return Sums(
        load(m, 0),
        load(m, 1),
        load(m, 2),
        load(m, 3),
        load(m, 4),
        load(m, 5),
        load(m, 6),
        load(m, 7),
        load(m, 8),
        load(m, 9),
        load(m, 10),
        load(m, 11),
        load(m, 12),
    )


@inlined
def store_sums(memory: int, sums: Sums) -> None:
    """Write the sums to the memory."""
    for i in range(SUM_WORDS):
        store(memory, i, sums[i])


@inlined
def _evict(memory: int, mask: int, sums: Sums, left_ns: int, sized: bool) -> Sums:
    head, tail, q, q_high, qq, qq_middle, qq_high, spread, spread_high, relative, relative_high = sums[:11]
    imbalance, known = sums.imbalance, sums.sized
    while tail < head:
        at = ROWS + (tail & mask) * ROW_WORDS
        if load(memory, at) > left_ns:
            break
        gone = load(memory, at + 1)
        q, q_high = subtract(q, q_high, gone)
        qq, qq_middle, qq_high = subtract_square3(qq, qq_middle, qq_high, gone)
        spread, spread_high = subtract_natural(spread, spread_high, load(memory, at + 2))
        relative, relative_high = subtract_natural(relative, relative_high, load(memory, at + 3))
        if sized:
            size = load(memory, ROWS + (mask + 1) * ROW_WORDS + (tail & mask))
            if size != NO_IMBALANCE:
                imbalance -= size
                known -= 1
        tail += 1
    return Sums(
        head,
        tail,
        q,
        q_high,
        qq,
        qq_middle,
        qq_high,
        spread,
        spread_high,
        relative,
        relative_high,
        imbalance,
        known,
    )


@inlined
def _insert(memory: int, mask: int, sums: Sums, event_ns: int, moved: int, width: int, ratio: int) -> Sums:
    head = sums.head
    if head > sums.tail:
        store(memory, ROWS + ((head - 1) & mask) * ROW_WORDS + 1, moved)
    else:
        moved = 0
    at = ROWS + (head & mask) * ROW_WORDS
    store(memory, at, event_ns)
    store(memory, at + 1, 0)
    store(memory, at + 2, width)
    store(memory, at + 3, ratio)
    q, q_high = add(sums.q, sums.q_high, moved)
    qq, qq_middle, qq_high = add_square3(sums.qq, sums.qq_middle, sums.qq_high, moved)
    spread, spread_high = add_natural(sums.spread, sums.spread_high, width)
    relative, relative_high = add_natural(sums.relative, sums.relative_high, ratio)
    return Sums(
        head + 1,
        sums.tail,
        q,
        q_high,
        qq,
        qq_middle,
        qq_high,
        spread,
        spread_high,
        relative,
        relative_high,
        sums.imbalance,
        sums.sized,
    )


@inlined
def _insert_sizes(memory: int, mask: int, sums: Sums, bid_size: int, ask_size: int) -> Sums:
    value, total, known = NO_IMBALANCE, sums.imbalance, sums.sized
    if bid_size >= 0 and ask_size >= 0 and (bid_size > 0 or ask_size > 0):
        bid, ask = float(bid_size), float(ask_size)
        value = rounded((bid - ask) / (bid + ask) * IMBALANCE_SCALE)
        total += value
        known += 1
    store(memory, ROWS + (mask + 1) * ROW_WORDS + ((sums.head - 1) & mask), value)
    return Sums(*sums[:11], total, known)


@inlined
def slide(
    memory: int,
    mask: int,
    sums: Sums,
    event_ns: int,
    mid_before: int,
    moved: int,
    width: int,
    ratio: int,
    sized: bool,
    bid_size: int,
    ask_size: int,
) -> Sums:
    """Move the window's sums on to a tick."""
    if mid_before == 0:
        sums = Sums(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)
    sums = _evict(memory, mask, sums, event_ns - WINDOW_NS, sized)
    sums = _insert(memory, mask, sums, event_ns, moved, width, ratio)
    if sized:
        sums = _insert_sizes(memory, mask, sums, bid_size, ask_size)
    return sums


@inlined
def relative(width: int, mid: int) -> int:
    """Return spread / mid at scale ``2**60`` from the spread and the mid sum."""
    return rounded(float(2 * width) / float(mid) * RELATIVE_SCALE)


@inlined
def numerators(sums: Sums, low: int, high: int, q_open: int) -> tuple[float, float, float, float, float]:
    """Return the floats of the exact integers that the values are quotients of."""
    s, k = sums, sums.head - sums.tail - 1
    low, high = add_square(low, high, q_open)
    return (
        signed_float(s.q, s.q_high),
        dispersion_float(k, s.qq, s.qq_middle, s.qq_high, s.q, s.q_high),
        unsigned_float(s.spread, s.spread_high),
        unsigned_float(s.relative, s.relative_high),
        unsigned_float(low, high),
    )


@inlined
def quotients(
    ticks: float, price_scale: float, q: float, dispersion: float, spread: float, relative: float, rv: float
) -> tuple[float, float, float, float, float, float]:
    """Return the values of ``core``."""
    k = ticks - 1.0
    mean = q / RETURN_SCALE / k
    std = math.sqrt(dispersion / (k * (k - 1.0))) / RETURN_SCALE
    return (
        mean if k >= 1.0 else math.nan,
        std if k >= 2.0 else math.nan,
        spread / (ticks * price_scale),
        ticks / 60.0,
        relative / RELATIVE_SCALE / ticks,
        math.sqrt(rv) * RV_BPS_SCALE,
    )


@inlined
def imbalance_value(total: int, known: int) -> float:
    """Return the mean size imbalance, NaN where no tick has sizes."""
    return float(total) / IMBALANCE_SCALE / float(known) if known > 0 else math.nan
