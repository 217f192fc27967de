"""The compiled scanner: lines of known shapes to integers, a block at a time, each checked against its crc.

It accepts a line only where the general decoder is sure to read the same integers: digits, ranges, dates,
at most nine fractional digits, no escape, nothing beyond the scale. Anything else stops it at that line.

On its way through a line it copies what the crc covers, without escapes, to where it is computed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from volspike import jit, records
from volspike.jit import entry, inlined, keyed_by, part, sources_digest
from volspike.recording import checksum, scanned_numbers, wire_bytes
from volspike.recording import program as layout
from volspike.recording import template as shapes
from volspike.recording.checksum import ROOM, crc32
from volspike.recording.program import (
    BEHIND_STEPS,
    COLUMN,
    COVERED,
    COVERED_LENGTH,
    DECIMALS,
    FIRST_STEP,
    HEAD_WORDS,
    KIND_OF,
    LENGTH,
    LITERAL,
    MINUTE,
    MINUTE_END,
    MINUTE_NS,
    NAME,
    NAME_LENGTH,
    PRODUCTS,
    RECORD_WORDS,
    STEP_WORDS,
    TEMPLATES,
    VALUE,
    Program,
)
from volspike.recording.reader import SPARE_BYTES
from volspike.recording.scanned_numbers import (
    POWERS,
    count_at,
    decimal_at,
    digits_number,
    length_before,
    volume_at,
)
from volspike.recording.template import (
    ASK,
    ASK_SIZE,
    BID,
    BID_SIZE,
    CHECK,
    COUNT,
    ITEM_WIDTH,
    KIND,
    LAST_PRICE,
    LAST_SIZE,
    LINE,
    MAX_ROWS,
    NEXT_ROW,
    NOTHING,
    PRICE,
    PRODUCT,
    PRODUCT_INDEX,
    QUOTE,
    ROW,
    ROWS,
    SEQUENCE,
    TEXT,
    TIME,
    TRADE_ID,
    VOLUME,
    VOLUME_24H,
    Template,
)
from volspike.recording.wire_bytes import (
    SPAN,
    byte_at,
    copy_span,
    differing,
    load,
    no_digit_marks,
    signed,
    special_marks,
    store,
    word_at,
)
from volspike.records import SIZE_DECIMALS, UNKNOWN

SCANNED, ITEMS_FULL, MISMATCH = 0, 1, 2

_MAX_TEMPLATES = 32
_NO_LINE = _NO_CRC = -1
_NEWLINE = ord("\n")

_SOURCES = (checksum, jit, layout, records, scanned_numbers, shapes, wire_bytes)

Bytes = npt.NDArray[np.uint8]
Words = npt.NDArray[np.int64]

_U0, _U1 = np.uint64(0), np.uint64(1)
_DAYS_BEFORE = np.array([0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334], np.int64)
_DAYS_IN = np.array([31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31], np.int64)
_SECOND_NS = 1_000_000_000
_BEFORE_1970 = 719_162


@inlined
def _stands(p: int, step: int, out: int) -> bool:
    """Tell whether the literal of a step stands at ``p``; copy to ``out`` what of it the crc covers."""
    literal, covered, length = load(step, LITERAL), load(step, COVERED), load(step, LENGTH)
    while length > SPAN:
        if differing(p, literal) != _U0:
            return False
        copy_span(covered, out)
        p, literal, covered, out, length = p + SPAN, literal + SPAN, covered + SPAN, out + SPAN, length - SPAN
    copy_span(covered, out)
    return bool(differing(p, literal) & ((_U1 << np.uint64(length)) - _U1) == _U0)


@inlined
def _text(p: int, step: int, out: int) -> int:
    """Copy a plain text to ``out``; return its length."""
    length = 0
    marks = special_marks(p)
    copy_span(p, out)
    while marks == _U0:  # the end of the line is special
        length += SPAN
        marks = special_marks(p + length)
        copy_span(p + length, out + length)
    return length + length_before(marks, step)


@inlined
def _pair(p: int) -> int:
    """Return the number of two digits, or a large one."""
    tens, ones = byte_at(p) - 48, byte_at(p + 1) - 48
    return tens * 10 + ones if 0 <= tens <= 9 and 0 <= ones <= 9 else 1 << 20


@inlined
def _epoch_day(p: int) -> int:
    """Return the days since 1970 of ``YYYY-MM-DD``, or -1."""
    year, month, day = _pair(p) * 100 + _pair(p + 2), _pair(p + 5), _pair(p + 8)
    if byte_at(p + 4) != 45 or byte_at(p + 7) != 45 or not 1970 <= year <= 2261 or not 1 <= month <= 12:
        return _NO_LINE
    is_leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    if not 1 <= day <= _DAYS_IN[month - 1] + (is_leap and month == 2):
        return _NO_LINE
    past = year - 1
    days = past * 365 + past // 4 - past // 100 + past // 400
    return days + int(_DAYS_BEFORE[month - 1]) + (is_leap and month > 2) + day - 1 - _BEFORE_1970


@part
def _minute(p: int, program: int) -> bool:
    """Read ``YYYY-MM-DDTHH:MM`` into the program, which keeps the latest; False where it is none."""
    day, hour, minute = _epoch_day(p), _pair(p + 11), _pair(p + 14)
    if day < 0 or hour > 23 or minute > 59 or byte_at(p + 10) != 84 or byte_at(p + 13) != 58:
        return False
    store(program, MINUTE, signed(word_at(p)))
    store(program, MINUTE_END, signed(word_at(p + 8)))
    store(program, MINUTE_NS, (day * 86_400 + hour * 3600 + minute * 60) * _SECOND_NS)
    return True


@inlined
def _time(p: int, step: int, program: int) -> tuple[int, int]:
    """Return (ns, length) of an RFC 3339 time in UTC, length -1 where it is none, or a leap second."""
    latest = program + 8 * MINUTE
    if (word_at(p) != word_at(latest) or word_at(p + 8) != word_at(latest + 8)) and not _minute(p, program):
        return 0, _NO_LINE
    second = _pair(p + 17)
    if second > 59 or byte_at(p + 16) != 58:
        return 0, _NO_LINE
    time_ns, length = load(program, MINUTE_NS) + second * _SECOND_NS, 19
    if byte_at(p + length) == 46:
        digits = length_before(no_digit_marks(p + length + 1), step)
        if digits == 0 or digits > 9:
            return 0, _NO_LINE
        time_ns += digits_number(p + length + 1, digits) * POWERS[9 - digits]
        length += 1 + digits
    return (time_ns, length + 1) if byte_at(p + length) == 90 else (0, _NO_LINE)


@inlined
def _record(program: int, index: int) -> int:
    return program + 8 * (HEAD_WORDS + RECORD_WORDS * index)


@part
def _product(p: int, step: int, program: int) -> tuple[int, int, int]:
    """Return (index, decimals, length) of a known product's name, length -1 where it is none."""
    length = length_before(special_marks(p), step)
    first = load(program, TEMPLATES)
    for i in range(load(program, PRODUCTS)):
        name = _record(program, first + i)
        if load(name, NAME_LENGTH) == length:
            marks = differing(p, load(name, NAME)) & ((_U1 << np.uint64(length)) - _U1)
            if marks == _U0:
                return i, load(name, DECIMALS), length
    return 0, 0, _NO_LINE


