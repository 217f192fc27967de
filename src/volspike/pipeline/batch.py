"""Ticks to feature rows in batches: the fast way through the same kernel that steps live."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from volspike.features.admission import Admitted
from volspike.features.engine import make_engine
from volspike.features.sets import FeatureSet
from volspike.features.table import MARK, ROW_COLUMNS, TICK, FeatureTable
from volspike.pipeline.stage import WINDOW_NS
from volspike.records import Mark, Tick

BATCH_ROWS = 65_536

_COLUMNS = (
    "kind",
    "seq",
    "row",
    "event_ns",
    "covered_since_ns",
    "bid",
    "ask",
    "bid_size",
    "ask_size",
    "suspect",
)


class BatchStage:
    """Collects the ticks and marks of one product and feed, and turns them into a table of rows."""

    def __init__(self, first: Tick, feature_set: FeatureSet) -> None:
        self._engine = make_engine(feature_set, first.price_decimals)
        self._first = first
        self._rows: list[tuple[int, ...]] = []

    def __len__(self) -> int:
        """Return the number of rows collected."""
        return len(self._rows)

    def tick(self, tick: Tick) -> None:
        """Collect a tick."""
        self._rows.append(
            (
                TICK,
                tick.archive_seq,
                tick.archive_row,
                tick.event_ns,
                tick.covered_since_ns,
                tick.bid,
                tick.ask,
                tick.bid_size,
                tick.ask_size,
                tick.suspect,
            )
        )

    def mark(self, mark: Mark) -> None:
        """Collect a mark."""
        times = (mark.event_ns, mark.covered_since_ns)
        self._rows.append((MARK, mark.archive_seq, mark.archive_row, *times, 0, 0, 0, 0, False))

    def take(self) -> FeatureTable:
        """Return what was collected as feature rows, and begin anew; the window goes on."""
        stacked = np.array(self._rows, np.int64).reshape(-1, len(_COLUMNS))
        column = dict(zip(_COLUMNS, np.ascontiguousarray(stacked.T), strict=True))
        self._rows = []
        is_tick = column["kind"] == TICK
        inputs = (
            column[name][is_tick]
            for name in ("event_ns", "covered_since_ns", "bid", "ask", "bid_size", "ask_size")
        )
        values, ticks = self._engine.batch(*inputs)
        all_values = np.full((len(is_tick), values.shape[1]), np.nan)
        all_values[is_tick] = values
        column["ticks"] = np.zeros(len(is_tick), np.int64)
        column["ticks"][is_tick] = ticks
        column["complete"] = is_tick & (column["event_ns"] - column["covered_since_ns"] >= WINDOW_NS)
        first = self._first
        return FeatureTable(
            product=first.product,
            feed=first.feed,
            feature_set=self._engine.feature_set.name,
            price_decimals=first.price_decimals,
            event_time_source=first.event_time_source,
            values=all_values,
            **{name: column[name].astype(kind) for name, kind in ROW_COLUMNS.items()},
        )


class BatchStages:
    """The batch stages of all products and feeds of an archive."""

    def __init__(self, feature_set: FeatureSet) -> None:
        self._feature_set = feature_set
        self._stages: dict[tuple[str, str, str], BatchStage] = {}
        self._current: dict[tuple[str, str], BatchStage] = {}

    def add(self, admitted: list[Admitted]) -> Iterator[FeatureTable]:
        """Collect the ticks and marks among the answers to a frame; yield a table when one is full."""
        for answer in admitted:
            if type(answer) is Tick:
                stage = self._stage(answer)
                stage.tick(answer)
                if len(stage) >= BATCH_ROWS:
                    yield stage.take()
            elif type(answer) is Mark:
                self._current[answer.product, answer.feed].mark(answer)

    def rest(self) -> Iterator[FeatureTable]:
        """Yield what is still collected."""
        for stage in self._stages.values():
            if len(stage):
                yield stage.take()

    def _stage(self, tick: Tick) -> BatchStage:
        key = (tick.product, tick.feed, tick.event_time_source)
        stage = self._stages.get(key)
        if stage is None:
            stage = self._stages[key] = BatchStage(tick, self._feature_set)
        self._current[tick.product, tick.feed] = stage
        return stage
