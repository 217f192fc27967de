"""Ticks to feature rows in batches: the fast way through the same kernel that steps live."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from volspike.features.admission import Admitted
from volspike.features.columns import TRADE_INPUTS, FeatureSet
from volspike.features.engine import Engine, make_engine
from volspike.features.table import ADMITTED_COLUMNS, MARK, ROW_COLUMNS, TICK, FeatureTable
from volspike.features.window import WINDOW_NS
from volspike.records import Mark, Tick

BATCH_ROWS = 65_536
Columns = npt.NDArray[np.int64]

_WITHOUT_TRADES = ADMITTED_COLUMNS.index(TRADE_INPUTS[0])
_TYPES = {name: ROW_COLUMNS.get(name, np.int64) for name in ADMITTED_COLUMNS}


class BatchStage:
    """Collects the ticks and marks of one product and feed, and turns them into a table of rows.

    Attributes
    ----------
    engine : Engine
        Has taken the ticks of every table given out.
    """

    def __init__(self, first: Tick, feature_set: FeatureSet) -> None:
        self.engine = make_engine(feature_set, first.price_decimals)
        self._first = first
        # What only other sets need lies last: it is left where it is.
        self._names = ADMITTED_COLUMNS if feature_set.needs_trades else ADMITTED_COLUMNS[:_WITHOUT_TRADES]
        self._rows: list[tuple[int, ...]] = []
        self._begin()

    def _begin(self) -> None:
        self._columns = {name: np.empty(BATCH_ROWS, _TYPES[name]) for name in self._names}
        self._filled = 0

    def __len__(self) -> int:
        """Return the number of rows collected."""
        return self._filled + len(self._rows)

    def extend(self, columns: Columns) -> Iterator[FeatureTable]:
        """Collect many rows, given as ``ADMITTED_COLUMNS``; yield a table whenever one is full."""
        self._gather()
        done, n = 0, columns.shape[1]
        while done < n:
            taken = min(n - done, BATCH_ROWS - self._filled)
            self._add(columns[:, done : done + taken])
            done += taken
            if self._filled == BATCH_ROWS:
                yield self.take()

    def _add(self, columns: Columns) -> None:
        stop = self._filled + columns.shape[1]
        for column, values in zip(self._columns.values(), columns, strict=False):
            column[self._filled : stop] = values
        self._filled = stop

    def _gather(self) -> None:
        if self._rows:
            self._add(np.array(self._rows, np.int64).T)
            self._rows = []

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
                tick.price,
                tick.size,
                tick.volume_24h,
            )
        )

    def mark(self, mark: Mark) -> None:
        """Collect a mark."""
        times = (mark.event_ns, mark.covered_since_ns)
        self._rows.append((MARK, mark.archive_seq, mark.archive_row, *times, 0, 0, 0, 0, False, 0, 0, 0))

    def take(self) -> FeatureTable:
        """Return what was collected as feature rows, and begin anew; the window goes on."""
        self._gather()
        column = {name: values[: self._filled] for name, values in self._columns.items()}
        self._begin()
        is_tick = column["kind"] == TICK
        values, ticks = self._batch(column, is_tick)
        first = self._first
        return FeatureTable(
            product=first.product,
            feed=first.feed,
            feature_set=self.engine.feature_set.name,
            price_decimals=first.price_decimals,
            event_time_source=first.event_time_source,
            ticks=ticks,
            complete=is_tick & (column["event_ns"] - column["covered_since_ns"] >= WINDOW_NS),
            values=values,
            **{name: column[name] for name in ROW_COLUMNS if name in column},
        )

    def _batch(
        self, column: dict[str, npt.NDArray[Any]], is_tick: npt.NDArray[np.bool_]
    ) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int32]]:
        """Return the values and tick counts of all rows; a mark has none."""
        inputs = [column[name] for name in self.engine.feature_set.inputs]
        if is_tick.all():
            return self.engine.batch(*inputs)
        values, ticks = self.engine.batch(*(each[is_tick] for each in inputs))
        all_values = np.full((values.shape[1], len(is_tick)), np.nan)
        all_values[:, is_tick] = values.T
        all_ticks = np.zeros(len(is_tick), np.int32)
        all_ticks[is_tick] = ticks
        return all_values.T, all_ticks


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
            elif type(answer) is Mark:
                stage = self._current[answer.product, answer.feed]
                stage.mark(answer)
            else:
                continue
            if len(stage) >= BATCH_ROWS:
                yield stage.take()

    def extend(self, product: str, feed: str, columns: Columns) -> Iterator[FeatureTable]:
        """Collect many rows of a product that has ticked before; yield tables that are full."""
        yield from self._current[product, feed].extend(columns)

    def rest(self) -> Iterator[FeatureTable]:
        """Yield what is still collected."""
        for stage in self._stages.values():
            if len(stage):
                yield stage.take()

    def engines(self) -> dict[tuple[str, str], Engine]:
        """Return the window engine of each product and feed; nothing may still be collected."""
        return {key: stage.engine for key, stage in self._current.items()}

    def _stage(self, tick: Tick) -> BatchStage:
        key = (tick.product, tick.feed, tick.event_time_source)
        stage = self._stages.get(key)
        if stage is None:
            stage = self._stages[key] = BatchStage(tick, self._feature_set)
        self._current[tick.product, tick.feed] = stage
        return stage
