"""The archive read back: the state of admission behind a frame, and what the frames after it lead to.

Connections that were open at the same time lie in sessions of their own. Their frames are taken in the order
of their numbers, as they came, so that what is read back may end anywhere and go on from there.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator, Sequence

from volspike.exchange.products import PriceScales
from volspike.features.admission import PAST_LIMIT_NS
from volspike.features.sets import get_feature_set
from volspike.pipeline.accounting import Accounting
from volspike.pipeline.finished_past import FinishedPast
from volspike.pipeline.frame_records import FrameRecords, frame_records
from volspike.pipeline.ingest import Ingest
from volspike.recording.compression import Summary
from volspike.recording.frame import Frame, SegmentHeader
from volspike.recording.reader import Archive, SessionInfo

LIVE = "live"


class ArchivePast:
    """Reads an archive from a day before a frame.

    Parameters
    ----------
    archive : Archive
        May grow meanwhile.
    scales : PriceScales
        Of the products.
    after_seq : int
        Frames of live sessions up to this one have been published.

    Attributes
    ----------
    ingest : Ingest
        Knows all products as they were behind the newest frame read; its accounts begin at zero.
    """

    def __init__(self, archive: Archive, scales: PriceScales, after_seq: int) -> None:
        self._archive = archive
        self._after_seq = after_seq
        self.ingest = Ingest(scales)
        self._begun: dict[str, Ingest] = {}
        self._rest = self._read_published(scales)
        self.ingest.accounting = Accounting()

    def unpublished(self, last_seq: int) -> Iterator[FrameRecords]:
        """Yield what the frames after ``after_seq`` lead to, up to ``last_seq``, in order."""
        for session, frame in self._frames():
            if frame.seq > last_seq and session.header.origin == LIVE:
                return
            ingest = self._ingest_of(session)
            _, admitted = ingest.take(frame)
            if session.header.origin == LIVE and frame.seq > self._after_seq:
                yield frame_records(frame, admitted, session.header.feed)

    def read(self) -> None:
        """Read all that there is."""
        for _ in self.unpublished(1 << 62):
            pass

    def _read_published(self, scales: PriceScales) -> list[SessionInfo]:
        """Read, quickly, the closed segments that were published whole; return what is left."""
        sessions = needed_sessions(self._archive.sessions(), lambda each: each.last_seq > self._after_seq)
        past = FinishedPast(self._archive, get_feature_set("core"), scales, {}, self._is_published)
        rest: list[SessionInfo] = []
        for session in sessions:
            # The products of a session that isn't finished are not to hear yet of the next one's begin.
            left = session if rest else past.read(session, self._ingest_of(session))
            if left.paths:
                rest.append(left)
        return rest

    def _is_published(self, header: SegmentHeader, segment: Summary) -> bool:
        return header.origin != LIVE or segment.last_seq <= self._after_seq

    def _ingest_of(self, session: SessionInfo) -> Ingest:
        name = session.header.session
        ingest = self._begun.get(name)
        if ingest is None:
            ingest = self._begun[name] = self.ingest.beside()
            ingest.begin(session.header)
        return ingest

    def _frames(self) -> Iterator[tuple[SessionInfo, Frame]]:
        """Yield the frames of the sessions that are left; of live ones between two imports by number."""
        live: list[SessionInfo] = []
        for session in self._rest:
            if session.header.origin == LIVE:
                live.append(session)
                continue
            yield from self._by_seq(live)
            yield from self._of(session)
            live = []
        yield from self._by_seq(live)

    def _by_seq(self, sessions: Sequence[SessionInfo]) -> Iterator[tuple[SessionInfo, Frame]]:
        return heapq.merge(*(self._of(session) for session in sessions), key=lambda pair: pair[1].seq)

    def _of(self, session: SessionInfo) -> Iterator[tuple[SessionInfo, Frame]]:
        return ((session, frame) for frame in self._archive.frames(session))


def needed_sessions(
    sessions: list[SessionInfo], is_undone: Callable[[SessionInfo], bool]
) -> list[SessionInfo]:
    """Return the sessions, in replay order, from the first that admission must know.

    That is what is undone, and the day before it; where nothing is, the last day.
    """
    newest_ns = max((session.last_receive_ns for session in sessions), default=0)
    undone_ns = min((each.first_receive_ns for each in sessions if is_undone(each)), default=newest_ns)
    for index, session in enumerate(sessions):
        if session.last_receive_ns > min(undone_ns, newest_ns) - PAST_LIMIT_NS:
            return sessions[index:]
    return []
