"""Compiled parts of the window kernel: a block of ticks in a batch, column by column.

Short loops of independent rows keep the processor's pipelines full, one long loop over rows does not. A block
is refused, before anything has changed, where its ticks are not plain (a break, a bad quote, wrong order) or
its window's sums might pass the words they are kept in here; the caller then takes its ticks one by one.
"""

from __future__ import annotations

from volspike.features.fixedpoint import PRICE_LIMIT, SHORT_SERIES_LIMIT, WORD
from volspike.features.kernel_grid import close_seconds, log_return, short_series
from volspike.features.kernel_sums import (
    Sums,
    imbalance,
    imbalance_value,
    intensity_value,
    load_running,
    load_sums,
    mean_value,
    moved_on,
    put_row,
    put_sizes,
    relative,
    relative_value,
    row_at,
    run_on,
    rv_value,
    sizes_at,
    spread_value,
    std_value,
    store_running,
    store_sums,
    time_at,
)
from volspike.features.memory import (
    AHEAD,
    CLOSED_END_NS,
    CLOSED_MID,
    COVERED,
    HEAD,
    LAST_MID,
    LAST_NS,
    MASK,
    PRICE_SCALE,
    SECONDS_QQ,
    SUM_Q,
    SUM_QQ,
    SUM_RELATIVE,
    SUM_SPREAD,
    TAIL,
    TIMES,
)
from volspike.features.wide import (
    add_square,
    count_to,
    dispersion_words,
    load,
    load_float,
    load_int32,
    natural_float,
    store,
    store_float,
    store_int32,
    subtract_words,
    unsigned_float,
)
from volspike.features.window import WINDOW_NS
from volspike.jit import inlined, part

BLOCK = 128

# The scratch words of a block, by column; MIDS begins with the mid sum before the block.
_STRIDE = BLOCK + 8
_MIDS, _WIDTH, _RATIO, _MOVED, _CLOSED, _OPEN, _LOW, _HIGH = (_STRIDE * column for column in range(8))
_RV_LOW, _RV_HIGH, _Q, _SPREAD, _RELATIVE, _IMBALANCE, _KNOWN, _TAIL = (
    _STRIDE * column for column in range(8, 16)
)
SCRATCH_WORDS = _STRIDE * 16

_NEVER_NS = 2**63 - 1

# Below these a block's sums fit their words. k * sum(q * q) bounds sum(q)**2 too; the margins cover the
# rounding of the estimates.
_DISPERSION_LIMIT = 2.0**126
_NATURAL_LIMIT = 2.0**64 - 2.0**54

# The addresses of the six columns.
Columns = tuple[int, int, int, int, int, int]


@part
def _plain(memory: int, ticks: Columns, n: int) -> bool:
    event_ns, covered_since_ns, bid, ask, _, _ = ticks
    covered, wrong, broken, late = load(memory, COVERED), 0, 0, 0
    for i in range(n):
        low, high = load(bid, i), load(ask, i)
        # The sign bit is what counts; differences are of numbers that are not negative, or wrong already.
        wrong |= (low - 1) | low | (high - low) | (PRICE_LIMIT - 1 - high) | high
    for i in range(n):
        broken |= load(covered_since_ns, i) ^ covered
    for i in range(n - 1):
        late += load(event_ns, i + 1) < load(event_ns, i)
    return (
        wrong >= 0
        and broken == 0
        and late == 0
        and load(memory, LAST_MID) != 0
        and load(event_ns, 0) >= load(memory, LAST_NS)
    )


@part
def _quotes(block: int, ticks: Columns, n: int) -> tuple[int, int]:
    """Note mid sums, spreads and relative spreads; return bounds of the latter two."""
    _, _, bid, ask, _, _ = ticks
    width_bits, ratio_bits = 0, 0
    for i in range(n):
        mid, width = load(bid, i) + load(ask, i), load(ask, i) - load(bid, i)
        ratio = relative(width, mid)
        store(block, _MIDS + 1 + i, mid)
        store(block, _WIDTH + i, width)
        store(block, _RATIO + i, ratio)
        width_bits |= width
        ratio_bits |= ratio
    return width_bits, ratio_bits


