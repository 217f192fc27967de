"""Read an archive back: sessions in replay order, frames one by one, or whole lines for a scanner."""

from __future__ import annotations

import heapq
import io
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec

from volspike.errors import ArchiveError
from volspike.logs import get_logger
from volspike.recording.compression import Summary, open_text, read_footer
from volspike.recording.frame import Frame, SegmentHeader
from volspike.recording.layout import closed_path, plain_path, raw_directory, segments
from volspike.recording.recovery import summarise
from volspike.recording.scan import Scan, pieces, read_header
from volspike.recording.segment import decode_header

CHUNK_BYTES = 1 << 19
SPARE_BYTES = 64
NO_END = 1 << 62
_TAIL_BYTES = 1 << 16

log = get_logger()


class LineBlock(NamedTuple):
    """Whole lines, ``text[start:stop]``, then ``SPARE_BYTES`` or more; the memory is used again."""

    text: bytearray
    start: int
    stop: int


class SessionInfo(msgspec.Struct, frozen=True, kw_only=True):
    """One connection's frames, or one imported recording's.

    Attributes
    ----------
    header : SegmentHeader
        How to read its frames.
    first_seq, last_seq : int
        Range of its seq.
    frames : int
        How many frames its closed segments hold; those of an open one are not counted.
    first_receive_ns, last_receive_ns : int
        Receive times of the first and the last frame, nanoseconds UTC.
    paths : tuple of Path
        Its segments in order of seq.
    """

    header: SegmentHeader
    first_seq: int
    last_seq: int
    frames: int
    first_receive_ns: int
    last_receive_ns: int
    paths: tuple[Path, ...]


class Archive:
    """The frames below ``root/raw``; reading needs no lock and may go on beside the writer.

    Attributes
    ----------
    corrupt : int
        Damaged lines, and lines of damaged segments, met and skipped so far.

    Raises
    ------
    ArchiveError
        If there is no archive.
    """

    def __init__(self, root: Path) -> None:
        self._raw = raw_directory(root)
        self.corrupt = 0
        if not self._raw.is_dir():
            raise ArchiveError(
                str(root),
                "holds no archive (no folder raw)",
                "record or import something first, or name another",
            )

    def sessions(self) -> list[SessionInfo]:
        """Return the sessions in replay order.

        Live sessions follow each other by seq; imported ones by their first receive time and, among equals,
        the sha256 of their recording, in whatever order they were imported; the two are merged by time.
        Sessions without frames are left out.
        """
        infos = list(self._infos())
        live = sorted((info for info in infos if info.header.origin == "live"), key=_by_seq)
        imported = sorted((info for info in infos if info.header.origin != "live"), key=_by_content)
        return list(heapq.merge(live, imported, key=_by_time))

    def _infos(self) -> Iterator[SessionInfo]:
        groups: dict[tuple[str, str], list[tuple[Summary, Path]]] = {}
        headers: dict[tuple[str, str], SegmentHeader] = {}
        for path in distinct_segments(segments(self._raw)):
            seen = look_at_segment(path)
            if seen is not None and seen[0].last_seq:
                summary, header, path = seen
                key = (header.feed, header.session)
                headers.setdefault(key, header)
                groups.setdefault(key, []).append((summary, path))
        for key, parts in groups.items():
            parts.sort(key=lambda part: part[0].first_seq)
            yield _info(headers[key], parts)

    def seq_ranges(self) -> list[tuple[int, int]]:
        """Return the first and last seq of every segment, sorted.

        A damaged segment may have held anything up to the next one: its range ends at `NO_END`.
        """
        summaries = [summarise(_existing(path)) for path in distinct_segments(segments(self._raw))]
        held = [summary for summary in summaries if summary.frames or summary.cut_short]
        return sorted((each.first_seq, NO_END if each.cut_short else each.last_seq) for each in held)

    def source_digests(self) -> set[str]:
        """Return the sha256 of every recording that was imported."""
        return {info.header.source_sha256 for info in self._infos() if info.header.source_sha256}

    def frames(self, session: SessionInfo) -> Iterator[Frame]:
        """Yield a session's frames in order, each checked against its crc.

        A damaged line is skipped and counted in ``corrupt``; the torn last line of a growing segment is
        passed over in silence. A damaged segment is read to its last good line, with a warning.
        """
        for path in session.paths:
            scan, read = Scan(_existing(path)), 0
            for _, frame in scan:
                read += 1
                if frame is None:
                    self.corrupt += 1
                else:
                    yield frame
            if scan.damage is not None:
                self.count_lost(path, read, scan.damage)

    def count_lost(self, path: Path, read: int, damage: ArchiveError) -> None:
        """Count the lines of a damaged segment behind the ``read`` ones; at least one."""
        footer = read_footer(path)
        lost = max(1, footer.frames - read if footer is not None else 1)
        self.corrupt += lost
        log.warning("a segment is damaged", reason=str(damage), read=read, lost=lost)

    def chunks(self, session: SessionInfo) -> Iterator[LineBlock]:
        """Yield a session's lines in blocks of about 512 KiB, without headers and a torn tail.

        Nothing is checked here: a scanner checks the lines it can read, and hands the others to ``pieces``.

        Raises
        ------
        ArchiveError
            Behind the last whole line of a damaged segment; `count_lost` is for who goes on.
        """
        for path in session.paths:
            yield from _line_blocks(_existing(path))


