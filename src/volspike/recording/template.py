"""Learn the shape of an archive line, so that its like can be read without a JSON parser.

One program writes an archive, so the lines of a session repeat a few shapes. A shape is a row of steps: a
literal that must stand there, then a value that is skipped or read. The scanner walks a shape over a line;
a line that differs anywhere, or holds a value out of the ordinary, is left to the general decoder.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from volspike.exchange.items import Decoded, Heartbeat, Quote

MAX_ROWS = 16

# What a step does with the value behind its literal; ``END`` and ``NEXT_ROW`` have none.
END, TEXT, COUNT, TIME, PRODUCT, PRICE, SIZE, NEXT_ROW = range(8)

# Columns of a scanned item; the value of a step without a column is checked and dropped.
LINE, SEQ, RECEIVE_NS, EVENT_NS, SEQUENCE, KIND, PRODUCT_INDEX, TRADE_ID = range(8)
BID, ASK, BID_SIZE, ASK_SIZE, ROW, ROWS = range(8, 14)
ITEM_WIDTH = 16
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
    """A literal, as it stands in the archive, and what to do with the value behind it."""

    literal: bytes
    value: int
    column: int = NO_COLUMN


class Template(NamedTuple):
    """The shape of a frame's text; ``rows`` items of one ``kind``."""

    steps: tuple[Step, ...]
    kind: int
    rows: int


_ROW = ("events", 0, "tickers", "*")
_TIME = Role(TIME, EVENT_NS)
_QUOTE = {
    "product_id": Role(PRODUCT, PRODUCT_INDEX),
    "best_bid": Role(PRICE, BID),
    "best_ask": Role(PRICE, ASK),
    "price": Role(PRICE, NO_COLUMN),
    "last_size": Role(SIZE, NO_COLUMN),
}
_EXCHANGE_SIZES = {"best_bid_size": Role(SIZE, BID_SIZE), "best_ask_size": Role(SIZE, ASK_SIZE)}
_ADVANCED_SIZES = {"best_bid_quantity": Role(SIZE, BID_SIZE), "best_ask_quantity": Role(SIZE, ASK_SIZE)}
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
_PER_ROW = {QUOTE: (PRODUCT_INDEX, BID, ASK), BEAT: ()}
_PER_FRAME = {
    ("exchange", QUOTE): (EVENT_NS, TRADE_ID),
    ("exchange", BEAT): (EVENT_NS, PRODUCT_INDEX),
    ("advanced", QUOTE): (EVENT_NS, SEQUENCE),
    ("advanced", BEAT): (EVENT_NS, SEQUENCE),
}


def prefix_steps(session: str) -> tuple[Step, ...]:
    """Return the steps of an archive line up to its wire text."""
    return (
        Step(b'{"seq":', COUNT, SEQ),
        Step(b',"receive_ns":', COUNT, RECEIVE_NS),
        Step(b',"session":"%b","crc":' % session.encode(), COUNT),
        Step(b',"raw":"', END),
    )


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
    steps = _steps(text, _ROLES[dialect, kind])
    rows = 1 + sum(step.value == NEXT_ROW for step in steps)
    if rows != len(decoded.items) or not _is_complete(steps, rows, _PER_FRAME[dialect, kind], _PER_ROW[kind]):
        return None
    return Template(steps, kind, rows)


def _kind(decoded: Decoded) -> int | None:
    items = decoded.items
    if len(items) == 1 and type(items[0]) is Heartbeat:
        return BEAT
    quotes = all(type(item) is Quote and not item.snapshot for item in items)
    return QUOTE if quotes and len(items) <= MAX_ROWS else None


def _steps(text: str, roles: Mapping[Path, Role]) -> tuple[Step, ...]:
    """Cut a text into steps; none where a field is not what it usually is."""
    steps: list[Step] = []
    seen: set[Path] = set()
    done, row = 0, 0
    for path, is_text, start, end in _scalars(text):
        at = int(path[3]) if path[:3] == _ROW[:3] and len(path) == 5 else row
        role = roles.get((*_ROW, path[-1]) if len(path) == 5 else path)
        is_count = not is_text and _COUNT.fullmatch(text, start, end) is not None
        fits = role is None or (is_count if role.value == COUNT else is_text)
        if path in seen or not fits:
            return ()
        seen.add(path)
        if path in _PINNED or not (is_text or is_count):
            continue  # it stays in the literal
        if at != row:
            steps.append(Step(b"", NEXT_ROW))
            row = at
        value, column = role or (TEXT if is_text else COUNT, NO_COLUMN)
        steps.append(Step(_escaped(text[done:start]), value, column))
        done = end
    return (*steps, Step(_escaped(text[done:]) + b'"}\n', END))


def _is_complete(
    steps: tuple[Step, ...], rows: int, per_frame: tuple[int, ...], per_row: tuple[int, ...]
) -> bool:
    """Tell whether nothing needed is missing, and each row names its product before its prices."""
    columns = [step.column for step in steps]
    if any(columns.count(column) != rows for column in per_row):
        return False
    if any(columns.count(column) != 1 for column in per_frame):
        return False
    named = False
    for step in steps:
        named = (named or step.value == PRODUCT) and step.value != NEXT_ROW
        if step.value == PRICE and not named:
            return False
    return True


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


def _escaped(text: str) -> bytes:
    return text.replace('"', '\\"').encode()
