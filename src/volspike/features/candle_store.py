"""Minute candles as Parquet files, one a product and source: ``<product>-<source>.parquet``.

A file is written whole, under a temporary name, and then takes the place of the one before. So it is the old
one or the new one, whatever happens, and the same candles give the same bytes, in whatever pieces and order
they came. With them it keeps which minutes are known, since one without a trade has no candle.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from volspike.errors import FeatureError
from volspike.exchange.candles import FIGURES, CandleTable, Integers
from volspike.recording.file_system import (
    FileSystem,
    OsFileSystem,
    archive_error,
    make_directory,
    write_durably,
)

SCHEMA_VERSION = 1

Span = tuple[int, int]
"""Minutes from the first to before the second."""

_SUFFIX = ".parquet"
_NAME = re.compile(r"(?P<product>[A-Z0-9][A-Z0-9._-]*)-(?P<source>[a-z_]+)\.parquet")
_META = b"volspike"
_AGAIN = "remove it and run volspike backfill"
_SCHEMA = pa.schema([("minute", pa.int64()), *((name, pa.float64()) for name in FIGURES)])


@dataclass(frozen=True)
class Added:
    """What became of candles that were handed in.

    Attributes
    ----------
    added : int
        New minutes.
    unchanged : int
        Minutes that are stored with the same figures.
    conflicting : int
        Minutes that are stored with others; those stay.
    """

    added: int
    unchanged: int
    conflicting: int


class CandleStore:
    """The stored candles of one product from one source.

    Parameters
    ----------
    directory : Path
        The folder of all candles; made when there is something to store.
    product, source : str
        Which ones.
    file_system : FileSystem, optional
        The port to the disk.

    Attributes
    ----------
    table : CandleTable
        What is stored.
    known : tuple of (int, int)
        Spans of minutes (first, and the one after the last) that need not be asked for: they have a candle,
        or the source has answered that there is none.

    Raises
    ------
    FeatureError
        If product or source can't be part of a file name, or the file is none of candles.
    """

    def __init__(
        self, directory: Path, product: str, source: str, file_system: FileSystem | None = None
    ) -> None:
        self.path = directory / f"{product}-{source}{_SUFFIX}"
        if not _NAME.fullmatch(self.path.name):
            raise FeatureError(f"candles of {product!r} from {source!r}", "can't name a file", "rename them")
        self._file_system = file_system or OsFileSystem()
        self._is_saved = True
        self.table = CandleTable.of(product, source, [])
        self.known: tuple[Span, ...] = ()
        if self.path.exists():
            self.table, self.known = _read(self.path)

    def add(self, candles: CandleTable, answered: Iterable[Span] = ()) -> Added:
        """Take in candles, to be written by ``save``; of minutes that are known, the earlier figures stay.

        Parameters
        ----------
        candles : CandleTable
            Of this product and source.
        answered : iterable of (int, int)
            Spans that the source has answered with them.
        """
        at = np.searchsorted(self.table.minute, candles.minute)
        is_stored = np.isin(candles.minute, self.table.minute)
        stored, offered = self.table.figures[at[is_stored]], candles.figures[is_stored]
        is_same = ((stored == offered) | (np.isnan(stored) & np.isnan(offered))).all(axis=1)
        new = candles.take(~is_stored)
        known = united([*self.known, *answered, *_runs(new.minute)])
        if len(new) or known != self.known:
            self.table, self.known = self.table.joined(new), known
            self._is_saved = False
        return Added(len(new), int(is_same.sum()), int((~is_same).sum()))

    def save(self) -> None:
        """Write what was added; without anything, do nothing.

        Raises
        ------
        ArchiveError
            If the file can't be written; the one before is then untouched.
        """
        if self._is_saved:
            return
        columns = [self.table.minute, *(getattr(self.table, name) for name in FIGURES)]
        about = {
            "schema_version": SCHEMA_VERSION,
            "product": self.table.product,
            "source": self.table.source,
            "known": self.known,
        }
        schema = _SCHEMA.with_metadata({_META: json.dumps(about)})
        buffer = io.BytesIO()
        pq.write_table(pa.table(columns, schema=schema), buffer, compression="zstd")
        try:
            make_directory(self._file_system, self.path.parent)
            write_durably(self._file_system, self.path, buffer.getvalue())
        except OSError as error:
            raise archive_error(self.path, error) from error
        self._is_saved = True


def united(spans: Iterable[Span]) -> tuple[Span, ...]:
    """Return the same minutes in as few spans as there can be, in order.

    Examples
    --------
    >>> united([(5, 7), (1, 3), (3, 4), (6, 9)])
    ((1, 4), (5, 9))
    """
    joined: list[Span] = []
    for first, end in sorted(spans):
        if joined and first <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(joined[-1][1], end))
        else:
            joined.append((first, end))
    return tuple(joined)


def _runs(minutes: Integers) -> list[Span]:
    """Return ascending minutes as spans."""
    parts = np.split(minutes, np.flatnonzero(np.diff(minutes) > 1) + 1) if len(minutes) else []
    return [(int(part[0]), int(part[-1]) + 1) for part in parts]


def spans_without(wanted: Span, known: Sequence[Span]) -> tuple[Span, ...]:
    """Return the minutes of ``wanted`` that are in none of ``known``, which are in order and apart.

    Examples
    --------
    >>> spans_without((0, 10), [(2, 4), (8, 12)])
    ((0, 2), (4, 8))
    """
    missing: list[Span] = []
    first, end = wanted
    for known_first, known_end in known:
        if known_first > first:
            missing.append((first, min(known_first, end)))
        first = max(first, known_end)
        if first >= end:
            break
    else:
        missing.append((first, end))
    return tuple((first, end) for first, end in missing if first < end)


def stored_sources(directory: Path, product: str | None) -> tuple[tuple[str, str], ...]:
    """Return product and source of every file of candles, of one product or of all."""
    return tuple((match["product"], match["source"]) for _, match in _files(directory, product, None))


def read_candles(directory: Path, product: str | None, source: str | None = None) -> CandleTable:
    """Read the stored candles of one product from one source.

    Parameters
    ----------
    directory : Path
        The folder of all candles.
    product : str, optional
        Needed where there are several.
    source : str, optional
        Needed where a product has candles from several.

    Raises
    ------
    FeatureError
        If there are none, several products or sources are there and none was chosen, or the file is damaged.
    """
    found = _files(directory, product, source)
    if not found:
        wanted = " ".join(filter(None, (product, source)))
        what = f"there are no candles of {wanted}" if wanted else "there are no candles"
        raise FeatureError(str(directory), what, "run volspike backfill first")
    for option in ("product", "source"):
        names = sorted({match[option] for _, match in found})
        if len(names) > 1:
            raise FeatureError(
                str(directory),
                f"it holds several {option}s: {', '.join(names)}",
                f"choose one with --{option}",
            )
    return _read(found[0][0])[0]


def _files(directory: Path, product: str | None, source: str | None) -> list[tuple[Path, re.Match[str]]]:
    return [
        (path, match)
        for path in sorted(directory.glob(f"*{_SUFFIX}"))
        if (match := _NAME.fullmatch(path.name)) is not None
        and product in (None, match["product"])
        and source in (None, match["source"])
    ]


def _read(path: Path) -> tuple[CandleTable, tuple[Span, ...]]:
    try:
        rows = pq.ParquetFile(path).read()
    except (OSError, pa.ArrowException) as error:
        raise FeatureError(str(path), "it is no readable Parquet file", _AGAIN) from error
    about = json.loads((rows.schema.metadata or {}).get(_META, b"{}"))
    if about.get("schema_version") != SCHEMA_VERSION or not rows.schema.equals(_SCHEMA):
        raise FeatureError(str(path), "it holds no candles of this version of volspike", _AGAIN)
    empty = CandleTable.of(about["product"], about["source"], [])
    table = replace(empty, **{name: rows[name].to_numpy() for name in ("minute", *FIGURES)})
    if len(table) and not (np.diff(table.minute) > 0).all():
        raise FeatureError(str(path), "its minutes do not ascend", _AGAIN)
    return table, tuple((first, end) for first, end in about["known"])
