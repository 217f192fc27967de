"""Ticks to feature rows, one stage per product and feed, stored as they come."""

from __future__ import annotations

from pathlib import Path

from volspike.features.engine import make_engine
from volspike.features.sets import FeatureSet
from volspike.features.store import FeatureWriter
from volspike.records import FeatureRow, Mark, Tick

WINDOW_NS = 60_000_000_000
HOUR_NS = 3_600_000_000_000


class FeatureStage:
    """The window engine of one product and feed, and its Parquet file, which rotates each hour of event time.

    A file that a crash left open is discarded and rebuilt from the archive at the next start, so rows need
    not be forced to disk before.
    """

    def __init__(self, first: Tick, feature_set: FeatureSet, directory: Path) -> None:
        self._feature_set = feature_set.name
        self._step = make_engine(feature_set, first.price_decimals).step
        self._writer = FeatureWriter(
            directory, first.product, first.feed, feature_set, first.price_decimals, first.event_time_source
        )
        self._hour = first.event_ns // HOUR_NS

    def tick(self, tick: Tick, keep: bool = True) -> FeatureRow:
        """Take an accepted tick; return its row, and store it unless it is not to be kept."""
        event_ns, covered_since_ns = tick.event_ns, tick.covered_since_ns
        *values, ticks = self._step(
            event_ns, covered_since_ns, tick.bid, tick.ask, tick.bid_size, tick.ask_size
        )
        row = FeatureRow(
            product=tick.product,
            feed=tick.feed,
            feature_set=self._feature_set,
            session=tick.session,
            event_ns=event_ns,
            covered_since_ns=covered_since_ns,
            bid=tick.bid,
            ask=tick.ask,
            price_decimals=tick.price_decimals,
            archive_seq=tick.archive_seq,
            archive_row=tick.archive_row,
            identity=tick.identity,
            ticks=int(ticks),
            complete=event_ns - covered_since_ns >= WINDOW_NS,
            values=tuple(values),
            suspect=tick.suspect,
            event_time_source=tick.event_time_source,
        )
        if keep:
            self._rotate(event_ns)
            self._writer.append_row(row)
        return row

    def mark(self, mark: Mark) -> None:
        """Store a mark."""
        self._writer.append_mark(mark)

    def close(self) -> None:
        """Finish the open file."""
        self._writer.close()

    def _rotate(self, event_ns: int) -> None:
        hour = event_ns // HOUR_NS
        if hour > self._hour:
            self._hour = hour
            self._writer.rotate()


class FeatureStages:
    """The stages of all products of a feed; each begins at its product's first tick."""

    def __init__(self, feature_set: FeatureSet, directory: Path) -> None:
        self._feature_set = feature_set
        self._directory = directory
        self._stages: dict[tuple[str, str], FeatureStage] = {}

    def of(self, product: str, feed: str) -> FeatureStage | None:
        """Return a product's stage, or None before its first tick."""
        return self._stages.get((product, feed))

    def for_tick(self, tick: Tick) -> FeatureStage:
        """Return the stage of a tick's product, made at need."""
        key = (tick.product, tick.feed)
        stage = self._stages.get(key)
        if stage is None:
            stage = self._stages[key] = FeatureStage(tick, self._feature_set, self._directory)
        return stage

    def close(self) -> None:
        """Finish every open file."""
        for stage in self._stages.values():
            stage.close()