@part
def _walk(p: int, out: int, program: int, template: int, items: int) -> tuple[int, int, int]:
    """Walk a template over the line at ``p``: its items to ``items``, what its crc covers to ``out``.

    Returns
    -------
    p, out, crc : int
        Where the two end, ``p`` -1 where the line is another; the crc it claims, -1 where it has none.
    """
    record = _record(program, template)
    step, behind = load(record, FIRST_STEP), load(record, BEHIND_STEPS)
    item, rows, decimals, crc = items, 1, 0, _NO_CRC
    _clear(item)
    while step < behind:
        value = load(step, VALUE)
        if not _stands(p, step, out):
            if value != NEXT_ROW:
                return _NO_LINE, out, crc
            step += 8 * STEP_WORDS
            continue
        p += load(step, LENGTH)
        out += load(step, COVERED_LENGTH)
        length = 0
        if value == TEXT:
            length = _text(p, step, out)
        elif value == CHECK:
            crc, length = count_at(p, step)
            out -= length
        elif value == NEXT_ROW:
            if rows == MAX_ROWS:
                return _NO_LINE, out, crc
            rows += 1
            item += 8 * ITEM_WIDTH
            _clear(item)
            step -= 8 * STEP_WORDS * (load(step, COLUMN) + 1)
        elif value != NOTHING:
            if value == TIME:
                number, length = _time(p, step, program)
            elif value == PRODUCT:
                number, decimals, length = _product(p, step, program)
            elif value == COUNT:
                number, length = count_at(p, step)
            elif value == VOLUME:
                number, length = volume_at(p, step)
            else:
                number, length = decimal_at(p, step, decimals if value == PRICE else SIZE_DECIMALS)
            column = load(step, COLUMN)
            if column >= 0:
                store(items if column < KIND else item, column, number)
            copy_span(p, out)
        if length < 0:
            return _NO_LINE, out, crc
        p += length
        out += length
        step += 8 * STEP_WORDS
    store(items, ROWS, rows)
    return p, out, crc


@inlined
def _clear(item: int) -> None:
    store(item, SEQUENCE, UNKNOWN)
    store(item, PRODUCT_INDEX, UNKNOWN)
    store(item, TRADE_ID, UNKNOWN)
    store(item, BID_SIZE, UNKNOWN)
    store(item, ASK_SIZE, UNKNOWN)
    store(item, LAST_PRICE, UNKNOWN)
    store(item, LAST_SIZE, UNKNOWN)
    store(item, VOLUME_24H, UNKNOWN)


