"""The compiled window kernel: its entry points for a live step and for a batch.

The definition is ``window.PureWindowEngine``; every float operation is in the same order, so the bits are
equal. A live step and a batch advance the same memory (``memory``): a step by ``kernel_sums``, a batch by
blocks (``kernel_block``) where it can. A full ring is reported, and the caller makes a larger one. Arrays are
passed as addresses: numba would count references to an array in every part it is handed to.
"""

from __future__ import annotations

import math
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt

from volspike import jit
from volspike.features import (
    builtin,
    fixedpoint,
    kernel_block,
    kernel_grid,
    kernel_sums,
    snapshot,
    wide,
    window,
)
from volspike.features import memory as layout
from volspike.features.builtin import (
    BuiltinMaker,
    bound_integer,
    call_instead,
    six_integers,
    tuple_of_floats,
)
from volspike.features.kernel_block import BLOCK, Columns, take_block
from volspike.features.kernel_grid import arrive, log_return
from volspike.features.kernel_sums import (
    Running,
    imbalance,
    imbalance_value,
    intensity_value,
    load_running,
    load_sums,
    mean_value,
    moved_on,
    numerators,
    put_row,
    put_sizes,
    relative,
    relative_value,
    row_at,
    run_on,
    rv_value,
    sizes_at,
    slide,
    spread_value,
    std_value,
    store_running,
    store_sums,
    time_at,
)
from volspike.features.memory import (
    AHEAD,
    CLOSED_MID,
    FULL,
    HEAD,
    MASK,
    PRICE_SCALE,
    SECONDS_QQ,
    TAIL,
    Words,
)
from volspike.features.wide import load, load_float, store, store_float, store_int32
from volspike.jit import address_of, direct, entry, inlined, keyed_by, part, sources_digest

SOURCES: tuple[ModuleType, ...] = (
    builtin,
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
def take(
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
    head, running = 0 if mid_before == 0 else sums.head, moved_on(load_running(memory), moved)
    store(memory, time_at(mask, head), event_ns)
    put_row(memory, row_at(mask, head), running)
    if sized:
        put_sizes(memory, sizes_at(mask, head), running)
    running = run_on(running, width, ratio, value, known)
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
    memory: int, sized: bool, ticks: Columns, n: int, values: int, stride: int, counts: int
) -> tuple[int, int]:
    event_ns, covered_since_ns, bid, ask, bid_size, ask_size = ticks
    for i in range(n):
        row = take(
            memory,
            sized,
            load(event_ns, i),
            load(covered_since_ns, i),
            load(bid, i),
            load(ask, i),
            load(bid_size, i),
            load(ask_size, i),
        )
        if row[7] < 0.0:
            return i, int(row[7])
        for column in range(7 if sized else 6):
            store_float(values + column * stride, i, row[column])
        store_int32(counts, i, int(row[7]))
    return n, 0


@part
def _batch(
    memory: int, block: int, sized: bool, done: int, n: int, ticks: Columns, values: int, counts: int
) -> tuple[int, int]:
    """Take the ticks from ``done`` to ``n`` into ``values``, column by column, and ``counts``.

    Returns
    -------
    done, status : int
        The row after the last one taken; where that is not the end, why the next one was not.
    """
    a, b, c, d, e, f = ticks
    while done < n:
        size, at = min(BLOCK, n - done), 8 * done
        if load(memory, HEAD) - load(memory, TAIL) + size + AHEAD > load(memory, MASK) + 1:
            return done, FULL
        rest = a + at, b + at, c + at, d + at, e + at, f + at
        to, to_counts = values + at, counts + 4 * done
        if take_block(memory, block, sized, rest, size, to, 8 * n, to_counts):
            done += size
            continue
        taken, status = _take_each(memory, sized, rest, size, to, 8 * n, to_counts)
        done += taken
        if status < 0:
            return done, status
    return n, 0


@inlined
def _step(bound: int, arguments: int, count: int, sized: bool) -> int:
    if count != 6:
        return call_instead(bound, arguments, count)
    valid, event_ns, covered_since_ns, bid, ask, bid_size, ask_size = six_integers(arguments)
    if not valid:
        return 0
    memory = load(bound_integer(bound), 0)
    row = take(memory, sized, event_ns, covered_since_ns, bid, ask, bid_size, ask_size)
    if row[7] < 0.0:
        return call_instead(bound, arguments, count)
    if sized:
        return tuple_of_floats(row, 8)
    return tuple_of_floats((row[0], row[1], row[2], row[3], row[4], row[5], row[7]), 7)


Arrays = tuple[Words, Words, Words, Words, Words, Words]
Floats = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int32]

WORDS = "int64[::1]"
COLUMNS = "UniTuple(Array(int64, 1, 'C', readonly=True), 6)"
_OUT = "float64[:, ::1], int32[::1]"


def _entry_points(digest: int) -> tuple[Any, Any, Any]:
    @entry("int64(int64, int64, int64)")
    def step_core(bound: int, arguments: int, count: int) -> int:
        keyed_by(digest)
        return _step(bound, arguments, count, False)

    @entry("int64(int64, int64, int64)")
    def step_sized(bound: int, arguments: int, count: int) -> int:
        keyed_by(digest)
        return _step(bound, arguments, count, True)

    @entry(f"UniTuple(int64, 2)({WORDS}, {WORDS}, boolean, int64, {COLUMNS}, {_OUT})")
    def batch(
        memory: Words, scratch: Words, sized: bool, done: int, ticks: Arrays, values: Floats, counts: Counts
    ) -> tuple[int, int]:
        keyed_by(digest)
        a, b, c, d, e, f = ticks
        return _batch(
            memory.ctypes.data,
            scratch.ctypes.data,
            sized,
            done,
            len(counts),
            (a.ctypes.data, b.ctypes.data, c.ctypes.data, d.ctypes.data, e.ctypes.data, f.ctypes.data),
            values.ctypes.data,
            counts.ctypes.data,
        )

    steps = [BuiltinMaker("step", address_of(function)) for function in (step_core, step_sized)]
    return steps[0], steps[1], direct(batch)


# step_core and step_sized make builtins of (event_ns, covered_since_ns, bid, ask, bid_size, ask_size) that
# return the values, then the tick count. They are bound to the address of a word that holds the memory's
# address, and to the function that is called instead where the tick can't be taken; nothing is taken then.
# batch(memory, ``kernel_block.SCRATCH_WORDS`` words, sized, done, six columns, values (columns, n), counts)
# -> as ``_batch``.
step_core, step_sized, batch = _entry_points(sources_digest(*SOURCES))
