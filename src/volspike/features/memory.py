"""The memory of the compiled window engine: one int64 array.

A header of words, the ring of ticks, and the ring of size imbalances. The rings' capacity is a power of two;
a tick's place is its counter AND the mask. A tick's row holds the running sums before it, modulo ``2**64``: a
sum over the window is a difference of two rows, and what one tick adds is the difference to the next row. The
header also holds the window's sums in full width, for windows that a modulus could not tell apart: two words
(low, high) each, three for the squared returns.
"""

from __future__ import annotations

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
from volspike.features.window import SECOND_NS, WINDOW_S

Words = npt.NDArray[np.int64]

# Why the kernel did not take a tick, in place of the tick count.
FULL, BAD_QUOTE, OUT_OF_ORDER = -1, -2, -3

# Header words: those of ``kernel_sums.Sums`` first, then those of ``kernel_sums.Running``.
HEAD, TAIL = 0, 1
SUM_WORDS = 11
RUNNING, RUNNING_WORDS = 11, 5
PRICE_SCALE = 16  # the bits of a float64
MASK, COVERED, LAST_NS, LAST_MID = 17, 18, 19, 20
CLOSED, CLOSED_END_NS, CLOSED_MID, SECONDS_QQ = 21, 22, 23, 24
SECONDS = 32
ROWS = 96

# A row: event_ns, then the running sums before the tick. The return from one tick to the next counts as the
# earlier one's, because it leaves the window with it.
ROW_WORDS = 4
SUM_Q, SUM_SPREAD, SUM_RELATIVE = 1, 2, 3
# A row of the ring of imbalances: their running sum, and the number that is known.
SIZE_WORDS = 2

_FIRST_CAPACITY = 4096


def new_memory(price_scale: float, capacity: int = _FIRST_CAPACITY) -> Words:
    """Return the memory of an empty window with room for ``capacity`` (a power of two) ticks."""
    memory = np.zeros(ROWS + capacity * (ROW_WORDS + SIZE_WORDS), np.int64)
    memory[MASK] = capacity - 1
    memory[CLOSED] = -1
    memory[PRICE_SCALE : PRICE_SCALE + 1].view(np.float64)[0] = price_scale
    return memory


def _rings(memory: Words) -> tuple[Words, Words]:
    capacity = int(memory[MASK]) + 1
    sizes_from = ROWS + capacity * ROW_WORDS
    return memory[ROWS:sizes_from].reshape(-1, ROW_WORDS), memory[sizes_from:].reshape(-1, SIZE_WORDS)


def _inside(memory: Words) -> Words:
    return np.arange(memory[TAIL], memory[HEAD])


def grown(memory: Words) -> Words:
    """Return a copy of the memory with twice the capacity."""
    capacity, first = int(memory[MASK]) + 1, int(memory[TAIL] & memory[MASK])
    larger = np.zeros(2 * len(memory) - ROWS, np.int64)
    larger[:ROWS] = memory[:ROWS]
    larger[HEAD], larger[TAIL] = memory[HEAD] - memory[TAIL], 0
    larger[MASK] = 2 * capacity - 1
    rings = list(zip(_rings(memory), _rings(larger), strict=True))
    # Where no tick has had sizes, their ring is all zero, and pages never touched cost nothing.
    for old, new in rings if memory[RUNNING + RUNNING_WORDS - 1] else rings[:1]:
        new[: capacity - first] = old[first:]
        new[capacity - first : capacity] = old[:first]
    return larger


def state_of(memory: Words) -> WindowState:
    """Return the state held in the memory, in the form that either engine can restore."""
    counters = _inside(memory) & memory[MASK]
    ring, sizes = _rings(memory)
    before = np.column_stack([ring[counters, 1:], sizes[counters]])
    q, spread, relative, imbalance, sized = np.diff(
        before, axis=0, append=memory[None, RUNNING : RUNNING + RUNNING_WORDS]
    ).T
    imbalance = np.where(sized > 0, imbalance, NO_IMBALANCE)
    closed = int(memory[CLOSED])
    return WindowState(
        covered_since_ns=int(memory[COVERED]),
        last_ns=int(memory[LAST_NS]),
        last_mid_sum=int(memory[LAST_MID]),
        closed=closed,
        closed_mid_sum=int(memory[CLOSED_MID]),
        second_returns=memory[_second_words(closed)],
        rows=np.column_stack([ring[counters, 0], np.roll(q, 1), spread, relative, imbalance]),
    )


def _second_words(closed: int) -> Words:
    return SECONDS + np.arange(closed - WINDOW_S + 1, closed + 1) % WINDOW_S


def memory_of(state: WindowState, price_scale: float) -> Words:
    """Return the memory that holds a state."""
    n = len(state.rows)
    memory = new_memory(price_scale, max(_FIRST_CAPACITY, 1 << n.bit_length()))
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
    ring, sizes = _rings(memory)
    sums = _running_sums(state.rows)
    ring[:n, 0], ring[:n, 1:], sizes[:n] = state.rows[:, EVENT_NS], sums[:-1, :3], sums[:-1, 3:]
    memory[RUNNING : RUNNING + RUNNING_WORDS] = sums[-1]
    return memory


def _running_sums(rows: Words) -> Words:
    """Return the running sums before each row and, last, after all of them, shape (n + 1, 5)."""
    known = rows[:, SIZE_IMBALANCE] != NO_IMBALANCE
    imbalances = np.where(known, rows[:, SIZE_IMBALANCE], 0)
    sums = np.zeros((len(rows) + 1, RUNNING_WORDS), np.int64)
    # The return into a row is the earlier row's, hence in the sums before it; the first row has none.
    each = [np.roll(rows[:, RETURN], -1), rows[:, SPREAD], rows[:, RELATIVE], imbalances, known]
    np.cumsum(np.column_stack(each), axis=0, out=sums[1:])
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
