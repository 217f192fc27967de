"""Compiled parts of the window kernel: a block of ticks in a batch, column by column.

Short loops of independent rows keep the processor's pipelines full, one long loop over rows does not. A block
is refused, before anything has changed, where its ticks are not plain (a break, a bad quote, wrong order) or
its window's sums might pass the words they are kept in here; the caller then takes its ticks one by one.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from volspike.features.fixedpoint import PRICE_LIMIT, SHORT_SERIES_LIMIT, WORD
from volspike.features.jit import inlined, part
from volspike.features.kernel_grid import close_seconds, log_return, short_series
from volspike.features.kernel_sums import (
    Running,
    Sums,
    imbalance,
    imbalance_value,
    intensity_value,
    load_running,
    load_sums,
    mean_value,
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
)
from volspike.features.memory import (
    CLOSED_END_NS,
    CLOSED_MID,
    COVERED,
    HEAD,
    LAST_MID,
    LAST_NS,
    MASK,
    PRICE_SCALE,
    RUNNING,
    SECONDS_QQ,
    SUM_Q,
    SUM_RELATIVE,
    SUM_SPREAD,
    TAIL,
    Words,
)
from volspike.features.wide import (
    add_square,
    dispersion_words,
    load,
    load_float,
    natural_float,
    store,
    subtract_words,
    unsigned_float,
)
from volspike.features.window import WINDOW_NS

BLOCK = 128
# A block from whose windows more ticks leave is refused.
_MOST_LEAVING = 1024

# The scratch words of a block, by column; MIDS begins with the mid sum before the block.
_STRIDE = BLOCK + 8
_MIDS, _WIDTH, _RATIO, _MOVED, _CLOSED, _OPEN, _LOW, _HIGH = (_STRIDE * column for column in range(8))
_RV_LOW, _RV_HIGH, _Q, _SPREAD, _RELATIVE, _IMBALANCE, _KNOWN, _LEFT = (
    _STRIDE * column for column in range(8, 16)
)
# Of the ticks that leave: event_ns, and the sum of the squares that have left before.
_GONE_STRIDE = _MOST_LEAVING + 8
_GONE_NS, _GONE_LOW, _GONE_HIGH = (_STRIDE * 16 + _GONE_STRIDE * column for column in range(3))
SCRATCH_WORDS = _STRIDE * 16 + _GONE_STRIDE * 3

_NEVER_NS = 2**63 - 1

# Below these a block's sums fit their words. k * sum(q * q) bounds sum(q)**2 too; the margins cover the
# rounding of the estimates.
_DISPERSION_LIMIT = 2.0**126
_NATURAL_LIMIT = 2.0**64 - 2.0**54

Floats = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int32]
Columns = tuple[Words, Words, Words, Words, Words, Words]


@part
def _plain(memory: int, event_ns: Words, covered_since_ns: Words, bid: Words, ask: Words) -> bool:
    covered, wrong = load(memory, COVERED), 0
    for i in range(len(bid)):
        # The sign bit is what counts; differences are of numbers that are not negative, or wrong already.
        wrong |= (bid[i] - 1) | bid[i] | (ask[i] - bid[i]) | (PRICE_LIMIT - 1 - ask[i]) | ask[i]
    if wrong < 0:
        return False
    wrong = 0
    for i in range(len(bid)):
        wrong |= covered_since_ns[i] ^ covered
    late = 0
    for i in range(len(bid) - 1):
        late += event_ns[i + 1] < event_ns[i]
    return wrong == 0 and late == 0 and load(memory, LAST_MID) != 0 and event_ns[0] >= load(memory, LAST_NS)


@part
def _quotes(block: int, bid: Words, ask: Words) -> tuple[int, int]:
    """Note mid sums, spreads and relative spreads; return bounds of the latter two."""
    width_bits, ratio_bits = 0, 0
    for i in range(len(bid)):
        mid, width = bid[i] + ask[i], ask[i] - bid[i]
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
def _insert(memory: int, block: int, event_ns: Words) -> None:
    """Write the rows of a block behind the ring's head and note the sums of squares with them."""
    sums, running, mask = load_sums(memory), load_running(memory), load(memory, MASK)
    low, high = sums.qq, sums.qq_middle
    for i in range(len(event_ns)):
        moved = load(block, _MOVED + i)
        put_row(memory, mask, sums.head + i, running, event_ns[i], moved)
        running = run_on(running, moved, load(block, _WIDTH + i), load(block, _RATIO + i), 0, 0)
        low, high = add_square(low, high, moved)
        store(block, _LOW + i, low)
        store(block, _HIGH + i, high)


