"""Bring an archive into order at open, after a crash at any point.

Nothing here edits a segment in place: a repaired segment is written anew beside it, so a crash during the
repair changes nothing, and the next start repeats it.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import msgspec

from volspike.errors import ArchiveError
from volspike.recording.compression import ClosedSegmentWriter, Summary, read_blocks, read_footer
from volspike.recording.file_system import FileSystem, make_directory, publish, write_durably
from volspike.recording.layout import COMMIT, STAGING, bad_path, closed_path, segments, session_of
from volspike.recording.scan import Scan, read_header
from volspike.recording.segment import Recovered, encode_header, encode_marker

_BUFFER_BYTES = 1 << 20


class RecoveryReport(msgspec.Struct, kw_only=True):
    """What was found at open.

    Attributes
    ----------
    repaired : int
        Segments that a crash had left open.
    cut_bytes : int
        Bytes of torn last lines that were cut; none of them was acknowledged as a whole frame.
    bad_lines : int
        Damaged lines moved to side files (``*.bad``).
    last_seq : int
        The highest seq in the archive, 0 where it is empty.
    sessions : set of str
        Every session in the archive.
    """

    repaired: int = 0
    cut_bytes: int = 0
    bad_lines: int = 0
    last_seq: int = 0
    sessions: set[str] = set()


def recover(raw: Path, file_system: FileSystem) -> RecoveryReport:
    """Finish or undo what a crash left half done below ``raw/``; the caller holds the lock.

    Raises
    ------
    OSError
        If the disk refuses.
    """
    report = RecoveryReport()
    shutil.rmtree(raw / STAGING, ignore_errors=True)
    roll_forward(raw, file_system)
    for leftover in raw.glob("*/*/*.tmp"):
        file_system.unlink(leftover)
    for plain in [path for path in segments(raw) if path.suffix != ".zst"]:
        _resolve(plain, file_system, report)
    for closed in segments(raw):
        report.last_seq = max(report.last_seq, summarise(closed).last_seq)
        report.sessions.add(session_of(closed))
    return report


def roll_forward(raw: Path, file_system: FileSystem) -> None:
    """Put the files of a committed import in their places and remove its folder."""
    commit = raw / COMMIT
    if not commit.is_dir():
        return
    for path in sorted(path for path in commit.rglob("*") if path.is_file()):
        target = raw / path.relative_to(commit)
        make_directory(file_system, target.parent)
        publish(file_system, path, target)
    shutil.rmtree(commit)
    file_system.fsync_directory(raw)


def summarise(path: Path) -> Summary:
    """Return a segment's counts, from its footer or by a scan."""
    footer = read_footer(path) if path.suffix == ".zst" else None
    if footer is not None:
        return footer
    summary, scan = Summary(), Scan(path)
    for _, frame in scan:
        if frame is not None:
            summary.add(frame.seq, frame.receive_ns)
    summary.cut_short = scan.damage is not None
    return summary


def _resolve(plain: Path, file_system: FileSystem, report: RecoveryReport) -> None:
    closed = closed_path(plain)
    if closed.exists():
        if _is_whole(closed):
            file_system.unlink(plain)
            return
        file_system.unlink(closed)
    repair(plain, file_system, report)


def _is_whole(closed: Path) -> bool:
    try:
        return all(True for _ in read_blocks(closed))
    except ArchiveError:
        return False


def repair(plain: Path, file_system: FileSystem, report: RecoveryReport) -> None:
    """Close a segment left by a crash: whole frames stay, damaged lines move aside, the torn tail is cut."""
    scan, summary = Scan(plain), Summary()
    bad: list[bytes] = []
    buffer = bytearray(encode_header(read_header(plain)))
    writer = ClosedSegmentWriter(file_system, closed_path(plain))
    try:
        for piece, frame in scan:
            if frame is None:
                bad.append(piece + b"\n")
                continue
            summary.add(frame.seq, frame.receive_ns)
            buffer += piece + b"\n"
            if len(buffer) >= _BUFFER_BYTES:
                writer.write(bytes(buffer))
                buffer.clear()
        if bad:
            write_durably(file_system, bad_path(plain), b"".join(bad))
        marker = Recovered(cut_bytes=len(scan.torn), bad_lines=len(bad))
        writer.write(bytes(buffer) + encode_marker(marker))
    except BaseException:
        writer.discard()
        raise
    if summary.frames:
        writer.finish(summary)
    else:
        writer.discard()
    file_system.unlink(plain)
    report.repaired += 1
    report.cut_bytes += len(scan.torn)
    report.bad_lines += len(bad)