@inlined
def _returns(block: int, before: int, to: int, n: int) -> int:
    """Note the returns of the ticks from the mid sums at ``before``; return a bound of their size."""
    far, bits = 0, 0
    for i in range(n):
        mid_before, mid = load(block, before + i), load(block, _MIDS + 1 + i)
        s = float(mid - mid_before) / float(mid + mid_before)
        far |= int(abs(s) > SHORT_SERIES_LIMIT)
        q = short_series(s)
        bits |= abs(q)
        store(block, to + i, q)
    if far != 0:
        bits = 0
        for i in range(n):
            q = log_return(load(block, before + i), load(block, _MIDS + 1 + i))
            bits |= abs(q)
            store(block, to + i, q)
    return bits


@part
def _tick_returns(block: int, n: int) -> int:
    return _returns(block, _MIDS, _MOVED, n)


@part
def _open_returns(block: int, n: int) -> int:
    return _returns(block, _CLOSED, _OPEN, n)


@inlined
def _fits(sums: Sums, size: int, moved: int, width: int, ratio: int) -> bool:
    """Tell whether the sums stay in their words, given a bound of what each of ``size`` ticks adds."""
    more, q = float(size), float(moved)
    qq = (float(sums.qq_high) * WORD + natural_float(sums.qq_middle)) * WORD + natural_float(sums.qq)
    spread = unsigned_float(sums.spread, sums.spread_high)
    ratios = unsigned_float(sums.relative, sums.relative_high)
    return (
        (qq + more * q * q) * float(sums.head - sums.tail + size) < _DISPERSION_LIMIT
        and spread + more * float(width) < _NATURAL_LIMIT
        and ratios + more * float(ratio) < _NATURAL_LIMIT
    )


@part
def _put_times(memory: int, event_ns: int, n: int) -> None:
    """Write the times of a block behind the ring's head, and none that could leave behind them."""
    mask, head = load(memory, MASK), load(memory, HEAD)
    for i in range(n):
        store(memory, time_at(mask, head + i), load(event_ns, i))
    for i in range(AHEAD):
        store(memory, time_at(mask, head + n + i), _NEVER_NS)
    for i in range(AHEAD):
        store(memory, TIMES + mask + 1 + i, load(memory, TIMES + i))


@part
def _grid(memory: int, block: int, event_ns: int, n: int) -> None:
    """Note at each tick the mid sum and the sum of squares of the last closed second."""
    i = 0
    while i < n:
        if load(event_ns, i) > load(memory, CLOSED_END_NS):
            store(memory, LAST_MID, load(block, _MIDS + i))
            close_seconds(memory, load(event_ns, i))
        first, end_ns = i, load(memory, CLOSED_END_NS)
        while i + 8 <= n and load(event_ns, i + 7) <= end_ns:
            i += 8
        while i < n and load(event_ns, i) <= end_ns:
            i += 1
        mid, low, high = load(memory, CLOSED_MID), load(memory, SECONDS_QQ), load(memory, SECONDS_QQ + 1)
        for at in range(first, i):
            store(block, _CLOSED + at, mid)
            store(block, _RV_LOW + at, low)
            store(block, _RV_HIGH + at, high)
    store(memory, LAST_MID, load(block, _MIDS + n))
    store(memory, LAST_NS, load(event_ns, n - 1))


@part
def _squares(block: int, n: int) -> None:
    for i in range(n):
        low, high = add_square(load(block, _RV_LOW + i), load(block, _RV_HIGH + i), load(block, _OPEN + i))
        store(block, _RV_LOW + i, low)
        store(block, _RV_HIGH + i, high)