@part
def _note_leaving(memory: int, block: int, left_ns: int) -> bool:
    """Note the ticks up to ``left_ns``, which leave with this block; tell whether there was room."""
    mask, tail = load(memory, MASK), load(memory, TAIL)
    i, low, high = 0, 0, 0
    at = row_at(mask, tail)
    q, event_ns = load(memory, at + SUM_Q), load(memory, at)
    while event_ns <= left_ns and i < _MOST_LEAVING:
        store(block, _GONE_NS + i, event_ns)
        store(block, _GONE_LOW + i, low)
        store(block, _GONE_HIGH + i, high)
        i += 1
        at = row_at(mask, tail + i)
        later, event_ns = load(memory, at + SUM_Q), load(memory, at)
        low, high = add_square(low, high, later - q)
        q = later
    store(block, _GONE_LOW + i, low)
    store(block, _GONE_HIGH + i, high)
    for beyond in range(4):
        store(block, _GONE_NS + i + beyond, _NEVER_NS)
    return event_ns > left_ns


@part
def _grid(memory: int, block: int, event_ns: Words) -> None:
    """Note at each tick the mid sum and the sum of squares of the last closed second."""
    n, i = len(event_ns), 0
    while i < n:
        if event_ns[i] > load(memory, CLOSED_END_NS):
            store(memory, LAST_MID, load(block, _MIDS + i))
            close_seconds(memory, event_ns[i])
        first, end_ns = i, load(memory, CLOSED_END_NS)
        while i + 8 <= n and event_ns[i + 7] <= end_ns:
            i += 8
        while i < n and event_ns[i] <= end_ns:
            i += 1
        mid, low, high = load(memory, CLOSED_MID), load(memory, SECONDS_QQ), load(memory, SECONDS_QQ + 1)
        for at in range(first, i):
            store(block, _CLOSED + at, mid)
            store(block, _RV_LOW + at, low)
            store(block, _RV_HIGH + at, high)
    store(memory, LAST_MID, load(block, _MIDS + n))
    store(memory, LAST_NS, event_ns[n - 1])


@part
def _squares(block: int, n: int) -> None:
    for i in range(n):
        low, high = add_square(load(block, _RV_LOW + i), load(block, _RV_HIGH + i), load(block, _OPEN + i))
        store(block, _RV_LOW + i, low)
        store(block, _RV_HIGH + i, high)


@inlined
def _leave(block: int, left: int, left_ns: int) -> int:
    """Return how many have left by ``left_ns``; few without a jump, since their number can't be foreseen."""
    at = block + 8 * (_GONE_NS + left)
    more = int(load(at, 0) <= left_ns) + int(load(at, 1) <= left_ns)
    more += int(load(at, 2) <= left_ns) + int(load(at, 3) <= left_ns)
    left += more
    if more == 4:
        while load(block, _GONE_NS + left) <= left_ns:
            left += 1
    return left


@part
def _differences(memory: int, block: int, event_ns: Words, counts: Counts) -> None:
    """Turn running sums into those over the windows, and those of squares into the dispersion."""
    sums, running, mask = load_sums(memory), load_running(memory), load(memory, MASK)
    q, spread, ratios = running.q, running.spread, running.relative
    q_inside, low, high, left = 0, 0, 0, 0
    for i in range(len(counts)):
        left = _leave(block, left, event_ns[i] - WINDOW_NS)
        at = row_at(mask, sums.tail + left)
        q += load(block, _MOVED + i)
        spread += load(block, _WIDTH + i)
        ratios += load(block, _RATIO + i)
        gone_low, gone_high = load(block, _GONE_LOW + left), load(block, _GONE_HIGH + left)
        low, high = subtract_words(load(block, _LOW + i), load(block, _HIGH + i), gone_low, gone_high)
        k = sums.head - sums.tail + i - left
        counts[i] = k + 1
        q_inside = q - load(memory, at + SUM_Q)
        store(block, _Q + i, q_inside)
        store(block, _SPREAD + i, spread - load(memory, at + SUM_SPREAD))
        store(block, _RELATIVE + i, ratios - load(memory, at + SUM_RELATIVE))
        store(block, _LEFT + i, left)
        dispersion_low, dispersion_high = dispersion_words(k, low, high, q_inside)
        store(block, _LOW + i, dispersion_low)
        store(block, _HIGH + i, dispersion_high)
    n = len(counts)
    spread_inside, ratios_inside = load(block, _SPREAD + n - 1), load(block, _RELATIVE + n - 1)
    store_sums(
        memory,
        Sums(
            sums.head + n,
            sums.tail + left,
            q_inside,
            q_inside >> 63,
            low,
            high,
            0,
            spread_inside,
            0,
            ratios_inside,
            0,
        ),
    )
    store_running(memory, Running(q, spread, ratios, running.imbalance, running.sized))


