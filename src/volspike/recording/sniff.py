"""Recognise the shape of a foreign recording by its first lines.

Three shapes: frames as they came off the wire, frames nested in a recorder's own object, and flat rows.

Whose clock stamped a flat row (``event_time_source``) is decided by rule: names of `EXCHANGE_TIME` are the
exchange's, names of `RECEIVE_TIME` the recorder's; ``timestamp`` and the like are the exchange's if the value
is an ISO time that ends in ``Z`` or is finer than a microsecond (recorders rarely print that), else the
recorder's. The user may override it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress

import msgspec

from volspike.errors import ImportFormatError, ProtocolError
from volspike.recording import field_names as names
from volspike.recording.foreign_values import (
    TIME_UNITS,
    Row,
    guess_unit,
    is_number,
    parse_row,
    resolve,
    scalar_text,
)
from volspike.recording.frame import FEEDS, FlatMapping

SAMPLE_LINES = 200
_DEPTH = 3
_EXCHANGE_TYPES = frozenset({"match", "last_match", "l2update", "snapshot", "ticker_batch"})
_CLOCKS = names.RECEIVE_TIME + names.EITHER_TIME + names.EXCHANGE_TIME
_FINER_THAN_MICROSECONDS = re.compile(r"\.[0-9]{7,}")
_MAPPED = (
    "time",
    "bid",
    "ask",
    "product",
    "bid_size",
    "ask_size",
    "price",
    "size",
    "volume_24h",
    "trade_id",
    "event_type",
    "receive_time",
    "time_unit",
)


class ImportOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What a user may say about a foreign recording.

    Attributes
    ----------
    zone : str
        Zone of ISO times without one (``--tz``).
    mapping : dict of str to str
        Field to dotted path, for unusual names (``--map bid=x.y``); makes the rows flat.
    product, feed, time_source : str
        Override what the rows say, where not empty.
    """

    zone: str = "UTC"
    mapping: dict[str, str] = {}
    product: str = ""
    feed: str = ""
    time_source: str = ""


class FrameShape(msgspec.Struct, frozen=True, kw_only=True):
    """Frames of a dialect under ``path`` (empty: the line is the frame), received at ``receive``."""

    dialect: str
    path: tuple[str, ...] = ()
    receive: tuple[str, ...] = ()


class FlatShape(msgspec.Struct, frozen=True, kw_only=True):
    """Flat rows, their mapping, where they come from and whose clock stamped them."""

    mapping: FlatMapping
    feed: str
    event_time_source: str


Shape = FrameShape | FlatShape


def sniff(subject: str, lines: Iterable[bytes], options: ImportOptions) -> Shape:
    """Recognise the shape of the first lines.

    Parameters
    ----------
    subject : str
        What the error names: the file.
    lines : iterable of bytes
        The recording's lines; at most `SAMPLE_LINES` are looked at.
    options : ImportOptions
        What the user said.

    Raises
    ------
    ImportFormatError
        If it is none of the three shapes; the remedy names ``--map``.
    """
    _check_options(options)
    rows = list(_rows(subject, lines))
    if not options.mapping:
        for row in rows:
            if (shape := find_frame(row)) is not None:
                return shape
    return _flat_shape(subject, rows, options)


def _check_options(options: ImportOptions) -> None:
    for field in options.mapping:
        if field not in _MAPPED:
            raise ImportFormatError(f"--map {field}=", "is no field", f"map one of {' '.join(_MAPPED)}")
    if options.feed not in ("", *FEEDS):
        raise ImportFormatError(f"--feed {options.feed}", "is unknown", f"say one of {', '.join(FEEDS)}")
    if options.time_source not in ("", "exchange", "receive"):
        raise ImportFormatError(
            f"--time-source {options.time_source}", "is unknown", "say exchange or receive"
        )


def _rows(subject: str, lines: Iterable[bytes]) -> Iterator[Row]:
    looked_at = 0
    for line in lines:
        if not (line := line.strip()):
            continue
        if looked_at == 0 and line.startswith(b"["):
            raise ImportFormatError(
                subject, "is one JSON array", f"make it lines: jq -c '.[]' {subject} > rows.ndjson"
            )
        looked_at += 1
        with suppress(ProtocolError):  # the import counts such a line and keeps it aside
            yield parse_row(line)
        if looked_at >= SAMPLE_LINES:
            return
    if looked_at == 0:
        raise ImportFormatError(subject, "has no rows", "name a recording with rows in it")


