"""The compiled scanner: lines of known shapes to integers, a block at a time.

It accepts a line only where the general decoder is sure to read the same integers: digits, ranges, dates,
at most nine fractional digits, no escape, nothing beyond the scale. Anything else stops it at that line.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from volspike.recording.template import (
    ASK,
    ASK_SIZE,
    BID,
    BID_SIZE,
    COUNT,
    END,
    ITEM_WIDTH,
    KIND,
    LINE,
    MAX_ROWS,
    NEXT_ROW,
    PRICE,
    PRODUCT,
    PRODUCT_INDEX,
    QUOTE,
    ROW,
    ROWS,
    SEQ,
    SEQUENCE,
    TEXT,
    TIME,
    TRADE_ID,
    Template,
    prefix_steps,
)
from volspike.recording.wire_bytes import (
    byte_at,
    compiled,
    digit_length,
    digits_value,
    load,
    plain_length,
    store,
    word_at,
)
from volspike.records import SIZE_DECIMALS, UNKNOWN

SCANNED, ITEMS_FULL, MISMATCH = 0, 1, 2

PRICE_LIMIT = 1 << 59  # three times the difference of two mid sums stays within int64
_MAX_TEMPLATES = 32
_MAX_DIGITS = 18  # of a decimal, whatever its point
_TOO_MANY = 24
_INT64_MAX = 2**63 - 1
_LONGEST_VALUE = 64  # bytes that reading one number or time may touch
_NO_LINE = -1

Words = npt.NDArray[np.int64]

_POWERS = np.array([10**exponent for exponent in range(19)], np.int64)
_MASKS = np.array([(1 << 8 * length) - 1 for length in range(8)], np.uint64)
_DAYS_BEFORE = np.array([0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334], np.int64)
_DAYS_IN = np.array([31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31], np.int64)
_SECOND_NS = 1_000_000_000
_BEFORE_1970 = 719_162

# A program is one array of words: two counts, then a record for each template and for each product, then
# the steps, then the literals. Arrays would have their references counted on every line.
_TEMPLATES, _PRODUCTS, _RECORDS = range(3)
_KIND_OF, _ROWS_OF, _FIRST_STEP, _LAST_STEP = range(4)
_NAME, _NAME_LENGTH, _DECIMALS = range(3)
_VALUE, _COLUMN, _LITERAL, _LENGTH = range(4)
_RECORD_WORDS = 4


@compiled(forceinline=True)
def _stands(p: int, end: int, literal: int, length: int) -> bool:
    """Tell whether the text at address ``literal`` stands at ``p``; nothing is read from ``end`` on."""
    if p + length + 8 > end:
        return False
    whole = p + (length & ~7)
    while p < whole:
        if word_at(p) != word_at(literal):
            return False
        p += 8
        literal += 8
    return bool((word_at(p) ^ word_at(literal)) & _MASKS[length & 7] == np.uint64(0))


@compiled()
def _text_end(p: int, end: int) -> int:
    """Return where a plain text ends, or -1 near the end of the block."""
    while p + 8 <= end:
        length = plain_length(word_at(p))
        p += length
        if length < 8:
            return p
    return _NO_LINE


@compiled(forceinline=True)
def _digits(p: int) -> tuple[int, int]:
    """Return (value, digits) of the digits at ``p``; 24 digits where they don't fit in 63 bits."""
    word = word_at(p)
    length = digit_length(word)
    if length == 0:
        return 0, 0
    value = digits_value(word, length)
    if length < 8:
        return value, length
    word = word_at(p + 8)
    more = digit_length(word)
    if more == 0:
        return value, 8
    value = value * _POWERS[more] + digits_value(word, more)
    if more < 8:
        return value, 8 + more
    word = word_at(p + 16)
    last = digit_length(word)
    if last == 0:
        return value, 16
    if last > 3 or (last == 3 and value >= _INT64_MAX // 1000):
        return 0, _TOO_MANY
    return value * _POWERS[last] + digits_value(word, last), 16 + last


@compiled(forceinline=True)
def _count(p: int) -> tuple[int, int]:
    """Return (value, end) of a whole number of JSON, end -1 where it is none within int64."""
    value, length = _digits(p)
    if length == 0 or length == _TOO_MANY or (length > 1 and byte_at(p) == 48):
        return 0, _NO_LINE
    return value, p + length


@compiled(forceinline=True)
def _decimal(p: int, decimals: int) -> tuple[int, int]:
    """Return (units, end) of a decimal above 0, end -1 where it has no exact integer at the scale."""
    value, length = _digits(p)
    if length == 0:
        return 0, _NO_LINE
    p += length
    fraction_length = 0
    if byte_at(p) == 46:
        fraction, fraction_length = _digits(p + 1)
        if fraction_length == 0 or length + fraction_length > _MAX_DIGITS:
            return 0, _NO_LINE
        value = value * _POWERS[fraction_length] + fraction
        p += 1 + fraction_length
    if length + fraction_length > _MAX_DIGITS or fraction_length > decimals:
        return 0, _NO_LINE
    power = _POWERS[decimals - fraction_length]
    if value == 0 or value > (PRICE_LIMIT - 1) // power:
        return 0, _NO_LINE
    return value * power, p


@compiled(forceinline=True)
def _pair(p: int) -> int:
    """Return the number of two digits, or a large one."""
    tens, ones = byte_at(p) - 48, byte_at(p + 1) - 48
    return tens * 10 + ones if 0 <= tens <= 9 and 0 <= ones <= 9 else 1 << 20


@compiled(forceinline=True)
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


@compiled(forceinline=True)
def _time(p: int) -> tuple[int, int]:
    """Return (nanoseconds, end) of an RFC 3339 time in UTC, end -1 where it is none, or a leap second."""
    day = _epoch_day(p)
    hour, minute, second = _pair(p + 11), _pair(p + 14), _pair(p + 17)
    if day < 0 or hour > 23 or minute > 59 or second > 59:
        return 0, _NO_LINE
    if byte_at(p + 10) != 84 or byte_at(p + 13) != 58 or byte_at(p + 16) != 58:
        return 0, _NO_LINE
    time_ns = (day * 86_400 + hour * 3600 + minute * 60 + second) * _SECOND_NS
    p += 19
    if byte_at(p) == 46:
        fraction, length = _digits(p + 1)
        if length == 0 or length > 9:
            return 0, _NO_LINE
        time_ns += fraction * _POWERS[9 - length]
        p += 1 + length
    return (time_ns, p + 1) if byte_at(p) == 90 else (0, _NO_LINE)


@compiled(forceinline=True)
def _record(program: int, index: int) -> int:
    return program + 8 * (_RECORDS + _RECORD_WORDS * index)


@compiled()
def _product(p: int, end: int, program: int) -> tuple[int, int]:
    """Return (index, end) of a known product's name, end -1 where it is none."""
    stop = _text_end(p, end)
    for i in range(load(program, _PRODUCTS)):
        name = _record(program, load(program, _TEMPLATES) + i)
        length = load(name, _NAME_LENGTH)
        if stop - p == length and _stands(p, end, program + 8 * load(name, _NAME), length):
            return i, stop
    return 0, _NO_LINE


@compiled(forceinline=True)
def _number(p: int, value: int, decimals: int) -> tuple[int, int]:
    if value == COUNT:
        return _count(p)
    if value == TIME:
        return _time(p)
    return _decimal(p, decimals)


@compiled()
def _walk(p: int, end: int, program: int, template: int, items: int) -> int:
    """Walk a template over the text at ``p`` into the items; return its end, or -1."""
    record = _record(program, template)
    step = program + 8 * load(record, _FIRST_STEP)
    last = program + 8 * load(record, _LAST_STEP)
    item, decimals = items, 0
    while step <= last:
        length, value = load(step, _LENGTH), load(step, _VALUE)
        if not _stands(p, end, program + 8 * load(step, _LITERAL), length):
            return _NO_LINE
        p += length
        if value == TEXT:
            p = _text_end(p, end)
        elif value == PRODUCT:
            product, p = _product(p, end, program)
            store(item, PRODUCT_INDEX, product)
            decimals = load(_record(program, load(program, _TEMPLATES) + product), _DECIMALS)
        elif value == NEXT_ROW:
            item += 8 * ITEM_WIDTH
        elif value != END:
            if p + _LONGEST_VALUE > end:
                return _NO_LINE
            number, p = _number(p, value, decimals if value == PRICE else SIZE_DECIMALS)
            column = load(step, _COLUMN)
            if column >= 0:
                store(items if column < KIND else item, column, number)
        if p < 0:
            return _NO_LINE
        step += 8 * _RECORD_WORDS
    return p


@compiled(forceinline=True)
def _clear(items: int, rows: int) -> None:
    store(items, SEQUENCE, UNKNOWN)
    for row in range(rows):
        item = items + 8 * ITEM_WIDTH * row
        store(item, PRODUCT_INDEX, UNKNOWN)
        store(item, TRADE_ID, UNKNOWN)
        store(item, BID_SIZE, UNKNOWN)
        store(item, ASK_SIZE, UNKNOWN)


@compiled(forceinline=True)
def _finish(items: int, line: int, kind: int, rows: int) -> bool:
    """Complete a frame's items; False where a quote is crossed."""
    for row in range(rows):
        item = items + 8 * ITEM_WIDTH * row
        store(item, LINE, line)
        store(item, KIND, kind)
        store(item, ROW, row)
        store(item, ROWS, rows)
        for column in range(SEQ, KIND):
            store(item, column, load(items, column))
        if kind == QUOTE and load(item, BID) > load(item, ASK):
            return False
    return True


@compiled()
def _read_line(p: int, end: int, line: int, program: int, latest: int, items: int) -> tuple[int, int]:
    """Return (end, template) of the line at ``p``, end -1 where none fits; the latest goes first."""
    p = _walk(p, end, program, 0, items)
    if p < 0:
        return _NO_LINE, latest
    for attempt in range(load(program, _TEMPLATES)):
        # The prefix is template 0: its turn is the latest's.
        template = latest if attempt == 0 else attempt
        if attempt > 0 and template == latest:
            continue
        record = _record(program, template)
        rows = load(record, _ROWS_OF)
        _clear(items, rows)
        stop = _walk(p, end, program, template, items)
        if stop >= 0:
            whole = _finish(items, line, load(record, _KIND_OF), rows)
            return (stop if whole else _NO_LINE), template
    return _NO_LINE, latest


@compiled("UniTuple(int64, 3)(int64, int64, int64, int64, int64, int64)")
def scan(start: int, end: int, offset: int, program: int, items: int, capacity: int) -> tuple[int, int, int]:
    """Scan lines.

    Parameters
    ----------
    start, end : int
        Addresses of a block of whole lines.
    offset : int
        Where in the block to begin.
    program, items : int
        Addresses of the program, and of room for ``capacity`` items.

    Returns
    -------
    n, offset, status : int
        Items found; where the next line begins; ``SCANNED`` at the end of the block, ``ITEMS_FULL``, or
        ``MISMATCH`` where that line is of no known shape.
    """
    n, latest = 0, 1
    if load(program, _TEMPLATES) < 2:
        return n, offset, MISMATCH
    while start + offset < end:
        if n + MAX_ROWS > capacity:
            return n, offset, ITEMS_FULL
        item = items + 8 * ITEM_WIDTH * n
        stop, latest = _read_line(start + offset, end, offset, program, latest, item)
        if stop < 0:
            return n, offset, MISMATCH
        n += load(item, ROWS)
        offset = stop - start
    return n, offset, SCANNED


class LineScanner:
    """The shapes of one session's lines, learned as they come.

    Parameters
    ----------
    session : str
        Named in every line.
    products : sequence of (str, int)
        Names and price decimals of the products that may be met.
    capacity : int
        Items a scan may return at once.
    """

    def __init__(self, session: str, products: Sequence[tuple[str, int]], capacity: int = 4096) -> None:
        self._session = session
        self._products = products
        self._templates: list[Template] = []
        self._program = self._compile()
        self.items: Words = np.zeros((capacity, ITEM_WIDTH), np.int64)

    @property
    def is_full(self) -> bool:
        """Whether no further shape is taken."""
        return len(self._templates) >= _MAX_TEMPLATES

    def add(self, template: Template) -> bool:
        """Take another shape; False where it is known already."""
        if template in self._templates:
            return False
        self._templates.append(template)
        self._program = self._compile()
        return True

    def scan(self, block: npt.NDArray[np.uint8], offset: int) -> tuple[int, int, int]:
        """Scan whole lines into ``items``; see the compiled ``scan``."""
        start = block.ctypes.data
        program, items = self._program.ctypes.data, self.items.ctypes.data
        return scan(start, start + len(block), offset, program, items, len(self.items))

    def _compile(self) -> Words:
        shapes = [Template(prefix_steps(self._session), QUOTE, 0), *self._templates]
        first_step = _RECORDS + _RECORD_WORDS * (len(shapes) + len(self._products))
        literals = _Literals(first_step + _RECORD_WORDS * sum(len(shape.steps) for shape in shapes))
        records: list[tuple[int, ...]] = []
        steps: list[tuple[int, ...]] = []
        for shape in shapes:
            at = first_step + _RECORD_WORDS * len(steps)
            records.append((shape.kind, shape.rows, at, at + _RECORD_WORDS * (len(shape.steps) - 1)))
            steps += [(step.value, step.column, *literals.place(step.literal)) for step in shape.steps]
        records += [(*literals.place(name.encode()), decimals, 0) for name, decimals in self._products]
        counts = [len(shapes), len(self._products)]
        numbers = np.array([*counts, *(word for record in records + steps for word in record)], np.int64)
        return np.concatenate([numbers, literals.words()])


class _Literals:
    """Texts padded to whole words, one word more than they need; the last one is read too."""

    def __init__(self, first: int) -> None:
        self._first = first
        self._text = bytearray()

    def place(self, text: bytes) -> tuple[int, int]:
        """Add a text; return the word at which it begins, and its length."""
        at = self._first + len(self._text) // 8
        self._text += text.ljust(len(text) // 8 * 8 + 8, b"\0")
        return at, len(text)

    def words(self) -> Words:
        """Return all texts."""
        return np.frombuffer(bytes(self._text), np.int64)
