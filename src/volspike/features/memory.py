"""The memory of the compiled window engine: one int64 array.

A header of words, the ring of ticks, and the ring of size imbalances. The rings' capacity is a power of two;
a tick's place is its counter AND the mask. Sums that can pass 64 bits take two words (low, high), the sum of
the squared tick returns three.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from volspike.features.snapshot import EVENT_NS, NO_IMBALANCE, RETURN, SIZE_IMBALANCE, SPREAD, WindowState
from volspike.features.window import SECOND_NS, WINDOW_S

Words = npt.NDArray[np.int64]

# Why the kernel did not take a tick, in place of the tick count.
FULL, BAD_QUOTE, OUT_OF_ORDER = -1, -2, -3

# Header words: those of ``kernel_sums.Sums`` first.
HEAD, TAIL = 0, 1
SUM_WORDS = 13
MASK, COVERED, LAST_NS, LAST_MID = 16, 17, 18, 19
CLOSED, CLOSED_END_NS, CLOSED_MID, SECONDS_QQ = 20, 21, 22, 23
SECONDS = 32
ROWS = 96
ROW_WORDS = 4  # event_ns, return to the next tick, spread, relative spread

_FIRST_CAPACITY = 4096


def new_memory(capacity: int = _FIRST_CAPACITY) -> Words:
    """Return the memory of an empty window with room for ``capacity`` (a power of two) ticks."""
    memory = np.zeros(ROWS + capacity * (ROW_WORDS + 1), np.int64)
    memory[MASK] = capacity - 1
    memory[CLOSED] = -1
    memory[ROWS + capacity * ROW_WORDS :] = NO_IMBALANCE
    return memory


def _rings(memory: Words) -> tuple[Words, Words]:
    capacity = int(memory[MASK]) + 1
    rows = memory[ROWS : ROWS + capacity * ROW_WORDS].reshape(capacity, ROW_WORDS)
    return rows, memory[ROWS + capacity * ROW_WORDS :]


def _inside(memory: Words) -> Words:
    return np.arange(memory[TAIL], memory[HEAD])


def grown(memory: Words) -> Words:
    """Return a copy of the memory with twice the capacity."""
    larger = new_memory(2 * (int(memory[MASK]) + 1))
    larger[:ROWS] = memory[:ROWS]
    larger[MASK] = 2 * memory[MASK] + 1
    counters = _inside(memory)
    for old, new in zip(_rings(memory), _rings(larger), strict=True):
        new[counters & larger[MASK]] = old[counters & memory[MASK]]
    return larger


def state_of(memory: Words) -> WindowState:
    """Return the state held in the memory, in the form that either engine can restore."""
    counters = _inside(memory) & memory[MASK]
    ring, imbalances = _rings(memory)
    rows = ring[counters]
    closed = int(memory[CLOSED])
    return WindowState(
        covered_since_ns=int(memory[COVERED]),
        last_ns=int(memory[LAST_NS]),
        last_mid_sum=int(memory[LAST_MID]),
        closed=closed,
        closed_mid_sum=int(memory[CLOSED_MID]),
        second_returns=memory[_second_words(closed)],
        rows=np.column_stack([rows[:, 0], np.roll(rows[:, 1], 1), rows[:, 2:], imbalances[counters]]),
    )


def _second_words(closed: int) -> Words:
    return SECONDS + np.arange(closed - WINDOW_S + 1, closed + 1) % WINDOW_S


def memory_of(state: WindowState) -> Words:
    """Return the memory that holds a state."""
    n = len(state.rows)
    memory = new_memory(max(_FIRST_CAPACITY, 1 << n.bit_length()))
    memory[:SUM_WORDS] = (
        *(n, 0),
        *to_words(state.sum_q, 2),
        *to_words(state.sum_qq, 3),
        *to_words(state.sum_spread, 2),
        *to_words(state.sum_relative, 2),
        *(sum(state.imbalances), len(state.imbalances)),
    )
    memory[COVERED], memory[LAST_NS] = state.covered_since_ns, state.last_ns
    memory[LAST_MID] = state.last_mid_sum
    memory[CLOSED], memory[CLOSED_MID] = state.closed, state.closed_mid_sum
    memory[CLOSED_END_NS] = (state.closed + 1) * SECOND_NS
    memory[SECONDS_QQ : SECONDS_QQ + 2] = to_words(state.sum_seconds, 2)
    memory[_second_words(state.closed)] = state.second_returns
    ring, imbalances = _rings(memory)
    ring[:n, 0], ring[:n, 2:] = state.rows[:, EVENT_NS], state.rows[:, SPREAD:SIZE_IMBALANCE]
    ring[: max(n - 1, 0), 1] = state.rows[1:, RETURN]
    imbalances[:n] = state.rows[:, SIZE_IMBALANCE]
    return memory


def to_words(value: int, words: int) -> list[int]:
    """Return the two's complement of an integer as signed 64-bit words, lowest first.

    Examples
    --------
    >>> to_words(-1, 2), to_words(2**64 + 5, 2)
    ([-1, -1], [5, 1])
    """
    data = value.to_bytes(8 * words, "little", signed=True)
    return [int.from_bytes(data[i : i + 8], "little", signed=True) for i in range(0, len(data), 8)]
