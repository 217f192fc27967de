"""Starting is recovering: the archive brings a live job to where the last one stopped, however it ended."""

from __future__ import annotations

from collections.abc import Mapping

from volspike.exchange.products import PriceScales
from volspike.features.admission import PAST_LIMIT_NS
from volspike.features.sets import FeatureSet
from volspike.features.store import discard_open_files, discard_rows_after, last_position, stored_kinds
from volspike.labels.trailing import TrailingState
from volspike.pipeline.accounting import Accounting
from volspike.pipeline.home import Home
from volspike.pipeline.ingest import Ingest
from volspike.pipeline.stage import FeatureStages
from volspike.recording.reader import Archive, SessionInfo
from volspike.records import Mark, Tick

Position = tuple[int, int]


def recover(
    home: Home, feature_set: FeatureSet, scales: PriceScales, trailing: Mapping[str, TrailingState]
) -> Ingest:
    """Read back what the archive holds of the last day, and whatever the feature files lack.

    Feature files that a crash left open are discarded, and every row that no file holds is made again.

    Parameters
    ----------
    trailing : mapping of str to TrailingState
        Fresh states by product; they are brought up to date.

    Returns
    -------
    Ingest
        Knows the last quote, trade id and coverage of each product; its accounts begin at zero.
    """
    discard_open_files(home.features)
    ingest = Ingest(scales)
    archive = Archive(home.root)
    sessions = archive.sessions()
    # A power cut can cost the archive its last second, and spare the rows made of it.
    discard_rows_after(home.features, max((session.last_seq for session in sessions), default=0))
    stored = {
        (product, feed): last_position(home.features, product, feed) or (0, -1)
        for product, feed, _ in stored_kinds(home.features)
    }
    stages = FeatureStages(feature_set, home.features)
    for session in _needed(sessions, min(stored.values(), default=(0, -1))):
        ingest.begin(session.header)
        for frame in archive.frames(session):
            for answer in ingest.take(frame)[1]:
                if isinstance(answer, Tick | Mark):
                    _take(answer, stages, stored, trailing.get(answer.product))
    stages.close()
    if stages.failure is not None:
        raise stages.failure
    ingest.accounting = Accounting()
    return ingest


def _needed(sessions: list[SessionInfo], stored_to: Position) -> list[SessionInfo]:
    """Return the sessions from the first one that is recent, or not stored to its end."""
    newest_ns = max((session.last_receive_ns for session in sessions), default=0)
    for index, session in enumerate(sessions):
        if session.last_receive_ns > newest_ns - PAST_LIMIT_NS or session.last_seq > stored_to[0]:
            return sessions[index:]
    return []


def _take(
    record: Tick | Mark,
    stages: FeatureStages,
    stored: Mapping[tuple[str, str], Position],
    trailing: TrailingState | None,
) -> None:
    position = (record.archive_seq, record.archive_row)
    is_stored = position <= stored.get((record.product, record.feed), (0, -1))
    if isinstance(record, Tick):
        stages.for_tick(record).tick(record, keep=not is_stored)
        if trailing is not None:
            trailing.on_tick(record.event_ns, record.bid + record.ask, record.covered_since_ns)
        return
    stage = stages.of(record.product, record.feed)
    if stage is not None and not is_stored:
        stage.mark(record)
    if trailing is not None:
        trailing.on_mark(record.event_ns, record.covered_since_ns)