def dialect_of(row: Row) -> str | None:
    """Tell the dialect of a frame, or None where an object isn't one.

    A ticker row of Advanced Trade without its envelope (no time, no sequence) is no frame.
    """
    if "channel" in row and ("events" in row or "sequence_num" in row):
        return "advanced"
    kind = _text_or_none(row.get("type"))
    if kind == "subscriptions" and "channels" in row:
        return "exchange"
    if kind == "ticker" and row.keys() >= {"product_id", "best_bid", "best_ask", "time", "trade_id"}:
        return "exchange" if bytes(row["best_bid"]).startswith(b'"') else None
    if kind == "heartbeat" and row.keys() >= {"product_id", "time"}:
        return "exchange"
    if kind in _EXCHANGE_TYPES and "product_id" in row and ("time" in row or "sequence" in row):
        return "exchange"
    return None


def find_frame(row: Row) -> FrameShape | None:
    """Look for a frame in an object, under any key, to a depth of three."""
    if (dialect := dialect_of(row)) is not None:
        return FrameShape(dialect=dialect, receive=_receive_path(row, (), names.RECEIVE_TIME))
    return _find_nested(row, ())


def _find_nested(row: Row, path: tuple[str, ...]) -> FrameShape | None:
    if len(path) == _DEPTH:
        return None
    for key, value in row.items():
        inner = nested_row(value)
        if inner is None:
            continue
        here = (*path, key)
        if (dialect := dialect_of(inner)) is not None:
            return FrameShape(dialect=dialect, path=here, receive=_receive_path(row, path, _CLOCKS))
        if (found := _find_nested(inner, here)) is not None:
            outer = _receive_path(row, path, _CLOCKS)
            return found if found.receive else msgspec.structs.replace(found, receive=outer)
    return None


def nested_row(value: msgspec.Raw) -> Row | None:
    """Return the object that a value is, or that its string holds; None where it is neither."""
    body = bytes(value)
    try:
        if body.startswith(b'"') and b"{" in body:
            body = (scalar_text(value) or "").encode()
        return parse_row(body) if body.lstrip().startswith(b"{") else None
    except ProtocolError:
        return None


def _receive_path(row: Row, path: tuple[str, ...], clocks: Sequence[str]) -> tuple[str, ...]:
    keys = {names.normal(key): key for key in reversed(row)}
    for name in clocks:
        if name in keys and _is_time(_text_or_none(row[keys[name]])):
            return (*path, keys[name])
    return ()


def _text_or_none(value: msgspec.Raw | None) -> str | None:
    try:
        return scalar_text(value)
    except ProtocolError:
        return None


def _is_time(text: str | None) -> bool:
    try:
        return text is not None and bool(guess_unit(text))
    except ProtocolError:
        return False


def _is_decimal(text: str | None) -> bool:
    return text is not None and is_number(text)


class _Leaves:
    """The scalar fields of the sampled rows: dotted path to a sample text, shallow ones first."""

    def __init__(self, rows: Sequence[Row]) -> None:
        found: dict[str, tuple[int, str]] = {}
        for row in rows:
            self._collect(row, "", 0, found)
        ordered = sorted(found.items(), key=lambda item: item[1][0])
        self.samples: dict[str, str] = {path: text for path, (_, text) in ordered}

    def _collect(self, row: Row, prefix: str, depth: int, found: dict[str, tuple[int, str]]) -> None:
        for key, value in row.items():
            if bytes(value).startswith(b"{") and depth < _DEPTH:
                inner = nested_row(value)
                self._collect(inner or {}, f"{prefix}{key}.", depth + 1, found)
            elif (text := _text_or_none(value)) is not None:
                found.setdefault(f"{prefix}{key}", (depth, text))

    def keys(self) -> set[str]:
        return {path.rpartition(".")[2] for path in self.samples}

    def pick(self, wanted: Sequence[str], numeric: bool = False) -> str:
        """Return the path of the first usual name that occurs, a shallow one before a deep one."""
        for depth in range(_DEPTH + 1):
            by_name = {
                names.normal(path.rpartition(".")[2]): path
                for path in self.samples
                if path.count(".") == depth and (not numeric or _is_decimal(self.samples[path]))
            }
            for name in wanted:
                if name in by_name:
                    return by_name[name]
        return ""

    def pick_time(self, groups: Sequence[Sequence[str]]) -> str:
        """Return the path of a clock, by group, name and depth; only fields that read as a time count."""
        for group in groups:
            path = self.pick([name for name in group if _is_time(self.samples.get(self.pick([name])))])
            if path:
                return path
        return ""


