"""Walk over a segment line by line, telling whole frames from damage."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from volspike.errors import ArchiveError
from volspike.recording.compression import read_blocks
from volspike.recording.frame import Frame, SegmentHeader
from volspike.recording.layout import session_of
from volspike.recording.segment import (
    MARKER_START,
    decode_header,
    decode_marker,
    frame_or_none,
    resync,
    whole_lines,
)

_PRODUCT = re.compile(rb'"product_id" ?: ?"([^"\\]{1,40})"')


class Scan:
    """Iterate over the pieces of a segment: ``(bytes, Frame)``, or ``(bytes, None)`` for damaged ones.

    Header and marker are left out. Of a line whose newline was lost, the frame behind it is still found.

    Attributes
    ----------
    header : SegmentHeader or None
        Known once the first piece is out; None where the first line is no whole header.
    torn : bytes
        What stood behind the last newline, known at the end.
    damage : ArchiveError or None
        Why a compressed segment could not be read beyond the last piece, known at the end.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.header: SegmentHeader | None = None
        self.torn = b""
        self.damage: ArchiveError | None = None

    def __iter__(self) -> Iterator[tuple[bytes, Frame | None]]:
        first = True
        for block in whole_lines(self._readable_blocks()):
            *lines, torn = block.split(b"\n")
            if first:
                lines = self._take_header(lines)
                first = False
            for line in lines:
                yield from pieces(line)
            self.torn = torn

    def _readable_blocks(self) -> Iterator[bytes]:
        try:
            yield from read_blocks(self._path)
        except ArchiveError as error:
            self.damage = error

    def _take_header(self, lines: list[bytes]) -> list[bytes]:
        try:
            self.header = decode_header(lines[0]) if lines else None
        except ArchiveError:
            return lines
        return lines[1:]


def pieces(line: bytes) -> Iterator[tuple[bytes, Frame | None]]:
    """Yield the frame of a line, or of each part of a damaged one; nothing for a recovery marker."""
    frame = frame_or_none(line)
    if frame is not None:
        yield line, frame
    elif not is_marker(line):
        for piece in resync(line):
            yield piece, frame_or_none(piece)


def is_marker(line: bytes) -> bool:
    """Tell whether a line is a whole recovery marker."""
    if not line.startswith(MARKER_START):
        return False
    try:
        decode_marker(line)
    except ArchiveError:
        return False
    return True


def read_header(path: Path) -> SegmentHeader:
    """Return the header of a segment; of a damaged one, what path and frames tell."""
    try:
        first = next(whole_lines(read_blocks(path)), b"")
        return decode_header(first.partition(b"\n")[0])
    except ArchiveError:
        return rebuild_header(path)


def rebuild_header(path: Path) -> SegmentHeader:
    """Make a header for a live segment that lost its own: only live segments are ever repaired."""
    feed = path.parent.parent.name
    products: set[str] = set()
    for _, frame in Scan(path):
        if frame is not None:
            products.update(name.decode(errors="replace") for name in _PRODUCT.findall(frame.raw))
    return SegmentHeader(
        feed=feed,
        dialect=feed,
        session=session_of(path),
        products=tuple(sorted(products)),
        heartbeats=True,
    )
