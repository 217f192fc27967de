"""Ticks to feature rows, one stage per product and feed, stored as they come."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from volspike.errors import FeatureError
from volspike.features.columns import FeatureSet
from volspike.features.engine import Engine
from volspike.features.store import FeatureWriter
from volspike.logs import get_logger
from volspike.pipeline.feature_rows import FeatureRows
from volspike.records import FeatureRow, Mark, Tick

HOUR_NS = 3_600_000_000_000

log = get_logger()


class FeatureStage:
    """The window engine of one product and feed, and its Parquet file, which rotates each hour of event time.

    A file that a crash left open is discarded and rebuilt from the archive at the next start, so rows need
    not be forced to disk before. For the same reason a disk that refuses stops the storing, not the stage.

    Parameters
    ----------
    first : Tick
        The product's first tick.
    feature_set : FeatureSet
        Which features.
    directory : Path
        Where the files go.
    engine : Engine, optional
        One that has taken the ticks before, if there are any.

    Attributes
    ----------
    failure : FeatureError or None
        What stopped the storing.
    """

    def __init__(
        self, first: Tick, feature_set: FeatureSet, directory: Path, engine: Engine | None = None
    ) -> None:
        self._row = FeatureRows(feature_set, first.price_decimals, engine).row
        self._writer = FeatureWriter(
            directory, first.product, first.feed, feature_set, first.price_decimals, first.event_time_source
        )
        self._hour_end_ns = (first.event_ns // HOUR_NS + 1) * HOUR_NS
        self.failure: FeatureError | None = None

    def tick(self, tick: Tick, keep: bool = True) -> FeatureRow:
        """Take an accepted tick; return its row, and store it unless it is not to be kept."""
        row = self._row(tick, tick.covered_since_ns)
        if keep and self.failure is None:
            try:
                if tick.event_ns >= self._hour_end_ns:
                    self._rotate(tick.event_ns)
                self._writer.append_row(row)
            except FeatureError as error:
                self._lose_store(error)
        return row

    def mark(self, mark: Mark) -> None:
        """Store a mark."""
        if self.failure is None:
            try:
                self._writer.append_mark(mark)
            except FeatureError as error:
                self._lose_store(error)

    def close(self) -> None:
        """Finish the open file."""
        if self.failure is None:
            try:
                self._writer.close()
            except FeatureError as error:
                self._lose_store(error)

    def _lose_store(self, error: FeatureError) -> None:
        self.failure = error
        what = "feature rows are no longer stored; the next run makes those of archived frames again"
        log.error(what, reason=str(error))

    def _rotate(self, event_ns: int) -> None:
        self._hour_end_ns = (event_ns // HOUR_NS + 1) * HOUR_NS
        self._writer.rotate()


class FeatureStages:
    """The stages of all products of a feed; each begins at its product's first tick.

    Parameters
    ----------
    feature_set : FeatureSet
        Which features.
    directory : Path
        Where their files go.
    engines : mapping, optional
        Of the products and feeds that have ticked before.
    """

    def __init__(
        self,
        feature_set: FeatureSet,
        directory: Path,
        engines: Mapping[tuple[str, str], Engine] | None = None,
    ) -> None:
        self._feature_set = feature_set
        self._directory = directory
        self._engines = engines or {}
        self._stages: dict[tuple[str, str], FeatureStage] = {}

    def of(self, product: str, feed: str) -> FeatureStage | None:
        """Return a product's stage, or None before its first tick."""
        return self._stages.get((product, feed))

    def for_tick(self, tick: Tick) -> FeatureStage:
        """Return the stage of a tick's product, made at need."""
        key = (tick.product, tick.feed)
        stage = self._stages.get(key)
        if stage is None:
            stage = self._stages[key] = FeatureStage(
                tick, self._feature_set, self._directory, self._engines.get(key)
            )
        return stage

    def close(self) -> None:
        """Finish every open file."""
        for stage in self._stages.values():
            stage.close()

    @property
    def failure(self) -> FeatureError | None:
        """What stopped the storing of one of them, or None."""
        return next((stage.failure for stage in self._stages.values() if stage.failure is not None), None)