def _flat_shape(subject: str, rows: Sequence[Row], options: ImportOptions) -> FlatShape:
    leaves = _Leaves(rows)
    groups = [names.EXCHANGE_TIME, names.EITHER_TIME, names.RECEIVE_TIME]
    if options.time_source == "receive":
        groups.reverse()
    fields = {
        "time": leaves.pick_time(groups),
        "bid": leaves.pick(names.BID, numeric=True),
        "ask": leaves.pick(names.ASK, numeric=True),
        "bid_size": leaves.pick(names.BID_SIZE, numeric=True),
        "ask_size": leaves.pick(names.ASK_SIZE, numeric=True),
        "price": leaves.pick(names.PRICE, numeric=True),
        "size": leaves.pick(names.SIZE, numeric=True),
        "volume_24h": leaves.pick(names.VOLUME_24H, numeric=True),
        "trade_id": leaves.pick(names.TRADE_ID, numeric=True),
        "event_type": leaves.pick(names.EVENT_TYPE),
        "product": leaves.pick(names.PRODUCT),
        "receive_time": leaves.pick_time([names.RECEIVE_TIME]),
    }
    fields |= {field: path for field, path in options.mapping.items() if field != "time_unit"}
    _check_fields(subject, fields, rows, leaves, options)
    time_text = _sample(rows, fields["time"])
    fields["receive_time"] = "" if fields["receive_time"] == fields["time"] else fields["receive_time"]
    mapping = FlatMapping(
        **fields,
        fixed_product=options.product,
        time_unit=_time_unit(subject, time_text, fields["time"], options),
        zone=options.zone,
    )
    return FlatShape(
        mapping=mapping,
        feed=options.feed or flat_feed(leaves.keys()),
        event_time_source=options.time_source or _time_source(fields["time"], time_text),
    )


def _check_fields(
    subject: str, fields: Mapping[str, str], rows: Sequence[Row], leaves: _Leaves, options: ImportOptions
) -> None:
    missing = [field for field in ("bid", "ask", "time") if not fields[field]]
    if not fields["product"] and not options.product:
        missing.append("product")
    if missing:
        known = ", ".join(list(leaves.samples)[:12]) or "none"
        how = " ".join(f"--map {field}=FIELD" for field in missing).replace(
            "--map product=FIELD", "--product NAME"
        )
        raise ImportFormatError(
            subject,
            f"has no field known as {', '.join(missing)}",
            f"name it with {how} (its fields: {known})",
        )
    for field, path in options.mapping.items():
        if field != "time_unit" and not _sample(rows, path):
            raise ImportFormatError(
                f"--map {field}={path}",
                f"names no field of {subject}",
                "check the path; its parts are joined by dots",
            )


def _sample(rows: Sequence[Row], path: str) -> str:
    for row in rows:
        try:
            text = scalar_text(resolve(row, path))
        except ProtocolError:
            continue
        if text is not None:
            return text
    return ""


def _time_unit(subject: str, text: str, path: str, options: ImportOptions) -> str:
    unit = options.mapping.get("time_unit", "")
    if unit and unit not in TIME_UNITS:
        raise ImportFormatError(f"--map time_unit={unit}", "is no unit", f"say one of {' '.join(TIME_UNITS)}")
    try:
        return unit or guess_unit(text)
    except ProtocolError:
        raise ImportFormatError(
            subject, f"has no time in {path} ({text[:40]})", "name the field with --map time=FIELD"
        ) from None


def _time_source(path: str, text: str) -> str:
    name = names.normal(path.rpartition(".")[2])
    if name in names.EXCHANGE_TIME:
        return "exchange"
    if name in names.RECEIVE_TIME:
        return "receive"
    return "exchange" if text.endswith("Z") or _FINER_THAN_MICROSECONDS.search(text) else "receive"


def flat_feed(keys: set[str]) -> str:
    """Tell where flat rows come from by the spelling of their fields."""
    if keys & names.ADVANCED_ONLY:
        return "advanced"
    return "exchange" if keys >= names.EXCHANGE_ONLY else "flat"
