"""The memory of the compiled window engine: one int64 array.

A header of words, and rings of times, rows and size imbalances. The rings' capacity is a power of two; a
tick's place is its counter AND the mask. A tick's row holds the running sums before it, modulo ``2**64``
(squared returns ``2**128``): a sum over the window is a difference of two rows, and what one tick adds is the
difference to the next row. The header also holds the window's sums in full width, for windows that a modulus
could not tell apart: two words (low, high) each, three for the squared returns.
"""

from __future__ import annotations

from itertools import accumulate

import numpy as np
import numpy.typing as npt

from volspike.features.snapshot import (
    EVENT_NS,
    NO_IMBALANCE,
    RELATIVE,
    RETURN,
    SIZE_IMBALANCE,
    SPREAD,
    WindowState,
)
from volspike.features.window import SECOND_NS, WINDOW_NS, WINDOW_S

Words = npt.NDArray[np.int64]

# Why the kernel did not take a tick, in place of the tick count.
FULL, BAD_QUOTE, OUT_OF_ORDER = -1, -2, -3

# Header words: those of ``kernel_sums.Sums`` first, then those of ``kernel_sums.Running``.
HEAD, TAIL = 0, 1
SUM_WORDS = 11
RUNNING, RUNNING_WORDS = 11, 7
PRICE_SCALE = 18  # the bits of a float64
MASK, COVERED, LAST_NS, LAST_MID = 19, 20, 21, 22
CLOSED, CLOSED_END_NS, CLOSED_MID, SECONDS_QQ = 23, 24, 25, 26
SECONDS = 32
TIMES = 96

# Behind the ring of times its first words stand once more, so that AHEAD times can be read at once anywhere.
AHEAD = 16
# A row: the running sums before the tick. The return from one tick to the next counts as the earlier one's,
# because it leaves the window with it.
ROW_WORDS = 5
SUM_Q, SUM_QQ, SUM_SPREAD, SUM_RELATIVE = 0, 1, 3, 4
# A row of the ring of imbalances: their running sum, and the number that is known.
SIZE_WORDS = 2

_FIRST_CAPACITY = 4096


def new_memory(price_scale: float, sized: bool, capacity: int = _FIRST_CAPACITY) -> Words:
    """Return the memory of an empty window with room for ``capacity`` (a power of two) ticks."""
    row_words = 1 + ROW_WORDS + (SIZE_WORDS if sized else 0)
    memory = np.empty(TIMES + AHEAD + capacity * row_words, np.int64)
    memory[:TIMES] = 0
    memory[MASK] = capacity - 1
    memory[CLOSED] = -1
    memory[PRICE_SCALE : PRICE_SCALE + 1].view(np.float64)[0] = price_scale
    return memory


def _rings(memory: Words) -> tuple[Words, Words, Words]:
    """Return the rings of times, rows and, of length 0 where sizes are not kept, of size imbalances."""
    capacity = int(memory[MASK]) + 1
    rows_from = TIMES + capacity + AHEAD
    sizes_from = rows_from + capacity * ROW_WORDS
    return (
        memory[TIMES : TIMES + capacity],
        memory[rows_from:sizes_from].reshape(-1, ROW_WORDS),
        memory[sizes_from:].reshape(-1, SIZE_WORDS),
    )


def most_inside(event_ns: Words) -> int:
    """Return about how many ticks of a batch a window holds at most, from every 1024th of them."""
    newest = np.arange(0, len(event_ns), 1024)
    oldest = np.searchsorted(event_ns, event_ns[newest] - WINDOW_NS, side="right")
    return int((newest - oldest).max()) + 1024


def grown(memory: Words, room: int) -> Words:
    """Return a copy of the memory with twice the capacity, or more where that has no ``room``."""
    before, (_, _, sizes) = int(memory[MASK]) + 1, _rings(memory)
    capacity = 2 * before
    while capacity < room:
        capacity *= 2
    larger = new_memory(0.0, len(sizes) > 0, capacity)
    larger[:TIMES] = memory[:TIMES]
    larger[HEAD], larger[TAIL] = memory[HEAD] - memory[TAIL], 0
    larger[MASK] = capacity - 1
    first = int(memory[TAIL]) % before
    for old, new in zip(_rings(memory), _rings(larger), strict=True):
        new[: len(old) - first] = old[first:]
        new[len(old) - first : len(old)] = old[:first]
    return larger