@inlined
def _finish(items: int, line: int, kind: int) -> bool:
    """Complete a frame's items; False where a quote is crossed."""
    store(items, LINE, line)
    store(items, KIND, kind)
    rows = load(items, ROWS)
    for row in range(rows):
        item = items + 8 * ITEM_WIDTH * row
        store(item, ROW, row)
        if kind == QUOTE and load(item, BID) > load(item, ASK):
            return False
        if row > 0:
            store(item, ROWS, rows)
            for column in range(LINE, KIND + 1):
                store(item, column, load(items, column))
    return True


@part
def _scan(
    start: int, offset: int, stop: int, program: int, covered: int, items: int, capacity: int
) -> tuple[int, int, int]:
    """Scan lines.

    Parameters
    ----------
    start : int
        Address of a block.
    offset, stop : int
        Where in the block its lines begin and end; ``SPARE_BYTES`` readable bytes lie behind.
    program, covered, items : int
        Addresses of the program, of room for what a line's crc covers, and of room for ``capacity`` items.

    Returns
    -------
    n, offset, status : int
        Items found; where the next line begins; ``SCANNED`` at the end of the block, ``ITEMS_FULL``, or
        ``MISMATCH`` where that line is of no known shape or fails its crc.
    """
    n, template, templates = 0, 0, load(program, TEMPLATES)
    while offset < stop:
        if n + MAX_ROWS > capacity:
            return n, offset, ITEMS_FULL
        item = items + 8 * ITEM_WIDTH * n
        p, out, crc, attempt = _NO_LINE, covered, _NO_CRC, 0
        while p < 0 and attempt < templates:
            p, out, crc = _walk(start + offset, covered, program, template, item)
            attempt += 1
            if p < 0:
                template = template + 1 if template + 1 < templates else 0
        if p < 0 or not _finish(item, offset, load(_record(program, template), KIND_OF)):
            return n, offset, MISMATCH
        if crc != _NO_CRC and crc32(covered, out) != crc:
            return n, offset, MISMATCH
        n += load(item, ROWS)
        offset = p - start
    return n, offset, SCANNED


def _entry_point(digest: int) -> Callable[..., tuple[int, int, int]]:
    @entry("UniTuple(int64, 3)(int64, int64, int64, int64, int64, int64, int64)")
    def scan(
        start: int, offset: int, stop: int, program: int, covered: int, items: int, capacity: int
    ) -> tuple[int, int, int]:
        keyed_by(digest)
        return _scan(start, offset, stop, program, covered, items, capacity)

    return scan


# scan(start, offset, stop, program, covered, items, capacity) -> as ``_scan``.
scan = _entry_point(sources_digest(*_SOURCES))


class LineScanner:
    """The shapes of one session's frames, learned as they come.

    Parameters
    ----------
    session : str or None
        Named in every line of an archive; None for frames off the wire, each ended by a newline.
    products : sequence of (str, int)
        Names and price decimals of the products that may be met.
    capacity : int
        Items a scan may return at once, at least ``MAX_ROWS``.
    """

    def __init__(
        self, session: str | None, products: Sequence[tuple[str, int]], capacity: int = 1024
    ) -> None:
        self._session = session
        self._products = list(products)
        self._templates: list[Template] = []
        self._program = Program((), self._products, session)
        self._covered = np.zeros(ROOM, np.uint8)
        self.items: Words = np.zeros((capacity, ITEM_WIDTH), np.int64)

    def add_product(self, name: str, price_decimals: int) -> None:
        """Take another product."""
        self._products.append((name, price_decimals))
        self._program = Program(self._templates, self._products, self._session)

    @property
    def is_full(self) -> bool:
        """Whether no further shape is taken."""
        return len(self._templates) >= _MAX_TEMPLATES

    def add(self, template: Template) -> bool:
        """Take another shape; False where it is known already."""
        if template in self._templates:
            return False
        self._templates.append(template)
        self._program = Program(self._templates, self._products, self._session)
        return True

    def scan(self, block: Bytes, offset: int, stop: int) -> tuple[int, int, int]:
        """Scan the whole lines of a block into ``items``; see ``_scan``.

        Raises
        ------
        ValueError
            If the last line has no end, or ``SPARE_BYTES`` bytes behind it are missing.
        """
        if len(block) < stop + SPARE_BYTES or (offset < stop and block[stop - 1] != _NEWLINE):
            raise ValueError("a block of whole lines, and bytes to spare, are needed")
        return scan(block.ctypes.data, offset, stop, *self.addresses(len(block)), len(self.items))

    def addresses(self, longest: int) -> tuple[int, int, int]:
        """Return where ``scan`` finds what it needs for lines of up to ``longest`` bytes.

        It is there until another shape or product is taken, or longer lines are announced.
        """
        if len(self._covered) < ROOM + longest + SPARE_BYTES:
            self._covered = np.zeros(ROOM + longest + SPARE_BYTES, np.uint8)
        return self._program.address, self._covered.ctypes.data + ROOM, self.items.ctypes.data
