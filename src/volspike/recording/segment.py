"""The line format of an archive segment.

::

    {"header":{...},"crc":N}
    {"seq":N,"receive_ns":N,"session":"S","crc":N,"raw":"wire text, JSON-escaped"}
    {"seq":N,"receive_ns":N,"session":"S","crc":N,"raw_b64":"..."}
    {"recovered":{"cut_bytes":N,"bad_lines":N}}

Keys come in this order and without spaces, the text last, so that a scanner can walk over the fixed prefix.
``raw_b64`` stands where the bytes are not one line of UTF-8. ``crc`` of a frame is the CRC-32 of the line up
to its session, followed by the wire bytes; that of the header is the CRC-32 of its object. A line counts only
with its newline.
"""

from __future__ import annotations

import re
from binascii import a2b_base64, b2a_base64
from collections.abc import Iterable, Iterator
from itertools import pairwise
from zlib import crc32

import msgspec

from volspike.errors import ArchiveError
from volspike.recording.frame import FEEDS, Frame, SegmentHeader

FRAME_START = b'{"seq":'
MARKER_START = b'{"recovered":'

_NEWLINE, _RETURN = b"\n\r"

_SESSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,119}")
_REMEDY = "the line is skipped and counted; what follows it is whole"


class Recovered(msgspec.Struct, frozen=True, kw_only=True):
    """Marker at the end of a segment that a crash left open and the next start repaired."""

    cut_bytes: int
    bad_lines: int


class _FrameLine(msgspec.Struct, forbid_unknown_fields=True):
    seq: int
    receive_ns: int
    session: str
    crc: int
    raw: str | None = None
    raw_b64: str | None = None


class _HeaderLine(msgspec.Struct, forbid_unknown_fields=True):
    header: msgspec.Raw
    crc: int


class _MarkerLine(msgspec.Struct, forbid_unknown_fields=True):
    recovered: Recovered


_encode = msgspec.json.Encoder().encode
_decode_frame_line = msgspec.json.Decoder(_FrameLine).decode
_decode_header_line = msgspec.json.Decoder(_HeaderLine).decode
_decode_header = msgspec.json.Decoder(SegmentHeader).decode
_decode_marker_line = msgspec.json.Decoder(_MarkerLine).decode


def check_names(header: SegmentHeader) -> None:
    """Refuse a feed that is unknown, or a session id that can't stand unescaped in a line and a file name.

    Raises
    ------
    ArchiveError
        If the feed is none of `FEEDS`, or the session holds anything but letters, digits, dot, underscore
        and hyphen, or is too long.
    """
    session = header.session
    if header.feed not in FEEDS:
        raise ArchiveError(f"feed {header.feed!r}", "is unknown", f"say one of {', '.join(FEEDS)}")
    if not _SESSION.fullmatch(session):
        raise ArchiveError(
            f"session {session!r}",
            "is not a name of letters, digits, '.', '_' and '-' of at most 120 characters",
            "choose such a session id",
        )


def encode_line(seq: int, receive_ns: int, session: str, raw: bytes) -> bytes:
    """Write one frame as a line, newline included.

    Parameters
    ----------
    seq : int
        Place in the replay order of its process.
    receive_ns : int
        Receive time, nanoseconds UTC.
    session : str
        A name accepted by `check_names`.
    raw : bytes
        The frame as it came off the wire, any bytes.
    """
    prefix = b'{"seq":%d,"receive_ns":%d,"session":"%b"' % (seq, receive_ns, session.encode())
    crc = crc32(raw, crc32(prefix))
    if _NEWLINE not in raw and _RETURN not in raw:
        try:
            return b'%b,"crc":%d,"raw":%b}\n' % (prefix, crc, _encode(raw.decode()))
        except UnicodeDecodeError:
            pass
    return b'%b,"crc":%d,"raw_b64":"%b"}\n' % (prefix, crc, b2a_base64(raw, newline=False))


def decode_line(line: bytes) -> Frame:
    """Read one frame back, strictly.

    Parameters
    ----------
    line : bytes
        One line, with or without its newline.

    Raises
    ------
    ArchiveError
        If it is no frame line, or its crc doesn't match its content.
    """
    try:
        fields = _decode_frame_line(line)
        raw = _wire_bytes(fields)
    except (ValueError, RecursionError) as error:
        raise ArchiveError("archive line", f"is malformed ({error})", _REMEDY) from None
    prefix = f'{{"seq":{fields.seq},"receive_ns":{fields.receive_ns},"session":"{fields.session}"'.encode()
    if crc32(raw, crc32(prefix)) != fields.crc:
        raise ArchiveError(f"archive line {fields.seq}", "does not match its crc", _REMEDY)
    return Frame(fields.seq, fields.receive_ns, fields.session, raw)


def _wire_bytes(fields: _FrameLine) -> bytes:
    if fields.raw is not None and fields.raw_b64 is None:
        return fields.raw.encode()
    if fields.raw_b64 is not None and fields.raw is None:
        return a2b_base64(fields.raw_b64, strict_mode=True)
    raise ValueError("needs exactly one of raw and raw_b64")


def encode_header(header: SegmentHeader) -> bytes:
    """Write the first line of a segment."""
    body = _encode(header)
    return b'{"header":%b,"crc":%d}\n' % (body, crc32(body))


def decode_header(line: bytes) -> SegmentHeader:
    """Read the first line of a segment.

    Raises
    ------
    ArchiveError
        If it is no header, or its crc doesn't match.
    """
    try:
        fields = _decode_header_line(line)
        body = bytes(fields.header)
        header = _decode_header(body)
    except (ValueError, RecursionError) as error:
        raise ArchiveError("segment header", f"is malformed ({error})", _REMEDY) from None
    if crc32(body) != fields.crc:
        raise ArchiveError("segment header", "does not match its crc", _REMEDY)
    return header


def encode_marker(recovered: Recovered) -> bytes:
    """Write the marker line of a repaired segment."""
    return _encode(_MarkerLine(recovered)) + b"\n"


def decode_marker(line: bytes) -> Recovered:
    """Read a marker line.

    Raises
    ------
    ArchiveError
        If it is none.
    """
    try:
        return _decode_marker_line(line).recovered
    except (ValueError, RecursionError) as error:
        raise ArchiveError("recovery marker", f"is malformed ({error})", _REMEDY) from None


def whole_lines(blocks: Iterable[bytes]) -> Iterator[bytes]:
    """Regroup blocks so that each ends with a newline; only the last may lack it (a torn tail)."""
    pending: list[bytes | memoryview] = []
    for block in blocks:
        cut = block.rfind(b"\n") + 1
        if cut:
            pending.append(memoryview(block)[:cut])
            yield b"".join(pending)
            pending = [block[cut:]] if cut < len(block) else []
        else:
            pending.append(block)
    if pending:
        yield b"".join(pending)


def resync(line: bytes) -> list[bytes]:
    """Cut a damaged line where another frame begins inside it (its newline was lost).

    ``{"seq":`` can't occur inside a frame's text, because quotes are escaped there.
    """
    starts = [match.start() for match in re.finditer(re.escape(FRAME_START), line)]
    cuts = sorted({0, *starts, len(line)})
    return [line[a:b] for a, b in pairwise(cuts)]


def frame_or_none(line: bytes) -> Frame | None:
    """Return the frame of a line, or None where the line is damaged."""
    try:
        return decode_line(line)
    except ArchiveError:
        return None
