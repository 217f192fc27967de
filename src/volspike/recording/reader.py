"""Read an archive back: sessions in replay order, frames one by one, or whole lines for a scanner."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from pathlib import Path

import msgspec

from volspike.errors import ArchiveError
from volspike.recording.compression import Summary, read_blocks
from volspike.recording.frame import Frame, SegmentHeader
from volspike.recording.layout import closed_path, plain_path, raw_directory, segments
from volspike.recording.recovery import summarise
from volspike.recording.scan import Scan, is_marker, read_header
from volspike.recording.segment import HEADER_START, whole_lines

CHUNK_BYTES = 1 << 19


class SessionInfo(msgspec.Struct, frozen=True, kw_only=True):
    """One connection's frames, or one imported recording's.

    Attributes
    ----------
    header : SegmentHeader
        How to read its frames.
    first_seq, last_seq : int
        Range of its seq.
    frames : int
        How many frames it holds.
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
        Damaged lines met and skipped so far.

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

        Live sessions follow each other by seq; imported ones by their first receive time, whenever they
        were imported; the two are merged by time. Sessions without frames are left out.
        """
        infos = list(self._infos())
        live = sorted((info for info in infos if info.header.origin == "live"), key=_by_seq)
        imported = sorted((info for info in infos if info.header.origin != "live"), key=_by_time)
        return list(heapq.merge(live, imported, key=_by_time))

    def _infos(self) -> Iterator[SessionInfo]:
        groups: dict[tuple[str, str], list[tuple[Summary, Path]]] = {}
        headers: dict[tuple[str, str], SegmentHeader] = {}
        for path in _distinct(segments(self._raw)):
            seen = _look(path)
            if seen is not None and seen[0].frames:
                summary, header, path = seen
                key = (header.feed, header.session)
                headers.setdefault(key, header)
                groups.setdefault(key, []).append((summary, path))
        for key, parts in groups.items():
            parts.sort(key=lambda part: part[0].first_seq)
            yield _info(headers[key], parts)

    def last_seq(self) -> int:
        """Return the highest seq in the archive, 0 where it is empty."""
        return max((info.last_seq for info in self._infos()), default=0)

    def frame_count(self) -> int:
        """Return how many whole frames the archive holds."""
        return sum(info.frames for info in self._infos())

    def source_digests(self) -> set[str]:
        """Return the sha256 of every recording that was imported."""
        return {info.header.source_sha256 for info in self._infos() if info.header.source_sha256}

    def frames(self, session: SessionInfo) -> Iterator[Frame]:
        """Yield a session's frames in order, each checked against its crc.

        A damaged line is skipped and counted in ``corrupt``; the torn last line of a growing segment is
        passed over in silence.

        Raises
        ------
        ArchiveError
            If a compressed segment is damaged as a whole.
        """
        for path in session.paths:
            for _, frame in Scan(_existing(path)):
                if frame is None:
                    self.corrupt += 1
                else:
                    yield frame

    def chunks(self, session: SessionInfo) -> Iterator[bytes]:
        """Yield a session's frame lines as blocks of whole lines, about 1 MiB each.

        Headers, markers and a torn tail are left out. The lines' crc is not checked here: a closed segment
        carries a checksum of its own, and a scanner hands what it can't read to `decode_line`.

        Raises
        ------
        ArchiveError
            If a compressed segment is damaged as a whole.
        """
        for path in session.paths:
            yield from _gathered(_frame_blocks(_existing(path)))


def _by_seq(info: SessionInfo) -> int:
    return info.first_seq


def _by_time(info: SessionInfo) -> tuple[int, int]:
    return info.first_receive_ns, info.first_seq


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


def _distinct(paths: Iterator[Path]) -> list[Path]:
    """Of a plain segment and its compressed twin (a rename is under way) keep the twin."""
    found = {plain_path(path): path for path in paths}
    return [found[name] for name in sorted(found)]


def _look(path: Path) -> tuple[Summary, SegmentHeader, Path] | None:
    """Return what a segment holds and where it is now; None where it was empty and has been removed.

    The writer may compress and remove a segment between any two of these steps.
    """
    for place in (path, closed_path(plain_path(path))):
        try:
            return summarise(place), read_header(place), place
        except FileNotFoundError:
            continue
    return None


def _existing(path: Path) -> Path:
    """Follow a segment that was compressed since it was listed."""
    return path if path.exists() else closed_path(path)


def _frame_blocks(path: Path) -> Iterator[bytes]:
    first = True
    for block in whole_lines(read_blocks(path)):
        if first and block.startswith(HEADER_START):
            block = block[block.find(b"\n") + 1 :]
        first = False
        block = block[: block.rfind(b"\n") + 1]
        last_line = block.rfind(b"\n", 0, len(block) - 1) + 1
        if is_marker(block[last_line:]):
            block = block[:last_line]
        if block:
            yield block


def _gathered(blocks: Iterator[bytes]) -> Iterator[bytes]:
    """Join small blocks up to about `CHUNK_BYTES`."""
    pending: list[bytes] = []
    size = 0
    for block in blocks:
        pending.append(block)
        size += len(block)
        if size >= CHUNK_BYTES:
            yield b"".join(pending)
            pending, size = [], 0
    if pending:
        yield b"".join(pending)
