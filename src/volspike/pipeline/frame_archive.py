"""The archive of a live job: when the disk fails it stops, and the job goes on without it."""

from __future__ import annotations

from volspike.errors import ArchiveError
from volspike.logs import get_logger
from volspike.pipeline.accounting import Accounting
from volspike.recording.archive import ArchiveWriter
from volspike.recording.frame import SegmentHeader

log = get_logger()


class FrameArchive:
    """Archives every frame for as long as the disk takes them, and numbers them all.

    Parameters
    ----------
    writer : ArchiveWriter
        Closed by its owner.
    accounting : Accounting
        Counts what is archived.

    Attributes
    ----------
    last_seq : int
        Number of the newest frame.
    failure : ArchiveError or None
        What stopped the archive.
    """

    def __init__(self, writer: ArchiveWriter, accounting: Accounting) -> None:
        self._writer = writer
        self._accounting = accounting
        self.last_seq = writer.last_seq
        self.failure: ArchiveError | None = None

    def begin(self, header: SegmentHeader) -> None:
        """Open a session."""
        if self.failure is None:
            try:
                self._writer.begin(header)
            except ArchiveError as error:
                self._lose(error)

    def append(self, session: str, receive_ns: int, raw: bytes) -> int:
        """Archive a frame; return its number."""
        self.last_seq += 1
        if self.failure is None:
            try:
                self.last_seq = self._writer.append(session, receive_ns, raw)
                self._accounting.archived += 1
            except ArchiveError as error:
                self._lose(error)
        return self.last_seq

    def end(self, session: str) -> None:
        """Close a session."""
        self._writer.end(session)

    def _lose(self, error: ArchiveError) -> None:
        self.failure = error
        log.error("the archive has stopped; the stream goes on", reason=str(error))
