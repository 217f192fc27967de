"""The memory of the compiled flow window: one int64 array.

A header of words, a ring of ticks, and four queues. A tick's place is its counter AND the mask; an entry of
a queue is a stamp, with which it leaves the window, and a value. As no queue holds more than the ring, all
have its capacity, a power of two. Sums are two words (low, high), three where it says so.
"""

from __future__ import annotations

import numpy as np

from volspike.features.flow_values import MIDDLE_S, SHORT_S
from volspike.features.held_ticks import Ticks
from volspike.features.memory import Words
from volspike.features.window import SECOND_NS, WINDOW_S

WINDOW_NS, MIDDLE_NS, SHORT_NS = (span_s * SECOND_NS for span_s in (WINDOW_S, MIDDLE_S, SHORT_S))

# Header words. What follows COVERED is 0 in an empty window.
MASK, COVERED = 0, 1
HEAD, TAIL, TAIL_MIDDLE, TAIL_SHORT = 2, 3, 4, 5
SWEEP, REVERSALS, TIES, SIZED = 6, 7, 8, 9
GAP_SQUARES, PATH, RELATIVE, MICROPRICE, BID_SIZES, SIZES = 10, 12, 14, 16, 18, 20
RELATIVE_SQUARES = 22  # three words
# The order flow over each span, then the sizes seen by it.
FLOW_WINDOW, FLOW_SHORT = 25, 29
# Front and back of each queue.
QUEUES = 33
MOVES, RETURNS, SPREADS, SWEEPS = 0, 1, 2, 3
_QUEUES = 4
HEADER_WORDS = 41
# Where a live step puts its values.
OUT = 48
TICKS = 96

# A tick in the ring. The return is that from the tick before it, the microprice is over the mid and less 1.
EVENT_NS, BID, ASK, BID_SIZE, ASK_SIZE, RETURN, SPREAD, MICRO = range(8)
TICK_WORDS = 8
ENTRY_WORDS = 2

_FIRST_CAPACITY = 512


def new_memory(capacity: int, queues: int = _QUEUES) -> Words:
    """Return the memory of an empty window with room for ``capacity`` (a power of two) ticks."""
    memory = np.empty(TICKS + capacity * (TICK_WORDS + queues * ENTRY_WORDS), np.int64)
    memory[:TICKS] = 0
    memory[MASK] = capacity - 1
    return memory


def capacity_for(ticks: int) -> int:
    """Return a capacity with room for a number of ticks and at least one more."""
    return max(_FIRST_CAPACITY, 1 << ticks.bit_length())


def ticks_of(memory: Words, words: int) -> Ticks:
    """Return the first words of the ticks inside the window, oldest first, int64[n, words]."""
    capacity = int(memory[MASK]) + 1
    ticks = memory[TICKS : TICKS + capacity * TICK_WORDS].reshape(-1, TICK_WORDS)
    inside = np.arange(memory[TAIL], memory[HEAD]) & memory[MASK]
    return ticks[inside, :words]
