"""Learn the shape of a frame, so that its like can be read without a JSON parser.

One program writes a feed, so its frames repeat a few shapes. A shape is a row of steps: a literal that must
stand there, then a value that is skipped or read. The scanner walks a shape over a frame, off the wire or in
a line of an archive; what differs anywhere, or holds a value out of the ordinary, is left to the general
decoder.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby, pairwise
from typing import NamedTuple

from volspike.exchange.items import Decoded, Heartbeat, Quote

MAX_ROWS = 64

# What a step does with the value behind its literal. ``NOTHING`` has none; ``CHECK`` is the crc, which is no
# part of what it covers; ``NEXT_ROW`` goes back to the first step of a row where its literal stands, else on.
# ``VOLUME`` is a decimal of which nothing depends: beyond its limit it is unknown.
NOTHING, TEXT, PRICE, SIZE, COUNT, TIME, PRODUCT, CHECK, NEXT_ROW, VOLUME = range(10)

# Columns of a scanned item. What comes before ``KIND`` is told once a frame.
LINE, SEQ, RECEIVE_NS, EVENT_NS, SEQUENCE, KIND, PRODUCT_INDEX, TRADE_ID = range(8)
BID, ASK, BID_SIZE, ASK_SIZE, ROW, ROWS, LAST_PRICE, LAST_SIZE, VOLUME_24H = range(8, 17)
ITEM_WIDTH = 17
NO_COLUMN = -1

QUOTE, BEAT = 0, 1  # values of ``KIND``

Path = tuple[str | int, ...]

_TOKEN = re.compile(
    r'[ ]*(?:(?P<mark>[{}\[\],:])|"(?P<text>[^"]*)"|(?P<other>-?[0-9][0-9.eE+-]*|true|false|null))[ ]*'
)
_COUNT = re.compile(r"0|[1-9][0-9]*")
_PLAIN = re.compile(r"[ -\[\]-~]*")  # printable ASCII without a backslash


class Role(NamedTuple):
    """What a field is read as."""

    value: int
    column: int


class Step(NamedTuple):
    """A literal, and what to do behind it; the column of ``NEXT_ROW`` is the number of a row's steps."""

    literal: bytes
    value: int
    column: int = NO_COLUMN


class Template(NamedTuple):
    """The shape of frames with items of one ``kind``, in any number of rows."""

    steps: tuple[Step, ...]
    kind: int


class LineStep(NamedTuple):
    """A step as it stands in a block of lines, and what of its literal is covered by the line's crc."""

    step: Step
    covered: bytes


class _Field(NamedTuple):
    """A value in a frame's text; ``row`` is -1 outside of rows."""

    row: int
    start: int
    stop: int
    value: int
    column: int


_ROW = ("events", 0, "tickers", "*")
_TIME = Role(TIME, EVENT_NS)
_QUOTE = {
    "product_id": Role(PRODUCT, PRODUCT_INDEX),
    "best_bid": Role(PRICE, BID),
    "best_ask": Role(PRICE, ASK),
    "price": Role(PRICE, LAST_PRICE),
    "last_size": Role(SIZE, LAST_SIZE),
}
_EXCHANGE_SIZES = {
    "best_bid_size": Role(SIZE, BID_SIZE),
    "best_ask_size": Role(SIZE, ASK_SIZE),
    "volume_24h": Role(VOLUME, VOLUME_24H),
}
_ADVANCED_SIZES = {
    "best_bid_quantity": Role(SIZE, BID_SIZE),
    "best_ask_quantity": Role(SIZE, ASK_SIZE),
    "volume_24_h": Role(VOLUME, VOLUME_24H),
}
_ENVELOPE: dict[Path, Role] = {("timestamp",): _TIME, ("sequence_num",): Role(COUNT, SEQUENCE)}


def _below(path: Path, roles: Mapping[str, Role]) -> dict[Path, Role]:
    return {(*path, name): role for name, role in roles.items()}


# Every field that the general decoder looks at, by dialect and kind of item; ``*`` stands for any row.
_ROLES: Mapping[tuple[str, int], Mapping[Path, Role]] = {
    ("exchange", QUOTE): _below((), _QUOTE | _EXCHANGE_SIZES)
    | {("time",): _TIME, ("trade_id",): Role(COUNT, TRADE_ID)},
    ("exchange", BEAT): {("product_id",): Role(PRODUCT, PRODUCT_INDEX), ("time",): _TIME},
    ("advanced", QUOTE): _ENVELOPE | _below(_ROW, _QUOTE | _ADVANCED_SIZES),
    ("advanced", BEAT): _ENVELOPE | {("events", 0, "heartbeat_counter"): Role(COUNT, NO_COLUMN)},
}
_PINNED: frozenset[Path] = frozenset({("type",), ("channel",), ("events", 0, "type")})
_NEEDED = {
    ("exchange", QUOTE): (EVENT_NS, TRADE_ID, PRODUCT_INDEX, BID, ASK),
    ("exchange", BEAT): (EVENT_NS, PRODUCT_INDEX),
    ("advanced", QUOTE): (EVENT_NS, SEQUENCE, PRODUCT_INDEX, BID, ASK),
    ("advanced", BEAT): (EVENT_NS, SEQUENCE),
}


def learn_template(dialect: str, raw: bytes, decoded: Decoded) -> Template | None:
    """Learn the shape of a frame.

    Parameters
    ----------
    dialect : str
        ``exchange`` or ``advanced``.
    raw : bytes
        The frame.
    decoded : Decoded
        What the general decoder made of it.

    Returns
    -------
    Template or None
        None for anything but quotes that are no snapshot, or one heartbeat; also where a field is not what
        it usually is.
    """
    kind = _kind(decoded)
    if kind is None or not raw.isascii() or not _PLAIN.fullmatch(text := raw.decode()):
        return None
    fields = _fields(text, _ROLES[dialect, kind])
    rows = len({field.row for field in fields if field.row >= 0})
    if (rows or 1) != len(decoded.items):
        return None
    steps = _steps_with_rows(text, fields) if rows else _steps(text, 0, fields)
    if not _is_complete(steps, _NEEDED[dialect, kind]):
        return None
    return Template((*steps, _step(text[fields[-1].stop :], NOTHING)), kind)


