"""A Parquet file of feature rows while it is written.

It ends in ``.tmp`` and gets its name only when it is whole and on disk, so what a crash leaves behind can be
thrown away and made again from the archive.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from volspike.errors import FeatureError

ROW_GROUP_ROWS = 250_000
SUFFIX = ".parquet"
OPEN_SUFFIX = ".tmp"

_PAGE_BYTES = 1 << 16  # what is encoded stays in the processor's cache
_BATCH_ROWS = 1 << 13


class FeatureFiles:
    """Writes the rows of one product and feed to one file after the other.

    Rows are held back until a row group of 250,000 is full, so memory is bounded at any length.

    Parameters
    ----------
    directory : Path
        Made if it isn't there.
    stem : str
        What file names begin with; the position of the first row follows.
    schema : pyarrow.Schema
        Of the rows, ``seq`` among them.
    """

    def __init__(self, directory: Path, stem: str, schema: pa.Schema) -> None:
        self._directory, self._stem, self._schema = directory, stem, schema
        self._pending: list[pa.RecordBatch] = []
        self._pending_rows = 0
        self._file: pq.ParquetWriter | None = None
        self._path = Path()

    def add(self, columns: Sequence[npt.NDArray[Any]]) -> None:
        """Take rows as columns, which are kept until they are written.

        Raises
        ------
        FeatureError
            If the file can't be written, or is there already.
        """
        arrays = [pa.array(np.ascontiguousarray(column)) for column in columns]
        self._pending.append(pa.record_batch(arrays, schema=self._schema))
        self._pending_rows += len(arrays[0])
        if self._pending_rows >= ROW_GROUP_ROWS:
            rows = pa.Table.from_batches(self._pending)
            whole = len(rows) - len(rows) % ROW_GROUP_ROWS
            self._write(rows.slice(0, whole))
            self._pending = rows.slice(whole).to_batches()
            self._pending_rows = len(rows) - whole

    def finish(self) -> None:
        """Finish the open file: write what is held back, force it to disk, and give it its name.

        Raises
        ------
        FeatureError
            If it can't be written.
        """
        if self._pending_rows:
            self._write(pa.Table.from_batches(self._pending))
            self._pending, self._pending_rows = [], 0
        if self._file is None:
            return
        with _writing(self._path):
            self._file.close()
            self._file = None
            _sync(_open_path(self._path))
            os.rename(_open_path(self._path), self._path)
            _sync(self._directory)

    def _write(self, rows: pa.Table) -> None:
        if self._file is None:
            self._file = self._open(rows["seq"][0].as_py())
        with _writing(self._path):
            self._file.write_table(rows, row_group_size=ROW_GROUP_ROWS)

    def _open(self, position: int) -> pq.ParquetWriter:
        self._path = self._directory / f"{self._stem}-{position:012d}{SUFFIX}"
        if self._path.exists():
            raise FeatureError(str(self._path), "it is there already", "remove it and run volspike replay")
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
    return path.with_name(path.name + OPEN_SUFFIX)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _settings(schema: pa.Schema) -> dict[str, Any]:
    """Return how columns are encoded: no dictionaries, which cost more than all the rest."""
    deltas = ("seq", "event_ns")  # they grow steadily; packed deltas need no compression
    encodings = dict.fromkeys(deltas, "DELTA_BINARY_PACKED")
    for field in schema:
        if field.name not in deltas and not pa.types.is_boolean(field.type):
            encodings[field.name] = "BYTE_STREAM_SPLIT"
    return {
        "compression": {name: "NONE" if name in deltas else "SNAPPY" for name in schema.names},
        "use_dictionary": False,
        "column_encoding": encodings,
        "write_statistics": list(deltas),
        "data_page_size": _PAGE_BYTES,
        "write_batch_size": _BATCH_ROWS,
    }
