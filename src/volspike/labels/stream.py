"""Several feature tables of one product joined into one stream of ticks and marks in time order."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from volspike.errors import FeatureError, NotEnoughDataError
from volspike.features.grid import last_closed_second_array
from volspike.features.sets import get_feature_set
from volspike.features.table import TICK, FeatureTable
from volspike.features.window import MIN_TICKS


def join_tables(tables: Sequence[FeatureTable]) -> FeatureTable:
    """Join tables of one product and feed, in the order of their first event.

    Raises
    ------
    NotEnoughDataError
        If there is no row at all.
    FeatureError
        If the tables are of different products, feeds, feature sets or price scales.
    """
    filled = sorted((table for table in tables if len(table)), key=lambda table: int(table.event_ns[0]))
    if not filled:
        raise NotEnoughDataError("features", "no rows", "replay a recording first")
    return FeatureTable.concat(filled)


def usable_ticks(table: FeatureTable) -> npt.NDArray[np.int64]:
    """Return the positions of the ticks, without those older than an event before them."""
    in_order = table.event_ns >= np.maximum.accumulate(table.event_ns)
    return np.flatnonzero((table.kind == TICK) & in_order)


def last_of_seconds(table: FeatureTable, ticks: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return, of the ticks at these positions, the last of each second (s-1, s]."""
    second = last_closed_second_array(table.event_ns[ticks])
    last = np.ones(len(second), np.bool_)
    last[:-1] = second[1:] != second[:-1]
    return ticks[last]


def is_ready(table: FeatureTable) -> npt.NDArray[np.bool_]:
    """Mark the ticks whose window is complete and holds at least 10 ticks (bool[n])."""
    ready: npt.NDArray[np.bool_] = (table.kind == TICK) & table.complete & (table.ticks >= MIN_TICKS)
    return ready


def value_column(table: FeatureTable, name: str) -> npt.NDArray[np.float64]:
    """Return a feature of the table by name, float64[n].

    Raises
    ------
    FeatureError
        If the feature set has no such column.
    """
    return table.values[:, column_index(table.feature_set, name)]


def column_index(feature_set: str, name: str) -> int:
    """Return the position of a feature among the columns of its set.

    Raises
    ------
    FeatureError
        If there is no such set, or it has no such column.
    """
    names = get_feature_set(feature_set).names
    if name not in names:
        remedy = "use a set that holds it, as core does"
        raise FeatureError(f"feature set {feature_set}", f"has no column {name}", remedy)
    return names.index(name)
