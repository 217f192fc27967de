"""The compiled window kernel: its entry points for a live step and for a batch.

The definition is ``window.PureWindowEngine``; every float operation is in the same order, so the bits are
equal. A live step and a batch advance the same memory (``memory``) by the same parts (``kernel_grid``,
``kernel_sums``). A full ring is reported, and the caller doubles it. The memory is passed as an address: an
array would be reference-counted at every call.
"""

from __future__ import annotations

import math
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt

from volspike.features import fixedpoint, jit, kernel_grid, kernel_sums, snapshot, wide, window
from volspike.features import memory as layout
from volspike.features.fixedpoint import SHORT_SERIES_LIMIT
from volspike.features.jit import direct, entry, inlined, part, sources_digest
from volspike.features.kernel_grid import arrive, log_return, short_series
from volspike.features.kernel_sums import (
    Sums,
    imbalance_value,
    load_sums,
    numerators,
    quotients,
    relative,
    slide,
    store_sums,
)
from volspike.features.memory import CLOSED_MID, FULL, HEAD, MASK, SECONDS_QQ, TAIL, Words
from volspike.features.wide import add_square, dispersion_float, load, signed_float, unsigned_float

# A batch works in blocks of rows; these are the columns of a block.
_BLOCK = 512
_BEFORE, _MID, _CLOSED_MIDS, _LOW, _HIGH, _WIDTH, _MOVED, _OPEN, _RATIO = range(9)
_BLOCK_COLUMNS = 9

Floats = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int32]
Columns = tuple[Words, Words, Words, Words, Words, Words]

_SOURCES: tuple[ModuleType, ...] = (
    fixedpoint,
    jit,
    kernel_grid,
    kernel_sums,
    layout,
    snapshot,
    wide,
    window,
)


@inlined
def _take(
    memory: int,
    price_scale: float,
    sized: bool,
    event_ns: int,
    covered_since_ns: int,
    bid: int,
    ask: int,
    bid_size: int,
    ask_size: int,
) -> tuple[int, Sums, tuple[float, float, float, float, float, float]]:
    """Take one tick; a negative first item is a status, and the tick was not taken."""
    sums = load_sums(memory)
    nothing = (math.nan, math.nan, math.nan, math.nan, math.nan, math.nan)
    if sums.head - sums.tail > load(memory, MASK):
        return FULL, sums, nothing
    status, mid_before = arrive(memory, event_ns, covered_since_ns, bid, ask)
    if status < 0:
        return status, sums, nothing
    mid, closed_mid = bid + ask, load(memory, CLOSED_MID)
    moved = log_return(mid_before, mid)
    q_open = log_return(closed_mid, mid)
    width = ask - bid
    ratio = relative(width, mid)
    sums = slide(
        memory,
        load(memory, MASK),
        sums,
        event_ns,
        mid_before,
        moved,
        width,
        ratio,
        sized,
        bid_size,
        ask_size,
    )
    store_sums(memory, sums)
    ticks = sums.head - sums.tail
    low, high = load(memory, SECONDS_QQ), load(memory, SECONDS_QQ + 1)
    return ticks, sums, quotients(float(ticks), price_scale, *numerators(sums, low, high, q_open))


@part
def _arrive_all(memory: int, ticks: Columns, block: Words) -> tuple[int, int]:
    """Bring the grid up to the ticks of a block; return how many could be taken, and a status."""
    event_ns, covered_since_ns, bid, ask = ticks[:4]
    for i in range(len(event_ns)):
        status, mid_before = arrive(memory, event_ns[i], covered_since_ns[i], bid[i], ask[i])
        if status < 0:
            return i, status
        block[_BEFORE, i] = mid_before
        block[_MID, i] = bid[i] + ask[i]
        block[_CLOSED_MIDS, i] = load(memory, CLOSED_MID)
        block[_LOW, i] = load(memory, SECONDS_QQ)
        block[_HIGH, i] = load(memory, SECONDS_QQ + 1)
        block[_WIDTH, i] = ask[i] - bid[i]
    return len(event_ns), 0


