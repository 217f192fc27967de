"""Feature rows as Parquet files.

A directory holds ``<product>-<feed>-<first position>.parquet``, the position being the archive's ``seq`` in
12 digits. A file being written ends in ``.tmp``; it gets its name only when it is whole and on disk, so what
a crash leaves behind can be thrown away and made again from the archive.
"""

from __future__ import annotations

import os
import re
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from volspike.errors import FeatureError
from volspike.features.sets import FeatureSet, get_feature_set
from volspike.features.table import MARK, ROW_COLUMNS, TICK, FeatureTable
from volspike.records import FeatureRow, Mark

__all__ = [
    "MARK",
    "TICK",
    "FeatureTable",
    "FeatureWriter",
    "discard_open_files",
    "discard_rows_after",
    "last_position",
    "read_features",
    "stored_kinds",
]

ROW_GROUP_ROWS = 250_000
SCHEMA_VERSION = 1

_CHUNK_ROWS = 4096
_CODES: dict[type[np.generic], str] = {np.int8: "b", np.int32: "i", np.int64: "q", np.bool_: "?"}
_ROW_CODES = "".join(_CODES[kind] for kind in ROW_COLUMNS.values())  # of the module struct
_SUFFIX = ".parquet"
_OPEN_SUFFIX = ".tmp"
_NAME = re.compile(r"(?P<product>[A-Za-z0-9._-]+)-(?P<feed>[a-z_]+)-(?P<position>\d{12,})\.parquet")
_PRODUCT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_PREFIX = "volspike."
_AGAIN = "remove it and run volspike replay"


class FeatureWriter:
    """Writes the rows of one product and feed, in the order of their archive position.

    Rows are held back until a row group of 250,000 is full, so memory is bounded at any length.

    Parameters
    ----------
    directory : Path
        Made if it isn't there.
    product, feed : str
        What the rows are the features of.
    feature_set : FeatureSet
        The set of the values.
    price_decimals : int
        Prices are in units of ``10**-price_decimals``.
    event_time_source : str
        ``exchange`` or ``receive``.

    Raises
    ------
    FeatureError
        If the product or feed can't be part of a file name, or the directory can't be written.
    """

    def __init__(
        self,
        directory: Path,
        product: str,
        feed: str,
        feature_set: FeatureSet,
        price_decimals: int,
        event_time_source: str,
    ) -> None:
        if not _PRODUCT.fullmatch(product) or not re.fullmatch(r"[a-z_]+", feed):
            raise FeatureError(f"product {product!r} of feed {feed!r}", "can't name a file", "rename it")
        self._directory = directory
        self._product, self._feed = product, feed
        self._feature_set = feature_set
        self._price_decimals, self._event_time_source = price_decimals, event_time_source
        self._schema = _schema(
            feature_set,
            {
                "schema_version": str(SCHEMA_VERSION),
                "product": product,
                "feed": feed,
                "feature_set": feature_set.name,
                "feature_set_version": str(feature_set.version),
                "feature_set_hash": feature_set.hash,
                "price_decimals": str(price_decimals),
                "event_time_source": event_time_source,
            },
        )
        self._no_values = (np.nan,) * len(feature_set.columns)
        self._layout = np.dtype([*ROW_COLUMNS.items(), ("values", np.float64, len(feature_set.columns))])
        self._pack = struct.Struct(f"={_ROW_CODES}{len(feature_set.columns)}d").pack_into
        self._buffer = bytearray(_CHUNK_ROWS * self._layout.itemsize)
        self._buffered = 0
        self._pending: list[pa.RecordBatch] = []
        self._pending_rows = 0
        self._file: pq.ParquetWriter | None = None
        self._path = Path()

    def append_row(self, row: FeatureRow) -> None:
        """Append the row of one tick."""
        values: Any = row.values
        if None in values:
            values = [np.nan if value is None else value for value in values]
        self._append(
            TICK,
            row.archive_seq,
            row.archive_row,
            row.event_ns,
            row.covered_since_ns,
            row.bid,
            row.ask,
            row.ticks,
            row.complete,
            row.suspect,
            *values,
        )

    def append_mark(self, mark: Mark) -> None:
        """Append a mark."""
        seq, row = mark.archive_seq, mark.archive_row
        times = (mark.event_ns, mark.covered_since_ns)
        self._append(MARK, seq, row, *times, 0, 0, 0, False, False, *self._no_values)

    def append(self, table: FeatureTable) -> None:
        """Append many rows; the arrays are kept until they are written, so don't change them."""
        self._gather()
        self._add([getattr(table, name) for name in ROW_COLUMNS], table.values)

    def flush(self) -> None:
        """Write what is held back, as a row group of its own."""
        self._gather()
        if self._pending_rows:
            self._write(pa.Table.from_batches(self._pending))
            self._pending, self._pending_rows = [], 0

    def rotate(self) -> None:
        """Finish the open file; the next row begins another."""
        self.close()

    def close(self) -> None:
        """Finish the open file: write what is held back, force it to disk, and give it its name."""
        self.flush()
        if self._file is None:
            return
        with _writing(self._path):
            self._file.close()
            self._file = None
            _sync(_open_path(self._path))
            os.rename(_open_path(self._path), self._path)
            _sync(self._directory)

    def _append(self, *fields: float) -> None:
        self._pack(self._buffer, self._buffered * self._layout.itemsize, *fields)
        self._buffered += 1
        if self._buffered == _CHUNK_ROWS:
            self._gather()

    def _gather(self) -> None:
        if not self._buffered:
            return
        rows = np.frombuffer(self._buffer, self._layout, self._buffered)
        self._buffered = 0
        self._add([rows[name].copy() for name in ROW_COLUMNS], rows["values"])

    def _add(self, columns: list[Any], values: npt.NDArray[np.float64]) -> None:
        arrays = [pa.array(column) for column in (*columns, *map(np.ascontiguousarray, values.T))]
        self._pending.append(pa.record_batch(arrays, schema=self._schema))
        self._pending_rows += len(values)
        if self._pending_rows >= ROW_GROUP_ROWS:
            self._write_full_groups()

    def _write_full_groups(self) -> None:
        rows = pa.Table.from_batches(self._pending)
        whole = len(rows) - len(rows) % ROW_GROUP_ROWS
        self._write(rows.slice(0, whole))
        self._pending = rows.slice(whole).to_batches()
        self._pending_rows = len(rows) - whole

    def _write(self, rows: pa.Table) -> None:
        if self._file is None:
            self._file = self._open(rows["seq"][0].as_py())
        with _writing(self._path):
            self._file.write_table(rows, row_group_size=ROW_GROUP_ROWS)

    def _open(self, position: int) -> pq.ParquetWriter:
        self._path = self._directory / f"{self._product}-{self._feed}-{position:012d}{_SUFFIX}"
        if self._path.exists():
            raise FeatureError(str(self._path), "it is there already", _AGAIN)
        with _writing(self._path):
            self._directory.mkdir(parents=True, exist_ok=True)
            return pq.ParquetWriter(_open_path(self._path), self._schema, **_settings(self._schema))


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        raise FeatureError(
            str(path), f"it can't be written: {reason}", "make room or use another folder"
        ) from error


