"""The part of the past that is stored and logged to its end, read back at the speed of replay.

There is nothing to be done for it but to remember: the last quote, trade id and coverage of each product, its
window, and its trailing state. ``recovery`` goes on from there, frame by frame.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import chain
from pathlib import Path
from typing import Protocol

from msgspec.structs import replace

from volspike.exchange.products import PriceScales
from volspike.features.columns import FeatureSet
from volspike.features.engine import Engine
from volspike.features.table import TICK, FeatureTable
from volspike.pipeline.batch import BatchStages
from volspike.pipeline.ingest import Ingest
from volspike.pipeline.replay import quick_session_tables
from volspike.recording.compression import Summary, read_footer
from volspike.recording.frame import SegmentHeader
from volspike.recording.reader import Archive, SessionInfo


class Trail(Protocol):
    """Is brought up to date with a product's ticks and marks: its trailing state, or what is kept for one."""

    def on_tick(self, event_ns: int, mid_sum: int, covered_since_ns: int) -> object:
        """Take an accepted tick (ns, bid + ask in price units, ns)."""

    def on_mark(self, event_ns: int, covered_since_ns: int) -> object:
        """Take a mark (ns, ns)."""


class FinishedPast:
    """Reads sessions, in replay order, up to the first segment that is not finished.

    Parameters
    ----------
    archive : Archive
        Counts damaged lines.
    feature_set : FeatureSet
        Of the windows.
    scales : PriceScales
        Of the products.
    trailing : mapping of str to Trail
        Brought up to date, by product.
    is_finished : callable
        Tells whether all that a closed segment led to is stored and logged.

    Attributes
    ----------
    newest_ns : dict of str to int
        Newest event time by product, of what was read of the last session.
    """

    def __init__(
        self,
        archive: Archive,
        feature_set: FeatureSet,
        scales: PriceScales,
        trailing: Mapping[str, Trail],
        is_finished: Callable[[SegmentHeader, Summary], bool],
    ) -> None:
        self._archive, self._scales = archive, scales
        self._stages = BatchStages(feature_set)
        self._trailing = trailing
        self._is_finished = is_finished
        self._is_over = False
        self.newest_ns: dict[str, int] = {}

    def read(self, session: SessionInfo, ingest: Ingest) -> SessionInfo:
        """Read the finished segments of a session, which has begun; return it with the others only."""
        finished = 0 if self._is_over else self._finished(session)
        self._is_over = finished < len(session.paths)
        self.newest_ns = {}
        if finished:
            stored = replace(session, paths=session.paths[:finished])
            tables = quick_session_tables(
                self._archive, stored, ingest, self._stages, self._scales, lambda _frames: None
            )
            for table in chain(tables, self._stages.rest()):
                self._remember(table)
        return replace(session, paths=session.paths[finished:])

    def engines(self) -> dict[tuple[str, str], Engine]:
        """Return the window engine of each product and feed as the past has left it."""
        return self._stages.engines()

    def _finished(self, session: SessionInfo) -> int:
        """Return how many segments, from the first on, are finished."""
        for index, path in enumerate(session.paths):
            footer = _footer(path)
            if footer is None or footer.cut_short or not self._is_finished(session.header, footer):
                return index
        return len(session.paths)

    def _remember(self, table: FeatureTable) -> None:
        self.newest_ns[table.product] = int(table.event_ns[-1])
        state = self._trailing.get(table.product)
        if state is None:
            return
        columns = (table.kind, table.event_ns, table.bid + table.ask, table.covered_since_ns)
        for kind, event_ns, mid_sum, covered_since_ns in zip(
            *(column.tolist() for column in columns), strict=True
        ):
            if kind == TICK:
                state.on_tick(event_ns, mid_sum, covered_since_ns)
            else:
                state.on_mark(event_ns, covered_since_ns)


def _footer(path: Path) -> Summary | None:
    return read_footer(path) if path.suffix == ".zst" else None
