"""Starting is recovering: the archive brings a live job to where the last one stopped, however it ended."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from volspike.exchange.products import PriceScales
from volspike.features.admission import Admitted
from volspike.features.columns import FeatureSet
from volspike.features.store import discard_open_files
from volspike.logs import get_logger
from volspike.pipeline.accounting import Accounting
from volspike.pipeline.archive_past import needed_sessions
from volspike.pipeline.finished_past import FinishedPast, Trail
from volspike.pipeline.home import Home
from volspike.pipeline.ingest import Ingest
from volspike.pipeline.stage import FeatureStages
from volspike.pipeline.stored_rows import StoredRows
from volspike.recording.compression import Summary
from volspike.recording.frame import Frame, SegmentHeader
from volspike.recording.reader import Archive, SessionInfo
from volspike.records import FeatureRow, Mark, Tick

MANY_FRAMES = 100_000  # take some seconds

log = get_logger()


class Follower(Protocol):
    """What else than the feature files is brought up to the archive: a log (``CatchUp``), or nothing."""

    @property
    def logged_seq(self) -> int:
        """Archive position up to which it goes, 0 where it asks for nothing old."""

    def is_done_with(self, segment: Summary) -> bool:
        """Tell whether nothing in a segment of a live session is of any use to it."""

    def begin(self, header: SegmentHeader, passed_ns: Mapping[str, int]) -> None:
        """Begin a live session, of which frames up to these event times (ns, by product) are left out."""

    def frame(self, frame: Frame, admitted: Sequence[Admitted], rows: Sequence[FeatureRow | None]) -> None:
        """Take a frame with the answers of admission and, for each, the feature row of a tick."""


def recover(
    home: Home,
    stored: StoredRows,
    feature_set: FeatureSet,
    scales: PriceScales,
    trailing: Mapping[str, Trail],
    catch_up: Follower,
) -> Ingest:
    """Read back what the archive holds of the last day, and whatever the feature files or the log lack.

    Feature files that a crash left open are discarded, and every row that no file holds is made again. What
    is stored and logged to its end is only remembered (``finished_past.py``).

    Parameters
    ----------
    stored : StoredRows
        What the feature files hold.
    trailing : mapping of str to Trail
        Fresh, by product; they are brought up to date.
    catch_up : Follower
        Brings the log up to date; it is given the frames of live sessions that it is not done with.

    Returns
    -------
    Ingest
        Knows the last quote, trade id and coverage of each product; its accounts begin at zero.
    """
    discard_open_files(home.features)
    ingest = Ingest(scales)
    archive = Archive(home.root)

    def is_finished(header: SegmentHeader, segment: Summary) -> bool:
        is_logged = header.origin != "live" or catch_up.is_done_with(segment)
        return is_logged and stored.has_all(header.feed, header.products, segment.last_seq)

    def is_undone(session: SessionInfo) -> bool:
        # An empty log asks for nothing older than a day.
        logged_seq = catch_up.logged_seq
        is_logged = not logged_seq or session.last_seq <= logged_seq or session.header.origin != "live"
        return session.last_seq > stored.whole_to or not is_logged

    sessions = needed_sessions(archive.sessions(), is_undone)
    frames = sum(session.frames for session in sessions)
    if frames > MANY_FRAMES:
        log.info("reading back the last day", frames=frames)
    past = FinishedPast(archive, feature_set, scales, trailing, is_finished)
    stages: FeatureStages | None = None
    for session in sessions:
        ingest.begin(session.header)
        unfinished = past.read(session, ingest)
        if session.header.origin == "live":
            catch_up.begin(session.header, past.newest_ns)
        if unfinished.paths and stages is None:
            stages = FeatureStages(feature_set, home.features, past.engines())
        if stages is not None:
            _make_again(archive, unfinished, ingest, stages, stored, trailing, catch_up)
    if stages is not None:
        stages.close()
        if stages.failure is not None:
            raise stages.failure
    ingest.accounting = Accounting()
    return ingest


def _make_again(
    archive: Archive,
    session: SessionInfo,
    ingest: Ingest,
    stages: FeatureStages,
    stored: StoredRows,
    trailing: Mapping[str, Trail],
    catch_up: Follower,
) -> None:
    """Read a session, which has begun, frame by frame."""
    is_live = session.header.origin == "live"
    for frame in archive.frames(session):
        _, admitted = ingest.take(frame)
        rows = [_take(answer, stages, stored, trailing) for answer in admitted]
        if is_live:
            catch_up.frame(frame, admitted, rows)


def _take(
    record: Admitted,
    stages: FeatureStages,
    stored: StoredRows,
    trailing: Mapping[str, Trail],
) -> FeatureRow | None:
    """Take one answer of admission; return the feature row of a tick."""
    if not isinstance(record, Tick | Mark):
        return None
    position = (record.archive_seq, record.archive_row)
    is_stored = stored.has((record.product, record.feed), position)
    state = trailing.get(record.product)
    stage = stages.for_tick(record) if isinstance(record, Tick) else stages.of(record.product, record.feed)
    if stage is not None and is_stored:
        stage.close()  # what was made again ends where a whole file begins
    if isinstance(record, Tick):
        if state is not None:
            state.on_tick(record.event_ns, record.bid + record.ask, record.covered_since_ns)
        return stages.for_tick(record).tick(record, keep=not is_stored)
    if stage is not None and not is_stored:
        stage.mark(record)
    if state is not None:
        state.on_mark(record.event_ns, record.covered_since_ns)
    return None
