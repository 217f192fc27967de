"""Compiled parts of the window kernel: the fixed-point return and the grid of seconds.

``kernel`` works with them tick by tick, ``kernel_block`` block by block.
"""

from __future__ import annotations

import numpy as np

from volspike.features.fixedpoint import (
    C3,
    C5,
    C7,
    C9,
    C11,
    LN2_FIXED,
    LONG_SERIES,
    PRICE_LIMIT,
    RETURN_SCALE,
    SHORT_SERIES_LIMIT,
)
from volspike.features.memory import (
    BAD_QUOTE,
    CLOSED,
    CLOSED_END_NS,
    CLOSED_MID,
    COVERED,
    LAST_MID,
    LAST_NS,
    OUT_OF_ORDER,
    SECONDS,
    SECONDS_QQ,
)
from volspike.features.wide import add_square, load, store, subtract_square
from volspike.features.window import SECOND_NS, WINDOW_S
from volspike.jit import inlined, part


@inlined
def rounded(x: float) -> int:
    """Return the nearest integer, ties to even; x lies within int64."""
    return np.int64(np.rint(x))  # type: ignore[return-value]


@inlined
def short_series(s: float) -> int:
    """Return the log return ``2*atanh(s)`` at scale ``2**60`` for ``|s| <= 1/64``."""
    z = s * s
    p = z * (C3 + z * (C5 + z * (C7 + z * (C9 + z * C11))))
    return rounded(2.0 * (s + s * p) * RETURN_SCALE)


@part
def _long_series(s: float) -> int:
    z, p = s * s, 0.0
    for coefficient in LONG_SERIES:
        p = z * (coefficient + p)
    return rounded(2.0 * (s + s * p) * RETURN_SCALE)


@inlined
def _series(before: int, after: int) -> int:
    s = float(after - before) / float(after + before)
    return short_series(s) if abs(s) <= SHORT_SERIES_LIMIT else _long_series(s)


@part
def _far_return(low: int, high: int) -> int:
    return 2 * LN2_FIXED if high > 4 * low else LN2_FIXED + _series(2 * low, high)


@inlined
def log_return(before: int, after: int) -> int:
    """Return the log return at scale ``2**60``; 0 where there is no mid before."""
    if before == 0:
        return 0
    if after > 2 * before:
        return _far_return(before, after)
    if before > 2 * after:
        return -_far_return(after, before)
    return _series(before, after)


@inlined
def _reset_grid(memory: int, event_ns: int, covered_since_ns: int) -> None:
    closed = (event_ns - 1) // SECOND_NS
    store(memory, COVERED, covered_since_ns)
    store(memory, CLOSED, closed)
    store(memory, CLOSED_END_NS, (closed + 1) * SECOND_NS)
    store(memory, CLOSED_MID, 0)
    store(memory, SECONDS_QQ, 0)
    store(memory, SECONDS_QQ + 1, 0)
    for second in range(WINDOW_S):
        store(memory, SECONDS + second, 0)


@inlined
def close_seconds(memory: int, event_ns: int) -> None:
    """Close the seconds that end before a tick after ``CLOSED_END_NS``."""
    closed, closed_before = (event_ns - 1) // SECOND_NS, load(memory, CLOSED)
    last_mid = load(memory, LAST_MID)
    q = log_return(load(memory, CLOSED_MID), last_mid)
    low, high = load(memory, SECONDS_QQ), load(memory, SECONDS_QQ + 1)
    # Only the first of the seconds since the last tick can have moved; a whole window of others is flat.
    for second in range(closed_before + 1, min(closed, closed_before + WINDOW_S + 1) + 1):
        at = SECONDS + second % WINDOW_S
        low, high = subtract_square(low, high, load(memory, at))
        low, high = add_square(low, high, q)
        store(memory, at, q)
        q = 0
    store(memory, SECONDS_QQ, low)
    store(memory, SECONDS_QQ + 1, high)
    store(memory, CLOSED, closed)
    store(memory, CLOSED_END_NS, (closed + 1) * SECOND_NS)
    store(memory, CLOSED_MID, last_mid)


@inlined
def arrive(memory: int, event_ns: int, covered_since_ns: int, bid: int, ask: int) -> tuple[int, int]:
    """Bring the grid up to a tick.

    Returns
    -------
    status, mid_before : int
        A negative status where the tick can't be taken; the mid sum of the tick before, 0 after a break.
    """
    if bid <= 0 or ask < bid or ask >= PRICE_LIMIT:
        return BAD_QUOTE, 0
    mid_before = load(memory, LAST_MID)
    if covered_since_ns != load(memory, COVERED) or mid_before == 0:
        _reset_grid(memory, event_ns, covered_since_ns)
        mid_before = 0
    elif event_ns < load(memory, LAST_NS):
        return OUT_OF_ORDER, 0
    elif event_ns > load(memory, CLOSED_END_NS):
        close_seconds(memory, event_ns)
    store(memory, LAST_NS, event_ns)
    store(memory, LAST_MID, bid + ask)
    return 0, mid_before
