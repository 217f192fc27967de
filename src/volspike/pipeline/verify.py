"""Proof that what was stored live equals what the archive gives: row by row, bit by bit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from volspike.exchange.products import PriceScales
from volspike.features.store import read_features, stored_kinds
from volspike.features.table import ROW_COLUMNS, FeatureTable
from volspike.pipeline.home import Home
from volspike.pipeline.ingest import Ingest
from volspike.pipeline.replay import replay_tables, stored_feature_set
from volspike.recording.reader import Archive

Bools = npt.NDArray[np.bool_]


def verify_features(home: Home, scales: PriceScales, progress: Callable[[int], None]) -> dict[str, Any]:
    """Replay the archive and compare every stored row.

    Returns
    -------
    dict
        ``rows`` stored, of which ``identical`` and ``different``; ``missing`` ones that the archive gives and
        the store lacks; ``extra`` ones that it does not give. Marks are rows too.
    """
    feature_set = stored_feature_set(home, "core")
    replayed: dict[tuple[str, str], list[FeatureTable]] = {}
    archive = Archive(home.root)
    for table in replay_tables(archive, Ingest(scales), feature_set, progress):
        replayed.setdefault((table.product, table.feed), []).append(table)
    kinds = {(product, feed) for product, feed, _ in stored_kinds(home.features)}
    counts = {"rows": 0, "identical": 0, "different": 0, "missing": 0, "extra": 0}
    for product, feed in sorted(kinds | replayed.keys()):
        stored = read_features(home.features, product, feed) if (product, feed) in kinds else None
        tables = replayed.get((product, feed))
        _compare(stored, FeatureTable.concat(tables) if tables else None, counts)
    return {**counts, "corrupt": archive.corrupt}


def _compare(stored: FeatureTable | None, replayed: FeatureTable | None, counts: dict[str, int]) -> None:
    if stored is None or replayed is None:
        counts["rows"] += 0 if stored is None else len(stored)
        counts["extra"] += 0 if stored is None else len(stored)
        counts["missing"] += 0 if replayed is None else len(replayed)
        return
    stored_order, replayed_order = _keys(stored), _keys(replayed)
    _, left, right = np.intersect1d(stored_order, replayed_order, return_indices=True)
    same = _same_bits(stored, left, replayed, right)
    counts["rows"] += len(stored)
    counts["identical"] += int(same.sum())
    counts["different"] += int((~same).sum())
    counts["missing"] += len(replayed) - len(right)
    counts["extra"] += len(stored) - len(left)


def _keys(table: FeatureTable) -> npt.NDArray[np.void]:
    """Return the archive position of each row as one comparable value."""
    pairs = np.empty(len(table), dtype=[("seq", np.int64), ("row", np.int64)])
    pairs["seq"], pairs["row"] = table.seq, table.row
    return pairs


def _same_bits(
    stored: FeatureTable, left: npt.NDArray[np.int64], replayed: FeatureTable, right: npt.NDArray[np.int64]
) -> Bools:
    mine = np.ascontiguousarray(stored.values[left]).view(np.int64)
    theirs = np.ascontiguousarray(replayed.values[right]).view(np.int64)
    same: Bools = (mine == theirs).all(axis=1)
    for name in ROW_COLUMNS:
        same &= getattr(stored, name)[left] == getattr(replayed, name)[right]
    return same
