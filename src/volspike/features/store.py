"""Feature rows as Parquet files.

A directory holds ``<product>-<feed>-<first position>.parquet``, the position being the archive's ``seq`` in
12 digits. ``feature_file`` writes them. They are written behind the window engine, live and in replay, and
read for training.
"""

from __future__ import annotations

import re
import struct
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from volspike.errors import FeatureError
from volspike.features.columns import FeatureSet
from volspike.features.feature_file import OPEN_SUFFIX, ROW_GROUP_ROWS, SUFFIX, FeatureFiles
from volspike.features.sets import get_feature_set
from volspike.features.table import MARK, ROW_COLUMNS, TICK, FeatureTable
from volspike.records import FeatureRow, Mark

__all__ = [
    "NEWEST_NS",
    "FeatureTable",
    "FeatureWriter",
    "discard_open_files",
    "finished_files",
    "is_feature_file",
    "key_of",
    "position_of",
    "read_features",
    "stored_kinds",
]

SCHEMA_VERSION = 1
NEWEST_NS = 2**63 - 1

_CHUNK_ROWS = 4096
_CODES: dict[type[np.generic], str] = {np.int8: "b", np.int32: "i", np.int64: "q", np.bool_: "?"}
_ROW_CODES = "".join(_CODES[kind] for kind in ROW_COLUMNS.values())  # of the module struct
_NAME = re.compile(r"(?P<product>[A-Za-z0-9._-]+)-(?P<feed>[a-z_]+)-(?P<position>\d{12,})\.parquet")
_PRODUCT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_PREFIX = "volspike."
_AGAIN = "remove it and run volspike replay"


class FeatureWriter:
    """Writes the rows of one product and feed, in the order of their archive position.

    A thread behind it makes columns of single rows and writes them; what it meets with is raised by a later
    call, at the latest by ``close``, and nothing more is written then.

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
        schema = _schema(
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
        self._files = FeatureFiles(directory, f"{product}-{feed}", schema)  # the thread's
        self._failed = False
        self._thread: ThreadPoolExecutor | None = None
        self._tasks: deque[tuple[int, Future[None]]] = deque()
        self._handed_rows = 0
        self._is_open = False  # whether rows were handed over since the last file was finished
        self._no_values = (np.nan,) * len(feature_set.columns)
        self._layout = np.dtype([*ROW_COLUMNS.items(), ("values", np.float64, len(feature_set.columns))])
        self._pack = struct.Struct(f"={_ROW_CODES}{len(feature_set.columns)}d").pack_into
        self._used: list[bytearray] = []  # fresh memory would cost the caller more than all the rest
        self._begin_chunk()

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
        self._hand_chunk()
        columns = [getattr(table, name) for name in ROW_COLUMNS]
        self._hand(len(table), self._files.add, [*columns, *table.values.T])

    def rotate(self) -> None:
        """Finish the open file, behind the caller; the next row begins another."""
        self._hand_chunk()
        if self._is_open or self._tasks:
            self._hand(0, self._files.finish)
            self._is_open = False

    def close(self) -> None:
        """Finish the open file: write what is held back, force it to disk, and give it its name."""
        try:
            self.rotate()
            while self._tasks:
                self._settle_oldest()
        finally:
            if self._thread is not None:
                self._thread.shutdown()
                self._thread = None

    def _append(self, *fields: float) -> None:
        self._pack(self._chunk, self._chunk_rows * self._layout.itemsize, *fields)
        self._chunk_rows += 1
        if self._chunk_rows == _CHUNK_ROWS:
            self._hand_chunk()

    def _begin_chunk(self) -> None:
        self._chunk = self._used.pop() if self._used else bytearray(_CHUNK_ROWS * self._layout.itemsize)
        self._chunk_rows = 0

    def _hand_chunk(self) -> None:
        if self._chunk_rows:
            chunk, rows = self._chunk, self._chunk_rows
            self._begin_chunk()
            self._hand(rows, self._add_chunk, chunk, rows)

    def _add_chunk(self, chunk: bytearray, count: int) -> None:
        rows = np.frombuffer(chunk, self._layout, count)
        columns = [*(rows[name] for name in ROW_COLUMNS), *rows["values"].T]
        self._files.add([column.copy() for column in columns])
        self._used.append(chunk)

    def _hand(self, rows: int, task: Callable[..., None], *arguments: Any) -> None:
        """Hand a task to the thread; wait while it is more than two row groups behind."""
        while self._tasks and (self._tasks[0][1].done() or self._handed_rows > 2 * ROW_GROUP_ROWS):
            self._settle_oldest()
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, "feature-writer")
        self._tasks.append((rows, self._thread.submit(self._run, task, *arguments)))
        self._handed_rows += rows
        self._is_open = True

    def _settle_oldest(self) -> None:
        rows, done = self._tasks[0]
        done.result()  # what failed stays the oldest, and is raised again
        self._tasks.popleft()
        self._handed_rows -= rows

    def _run(self, task: Callable[..., None], *arguments: Any) -> None:
        """Do a task, unless one has failed: a file with a hole in it must not get its name."""
        if not self._failed:
            self._failed = True
            task(*arguments)
            self._failed = False


def _schema(feature_set: FeatureSet, metadata: dict[str, str]) -> pa.Schema:
    fields = [pa.field(name, pa.from_numpy_dtype(kind), nullable=False) for name, kind in ROW_COLUMNS.items()]
    fields += [pa.field(name, pa.float64(), nullable=False) for name in feature_set.names]
    return pa.schema(fields, {_PREFIX + key: value for key, value in metadata.items()})


def discard_open_files(directory: Path) -> list[Path]:
    """Remove the files that a crash left open; return their paths.

    Their rows are made again from the archive. Call it while no writer is at work in the directory.
    """
    paths = sorted(directory.glob(f"*{SUFFIX}{OPEN_SUFFIX}"))
    for path in paths:
        path.unlink()
    return paths


def stored_kinds(directory: Path) -> list[tuple[str, str, str]]:
    """Return (product, feed, feature set) of the finished files, each once, sorted.

    Raises
    ------
    FeatureError
        If a file can't be read or is of another version.
    """
    kinds = set()
    for path in finished_files(directory):
        kinds.add((*key_of(path), _described(path, _parquet(path))["feature_set"]))
    return sorted(kinds)


def read_features(
    directory: Path,
    product: str | None = None,
    feed: str | None = None,
    feature_set: str | None = None,
    since_ns: int = 0,
    until_ns: int = NEWEST_NS,
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
    since_ns : int
        Files whose rows are all older (event time, ns) are not read, and older rows are left out.
    until_ns : int
        The same of newer files and rows.

    Returns
    -------
    FeatureTable
        All rows, at least one where no span is given.

    Raises
    ------
    FeatureError
        If there is no such file, several products or feeds are there and none was chosen, a file is corrupt
        or overlaps another, or its feature set is not the current one of that name.
    """
    paths = _chosen(directory, product, feed)
    if since_ns:
        recent = [path for path in paths if _span_ns(path)[1] >= since_ns]
        paths = recent or paths[-1:]
    if until_ns < NEWEST_NS:
        early = [path for path in paths if _span_ns(path)[0] <= until_ns]
        paths = early or paths[:1]
    table = _in_replay_order(directory, FeatureTable.concat([_read(path, feature_set) for path in paths]))
    first, end = np.searchsorted(table.event_ns, since_ns), np.searchsorted(table.event_ns, until_ns, "right")
    return table.slice(int(first), max(int(first), int(end)))