@part
def _returns(before: Words, after: Words, returns: Words, n: int) -> None:
    far = 0
    for i in range(n):
        s = float(after[i] - before[i]) / float(after[i] + before[i])
        far += abs(s) > SHORT_SERIES_LIMIT
        returns[i] = short_series(s)
    if far > 0:
        for i in range(n):
            returns[i] = log_return(before[i], after[i])


@part
def _ratios(width: Words, mid: Words, ratios: Words, n: int) -> None:
    for i in range(n):
        ratios[i] = relative(width[i], mid[i])


@inlined
def _slide_all(
    memory: int, sized: bool, ticks: Columns, block: Words, words: Words, imbalances: Floats, counts: Counts
) -> None:
    """Move the window's sums over the ticks of a block and note their words at each."""
    event_ns, bid_size, ask_size = ticks[0], ticks[4], ticks[5]
    sums, mask = load_sums(memory), load(memory, MASK)
    for i in range(len(counts)):
        sums = slide(
            memory,
            mask,
            sums,
            event_ns[i],
            block[_BEFORE, i],
            block[_MOVED, i],
            block[_WIDTH, i],
            block[_RATIO, i],
            sized,
            bid_size[i],
            ask_size[i],
        )
        counts[i] = sums.head - sums.tail
        words[i, 0], words[i, 1] = sums.q, sums.q_high
        words[i, 2], words[i, 3], words[i, 4] = sums.qq, sums.qq_middle, sums.qq_high
        words[i, 5], words[i, 6] = sums.spread, sums.spread_high
        words[i, 7], words[i, 8] = sums.relative, sums.relative_high
        if sized:
            imbalances[i] = imbalance_value(sums.imbalance, sums.sized)
    store_sums(memory, sums)


# Two compilations: a set without sizes must not pay for them.
@part
def _slide_core(
    memory: int, ticks: Columns, block: Words, words: Words, imbalances: Floats, counts: Counts
) -> None:
    _slide_all(memory, False, ticks, block, words, imbalances, counts)


@part
def _slide_sized(
    memory: int, ticks: Columns, block: Words, words: Words, imbalances: Floats, counts: Counts
) -> None:
    _slide_all(memory, True, ticks, block, words, imbalances, counts)


@part
def _numerators_all(block: Words, words: Words, scratch: Floats, counts: Counts) -> None:
    for i in range(len(counts)):
        q, q_high, k = words[i, 0], words[i, 1], int(counts[i]) - 1
        low, high = add_square(block[_LOW, i], block[_HIGH, i], block[_OPEN, i])
        scratch[0, i] = signed_float(q, q_high)
        scratch[1, i] = dispersion_float(k, words[i, 2], words[i, 3], words[i, 4], q, q_high)
        scratch[2, i] = unsigned_float(words[i, 5], words[i, 6])
        scratch[3, i] = unsigned_float(words[i, 7], words[i, 8])
        scratch[4, i] = unsigned_float(low, high)


@part
def _quotients_all(price_scale: float, scratch: Floats, counts: Counts) -> None:
    q, dispersion, spread = scratch[0], scratch[1], scratch[2]
    relative, rv, intensity = scratch[3], scratch[4], scratch[5]
    for i in range(len(counts)):
        q[i], dispersion[i], spread[i], intensity[i], relative[i], rv[i] = quotients(
            float(counts[i]), price_scale, q[i], dispersion[i], spread[i], relative[i], rv[i]
        )


@part
def _copy_out(scratch: Floats, imbalances: Floats, sized: bool, values: Floats) -> None:
    mean, std, spread = scratch[0], scratch[1], scratch[2]
    relative, rv, intensity = scratch[3], scratch[4], scratch[5]
    for i in range(len(values)):
        values[i, 0], values[i, 1], values[i, 2] = mean[i], std[i], spread[i]
        values[i, 3], values[i, 4], values[i, 5] = intensity[i], relative[i], rv[i]
        if sized:
            values[i, 6] = imbalances[i]


@part
def _between(ticks: Columns, start: int, stop: int) -> Columns:
    event_ns, covered_since_ns, bid, ask, bid_size, ask_size = ticks
    return (
        event_ns[start:stop],
        covered_since_ns[start:stop],
        bid[start:stop],
        ask[start:stop],
        bid_size[start:stop],
        ask_size[start:stop],
    )


