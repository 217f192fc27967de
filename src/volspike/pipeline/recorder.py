"""One connection of an ingest: a frame is archived, decoded, admitted, and handed to the publisher."""

from __future__ import annotations

from collections.abc import Callable

from volspike.exchange.items import Decoded
from volspike.logs import get_logger
from volspike.pipeline.frame_archive import FrameArchive
from volspike.pipeline.frame_records import frame_records
from volspike.pipeline.ingest import Ingest
from volspike.pipeline.publisher import Publisher
from volspike.recording.frame import Frame, SegmentHeader

log = get_logger()


class Recorder:
    """A ``FrameSink`` of one of several connections.

    Parameters
    ----------
    archive : FrameArchive
        Shared by all.
    ingest : Ingest
        This connection's.
    publisher : Publisher
        Shared by all.
    header : callable
        Makes the header of a session.
    """

    def __init__(
        self,
        archive: FrameArchive,
        ingest: Ingest,
        publisher: Publisher,
        header: Callable[[str], SegmentHeader],
    ) -> None:
        self._archive = archive
        self._ingest = ingest
        self._publisher = publisher
        self._make_header = header
        self._feed = ""

    def begin(self, session: str) -> None:
        """Begin a connection."""
        header = self._make_header(session)
        self._feed = header.feed
        self._archive.begin(header)
        self._ingest.begin(header)

    def frame(self, session: str, receive_ns: int, raw: bytes, monotonic_ns: int) -> Decoded:
        """Take one frame; whatever it leads to is published soon after."""
        frame = Frame(self._archive.append(session, receive_ns, raw), receive_ns, session, raw)
        decoded, admitted = self._ingest.take(frame)
        is_kept = self._publisher.put(frame_records(frame, admitted, self._feed))
        if not is_kept and self._archive.failure is not None:
            # Nobody has it: what comes next must not look as if nothing were missing.
            self._ingest.admission.break_off("lost", f"{session}/{frame.seq}")
        return decoded

    def end(self, session: str, reason: str) -> None:
        """End a connection."""
        self._archive.end(session)
        log.info("session ended", session=session, reason=reason)
