"""Feature rows of one product and feed as columns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from volspike.errors import FeatureError
from volspike.features.columns import TRADE_INPUTS

TICK, MARK = 0, 1

# What admission says of a row before its features are known, one array a name.
ADMITTED_COLUMNS = (
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
    *TRADE_INPUTS,
)

# Everything but the values: name and type, in the order of a file's columns.
ROW_COLUMNS: dict[str, type[np.generic]] = {
    "kind": np.int8,
    "seq": np.int64,
    "row": np.int32,
    "event_ns": np.int64,
    "covered_since_ns": np.int64,
    "bid": np.int64,
    "ask": np.int64,
    "ticks": np.int32,
    "complete": np.bool_,
    "suspect": np.bool_,
}


@dataclass(frozen=True, eq=False)
class FeatureTable:
    """Feature rows in replay order, n of them.

    Attributes
    ----------
    product, feed : str
        What they are the features of.
    feature_set : str
        Name of the set; its columns are those of ``values``.
    price_decimals : int
        Prices are in units of ``10**-price_decimals``.
    event_time_source : str
        ``exchange`` or ``receive``.
    kind : ndarray of int8
        ``TICK`` (0) or ``MARK`` (1). A mark has NaN values, no prices and no ticks.
    seq : ndarray of int64
        Position of the frame in the archive.
    row : ndarray of int32
        Which item of the frame.
    event_ns, covered_since_ns : ndarray of int64
        Time, and since when the feed has been whole (ns).
    bid, ask : ndarray of int64
        Best prices in price units.
    ticks : ndarray of int32
        Ticks in the window.
    complete : ndarray of bool
        Whether the feed was whole for the 60 s before.
    suspect : ndarray of bool
        Whether trades are missing before the tick.
    values : ndarray of float64, shape (n, columns)
        The features.
    """

    product: str
    feed: str
    feature_set: str
    price_decimals: int
    event_time_source: str
    kind: npt.NDArray[np.int8]
    seq: npt.NDArray[np.int64]
    row: npt.NDArray[np.int32]
    event_ns: npt.NDArray[np.int64]
    covered_since_ns: npt.NDArray[np.int64]
    bid: npt.NDArray[np.int64]
    ask: npt.NDArray[np.int64]
    ticks: npt.NDArray[np.int32]
    complete: npt.NDArray[np.bool_]
    suspect: npt.NDArray[np.bool_]
    values: npt.NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.event_ns)

    def slice(self, start: int, stop: int) -> FeatureTable:
        """Return the rows ``start`` to ``stop`` as views."""
        return self._mapped(lambda name: getattr(self, name)[start:stop])

    def take(self, index: npt.NDArray[np.int64]) -> FeatureTable:
        """Return the rows at ``index`` as copies."""
        return self._mapped(lambda name: getattr(self, name)[index])

    @classmethod
    def concat(cls, tables: Sequence[FeatureTable]) -> FeatureTable:
        """Join tables, in the order given.

        Parameters
        ----------
        tables : sequence of FeatureTable
            At least one. Where a single one has receive times, the whole has.

        Raises
        ------
        FeatureError
            If they are of different products, feeds, feature sets or price scales.
        """
        first = tables[0]
        for name in ("product", "feed", "feature_set", "price_decimals"):
            found = sorted({str(getattr(table, name)) for table in tables})
            if len(found) > 1:
                raise FeatureError(
                    "feature tables", f"they differ in {name}: {', '.join(found)}", "join tables of one kind"
                )
        sources = {table.event_time_source for table in tables}
        joined = first._mapped(lambda name: np.concatenate([getattr(table, name) for table in tables]))
        return replace(
            joined, event_time_source="receive" if "receive" in sources else first.event_time_source
        )

    def _mapped(self, column: Any) -> FeatureTable:
        return replace(self, **{name: column(name) for name in ARRAYS})


ARRAYS = tuple(field.name for field in fields(FeatureTable))[5:]