@part
def _batch(
    memory: int,
    price_scale: float,
    sized: bool,
    start: int,
    ticks: Columns,
    values: Floats,
    counts: Counts,
) -> tuple[int, int]:
    """Take the ticks from ``start`` on into ``values`` and ``counts``.

    The work goes in blocks, and in a block step by step: short loops of independent rows keep the processor's
    pipelines full, one long loop over rows does not.

    Returns
    -------
    done, status : int
        The row after the last one taken; where that is not the end, why the next one was not.
    """
    n = len(counts)
    longest = min(_BLOCK, n)
    block = np.empty((_BLOCK_COLUMNS, longest), np.int64)
    words = np.empty((longest, 9), np.int64)
    scratch = np.empty((6, longest), np.float64)
    imbalances = np.empty(longest, np.float64)
    while start < n:
        size = min(_BLOCK, n - start)
        if load(memory, HEAD) - load(memory, TAIL) + size > load(memory, MASK) + 1:
            return start, FULL
        size, status = _arrive_all(memory, _between(ticks, start, start + size), block)
        stop = start + size
        _returns(block[_BEFORE], block[_MID], block[_MOVED], size)
        _returns(block[_CLOSED_MIDS], block[_MID], block[_OPEN], size)
        _ratios(block[_WIDTH], block[_MID], block[_RATIO], size)
        taken = _between(ticks, start, stop)
        if sized:
            _slide_sized(memory, taken, block, words, imbalances, counts[start:stop])
        else:
            _slide_core(memory, taken, block, words, imbalances, counts[start:stop])
        _numerators_all(block, words, scratch, counts[start:stop])
        _quotients_all(price_scale, scratch, counts[start:stop])
        _copy_out(scratch, imbalances, sized, values[start:stop])
        start = stop
        if status < 0:
            return start, status
    return n, 0


_SCALARS = "int64, float64, int64, int64, int64, int64, int64, int64"
_COLUMNS = "UniTuple(Array(int64, 1, 'C', readonly=True), 6)"
_OUT = "float64[:, ::1], int32[::1]"


@inlined
def _keyed_by(digest: int) -> None:
    """Do nothing; but naming the digest makes it a part of the cache's key."""


def _entry_points(digest: int) -> tuple[Any, Any, Any]:
    @entry(f"UniTuple(float64, 7)({_SCALARS})")
    def step_core(
        memory: int,
        price_scale: float,
        event_ns: int,
        covered_since_ns: int,
        bid: int,
        ask: int,
        bid_size: int,
        ask_size: int,
    ) -> tuple[float, ...]:
        _keyed_by(digest)
        ticks, _, values = _take(
            memory, price_scale, False, event_ns, covered_since_ns, bid, ask, bid_size, ask_size
        )
        return (*values, float(ticks))

    @entry(f"UniTuple(float64, 8)({_SCALARS})")
    def step_sized(
        memory: int,
        price_scale: float,
        event_ns: int,
        covered_since_ns: int,
        bid: int,
        ask: int,
        bid_size: int,
        ask_size: int,
    ) -> tuple[float, ...]:
        _keyed_by(digest)
        ticks, sums, values = _take(
            memory, price_scale, True, event_ns, covered_since_ns, bid, ask, bid_size, ask_size
        )
        return (*values, imbalance_value(sums.imbalance, sums.sized), float(ticks))

    @entry(f"UniTuple(int64, 2)(int64, float64, boolean, int64, {_COLUMNS}, {_OUT})")
    def batch(
        memory: int,
        price_scale: float,
        sized: bool,
        start: int,
        ticks: Columns,
        values: Floats,
        counts: Counts,
    ) -> tuple[int, int]:
        _keyed_by(digest)
        return _batch(memory, price_scale, sized, start, ticks, values, counts)

    return direct(step_core), direct(step_sized), direct(batch)


# step_core, step_sized(memory address, price scale, event_ns, covered_since_ns, bid, ask, bid_size, ask_size)
# -> the values, then the tick count, or a negative status with nothing taken.
# batch(memory address, price scale, sized, start, six columns, values, counts) -> as ``_batch``.
step_core, step_sized, batch = _entry_points(sources_digest(*_SOURCES))