@part
def _tails(memory: int, block: int, event_ns: int, n: int) -> None:
    """Note the oldest tick in the window at each tick."""
    mask, tail, i = load(memory, MASK), load(memory, TAIL), 0
    while i < n:
        # Four at a time from the same place: what one finds does not wait for the one before.
        at = time_at(mask, tail)
        if i + 4 <= n:
            fourth = count_to(memory, at, load(event_ns, i + 3) - WINDOW_NS)
            if fourth < AHEAD:
                store(block, _TAIL + i, tail + count_to(memory, at, load(event_ns, i) - WINDOW_NS))
                store(block, _TAIL + i + 1, tail + count_to(memory, at, load(event_ns, i + 1) - WINDOW_NS))
                store(block, _TAIL + i + 2, tail + count_to(memory, at, load(event_ns, i + 2) - WINDOW_NS))
                tail += fourth
                store(block, _TAIL + i + 3, tail)
                i += 4
                continue
        while load(memory, time_at(mask, tail)) <= load(event_ns, i) - WINDOW_NS:
            tail += 1
        store(block, _TAIL + i, tail)
        i += 1


@part
def _insert(memory: int, block: int, n: int) -> None:
    """Write the rows of a block."""
    mask, head, running = load(memory, MASK), load(memory, HEAD), load_running(memory)
    for i in range(n):
        running = moved_on(running, load(block, _MOVED + i))
        put_row(memory, row_at(mask, head + i), running)
        running = run_on(running, load(block, _WIDTH + i), load(block, _RATIO + i), 0, 0)
    store_running(memory, running)


@part
def _differences(memory: int, block: int, counts: int, n: int) -> None:
    """Note the sums over each window, of squares the dispersion; keep those of the last."""
    mask, head, tail = load(memory, MASK), load(memory, HEAD), 0
    q, low, high, spread, ratios = 0, 0, 0, 0, 0
    for i in range(n):
        tail = load(block, _TAIL + i)
        now, at = row_at(mask, head + i), row_at(mask, tail)
        q = load(memory, now + SUM_Q) - load(memory, at + SUM_Q)
        spread = load(memory, now + SUM_SPREAD) + load(block, _WIDTH + i) - load(memory, at + SUM_SPREAD)
        ratios = load(memory, now + SUM_RELATIVE) + load(block, _RATIO + i) - load(memory, at + SUM_RELATIVE)
        low, high = subtract_words(
            load(memory, now + SUM_QQ),
            load(memory, now + SUM_QQ + 1),
            load(memory, at + SUM_QQ),
            load(memory, at + SUM_QQ + 1),
        )
        k = head + i - tail
        store_int32(counts, i, k + 1)
        store(block, _Q + i, q)
        store(block, _SPREAD + i, spread)
        store(block, _RELATIVE + i, ratios)
        dispersion_low, dispersion_high = dispersion_words(k, low, high, q)
        store(block, _LOW + i, dispersion_low)
        store(block, _HIGH + i, dispersion_high)
    store_sums(memory, Sums(head + n, tail, q, q >> 63, low, high, 0, spread, 0, ratios, 0))


@part
def _imbalances(memory: int, block: int, ticks: Columns, n: int) -> None:
    """Write the rows of a block into the ring of imbalances and note the sums over each window."""
    running, mask, head = load_running(memory), load(memory, MASK), load(memory, HEAD)
    for i in range(n):
        value, known = imbalance(load(ticks[4], i), load(ticks[5], i))
        store(block, _IMBALANCE + i, value)
        store(block, _KNOWN + i, known)
    for i in range(n):
        put_sizes(memory, sizes_at(mask, head + i), running)
        running = run_on(running, 0, 0, load(block, _IMBALANCE + i), load(block, _KNOWN + i))
        at = sizes_at(mask, load(block, _TAIL + i))
        store(block, _IMBALANCE + i, running.imbalance - load(memory, at))
        store(block, _KNOWN + i, running.sized - load(memory, at + 1))
    store_running(memory, running)


