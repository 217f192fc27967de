"""Read the values of foreign rows: dotted paths, numbers as text or literal, times in any usual form."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from decimal import Context, Decimal
from typing import TypeVar
from zoneinfo import ZoneInfo

import msgspec

from volspike.errors import ImportFormatError, ProtocolError
from volspike.exchange.decimals import INT64_MAX, NS_PER_SECOND, parse_time_ns

Row = dict[str, msgspec.Raw]
Value = TypeVar("Value")

_decode_row = msgspec.json.Decoder(Row).decode
_decode_list = msgspec.json.Decoder(list[msgspec.Raw]).decode
_decode_text = msgspec.json.Decoder(str).decode

_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,3})?")
_ISO = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})[T ]([0-9]{2}:[0-9]{2}:[0-9]{2})(?:[.,]([0-9]{1,18}))?"
    r" ?(Z|[+-][0-9]{2}(?::?[0-9]{2})?)?(?: ?UTC)?(?: m=[+-][0-9.]+)?"
)
_OFFSET = re.compile(r"([+-])([0-9]{2}):?([0-9]{2})?")
_CONTEXT = Context(prec=100)

# Decimal places of a unit, so that a time becomes nanoseconds without a binary float in between.
_UNIT_DECIMALS = {"s": 9, "ms": 6, "us": 3, "ns": 0}
TIME_UNITS = ("iso", *_UNIT_DECIMALS)


def parse_row(line: bytes) -> Row:
    """Read a line as an object of undecoded values.

    Raises
    ------
    ProtocolError
        Reason ``json`` (no JSON object), ``nesting`` or ``utf8``.
    """
    return _decoded(_decode_row, line)


def _decoded(decode: Callable[[bytes], Value], body: bytes) -> Value:
    try:
        return decode(body)
    except UnicodeDecodeError as error:
        raise ProtocolError("utf8", str(error)) from None
    except msgspec.DecodeError as error:
        raise ProtocolError("json", str(error)) from None
    except RecursionError as error:
        raise ProtocolError("nesting", str(error)) from None


def resolve(row: Row, path: str) -> msgspec.Raw | None:
    """Follow a dotted path; a key that itself holds a dot, and list positions, are understood."""
    if path in row:
        return row[path]
    head, dot, rest = path.partition(".")
    while dot:
        if head in row and (found := _descend(row[head], rest)) is not None:
            return found
        more, dot, rest = rest.partition(".")
        head = f"{head}.{more}"
    return None


def _descend(value: msgspec.Raw, path: str) -> msgspec.Raw | None:
    body = bytes(value)
    if body.startswith(b"{"):
        return resolve(parse_row(body), path)
    if body.startswith(b"["):
        items = _decoded(_decode_list, body)
        return resolve({str(position): item for position, item in enumerate(items)}, path)
    return None


def scalar_text(value: msgspec.Raw | None) -> str | None:
    """Return the text of a string, or the literal of a number; None for null, an empty string or nothing.

    Raises
    ------
    ProtocolError
        Reason ``schema`` for an object, a list or a truth value, ``utf8`` or ``json`` for a broken string.
    """
    if value is None:
        return None
    body = bytes(value)
    if body[:1] == b'"':
        return _decoded(_decode_text, body) or None
    if body == b"null":
        return None
    if body[:1] in (b"{", b"[", b"t", b"f"):
        raise ProtocolError("schema", body[:64].decode(errors="replace"))
    return body.decode() or None


def is_number(text: str) -> bool:
    """Tell whether a text is a finite decimal number."""
    return _NUMBER.fullmatch(text) is not None


def rounded_units(text: str, decimals: int) -> int:
    """Read a number in units of ``10 ** -decimals``, rounding what a float carries beyond it, half to even.

    Raises
    ------
    ProtocolError
        Reason ``number``.
    """
    if len(text) > 64 or not is_number(text):
        raise ProtocolError("number", text[:64])
    units = int(Decimal(text).scaleb(decimals, _CONTEXT).to_integral_value(context=_CONTEXT))
    if abs(units) > INT64_MAX:
        raise ProtocolError("number", text)
    return units


def parse_zone(zone: str) -> tzinfo:
    """Read an IANA name or an offset such as ``-05:00``.

    Raises
    ------
    ImportFormatError
        If it is neither.
    """
    if zone in ("UTC", "Z"):
        return UTC
    try:
        if _OFFSET.fullmatch(zone):
            return timezone(timedelta(seconds=_offset_seconds(zone)))
        return ZoneInfo(zone)
    except (KeyError, ValueError, OSError, ProtocolError):
        raise ImportFormatError(
            f"--tz {zone}", "is no time zone", "give an IANA name (America/New_York) or an offset (-05:00)"
        ) from None


def _offset_seconds(offset: str) -> int:
    match = _OFFSET.fullmatch(offset)
    if match is None or int(match[2]) > 23:
        raise ProtocolError("time", offset)
    seconds = int(match[2]) * 3600 + int(match[3] or 0) * 60
    return -seconds if match[1] == "-" else seconds


def guess_unit(text: str) -> str:
    """Tell the unit of a time by its form and magnitude: iso, s, ms, us or ns.

    Raises
    ------
    ProtocolError
        Reason ``time``: neither an ISO time nor a number.
    """
    if _ISO.fullmatch(text):
        return "iso"
    if len(text) > 64 or not is_number(text):
        raise ProtocolError("time", text[:64])
    magnitude = abs(Decimal(text))
    for unit, limit in (("s", 10**11), ("ms", 10**14), ("us", 10**17)):
        if magnitude < limit:
            return unit
    return "ns"


class TimeReader:
    """Read times of one recording as nanoseconds UTC.

    Parameters
    ----------
    zone : str
        Zone of ISO times that carry none.

    Raises
    ------
    ImportFormatError
        If the zone is unknown.
    """

    def __init__(self, zone: str) -> None:
        self._zone = parse_zone(zone)
        self._hour = ""
        self._offset_s = 0

    def read(self, text: str, unit: str) -> int:
        """Read one time.

        Parameters
        ----------
        text : str
            An ISO time, or a number.
        unit : str
            iso, s, ms, us or ns.

        Raises
        ------
        ProtocolError
            Reason ``time``.
        """
        if unit == "iso":
            time_ns = self._iso(text)
        else:
            try:
                time_ns = rounded_units(text, _UNIT_DECIMALS[unit])
            except ProtocolError:
                raise ProtocolError("time", text[:64]) from None
        if not 0 <= time_ns <= INT64_MAX:
            raise ProtocolError("time", text)
        return time_ns

    def _iso(self, text: str) -> int:
        if text[10:11] == "T":
            try:  # a time as the wire writes it, whose zone may be left out
                if text[-1] == "Z":
                    return parse_time_ns(text)
                return parse_time_ns(f"{text}Z") - self._local_offset_s(text[:13]) * NS_PER_SECOND
            except ProtocolError:
                pass
        return self._unusual_iso(text)

    def _unusual_iso(self, text: str) -> int:
        match = _ISO.fullmatch(text)
        if match is None:
            raise ProtocolError("time", text[:64])
        date, clock, fraction, offset = match.groups()
        local_ns = parse_time_ns(f"{date}T{clock}.{(fraction or '0')[:9]}Z")
        if offset is None and not text.endswith("UTC"):
            return local_ns - self._local_offset_s(f"{date}T{clock[:2]}") * NS_PER_SECOND
        if offset in (None, "Z"):
            return local_ns
        return local_ns - _offset_seconds(offset) * NS_PER_SECOND

    def _local_offset_s(self, hour: str) -> int:
        if hour != self._hour:
            moment = datetime.fromisoformat(f"{hour}:00:00").replace(tzinfo=self._zone)
            offset = moment.utcoffset()
            self._offset_s = int(offset.total_seconds()) if offset is not None else 0
            self._hour = hour
        return self._offset_s