def state_of(memory: Words) -> WindowState:
    """Return the state held in the memory, in the form that either engine can restore."""
    times, rows, sizes = _rings(memory)
    inside = np.arange(memory[TAIL], memory[HEAD]) & memory[MASK]
    before = np.zeros((len(inside), RUNNING_WORDS), np.int64)
    before[:, :ROW_WORDS] = rows[inside]
    if len(sizes):
        before[:, ROW_WORDS:] = sizes[inside]
    running = memory[None, RUNNING : RUNNING + RUNNING_WORDS]
    q, _, _, spread, relative, imbalance, sized = np.diff(before, axis=0, append=running).T
    imbalance = np.where(sized > 0, imbalance, NO_IMBALANCE)
    closed = int(memory[CLOSED])
    return WindowState(
        covered_since_ns=int(memory[COVERED]),
        last_ns=int(memory[LAST_NS]),
        last_mid_sum=int(memory[LAST_MID]),
        closed=closed,
        closed_mid_sum=int(memory[CLOSED_MID]),
        second_returns=memory[_second_words(closed)],
        rows=np.column_stack([times[inside], np.roll(q, 1), spread, relative, imbalance]),
    )


def _second_words(closed: int) -> Words:
    return SECONDS + np.arange(closed - WINDOW_S + 1, closed + 1) % WINDOW_S


def memory_of(state: WindowState, price_scale: float, sized: bool) -> Words:
    """Return the memory that holds a state."""
    n = len(state.rows)
    memory = new_memory(price_scale, sized, max(_FIRST_CAPACITY, 1 << n.bit_length()))
    memory[:SUM_WORDS] = (
        *(n, 0),
        *to_words(state.sum_q, 2),
        *to_words(state.sum_qq, 3),
        *to_words(state.sum_spread, 2),
        *to_words(state.sum_relative, 2),
    )
    memory[COVERED], memory[LAST_NS] = state.covered_since_ns, state.last_ns
    memory[LAST_MID] = state.last_mid_sum
    memory[CLOSED], memory[CLOSED_MID] = state.closed, state.closed_mid_sum
    memory[CLOSED_END_NS] = (state.closed + 1) * SECOND_NS
    memory[SECONDS_QQ : SECONDS_QQ + 2] = to_words(state.sum_seconds, 2)
    memory[_second_words(state.closed)] = state.second_returns
    times, rows, sizes = _rings(memory)
    sums = _running_sums(state.rows)
    times[:n], rows[:n] = state.rows[:, EVENT_NS], sums[:-1, :ROW_WORDS]
    if sized:
        sizes[:n] = sums[:-1, ROW_WORDS:]
    memory[RUNNING : RUNNING + RUNNING_WORDS] = sums[-1]
    return memory


def _running_sums(rows: Words) -> Words:
    """Return the running sums before each row and, last, after all of them, shape (n + 1, 7)."""
    known = rows[:, SIZE_IMBALANCE] != NO_IMBALANCE
    imbalances = np.where(known, rows[:, SIZE_IMBALANCE], 0)
    sums = np.zeros((len(rows) + 1, RUNNING_WORDS), np.int64)
    # The return into a row is the earlier row's, hence in the sums before it; the first row has none.
    q = np.roll(rows[:, RETURN], -1)
    each = [q, 0 * q, 0 * q, rows[:, SPREAD], rows[:, RELATIVE], imbalances, known]
    np.cumsum(np.column_stack(each), axis=0, out=sums[1:])
    squares = accumulate((value * value for value in q.tolist()), initial=0)
    sums[:, SUM_QQ : SUM_QQ + 2] = [to_words(total, 3)[:2] for total in squares]
    return sums


def to_words(value: int, words: int) -> list[int]:
    """Return the two's complement of an integer as signed 64-bit words, lowest first.

    Examples
    --------
    >>> to_words(-1, 2), to_words(2**64 + 5, 2)
    ([-1, -1], [5, 1])
    """
    data = value.to_bytes(8 * words, "little", signed=True)
    return [int.from_bytes(data[i : i + 8], "little", signed=True) for i in range(0, len(data), 8)]
