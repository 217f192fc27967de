"""The compiled window kernel: its entry points for a live step and for a batch.

The definition is ``window.PureWindowEngine``; every float operation is in the same order, so the bits are
equal. A live step and a batch advance the same memory (``memory``): a step by ``kernel_sums``, a batch by
blocks (``kernel_block``) where it can. A full ring is reported, and the caller doubles it. The memory is
passed as an address: an array would be reference-counted at every call.
"""

from __future__ import annotations

import math
from types import ModuleType
from typing import Any

import numpy as np

from volspike.features import (
    fixedpoint,
    jit,
    kernel_block,
    kernel_grid,
    kernel_sums,
    snapshot,
    wide,
    window,
)
from volspike.features import memory as layout
from volspike.features.jit import direct, entry, inlined, part, sources_digest
from volspike.features.kernel_block import (
    BLOCK,
    SCRATCH_WORDS,
    Columns,
    Counts,
    Floats,
    take_block,
)
from volspike.features.kernel_grid import arrive, log_return
from volspike.features.kernel_sums import (
    Running,
    imbalance,
    imbalance_value,
    intensity_value,
    load_running,
    load_sums,
    mean_value,
    numerators,
    put_row,
    put_sizes,
    relative,
    relative_value,
    run_on,
    rv_value,
    sizes_at,
    slide,
    spread_value,
    std_value,
    store_running,
    store_sums,
)
from volspike.features.memory import (
    CLOSED_MID,
    FULL,
    HEAD,
    MASK,
    PRICE_SCALE,
    SECONDS_QQ,
    TAIL,
)
from volspike.features.wide import load, load_float

_SOURCES: tuple[ModuleType, ...] = (
    fixedpoint,
    jit,
    kernel_block,
    kernel_grid,
    kernel_sums,
    layout,
    snapshot,
    wide,
    window,
)


@inlined
def _mean_imbalance(memory: int, mask: int, tail: int, running: Running) -> float:
    at = sizes_at(mask, tail)
    return imbalance_value(running.imbalance - load(memory, at), running.sized - load(memory, at + 1))


@inlined
def _take(
    memory: int,
    sized: bool,
    event_ns: int,
    covered_since_ns: int,
    bid: int,
    ask: int,
    bid_size: int,
    ask_size: int,
) -> tuple[float, float, float, float, float, float, float, float]:
    """Take one tick; return the values and the tick count, or a negative status with nothing taken."""
    sums, mask, nan = load_sums(memory), load(memory, MASK), math.nan
    if sums.head - sums.tail > mask:
        return nan, nan, nan, nan, nan, nan, nan, float(FULL)
    status, mid_before = arrive(memory, event_ns, covered_since_ns, bid, ask)
    if status < 0:
        return nan, nan, nan, nan, nan, nan, nan, float(status)
    mid, width = bid + ask, ask - bid
    moved, ratio = log_return(mid_before, mid), relative(width, mid)
    value, known = imbalance(bid_size, ask_size) if sized else (0, 0)
    head, running = 0 if mid_before == 0 else sums.head, load_running(memory)
    put_row(memory, mask, head, running, event_ns, moved)
    if sized:
        put_sizes(memory, mask, head, running)
    running = run_on(running, moved, width, ratio, value, known)
    sums = slide(memory, mask, sums, event_ns, mid_before, moved, width, ratio)
    store_sums(memory, sums)
    store_running(memory, running)
    low, high = load(memory, SECONDS_QQ), load(memory, SECONDS_QQ + 1)
    q, dispersion, spread, ratios, squares = numerators(
        sums, low, high, log_return(load(memory, CLOSED_MID), mid)
    )
    ticks = float(sums.head - sums.tail)
    return (
        mean_value(q, ticks - 1.0),
        std_value(dispersion, ticks - 1.0),
        spread_value(spread, ticks, load_float(memory, PRICE_SCALE)),
        intensity_value(ticks),
        relative_value(ratios, ticks),
        rv_value(squares),
        _mean_imbalance(memory, mask, sums.tail, running) if sized else nan,
        ticks,
    )


@part
def _take_each(
    memory: int, sized: bool, start: int, stop: int, ticks: Columns, values: Floats, counts: Counts
) -> tuple[int, int]:
    event_ns, covered_since_ns, bid, ask, bid_size, ask_size = ticks
    for i in range(start, stop):
        row = _take(memory, sized, event_ns[i], covered_since_ns[i], bid[i], ask[i], bid_size[i], ask_size[i])
        if row[7] < 0.0:
            return i, int(row[7])
        for column in range(len(values)):
            values[column, i] = row[column]
        counts[i] = int(row[7])
    return stop, 0


@part
def _batch(
    memory: int, sized: bool, start: int, ticks: Columns, values: Floats, counts: Counts
) -> tuple[int, int]:
    """Take the ticks from ``start`` on into ``values``, column by column, and ``counts``.

    Returns
    -------
    done, status : int
        The row after the last one taken; where that is not the end, why the next one was not.
    """
    n, status = len(counts), 0
    scratch = np.empty(SCRATCH_WORDS, np.int64)
    while start < n:
        stop = min(start + BLOCK, n)
        if load(memory, HEAD) - load(memory, TAIL) + stop - start > load(memory, MASK) + 1:
            return start, FULL
        if take_block(memory, scratch.ctypes.data, sized, start, stop, ticks, values, counts):
            start = stop
            continue
        start, status = _take_each(memory, sized, start, stop, ticks, values, counts)
        if status < 0:
            return start, status
    return n, 0


@inlined
def _keyed_by(digest: int) -> None:
    """Do nothing; but naming the digest makes it a part of the cache's key."""


_COLUMNS = "UniTuple(Array(int64, 1, 'C', readonly=True), 6)"
_OUT = "float64[:, ::1], int32[::1]"


def _entry_points(digest: int) -> tuple[Any, Any, Any]:
    @entry("UniTuple(float64, 7)(int64, int64, int64, int64, int64)")
    def step_core(memory: int, event_ns: int, covered_since_ns: int, bid: int, ask: int) -> tuple[float, ...]:
        _keyed_by(digest)
        row = _take(memory, False, event_ns, covered_since_ns, bid, ask, 0, 0)
        return row[0], row[1], row[2], row[3], row[4], row[5], row[7]

    @entry("UniTuple(float64, 8)(int64, int64, int64, int64, int64, int64, int64)")
    def step_sized(
        memory: int,
        event_ns: int,
        covered_since_ns: int,
        bid: int,
        ask: int,
        bid_size: int,
        ask_size: int,
    ) -> tuple[float, ...]:
        _keyed_by(digest)
        return _take(memory, True, event_ns, covered_since_ns, bid, ask, bid_size, ask_size)

    @entry(f"UniTuple(int64, 2)(int64, boolean, int64, {_COLUMNS}, {_OUT})")
    def batch(
        memory: int, sized: bool, start: int, ticks: Columns, values: Floats, counts: Counts
    ) -> tuple[int, int]:
        _keyed_by(digest)
        return _batch(memory, sized, start, ticks, values, counts)

    return direct(step_core), direct(step_sized), direct(batch)


# step_core(memory address, event_ns, covered_since_ns, bid, ask) and step_sized(..., bid_size, ask_size)
# -> the values, then the tick count, or a negative status with nothing taken.
# batch(memory address, sized, start, six columns, values (columns, n), counts) -> as ``_batch``.
step_core, step_sized, batch = _entry_points(sources_digest(*_SOURCES))
