"""The memory of the compiled trade window, laid out as ``flow_memory`` says, with words of its own.

The first header words, the ring of ticks and the queues are in the same places, so the parts that work on
those are shared. There is one queue.
"""

from __future__ import annotations

import numpy as np

from volspike.features.flow_memory import QUEUES, new_memory
from volspike.features.memory import Words

# Header words behind ``flow_memory.TAIL_SHORT``. Sums are two words (low, high), three where it says so.
SIZED, SIZED_SHORT, TRIPLES = 6, 7, 8
VOLUME, VOLUME_SHORT, ABOVE, BELOW, PATH = 9, 11, 13, 15, 17
NOTIONAL, PRODUCTS = 19, 22  # three words each
LARGEST = 0  # the queue
HEADER_WORDS = QUEUES + 2
PRICE_SCALE = 40  # the bits of a float64

# Words of a tick behind its quote. SIDE is 1 where the price lies above the mid of the tick before, -1 where
# below; RETURN is that of the price from the tick before. Both are 0 where there is none.
PRICE, SIZE, VOLUME_24H, RETURN, SIDE = range(3, 8)


def new_trade_memory(price_scale: float, capacity: int) -> Words:
    """Return the memory of an empty window with room for ``capacity`` (a power of two) ticks."""
    memory = new_memory(capacity, queues=1)
    memory[PRICE_SCALE : PRICE_SCALE + 1].view(np.float64)[0] = price_scale
    return memory