def _span_ns(path: Path) -> tuple[int, int]:
    """Return the oldest and the newest event time of a file, as its column statistics tell them."""
    metadata = _parquet(path).metadata
    column = metadata.schema.names.index("event_ns")
    found = [metadata.row_group(group).column(column).statistics for group in range(metadata.num_row_groups)]
    told = [each for each in found if each is not None and each.has_min_max]
    return (
        min((int(each.min) for each in told), default=0),
        max((int(each.max) for each in told), default=NEWEST_NS),
    )


def _in_replay_order(directory: Path, table: FeatureTable) -> FeatureTable:
    """Sort rows of recordings that were not imported in order of time.

    Admission lets no product go back in time, so time is the order of replay. Among equal stamps it is
    coverage, which every session begins later than the one before, and position within a session.
    """
    if (np.diff(table.seq) >= 0).all() and (np.diff(table.event_ns) >= 0).all():
        return table
    by_position = np.lexsort((table.row, table.seq))
    same = (np.diff(table.seq[by_position]) == 0) & (np.diff(table.row[by_position]) == 0)
    if same.any():
        raise FeatureError(str(directory), "its files overlap", "remove them and run volspike replay")
    return table.take(np.lexsort((table.row, table.seq, table.covered_since_ns, table.event_ns)))


def _chosen(directory: Path, product: str | None, feed: str | None) -> list[Path]:
    paths = [
        path
        for path in finished_files(directory)
        if product in (None, key_of(path)[0]) and feed in (None, key_of(path)[1])
    ]
    if not paths:
        wanted = " ".join(filter(None, (product, feed)))
        what = f"there are no features of {wanted}" if wanted else "there are no feature files"
        raise FeatureError(str(directory), what, "run volspike replay first")
    for position, option in enumerate(("product", "feed")):
        found = sorted({key_of(path)[position] for path in paths})
        if len(found) > 1:
            raise FeatureError(
                str(directory),
                f"it holds several {option}s: {', '.join(found)}",
                f"choose one with --{option}",
            )
    return paths


def newest_rows(directory: Path, product: str | None, feed: str | None) -> tuple[str, str, int]:
    """Return product, feed and newest event time (ns) of the files that are meant.

    Raises
    ------
    FeatureError
        If there is none, or several products or feeds are there and none was chosen.
    """
    paths = _chosen(directory, product, feed)
    return *key_of(paths[-1]), max(_span_ns(path)[1] for path in paths)


def finished_files(directory: Path) -> list[Path]:
    """Return the finished files by product, feed and first position."""
    paths = filter(is_feature_file, directory.glob(f"*{SUFFIX}"))
    return sorted(paths, key=lambda path: (key_of(path), position_of(path)))


def is_feature_file(path: Path) -> bool:
    """Tell whether a file bears a name as ``FeatureWriter`` gives them."""
    return _NAME.fullmatch(path.name) is not None


def _name(path: Path) -> re.Match[str]:
    match = _NAME.fullmatch(path.name)
    if match is None:
        raise ValueError(f"{path} is not named as a feature file")
    return match


def key_of(path: Path) -> tuple[str, str]:
    """Return product and feed of a finished file, by its name."""
    name = _name(path)
    return name["product"], name["feed"]


def position_of(path: Path) -> int:
    """Return the seq of a finished file's first row, by its name."""
    return int(_name(path)["position"])


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
