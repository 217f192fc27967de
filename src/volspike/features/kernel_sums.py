"""Compiled parts of the window kernel: one tick's change of the sums, and the values made of them.

``kernel`` works with them tick by tick, ``kernel_block`` block by block.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from volspike.features.fixedpoint import IMBALANCE_SCALE, RELATIVE_SCALE, RETURN_SCALE, RV_BPS_SCALE
from volspike.features.kernel_grid import rounded
from volspike.features.memory import (
    AHEAD,
    ROW_WORDS,
    RUNNING,
    RUNNING_WORDS,
    SIZE_WORDS,
    SUM_Q,
    SUM_RELATIVE,
    SUM_SPREAD,
    SUM_WORDS,
    TIMES,
)
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
from volspike.jit import inlined


class Sums(NamedTuple):
    """The counters and the sums over the window, in full width."""

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


class Running(NamedTuple):
    """The running sums over all ticks, modulo ``2**64``; of squared returns, modulo ``2**128``."""

    q: int
    qq: int
    qq_high: int
    spread: int
    relative: int
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
    )


@inlined
def store_sums(memory: int, sums: Sums) -> None:
    """Write the sums to the memory."""
    for i in range(SUM_WORDS):
        store(memory, i, sums[i])


@inlined
def load_running(memory: int) -> Running:
    """Read the running sums from the memory."""
    m = memory + 8 * RUNNING
    return Running(load(m, 0), load(m, 1), load(m, 2), load(m, 3), load(m, 4), load(m, 5), load(m, 6))


@inlined
def store_running(memory: int, running: Running) -> None:
    """Write the running sums to the memory."""
    for i in range(RUNNING_WORDS):
        store(memory, RUNNING + i, running[i])


@inlined
def time_at(mask: int, counter: int) -> int:
    """Return the index of a tick's time."""
    return TIMES + (counter & mask)


@inlined
def row_at(mask: int, counter: int) -> int:
    """Return the index of the first word of a tick's row."""
    return TIMES + mask + 1 + AHEAD + (counter & mask) * ROW_WORDS


@inlined
def sizes_at(mask: int, counter: int) -> int:
    """Return the index of the first word of a tick's row in the ring of imbalances."""
    return TIMES + AHEAD + (mask + 1) * (1 + ROW_WORDS) + (counter & mask) * SIZE_WORDS


@inlined
def moved_on(running: Running, moved: int) -> Running:
    """Return the running sums with the return into a tick, as its row holds them."""
    r = running
    qq, qq_high = add_square(r.qq, r.qq_high, moved)
    return Running(r.q + moved, qq, qq_high, r.spread, r.relative, r.imbalance, r.sized)


@inlined
def put_row(memory: int, at: int, running: Running) -> None:
    """Write the row of a tick."""
    for i in range(ROW_WORDS):
        store(memory, at + i, running[i])


@inlined
def put_sizes(memory: int, at: int, running: Running) -> None:
    """Write the same for the sizes."""
    store(memory, at, running.imbalance)
    store(memory, at + 1, running.sized)


@inlined
def run_on(running: Running, width: int, ratio: int, value: int, known: int) -> Running:
    """Return the running sums with the rest of a tick."""
    r = running
    return Running(
        r.q, r.qq, r.qq_high, r.spread + width, r.relative + ratio, r.imbalance + value, r.sized + known
    )


@inlined
def _with(sums: Sums, moved: int, width: int, ratio: int) -> Sums:
    q, q_high = add(sums.q, sums.q_high, moved)
    qq, qq_middle, qq_high = add_square3(sums.qq, sums.qq_middle, sums.qq_high, moved)
    spread, spread_high = add_natural(sums.spread, sums.spread_high, width)
    ratios, ratios_high = add_natural(sums.relative, sums.relative_high, ratio)
    head = sums.head + 1
    return Sums(head, sums.tail, q, q_high, qq, qq_middle, qq_high, spread, spread_high, ratios, ratios_high)


@inlined
def _without(sums: Sums, moved: int, width: int, ratio: int) -> Sums:
    q, q_high = subtract(sums.q, sums.q_high, moved)
    qq, qq_middle, qq_high = subtract_square3(sums.qq, sums.qq_middle, sums.qq_high, moved)
    spread, spread_high = subtract_natural(sums.spread, sums.spread_high, width)
    ratios, ratios_high = subtract_natural(sums.relative, sums.relative_high, ratio)
    tail = sums.tail + 1
    return Sums(sums.head, tail, q, q_high, qq, qq_middle, qq_high, spread, spread_high, ratios, ratios_high)


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
) -> Sums:
    """Move the window's sums on to a tick whose row is in the ring."""
    if mid_before == 0:
        sums = Sums(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)
    sums = _with(sums, moved, width, ratio)
    # The tick itself stays, so whatever leaves has a row after it.
    at = row_at(mask, sums.tail)
    while load(memory, time_at(mask, sums.tail)) <= event_ns - WINDOW_NS:
        after = row_at(mask, sums.tail + 1)
        sums = _without(
            sums,
            load(memory, after + SUM_Q) - load(memory, at + SUM_Q),
            load(memory, after + SUM_SPREAD) - load(memory, at + SUM_SPREAD),
            load(memory, after + SUM_RELATIVE) - load(memory, at + SUM_RELATIVE),
        )
        at = after
    return sums


@inlined
def relative(width: int, mid: int) -> int:
    """Return spread / mid at scale ``2**60`` from the spread and the mid sum."""
    return rounded(float(2 * width) / float(mid) * RELATIVE_SCALE)


@inlined
def imbalance(bid_size: int, ask_size: int) -> tuple[int, int]:
    """Return the size imbalance at scale ``2**40`` and 1, or 0 and 0 where it is unknown."""
    known = bid_size >= 0 and ask_size >= 0 and (bid_size > 0 or ask_size > 0)
    bid, ask = float(bid_size), float(ask_size)
    both = bid + ask if known else 1.0
    value = rounded((bid - ask) / both * IMBALANCE_SCALE)
    return (value, 1) if known else (0, 0)


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
def mean_value(q: float, k: float) -> float:
    """Return the mean of ``k`` returns."""
    return q / RETURN_SCALE / k if k >= 1.0 else math.nan


@inlined
def std_value(dispersion: float, k: float) -> float:
    """Return the standard deviation of ``k`` returns."""
    return math.sqrt(dispersion / (k * (k - 1.0))) / RETURN_SCALE if k >= 2.0 else math.nan


@inlined
def spread_value(spread: float, ticks: float, price_scale: float) -> float:
    """Return the mean spread."""
    return spread / (ticks * price_scale)


@inlined
def intensity_value(ticks: float) -> float:
    """Return ticks a second."""
    return ticks / 60.0


@inlined
def relative_value(ratios: float, ticks: float) -> float:
    """Return the mean relative spread."""
    return ratios / RELATIVE_SCALE / ticks


@inlined
def rv_value(squares: float) -> float:
    """Return the realised volatility."""
    return math.sqrt(squares) * RV_BPS_SCALE


@inlined
def imbalance_value(total: int, known: int) -> float:
    """Return the mean size imbalance, NaN where no tick has sizes."""
    return float(total) / IMBALANCE_SCALE / float(known) if known > 0 else math.nan