@part
def _imbalances(memory: int, block: int, bid_size: Words, ask_size: Words) -> None:
    """Write the rows of a block into the ring of imbalances."""
    running, mask, head = load_running(memory), load(memory, MASK), load(memory, HEAD)
    for i in range(len(bid_size)):
        value, known = imbalance(bid_size[i], ask_size[i])
        store(block, _IMBALANCE + i, value)
        store(block, _KNOWN + i, known)
    for i in range(len(bid_size)):
        put_sizes(memory, mask, head + i, running)
        running = run_on(running, 0, 0, 0, load(block, _IMBALANCE + i), load(block, _KNOWN + i))


@part
def _mean_imbalances(memory: int, block: int, first: int, values: Floats) -> None:
    running, mask = load_running(memory), load(memory, MASK)
    total, sized = running.imbalance, running.sized
    for i in range(len(values)):
        total += load(block, _IMBALANCE + i)
        sized += load(block, _KNOWN + i)
        at = sizes_at(mask, first + load(block, _LEFT + i))
        values[i] = imbalance_value(total - load(memory, at), sized - load(memory, at + 1))
    store(memory, RUNNING + 3, total)
    store(memory, RUNNING + 4, sized)


@part
def _means(block: int, counts: Counts, values: Floats) -> None:
    for i in range(len(counts)):
        values[i] = mean_value(float(load(block, _Q + i)), float(counts[i]) - 1.0)


@part
def _stds(block: int, counts: Counts, values: Floats) -> None:
    for i in range(len(counts)):
        low, high = load(block, _LOW + i), load(block, _HIGH + i)
        values[i] = std_value(natural_float(high) * WORD + natural_float(low), float(counts[i]) - 1.0)


@part
def _spreads(block: int, counts: Counts, price_scale: float, values: Floats) -> None:
    for i in range(len(counts)):
        spread = natural_float(load(block, _SPREAD + i))
        values[i] = spread_value(spread, float(counts[i]), price_scale)


@part
def _intensities(counts: Counts, values: Floats) -> None:
    for i in range(len(counts)):
        values[i] = intensity_value(float(counts[i]))


@part
def _relatives(block: int, counts: Counts, values: Floats) -> None:
    for i in range(len(counts)):
        values[i] = relative_value(natural_float(load(block, _RELATIVE + i)), float(counts[i]))


@part
def _rvs(block: int, values: Floats) -> None:
    for i in range(len(values)):
        low, high = load(block, _RV_LOW + i), load(block, _RV_HIGH + i)
        values[i] = rv_value(natural_float(high) * WORD + natural_float(low))


@part
def _accepted(memory: int, block: int, start: int, stop: int, ticks: Columns) -> bool:
    """Tell whether a block can be taken; write its rows behind the ring's head, which changes nothing yet."""
    event_ns, bid, ask = ticks[0][start:stop], ticks[2][start:stop], ticks[3][start:stop]
    if not _plain(memory, event_ns, ticks[1][start:stop], bid, ask):
        return False
    store(block, _MIDS, load(memory, LAST_MID))
    width_bits, ratio_bits = _quotes(block, bid, ask)
    moved_bits = _tick_returns(block, stop - start)
    if not _fits(load_sums(memory), stop - start, moved_bits, width_bits, ratio_bits):
        return False
    _insert(memory, block, event_ns)
    return _note_leaving(memory, block, event_ns[stop - start - 1] - WINDOW_NS)


@part
def take_block(
    memory: int,
    block: int,
    sized: bool,
    start: int,
    stop: int,
    ticks: Columns,
    values: Floats,
    counts: Counts,
) -> bool:
    """Take the ticks from ``start`` to ``stop``, at most ``BLOCK``, for which the ring has room.

    ``block`` is the address of ``SCRATCH_WORDS`` words.

    Returns
    -------
    bool
        False where the block is not plain or its sums are too large; nothing has changed then.
    """
    if not _accepted(memory, block, start, stop, ticks):
        return False
    event_ns, inside, first = ticks[0][start:stop], counts[start:stop], load(memory, TAIL)
    _grid(memory, block, event_ns)
    _open_returns(block, stop - start)
    _squares(block, stop - start)
    if sized:
        _imbalances(memory, block, ticks[4][start:stop], ticks[5][start:stop])
    _differences(memory, block, event_ns, inside)
    _means(block, inside, values[0, start:stop])
    _stds(block, inside, values[1, start:stop])
    _spreads(block, inside, load_float(memory, PRICE_SCALE), values[2, start:stop])
    _intensities(inside, values[3, start:stop])
    _relatives(block, inside, values[4, start:stop])
    _rvs(block, values[5, start:stop])
    if sized:
        _mean_imbalances(memory, block, first, values[6, start:stop])
    return True
