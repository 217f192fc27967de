"""The raw archive's writer: every frame is in the page cache before anyone decodes it.

It is the first to get a frame off the wire, and gives it the ``seq`` that all that is made of it bears.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from queue import SimpleQueue
from threading import Event, Lock, Thread

from volspike.clock import Clock
from volspike.errors import ArchiveError
from volspike.recording.compression import ClosedSegmentWriter, Summary, read_blocks
from volspike.recording.file_system import FileSystem, OsFileSystem, archive_error, make_directory, write_all
from volspike.recording.frame import SegmentHeader
from volspike.recording.layout import HOUR_NS, LOCK, closed_path, raw_directory, segment_name
from volspike.recording.lock import WriterLock
from volspike.recording.recovery import RecoveryReport, recover
from volspike.recording.segment import check_names, encode_header, encode_line
from volspike.recording.staging import Staging

SYNC_EVERY_S = 0.5  # half the promised bound of 1 s, so that the fsync itself may take the other half


class _OpenSegment:
    """A plain segment being appended to; ``lock`` keeps its descriptor open during an fsync."""

    def __init__(self, path: Path, descriptor: int, header: SegmentHeader, hour: int) -> None:
        self.path = path
        self.descriptor = descriptor
        self.header = header
        self.hour = hour
        self.summary = Summary()
        self.dirty = True
        self.named = False
        self.closed = False
        self.lock = Lock()


class ArchiveWriter:
    """Appends frames to hourly segments below ``root/raw``.

    One thread calls `begin`, `append`, `end`, `sync`, `stage` and `close`. Two helper threads do what may
    wait: fsync of what was appended, and compression of closed segments.

    Parameters
    ----------
    root : Path
        The data directory; made where absent.
    clock : Clock
        Its market time names the first segment of a session.
    file_system : FileSystem, optional
        The port to the disk.
    sync_every_s : float
        Wall seconds between two fsyncs.

    Attributes
    ----------
    root : Path
        The data directory.
    last_seq : int
        The highest seq in the archive.
    recovery : RecoveryReport
        What was repaired at open.
    compression_failures : list of ArchiveError
        Closed segments that stay plain, with the reason; they are readable, and the next start tries again.

    Raises
    ------
    ArchiveError
        If the directory can't be written, or another writer holds it.
    """

    def __init__(
        self,
        root: Path,
        clock: Clock,
        file_system: FileSystem | None = None,
        sync_every_s: float = SYNC_EVERY_S,
    ) -> None:
        self._clock = clock
        self._file_system = file_system or OsFileSystem()
        self._write = self._file_system.write
        self.root = root
        self._raw = raw_directory(root)
        self._segments: dict[str, _OpenSegment] = {}
        self._failure: ArchiveError | None = None
        self._staging = False
        self._closed = False
        self.compression_failures: list[ArchiveError] = []
        self._lock, self.recovery = self._open()
        self.last_seq = self.recovery.last_seq
        self._sync_every_s = sync_every_s
        self._stop = Event()
        self._finished: SimpleQueue[_OpenSegment | None] = SimpleQueue()
        self._threads = [
            Thread(target=self._sync_loop, name="archive-sync", daemon=True),
            Thread(target=self._compress_loop, name="archive-compress", daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    def _open(self) -> tuple[WriterLock, RecoveryReport]:
        try:
            make_directory(self._file_system, self._raw)
            lock = WriterLock(self._raw / LOCK)
        except OSError as error:
            raise archive_error(self._raw, error) from None
        try:
            return lock, recover(self._raw, self._file_system)
        except OSError as error:
            lock.release()
            raise archive_error(self._raw, error) from None

    @property
    def failure(self) -> ArchiveError | None:
        """What stopped the archive, or None while it works."""
        return self._failure

    def begin(self, header: SegmentHeader) -> None:
        """Open a session.

        Raises
        ------
        ArchiveError
            If the session exists, its id can't be a file name, its feed is unknown, or the disk refuses.
        """
        self._check_usable()
        check_names(header)
        if header.session in self.recovery.sessions:
            raise ArchiveError(
                f"session {header.session}", "is in the archive already", "give each session an id of its own"
            )
        self._segments[header.session] = self._create(header, self._clock.market_ns())
        self.recovery.sessions.add(header.session)

    def append(self, session: str, receive_ns: int, raw: bytes) -> int:
        """Write a frame to the page cache and return its seq; a kill -9 after this can't lose it.

        Raises
        ------
        ArchiveError
            If the session isn't open, or the disk failed here or in an fsync before. After a failure the
            archive stays stopped, without touching the disk again: the owner goes on without it.
        """
        if self._failure is not None:
            raise self._failure
        segment = self._segments.get(session)
        if segment is None:
            raise ArchiveError(f"session {session}", "is not open", "begin it before appending to it")
        if receive_ns // HOUR_NS > segment.hour:
            segment = self._rotate(segment, receive_ns)
        seq = self.last_seq + 1
        line = encode_line(seq, receive_ns, session, raw)
        try:
            written = self._write(segment.descriptor, line)
            if written < len(line):
                write_all(self._file_system, segment.descriptor, line[written:])
        except OSError as error:
            raise self._fail(segment.path, error) from None
        segment.summary.add(seq, receive_ns)
        segment.dirty = True
        self.last_seq = seq
        return seq

    def end(self, session: str) -> None:
        """Close a session; its segment is compressed behind the scenes."""
        segment = self._segments.pop(session, None)
        if segment is not None:
            self._finished.put(segment)

    def sync(self) -> None:
        """Force everything appended so far to the disk.

        Raises
        ------
        ArchiveError
            If the disk fails, or failed before; an fsync is never tried twice.
        """
        if self._failure is not None:
            raise self._failure
        self._sync_dirty()
        if self._failure is not None:
            raise self._failure

    def close(self) -> None:
        """End every session, wait for the helpers, and let the next writer in."""
        if self._closed:
            return
        self._closed = True
        for session in list(self._segments):
            self.end(session)
        self._stop.set()
        self._finished.put(None)
        for thread in self._threads:
            thread.join()
        self._lock.release()

    @contextmanager
    def stage(self) -> Iterator[Staging]:
        """Take an import: committed as a whole when the block ends well, else nothing is left of it.

        Raises
        ------
        ArchiveError
            If sessions are open, or the disk refuses; in the latter case the archive stays stopped.
        """
        self._check_usable()
        if self._segments:
            raise ArchiveError(str(self._raw), "has open sessions", "import before recording, or after it")
        self._staging = True
        try:
            staging = Staging(self._raw, self._file_system, self.last_seq)
            try:
                yield staging
                staging.commit()
            except BaseException:
                staging.discard()
                raise
        except OSError as error:
            # Whether the import stands only the next start can tell, and with it which seqs are taken.
            raise self._fail(self._raw, error) from None
        finally:
            self._staging = False
        self.last_seq = staging.last_seq
        self.recovery.sessions |= staging.sessions

    def _check_usable(self) -> None:
        if self._failure is not None:
            raise self._failure
        if self._staging:
            raise ArchiveError(str(self._raw), "is taking an import", "wait until it has ended")

    def _create(self, header: SegmentHeader, receive_ns: int) -> _OpenSegment:
        path = self._raw / segment_name(header.feed, receive_ns, header.session)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND
            descriptor = self._file_system.open(path, flags)
        except OSError as error:
            raise self._fail(path, error) from None
        try:
            write_all(self._file_system, descriptor, encode_header(header))
        except OSError as error:
            self._file_system.close(descriptor)
            raise self._fail(path, error) from None
        return _OpenSegment(path, descriptor, header, receive_ns // HOUR_NS)

    def _rotate(self, segment: _OpenSegment, receive_ns: int) -> _OpenSegment:
        fresh = self._create(segment.header, receive_ns)
        self._segments[segment.header.session] = fresh
        self._finished.put(segment)
        return fresh

    def _fail(self, path: Path, error: OSError) -> ArchiveError:
        if self._failure is None:
            self._failure = archive_error(path, error)
        return self._failure

    def _sync_loop(self) -> None:
        while not self._stop.wait(self._sync_every_s):
            self._sync_dirty()

    def _sync_dirty(self) -> None:
        for segment in list(self._segments.values()):
            self._sync_segment(segment)

    def _sync_segment(self, segment: _OpenSegment) -> None:
        with segment.lock:
            if self._failure is not None or segment.closed or not segment.dirty:
                return
            segment.dirty = False
            try:
                self._file_system.fsync(segment.descriptor)
                if not segment.named:
                    for directory in (segment.path.parent, segment.path.parent.parent, self._raw):
                        self._file_system.fsync_directory(directory)
                    segment.named = True
            except OSError as error:
                self._fail(segment.path, error)

    def _compress_loop(self) -> None:
        while (segment := self._finished.get()) is not None:
            self._sync_segment(segment)
            try:
                self._close_segment(segment)
            except OSError as error:
                self.compression_failures.append(archive_error(segment.path, error))

    def _close_segment(self, segment: _OpenSegment) -> None:
        with segment.lock:
            segment.closed = True
            self._file_system.close(segment.descriptor)
        # After a failed fsync the pages can't be trusted: recovery at the next start sorts it out.
        if self._failure is None:
            if segment.summary.frames:
                compress_segment(self._file_system, segment.path, segment.summary)
            self._file_system.unlink(segment.path)


def compress_segment(file_system: FileSystem, plain: Path, summary: Summary) -> None:
    """Write a closed segment's compressed twin: temporary name, fsync, rename, fsync of the directory.

    Raises
    ------
    OSError
        If the disk refuses; the plain segment is untouched.
    """
    writer = ClosedSegmentWriter(file_system, closed_path(plain))
    try:
        for block in read_blocks(plain):
            writer.write(block)
    except OSError:
        with suppress(OSError):
            writer.discard()
        raise
    writer.finish(summary)