def _open_path(path: Path) -> Path:
    return path.with_name(path.name + _OPEN_SUFFIX)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _schema(feature_set: FeatureSet, metadata: dict[str, str]) -> pa.Schema:
    fields = [pa.field(name, pa.from_numpy_dtype(kind), nullable=False) for name, kind in ROW_COLUMNS.items()]
    fields += [pa.field(name, pa.float64(), nullable=False) for name in feature_set.names]
    return pa.schema(fields, {_PREFIX + key: value for key, value in metadata.items()})


def _settings(schema: pa.Schema) -> dict[str, Any]:
    encodings = {}
    for field in schema:
        if pa.types.is_floating(field.type):
            encodings[field.name] = "BYTE_STREAM_SPLIT"
        elif pa.types.is_integer(field.type):
            encodings[field.name] = "DELTA_BINARY_PACKED"
    # Deltas are packed already: compressing them again doubles their cost for a tenth of their size.
    floats = [name for name, encoding in encodings.items() if encoding == "BYTE_STREAM_SPLIT"]
    return {
        "compression": {name: "SNAPPY" if name in floats else "NONE" for name in schema.names},
        "use_dictionary": False,
        "column_encoding": encodings,
        "write_statistics": ["seq", "event_ns"],
    }


def discard_open_files(directory: Path) -> list[Path]:
    """Remove the files that a crash left open; return their paths.

    Their rows are made again from the archive. Call it while no writer is at work in the directory.
    """
    paths = sorted(directory.glob(f"*{_SUFFIX}{_OPEN_SUFFIX}"))
    for path in paths:
        path.unlink()
    return paths


def discard_rows_after(directory: Path, seq: int) -> list[Path]:
    """Remove the files with a row beyond an archive position; return their paths.

    The archive has lost what those rows were made of, and will give their positions to other frames. What
    it still holds of a removed file's rows is made again. Call it while no writer is at work.

    Raises
    ------
    FeatureError
        If a file can't be read.
    """
    beyond = [path for path in _finished(directory) if _last_position(_parquet(path))[0] > seq]
    for path in beyond:
        path.unlink()
    return beyond


def last_position(directory: Path, product: str, feed: str) -> tuple[int, int] | None:
    """Return the highest archive position (seq, row) in the finished files, None where there is none.

    Raises
    ------
    FeatureError
        If a file can't be read.
    """
    paths = (path for path in _finished(directory) if _key(path) == (product, feed))
    return max((_last_position(_parquet(path)) for path in paths), default=None)


def _last_position(file: pq.ParquetFile) -> tuple[int, int]:
    """Return a file's highest position; by the statistics, so that one row group is read."""
    column = file.schema_arrow.get_field_index("seq")
    newest = [file.metadata.row_group(i).column(column).statistics.max for i in range(file.num_row_groups)]
    rows = file.read_row_group(newest.index(max(newest)), columns=["seq", "row"])
    return max(zip(rows["seq"].to_pylist(), rows["row"].to_pylist(), strict=True))


