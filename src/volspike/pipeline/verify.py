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
from volspike.recording.layout import LOCK, raw_directory
from volspike.recording.lock import is_locked
from volspike.recording.reader import Archive

Bools = npt.NDArray[np.bool_]


def verify_features(home: Home, scales: PriceScales, progress: Callable[[int], None]) -> dict[str, Any]:
    """Replay the archive and compare every stored row.

    Returns
    -------
    dict
        ``rows`` stored, of which ``identical`` and ``different``; ``missing`` ones that the archive gives and
        the store lacks; ``extra`` ones that it does not give. Marks are rows too. Beside a running job,
        ``open`` ones lie beyond the last finished file: they are on their way, and not compared.
    """
    lock = raw_directory(home.root) / LOCK
    was_running = is_locked(lock)
    archive = Archive(home.root)
    feature_set = stored_feature_set(home, "core")
    # Before the archive is read: a running job stores nothing that is not archived.
    stored = {
        (product, feed): read_features(home.features, product, feed)
        for product, feed, _ in stored_kinds(home.features)
    }
    replayed: dict[tuple[str, str], list[FeatureTable]] = {}
    # The plain decoders: what was stored may have been read by compiled code, which this is the proof of.
    for table in replay_tables(archive, Ingest(scales, scanning=False), feature_set, progress):
        replayed.setdefault((table.product, table.feed), []).append(table)
    is_running = was_running or is_locked(lock)
    counts = {"rows": 0, "identical": 0, "different": 0, "missing": 0, "extra": 0, "open": 0}
    for kind in sorted(stored.keys() | replayed.keys()):
        tables = replayed.get(kind)
        whole = FeatureTable.concat(tables) if tables else None
        if is_running and whole is not None:
            whole, rows = _closed(whole, stored.get(kind))
            counts["open"] += rows
        _compare(stored.get(kind), whole, counts)
    return {**counts, "corrupt": archive.corrupt}


def _closed(replayed: FeatureTable, stored: FeatureTable | None) -> tuple[FeatureTable, int]:
    """Return the rows up to the last stored one, and how many lie beyond it."""
    closed = np.zeros(len(replayed), np.bool_)
    if stored is not None:
        seq = stored.seq.max()
        row = stored.row[stored.seq == seq].max()
        closed = (replayed.seq < seq) | ((replayed.seq == seq) & (replayed.row <= row))
    return replayed.take(np.flatnonzero(closed)), int((~closed).sum())


def _compare(stored: FeatureTable | None, replayed: FeatureTable | None, counts: dict[str, int]) -> None:
    if stored is None or replayed is None:
        counts["rows"] += 0 if stored is None else len(stored)
        counts["extra"] += 0 if stored is None else len(stored)
        counts["missing"] += 0 if replayed is None else len(replayed)
        return
    _, left, right = np.intersect1d(_positions(stored), _positions(replayed), return_indices=True)
    same = _same_bits(stored, left, replayed, right)
    counts["rows"] += len(stored)
    counts["identical"] += int(same.sum())
    counts["different"] += int((~same).sum())
    counts["missing"] += len(replayed) - len(right)
    counts["extra"] += len(stored) - len(left)


def _positions(table: FeatureTable) -> npt.NDArray[np.void]:
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
