"""An import under way: written aside, then put in place as a whole, or not at all.

Files are finished in ``raw/.staging``. One rename of that folder to ``raw/.commit`` is the point of no
return; from there the files are moved to their places, and a start after a crash goes on with it.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from volspike.recording.compression import ClosedSegmentWriter, Summary
from volspike.recording.file_system import FileSystem, make_directory, publish, write_all
from volspike.recording.frame import SegmentHeader
from volspike.recording.layout import COMMIT, HOUR_NS, STAGING, closed_path, segment_name
from volspike.recording.recovery import roll_forward
from volspike.recording.segment import check_names, encode_header, encode_line

_BUFFER_BYTES = 1 << 20


class _StagedSegment:
    """One hour of one imported session."""

    def __init__(self, writer: ClosedSegmentWriter, header: SegmentHeader, hour: int) -> None:
        self.hour = hour
        self.summary = Summary()
        self._writer = writer
        self._buffer = bytearray(encode_header(header))

    def add(self, seq: int, receive_ns: int, session: str, raw: bytes) -> None:
        self._buffer += encode_line(seq, receive_ns, session, raw)
        self.summary.add(seq, receive_ns)
        if len(self._buffer) >= _BUFFER_BYTES:
            self._writer.write(bytes(self._buffer))
            self._buffer.clear()

    def finish(self) -> None:
        self._writer.write(bytes(self._buffer))
        self._writer.finish(self.summary)

    def discard(self) -> None:
        self._writer.discard()


class Staging:
    """Takes imported sessions; made by `ArchiveWriter.stage`, which commits or discards it.

    Parameters
    ----------
    raw : Path
        The archive's ``raw`` folder.
    file_system : FileSystem
        The port to the disk.
    last_seq : int
        The highest seq in use; imported frames go on from it.
    """

    def __init__(self, raw: Path, file_system: FileSystem, last_seq: int) -> None:
        self.last_seq = last_seq
        self.sessions: set[str] = set()
        self._raw = raw
        self._directory = raw / STAGING
        self._file_system = file_system
        self._headers: dict[str, SegmentHeader] = {}
        self._segments: dict[str, _StagedSegment] = {}
        self._side_files: dict[Path, int] = {}
        make_directory(file_system, self._directory)

    def begin(self, header: SegmentHeader) -> None:
        """Announce a session.

        Raises
        ------
        ArchiveError
            If its feed is unknown or its id can't be a file name.
        """
        check_names(header)
        self._headers[header.session] = header
        self.sessions.add(header.session)

    def append(self, session: str, receive_ns: int, raw: bytes) -> int:
        """Add a frame and return its seq."""
        hour = receive_ns // HOUR_NS
        segment = self._segments.get(session)
        if segment is None or hour > segment.hour:
            segment = self._open(session, receive_ns)
        self.last_seq += 1
        segment.add(self.last_seq, receive_ns, session, raw)
        return self.last_seq

    def _open(self, session: str, receive_ns: int) -> _StagedSegment:
        if (previous := self._segments.pop(session, None)) is not None:
            previous.finish()
        header = self._headers[session]
        path = self._directory / closed_path(segment_name(header.feed, receive_ns, session))
        make_directory(self._file_system, path.parent)
        segment = _StagedSegment(ClosedSegmentWriter(self._file_system, path), header, receive_ns // HOUR_NS)
        self._segments[session] = segment
        return segment

    def end(self, session: str) -> None:
        """Finish a session's last segment."""
        if (segment := self._segments.pop(session, None)) is not None:
            segment.finish()

    def add_line(self, name: Path, line: bytes) -> None:
        """Add a line to a side file, named relative to ``raw/``."""
        descriptor = self._side_files.get(name)
        if descriptor is None:
            path = self._directory / name
            make_directory(self._file_system, path.parent)
            descriptor = self._file_system.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
            self._side_files[name] = descriptor
        write_all(self._file_system, descriptor, line + b"\n")

    def commit(self) -> None:
        """Put everything in place."""
        for session in list(self._segments):
            self.end(session)
        for descriptor in self._side_files.values():
            self._file_system.fsync(descriptor)
        self._close_side_files()
        publish(self._file_system, self._directory, self._raw / COMMIT)
        roll_forward(self._raw, self._file_system)

    def _close_side_files(self) -> None:
        for descriptor in self._side_files.values():
            self._file_system.close(descriptor)
        self._side_files.clear()

    def discard(self) -> None:
        """Leave nothing behind."""
        for segment in self._segments.values():
            segment.discard()
        self._segments.clear()
        self._close_side_files()
        shutil.rmtree(self._directory, ignore_errors=True)