def stored_kinds(directory: Path) -> list[tuple[str, str, str]]:
    """Return (product, feed, feature set) of the finished files, each once, sorted.

    Raises
    ------
    FeatureError
        If a file can't be read or is of another version.
    """
    kinds = set()
    for path in _finished(directory):
        kinds.add((*_key(path), _described(path, _parquet(path))["feature_set"]))
    return sorted(kinds)


def read_features(
    directory: Path, product: str | None = None, feed: str | None = None, feature_set: str | None = None
) -> FeatureTable:
    """Read the finished files of one product and feed, in replay order.

    Parameters
    ----------
    directory : Path
        Where ``FeatureWriter`` wrote.
    product, feed : str, optional
        Needed where the directory holds several.
    feature_set : str, optional
        The set that is expected; without it, the one the files name.

    Returns
    -------
    FeatureTable
        All rows, at least one.

    Raises
    ------
    FeatureError
        If there is no such file, several products or feeds are there and none was chosen, a file is corrupt
        or overlaps another, or its feature set is not the current one of that name.
    """
    paths = _chosen(directory, product, feed)
    tables = [_read(path, feature_set) for path in paths]
    return _in_replay_order(directory, FeatureTable.concat(tables))


def _in_replay_order(directory: Path, table: FeatureTable) -> FeatureTable:
    """Sort rows of recordings that were not imported in order of time.

    Admission lets no product go back in time, so time is the order of replay, and position among equals.
    """
    if not (np.diff(table.seq) < 0).any():
        return table
    by_position = np.lexsort((table.row, table.seq))
    same = (np.diff(table.seq[by_position]) == 0) & (np.diff(table.row[by_position]) == 0)
    if same.any():
        raise FeatureError(str(directory), "its files overlap", "remove them and run volspike replay")
    return table.take(np.lexsort((table.row, table.seq, table.event_ns)))


def _chosen(directory: Path, product: str | None, feed: str | None) -> list[Path]:
    paths = [
        path
        for path in _finished(directory)
        if product in (None, _key(path)[0]) and feed in (None, _key(path)[1])
    ]
    if not paths:
        wanted = " ".join(filter(None, (product, feed)))
        what = f"there are no features of {wanted}" if wanted else "there are no feature files"
        raise FeatureError(str(directory), what, "run volspike replay first")
    for position, option in enumerate(("product", "feed")):
        found = sorted({_key(path)[position] for path in paths})
        if len(found) > 1:
            raise FeatureError(
                str(directory),
                f"it holds several {option}s: {', '.join(found)}",
                f"choose one with --{option}",
            )
    return paths


def _finished(directory: Path) -> list[Path]:
    paths = [path for path in directory.glob(f"*{_SUFFIX}") if _NAME.fullmatch(path.name)]
    return sorted(paths, key=lambda path: (_key(path), int(_name(path)["position"])))


def _name(path: Path) -> dict[str, str]:
    match = _NAME.fullmatch(path.name)
    return match.groupdict() if match else {}


def _key(path: Path) -> tuple[str, str]:
    name = _name(path)
    return name["product"], name["feed"]


def _parquet(path: Path) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(path)
    except (OSError, pa.ArrowException) as error:
        raise FeatureError(str(path), "it is no readable Parquet file", _AGAIN) from error


def _read(path: Path, feature_set: str | None) -> FeatureTable:
    file = _parquet(path)
    found = _described(path, file)
    definition = _checked_set(path, found, feature_set)
    try:
        columns = file.read()
    except (OSError, pa.ArrowException) as error:
        raise FeatureError(str(path), "it is corrupt", _AGAIN) from error
    values = np.column_stack([columns[name].to_numpy() for name in definition.names])
    return FeatureTable(
        product=found["product"],
        feed=found["feed"],
        feature_set=definition.name,
        price_decimals=int(found["price_decimals"]),
        event_time_source=found["event_time_source"],
        values=values,
        **{name: columns[name].to_numpy() for name in ROW_COLUMNS},
    )


def _described(path: Path, file: pq.ParquetFile) -> dict[str, str]:
    pairs = file.schema_arrow.metadata or {}
    found = {key.decode(): value.decode() for key, value in pairs.items()}
    found = {key.removeprefix(_PREFIX): value for key, value in found.items() if key.startswith(_PREFIX)}
    if found.get("schema_version") != str(SCHEMA_VERSION):
        raise FeatureError(str(path), "it is no feature file of this version of volspike", _AGAIN)
    return found


def _checked_set(path: Path, found: dict[str, str], wanted: str | None) -> FeatureSet:
    name = found["feature_set"]
    if wanted not in (None, name):
        raise FeatureError(
            str(path),
            f"it holds the feature set {name!r}, not {wanted!r}",
            f"use {name!r}, or run volspike replay",
        )
    definition = get_feature_set(name)
    if definition.hash != found["feature_set_hash"]:
        raise FeatureError(
            str(path), f"its feature set {name!r} was defined otherwise when it was written", _AGAIN
        )
    return definition