@part
def _means(block: int, counts: int, n: int, values: int) -> None:
    for i in range(n):
        k = float(load_int32(counts, i)) - 1.0
        store_float(values, i, mean_value(float(load(block, _Q + i)), k))


@part
def _stds(block: int, counts: int, n: int, values: int) -> None:
    for i in range(n):
        k = float(load_int32(counts, i)) - 1.0
        low, high = natural_float(load(block, _LOW + i)), natural_float(load(block, _HIGH + i))
        store_float(values, i, std_value(high * WORD + low, k))


@part
def _spreads(block: int, counts: int, n: int, price_scale: float, values: int) -> None:
    for i in range(n):
        ticks, spread = float(load_int32(counts, i)), natural_float(load(block, _SPREAD + i))
        store_float(values, i, spread_value(spread, ticks, price_scale))


@part
def _intensities(counts: int, n: int, values: int) -> None:
    for i in range(n):
        store_float(values, i, intensity_value(float(load_int32(counts, i))))


@part
def _relatives(block: int, counts: int, n: int, values: int) -> None:
    for i in range(n):
        ticks, ratios = float(load_int32(counts, i)), natural_float(load(block, _RELATIVE + i))
        store_float(values, i, relative_value(ratios, ticks))


@part
def _rvs(block: int, n: int, values: int) -> None:
    for i in range(n):
        low, high = natural_float(load(block, _RV_LOW + i)), natural_float(load(block, _RV_HIGH + i))
        store_float(values, i, rv_value(high * WORD + low))


@part
def _mean_imbalances(block: int, n: int, values: int) -> None:
    for i in range(n):
        value = imbalance_value(load(block, _IMBALANCE + i), load(block, _KNOWN + i))
        store_float(values, i, value)


@part
def _accepted(memory: int, block: int, ticks: Columns, n: int) -> bool:
    """Tell whether a block can be taken, and note what its ticks add."""
    if not _plain(memory, ticks, n):
        return False
    store(block, _MIDS, load(memory, LAST_MID))
    width_bits, ratio_bits = _quotes(block, ticks, n)
    moved_bits = _tick_returns(block, n)
    return _fits(load_sums(memory), n, moved_bits, width_bits, ratio_bits)


@part
def take_block(
    memory: int, block: int, sized: bool, ticks: Columns, n: int, values: int, stride: int, counts: int
) -> bool:
    """Take ``n`` ticks, at most ``BLOCK``, for which the ring has room, with ``AHEAD`` to spare.

    Parameters
    ----------
    memory, block : int
        The addresses of the engine's memory and of ``SCRATCH_WORDS`` words.
    sized : bool
        Whether size imbalances are kept.
    ticks : tuple of int
        The addresses of the ticks' columns.
    values, counts : int
        Where the values (float64, a column every ``stride`` bytes) and the tick counts (int32) go.

    Returns
    -------
    bool
        False where the block is not plain or its sums are too large; nothing has changed then.
    """
    if not _accepted(memory, block, ticks, n):
        return False
    _grid(memory, block, ticks[0], n)
    _open_returns(block, n)
    _squares(block, n)
    _put_times(memory, ticks[0], n)
    _tails(memory, block, ticks[0], n)
    _insert(memory, block, n)
    if sized:
        _imbalances(memory, block, ticks, n)
        _mean_imbalances(block, n, values + 6 * stride)
    _differences(memory, block, counts, n)
    _means(block, counts, n, values)
    _stds(block, counts, n, values + stride)
    _spreads(block, counts, n, load_float(memory, PRICE_SCALE), values + 2 * stride)
    _intensities(counts, n, values + 3 * stride)
    _relatives(block, counts, n, values + 4 * stride)
    _rvs(block, n, values + 5 * stride)
    return True
