"""The compiled twin of admission for frames of which nothing needs to be decided.

That is a quote in time and in order, on a whole feed, without a jump; or a heartbeat. The first frame that is
anything else is left untouched for ``Admission``, which stays the definition and keeps the state. In
replay it takes what ``recording.scanner`` has read.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from volspike import jit, records
from volspike.features import admission as definition
from volspike.features import coverage, table
from volspike.features.admission import FUTURE_LIMIT_NS, PAST_LIMIT_NS, Admission
from volspike.features.coverage import HEARTBEAT_LIMIT_NS, MARK_AFTER_NS, MARK_SLACK_NS, SILENCE_LIMIT_NS
from volspike.features.table import ADMITTED_COLUMNS, MARK, TICK
from volspike.jit import entry, inlined, keyed_by, part, sources_digest
from volspike.recording import template as shapes
from volspike.recording import wire_bytes
from volspike.recording.frame import SegmentHeader
from volspike.recording.template import (
    ASK,
    ASK_SIZE,
    BEAT,
    BID,
    BID_SIZE,
    EVENT_NS,
    ITEM_WIDTH,
    KIND,
    LAST_PRICE,
    LAST_SIZE,
    MAX_ROWS,
    PRODUCT_INDEX,
    RECEIVE_NS,
    ROW,
    ROWS,
    SEQ,
    SEQUENCE,
    TRADE_ID,
    VOLUME_24H,
)
from volspike.recording.wire_bytes import load, store
from volspike.records import UNKNOWN

DONE, ROOM, PLAIN = 0, 1, 2

# Rows of what was admitted: `ADMITTED_COLUMNS`, then the product's index.
PRODUCT_ROW = len(ADMITTED_COLUMNS)

# Words of a product's state.
_NEWEST, _COVERED, _HEARTBEAT, _MID, _TICK_NS, _TRADE_ID, _PLAIN_ONLY, _RECEIVE = range(8)
_STATE_WORDS = 8
# Words of the link: the newest counter, then counts.
_LAST, _FRAMES, _TICKS, _MARKS, _BEATS = range(5)

_MID_LIMIT = 1 << 60
# What a mark has in the columns of a tick behind its times.
_NO_TICK = (0,) * (len(ADMITTED_COLUMNS) - 5)

_SOURCES = (coverage, definition, jit, records, shapes, table, wire_bytes)

Words = npt.NDArray[np.int64]


@inlined
def _out_of_turn(sequence: int, last: int, heartbeats: bool) -> bool:
    return last != UNKNOWN and (sequence <= last or (heartbeats and sequence > last + 1))


@inlined
def _is_broken(state: int, event_ns: int, heartbeats: bool) -> bool:
    """Tell whether coverage would break before a tick at ``event_ns``."""
    if heartbeats:
        beat_ns = load(state, _HEARTBEAT)
        return bool(beat_ns != UNKNOWN and event_ns - beat_ns > HEARTBEAT_LIMIT_NS)
    newest_ns = load(state, _NEWEST)
    return bool(newest_ns != UNKNOWN and event_ns - newest_ns > SILENCE_LIMIT_NS)


@inlined
def _needs_thought(item: int, state: int, heartbeats: bool) -> bool:
    """Tell whether a quote might be anything but the next tick."""
    event_ns, trade_id = load(item, EVENT_NS), load(item, TRADE_ID)
    ahead_ns = event_ns - load(item, RECEIVE_NS)
    if load(state, _PLAIN_ONLY) or load(state, _COVERED) == UNKNOWN or event_ns < load(state, _NEWEST):
        return True
    if ahead_ns > FUTURE_LIMIT_NS or ahead_ns < -PAST_LIMIT_NS:
        return True
    if trade_id != UNKNOWN and trade_id <= load(state, _TRADE_ID):
        return True
    mid_sum, before = load(item, BID) + load(item, ASK), load(state, _MID)
    if 3 * abs(mid_sum - before) > mid_sum + before or event_ns - load(state, _TICK_NS) > PAST_LIMIT_NS:
        return True
    return bool(_is_broken(state, event_ns, heartbeats))


@inlined
def _write(out: int, capacity: int, m: int, values: tuple[int, ...]) -> None:
    """Write row ``m`` of what was admitted; the columns lie one after the other."""
    for column in range(len(values)):
        store(out, column * capacity + m, values[column])


@inlined
def _tick(item: int, state: int, heartbeats: bool, out: int, capacity: int, m: int) -> None:
    event_ns, trade_id, before = load(item, EVENT_NS), load(item, TRADE_ID), load(state, _TRADE_ID)
    if heartbeats and load(state, _HEARTBEAT) == UNKNOWN:
        store(state, _HEARTBEAT, event_ns)
    store(state, _NEWEST, event_ns)
    store(state, _TICK_NS, event_ns)
    store(state, _RECEIVE, load(item, RECEIVE_NS))
    store(state, _TRADE_ID, trade_id)
    store(state, _MID, load(item, BID) + load(item, ASK))
    suspect = 1 if trade_id != UNKNOWN and before != UNKNOWN and trade_id != before + 1 else 0
    times = (event_ns, load(state, _COVERED))
    prices = (load(item, BID), load(item, ASK), load(item, BID_SIZE), load(item, ASK_SIZE))
    place = (TICK, load(item, SEQ), load(item, ROW))
    trade = (load(item, LAST_PRICE), load(item, LAST_SIZE), load(item, VOLUME_24H))
    _write(out, capacity, m, (*place, *times, *prices, suspect, *trade, load(item, PRODUCT_INDEX)))


@inlined
def _state(states: int, item: int) -> int:
    return states + 8 * _STATE_WORDS * load(item, PRODUCT_INDEX)


@part
def _take_quotes(
    item: int, rows: int, states: int, heartbeats: bool, out: int, capacity: int, m: int
) -> bool:
    """Take the quotes of a frame; False where one needs thought.

    The rows before that one change nothing: they carry no trade id and one time, and no two of them are a
    jump apart, so that ``Admission`` answers them again as if they had never been seen.
    """
    for row in range(rows):
        here = item + 8 * ITEM_WIDTH * row
        if _needs_thought(here, _state(states, here), heartbeats):
            return False
        _tick(here, _state(states, here), heartbeats, out, capacity, m + row)
    return True


@part
def _take_beat(item: int, states: int, products: int, out: int, capacity: int, m: int) -> int:
    """Take a heartbeat of one product, or of all; return the rows it adds, or -1 where it breaks coverage."""
    first, stop = load(item, PRODUCT_INDEX), load(item, PRODUCT_INDEX) + 1
    if first == UNKNOWN:
        first, stop = 0, products
    event_ns, added = load(item, EVENT_NS), 0
    for product in range(first, stop):
        state = states + 8 * _STATE_WORDS * product
        covered = load(state, _COVERED) != UNKNOWN
        if load(state, _PLAIN_ONLY) or (covered and _is_broken(state, event_ns, True)):
            return -1
    mark_ns = event_ns - MARK_SLACK_NS
    for product in range(first, stop):
        state = states + 8 * _STATE_WORDS * product
        store(state, _HEARTBEAT, max(event_ns, load(state, _HEARTBEAT)))
        covered_since_ns = load(state, _COVERED)
        if covered_since_ns != UNKNOWN and mark_ns >= load(state, _NEWEST) + MARK_AFTER_NS:
            store(state, _NEWEST, mark_ns)
            place = (MARK, load(item, SEQ), load(item, ROW))
            _write(out, capacity, m + added, (*place, mark_ns, covered_since_ns, *_NO_TICK, product))
            added += 1
    return added


@part
def _admit(
    items: int,
    i: int,
    n: int,
    states: int,
    products: int,
    link: int,
    counted: bool,
    heartbeats: bool,
    out: int,
    capacity: int,
) -> tuple[int, int, int]:
    """Admit the items from ``i`` to ``n``; all memory is given by its address.

    Returns
    -------
    i, m, status : int
        The first item not taken; rows in ``out``; ``DONE``, ``ROOM`` where ``out`` is full, or ``PLAIN``
        where the frame of that item needs thought.
    """
    m = 0
    while i < n:
        item = items + 8 * ITEM_WIDTH * i
        rows, sequence = load(item, ROWS), load(item, SEQUENCE)
        if m + max(rows, products) > capacity:
            return i, m, ROOM
        if counted and _out_of_turn(sequence, load(link, _LAST), heartbeats):
            return i, m, PLAIN
        if load(item, KIND) == BEAT:
            added = _take_beat(item, states, products, out, capacity, m)
            if added < 0:
                return i, m, PLAIN
            store(link, _BEATS, load(link, _BEATS) + 1)
            store(link, _MARKS, load(link, _MARKS) + added)
            m += added
        elif _take_quotes(item, rows, states, heartbeats, out, capacity, m):
            store(link, _TICKS, load(link, _TICKS) + rows)
            m += rows
        else:
            return i, m, PLAIN
        if counted:
            store(link, _LAST, sequence)
        store(link, _FRAMES, load(link, _FRAMES) + 1)
        i += rows
    return n, m, DONE


def _entry_point(digest: int) -> Callable[..., tuple[int, int, int]]:
    @entry("UniTuple(int64, 3)(int64, int64, int64, int64, int64, int64, boolean, boolean, int64, int64)")
    def admit(
        items: int,
        i: int,
        n: int,
        states: int,
        products: int,
        link: int,
        counted: bool,
        heartbeats: bool,
        out: int,
        capacity: int,
    ) -> tuple[int, int, int]:
        keyed_by(digest)
        return _admit(items, i, n, states, products, link, counted, heartbeats, out, capacity)

    return admit


# admit(items, i, n, states, products, link, counted, heartbeats, out, capacity) -> as ``_admit``.
admit = _entry_point(sources_digest(*_SOURCES))


class AdmittedCounts(NamedTuple):
    """What a run admitted since it was last asked."""

    frames: int
    ticks: int
    marks: int
    beats: int


class AdmissionRun:
    """Admits scanned items on a copy of the state of ``Admission``.

    Parameters
    ----------
    admission : Admission
        Begun with ``header``. Between ``load`` and ``store`` it must not be used.
    header : SegmentHeader
        Of the session; it names its products.
    capacity : int
        Rows that one call of ``admit`` may return.
    """

    def __init__(self, admission: Admission, header: SegmentHeader, capacity: int = 4096) -> None:
        products = tuple(dict.fromkeys(header.products))
        self._admission = admission
        self._products = products
        self._flags = (header.dialect == "advanced", header.heartbeats)
        self._states = np.zeros((len(products), _STATE_WORDS), np.int64)
        self._link = np.zeros(5, np.int64)
        self.rows = np.zeros((len(ADMITTED_COLUMNS) + 1, max(capacity, len(products) + MAX_ROWS)), np.int64)

    def load(self) -> None:
        """Copy the state in."""
        for index, product in enumerate(self._products):
            self._states[index] = self._words(product)
        self._link[_LAST] = self._admission.sequence

    def _words(self, product: str) -> tuple[int, ...]:
        state = self._admission.known(product)
        if state is None or state.mid_sum >= _MID_LIMIT:
            return (0,) * _PLAIN_ONLY + (1, 0)
        coverage = state.coverage
        # While a change of level is under suspicion, every frame needs thought.
        plain_only = coverage.covered_since_ns != UNKNOWN and bool(state.rejected_mids)
        return (
            coverage.newest_ns,
            coverage.covered_since_ns,
            coverage.heartbeat_ns,
            state.mid_sum,
            state.tick_ns,
            state.trade_id,
            int(plain_only),
            state.tick_receive_ns,
        )

    def store(self) -> AdmittedCounts:
        """Copy the state back; return what was admitted since."""
        for product, words in zip(self._products, self._states.tolist(), strict=True):
            state = self._admission.known(product)
            if state is None or words[_PLAIN_ONLY]:
                continue
            state.coverage.newest_ns, state.coverage.heartbeat_ns = words[_NEWEST], words[_HEARTBEAT]
            state.mid_sum, state.tick_ns, state.trade_id = words[_MID], words[_TICK_NS], words[_TRADE_ID]
            state.tick_receive_ns = words[_RECEIVE]
            state.top_trade_id = max(state.top_trade_id, state.trade_id)  # it rose from tick to tick
        last, frames, ticks, marks, beats = self._link.tolist()
        self._admission.advance(last, frames)
        self._link[_FRAMES:] = 0
        return AdmittedCounts(frames, ticks, marks, beats)

    def admit(self, items: Words, i: int, n: int) -> tuple[int, int, int]:
        """Admit items into ``rows``; see the compiled ``_admit``."""
        memory = (self._states.ctypes.data, len(self._products), self._link.ctypes.data)
        rows = (self.rows.ctypes.data, self.rows.shape[1])
        return admit(items.ctypes.data, i, n, *memory, *self._flags, *rows)