def line_steps(template: Template, session: str | None) -> list[LineStep]:
    """Return the steps of a frame's line in an archive; without a session, of the frame and a newline."""
    *steps, last = template.steps
    if session is None:
        ended = last._replace(literal=last.literal + b"\n")
        return [LineStep(step, step.literal) for step in (*steps, ended)]
    first, *rest = (LineStep(step._replace(literal=_escaped(step.literal)), step.literal) for step in steps)
    named = b',"session":"%b"' % session.encode()
    return [
        LineStep(Step(b'{"seq":', COUNT, SEQ), b'{"seq":'),
        LineStep(Step(b',"receive_ns":', COUNT, RECEIVE_NS), b',"receive_ns":'),
        LineStep(Step(named + b',"crc":', CHECK), named),
        first._replace(step=first.step._replace(literal=b',"raw":"' + first.step.literal)),
        *rest,
        LineStep(Step(_escaped(last.literal) + b'"}\n', NOTHING), last.literal),
    ]


def _escaped(literal: bytes) -> bytes:
    return literal.replace(b'"', b'\\"')


def _kind(decoded: Decoded) -> int | None:
    items = decoded.items
    if len(items) == 1 and type(items[0]) is Heartbeat:
        return BEAT
    quotes = all(type(item) is Quote and not item.snapshot for item in items)
    return QUOTE if quotes and 0 < len(items) <= MAX_ROWS else None


def _fields(text: str, roles: Mapping[Path, Role]) -> list[_Field]:
    """Return the values that differ from line to line; none where a field is not what it usually is."""
    fields: list[_Field] = []
    seen: set[Path] = set()
    for path, is_text, start, stop in _scalars(text):
        row = int(path[3]) if path[:3] == _ROW[:3] and len(path) == 5 else -1
        role = roles.get(path if row < 0 else (*_ROW, path[-1]))
        is_count = not is_text and _COUNT.fullmatch(text, start, stop) is not None
        fits = role is None or (is_count if role.value == COUNT else is_text)
        if path in seen or not fits:
            return []
        seen.add(path)
        if path not in _PINNED and (is_text or is_count):  # anything else stays in the literal
            value, column = role or (TEXT if is_text else COUNT, NO_COLUMN)
            fields.append(_Field(row, start, stop, value, column))
    return fields


def _steps(text: str, start: int, fields: Sequence[_Field]) -> list[Step]:
    """Return the steps from ``start`` to the end of the last field."""
    steps = []
    for field in fields:
        steps.append(_step(text[start : field.start], field.value, field.column))
        start = field.stop
    return steps


def _steps_with_rows(text: str, fields: Sequence[_Field]) -> list[Step]:
    """Return the steps of a text with rows; none where the rows are not flat objects of one shape."""
    rows = [list(row) for index, row in groupby(fields, key=lambda field: field.row) if index >= 0]
    spans = [(text.rfind("{", 0, row[0].start), text.find("}", row[-1].stop) + 1) for row in rows]
    shapes = {
        (*_steps(text, start, row), _step(text[row[-1].stop : stop], NEXT_ROW, len(row)))
        for row, (start, stop) in zip(rows, spans, strict=True)
    }
    between = {text[one[1] : other[0]] for one, other in pairwise(spans)} or {","}
    is_flat = all(text.count("{", *span) == 1 and text.count("[", *span) == 0 for span in spans)
    if not is_flat or len(shapes) != 1 or len(between) != 1:
        return []
    *row_steps, row_end = shapes.pop()
    separator = between.pop().encode()
    again = row_end._replace(literal=row_end.literal + separator)
    before = [field for field in fields if field.stop <= spans[0][0]]
    after = [field for field in fields if field.start >= spans[-1][1]]
    into_rows = _step(text[before[-1].stop if before else 0 : spans[0][0]], NOTHING)
    return [*_steps(text, 0, before), into_rows, *row_steps, again, *_steps(text, rows[-1][-1].stop, after)]


def _step(literal: str, value: int, column: int = NO_COLUMN) -> Step:
    return Step(literal.encode(), value, column)


def _is_complete(steps: Sequence[Step], needed: Sequence[int]) -> bool:
    """Tell whether each column that is needed stands once, and the product before its prices."""
    columns = [step.column for step in steps if step.value != NEXT_ROW]
    values = [step.value for step in steps]
    if any(columns.count(column) != 1 for column in needed):
        return False
    return PRICE not in values or PRODUCT in values[: values.index(PRICE)]


def _scalars(text: str) -> Iterator[tuple[Path, bool, int, int]]:
    """Yield path, whether it is a text, start and end of each scalar of valid JSON without escapes."""
    path: list[str | int] = []
    awaits_key = False
    for token in _TOKEN.finditer(text):
        mark, key = token["mark"], token["text"]
        if mark == "{" or mark == "[":
            path.append(0 if mark == "[" else "")
            awaits_key = mark == "{"
        elif mark == "}" or mark == "]":
            path.pop()
        elif mark == ",":
            awaits_key = isinstance(path[-1], str)
            if isinstance(path[-1], int):
                path[-1] += 1
        elif mark == ":":
            awaits_key = False
        elif awaits_key:
            path[-1] = key
        else:
            name = "other" if key is None else "text"
            yield tuple(path), key is not None, token.start(name), token.end(name)