def _by_seq(info: SessionInfo) -> int:
    return info.first_seq


def _by_time(info: SessionInfo) -> int:
    return info.first_receive_ns


def _by_content(info: SessionInfo) -> tuple[int, str, int]:
    """Sort imported sessions; the seq tells those of one recording apart."""
    return info.first_receive_ns, info.header.source_sha256, info.first_seq


def _info(header: SegmentHeader, parts: list[tuple[Summary, Path]]) -> SessionInfo:
    return SessionInfo(
        header=header,
        first_seq=parts[0][0].first_seq,
        last_seq=max(summary.last_seq for summary, _ in parts),
        frames=sum(summary.frames for summary, _ in parts),
        first_receive_ns=parts[0][0].first_receive_ns,
        last_receive_ns=parts[-1][0].last_receive_ns,
        paths=tuple(path for _, path in parts),
    )


def distinct_segments(paths: Iterator[Path]) -> list[Path]:
    """Of a plain segment and its compressed twin (a rename is under way) keep the twin."""
    found = {plain_path(path): path for path in paths}
    return [found[name] for name in sorted(found)]


def look_at_segment(path: Path) -> tuple[Summary, SegmentHeader, Path] | None:
    """Return what a segment holds and where it is now; None where it was empty and has been removed.

    The writer may compress and remove a segment between any two of these steps.
    """
    for place in (path, closed_path(plain_path(path))):
        try:
            return _ends(place), read_header(place), place
        except FileNotFoundError:
            continue
    return None


def _ends(path: Path) -> Summary:
    """Return what a segment holds; of an open one only its ends are looked at."""
    if path.suffix == ".zst":
        return summarise(path)
    first, last = next(_whole_frames(Scan(path)), None), _last_frame(path)
    if first is None or last is None:
        return Summary()
    return Summary(
        first_seq=first.seq,
        last_seq=last.seq,
        first_receive_ns=first.receive_ns,
        last_receive_ns=last.receive_ns,
    )


def _last_frame(path: Path) -> Frame | None:
    end, reach = path.stat().st_size, _TAIL_BYTES
    with path.open("rb") as file:
        while True:
            start = max(0, end - reach)
            file.seek(start)
            *lines, _ = file.read(end - start).split(b"\n")
            for line in reversed(lines if start == 0 else lines[1:]):
                frames = list(_whole_frames(pieces(line)))
                if frames:
                    return frames[-1]
            if start == 0:
                return None
            reach *= 16


def _whole_frames(found: Iterable[tuple[bytes, Frame | None]]) -> Iterator[Frame]:
    return (frame for _, frame in found if frame is not None)


def _existing(path: Path) -> Path:
    """Follow a segment that was compressed since it was listed."""
    return path if path.exists() else closed_path(path)


def _line_blocks(path: Path) -> Iterator[LineBlock]:
    text = bytearray(CHUNK_BYTES + SPARE_BYTES)
    start, filled = -1, 0
    damage: ArchiveError | None = None
    with open_text(path) as source:
        while damage is None:
            more, damage = _fill(source, memoryview(text)[filled:-SPARE_BYTES])
            if more == 0:
                break
            stop = text.rfind(b"\n", filled, filled + more) + 1
            filled += more
            if stop == 0:
                text = text + bytes(len(text))  # a line longer than the block
                continue
            start = _behind_header(text) if start < 0 else 0
            if start < stop:
                yield LineBlock(text, start, stop)
            text[: filled - stop] = text[stop:filled]
            filled -= stop
    if damage is not None:
        raise damage


def _fill(source: io.RawIOBase, room: memoryview) -> tuple[int, ArchiveError | None]:
    """Read until there is no more room or no more text; return how much was read, and what ended it."""
    filled = 0
    try:
        while more := source.readinto(room[filled:]):
            filled += more
    except ArchiveError as damage:
        return filled, damage
    return filled, None


def _behind_header(text: bytearray) -> int:
    """Return where the lines behind a whole header begin; a damaged one is a damaged line."""
    behind = text.index(b"\n") + 1
    try:
        decode_header(bytes(text[:behind]))
    except ArchiveError:
        return 0
    return behind
