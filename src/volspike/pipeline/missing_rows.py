"""Feature rows of what is archived and not yet stored, made while another process may go on archiving.

``run`` stores rows as they come. The stages put them on topics, so what trains beside them stores them first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from volspike.config import Settings
from volspike.exchange.products import PriceScales
from volspike.features.admission import Admitted
from volspike.features.sets import get_tick_set
from volspike.features.store import finished_files
from volspike.pipeline.home import Home
from volspike.pipeline.recovery import recover
from volspike.pipeline.replay import replay_features, stored_feature_set, writing_rows
from volspike.pipeline.stored_rows import StoredRows
from volspike.recording.compression import Summary
from volspike.recording.frame import Frame, SegmentHeader
from volspike.recording.reader import Archive
from volspike.records import FeatureRow


def store_missing_rows(home: Home, settings: Settings) -> None:
    """Store the feature rows that the archive leads to and no finished file holds.

    Raises
    ------
    ArchiveError
        If there is no archive, frames of stored rows are missing in it, or another process stores rows.
    FeatureError
        If the feature files can't be read or written.
    """
    scales = PriceScales(settings.price_decimals)
    archive = Archive(home.root)
    if not finished_files(home.features):
        replay_features(home, get_tick_set(settings.feature_set), scales, lambda _frames: None)
        return
    with writing_rows(home):
        feature_set = stored_feature_set(home, settings.feature_set)
        recover(home, StoredRows(home, archive), feature_set, scales, {}, _NoLog())


class _NoLog:
    """Wants nothing of the archive."""

    logged_seq = 0

    def is_done_with(self, segment: Summary) -> bool:
        return True

    def begin(self, header: SegmentHeader, passed_ns: Mapping[str, int]) -> None:
        pass

    def frame(self, frame: Frame, admitted: Sequence[Admitted], rows: Sequence[FeatureRow | None]) -> None:
        pass
