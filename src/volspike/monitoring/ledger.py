"""The graded ledger: one Parquet file for each finished half hour of a product, written once.

ledger/<product>/<epoch second of its begin>.parquet
ledger/cursor.json                                   from where on the topics are read again after a restart
"""

from __future__ import annotations

import re
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from volspike.errors import ModelError
from volspike.logs import get_logger
from volspike.models.shelf import replace_file, writing
from volspike.monitoring.graded import DTYPES, GradedRows, empty_rows, join_rows

if TYPE_CHECKING:
    import pyarrow as pa

    from volspike.monitoring.grading import GradedBlock

CURSOR = "cursor.json"
_BLOCK = re.compile(r"([0-9]{1,12})\.parquet")

log = get_logger()


class _Listed(NamedTuple):
    """The blocks of a product, and time of change and inode of their directory when it was read."""

    changed: tuple[int, int]
    blocks: dict[int, Path]


class Ledger:
    """Graded rows on disk.

    Parameters
    ----------
    directory : Path
        Made at need.

    Raises
    ------
    ModelError
        From any method: a file can't be written or read.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._listed: dict[str, _Listed] = {}

    def add(self, block: GradedBlock) -> bool:
        """Write a block, unless it or a later one is there; return whether it was new."""
        newest = self.newest_s(block.product)
        if newest is not None and block.start_s <= newest:
            return False
        path = self._directory / block.product / f"{block.start_s}.parquet"
        with writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            replace_file(path, _encoded(block.rows))
        self._listed.pop(block.product, None)
        return True

    def newest_s(self, product: str) -> int | None:
        """Return where a product's newest block begins, epoch seconds, or None."""
        return next(reversed(self._blocks(product)), None)

    def newest_written_ns(self, product: str) -> int | None:
        """Return when a product's newest block was written, by the clock of the wall (ns), or None."""
        newest = next(reversed(self._blocks(product).values()), None)
        return None if newest is None else newest.stat().st_mtime_ns

    def oldest_s(self, product: str) -> int | None:
        """Return where a product's oldest block begins, epoch seconds, or None."""
        return next(iter(self._blocks(product)), None)

    def products(self) -> list[str]:
        """Return the products that have blocks."""
        return sorted(path.name for path in self._directory.glob("*") if path.is_dir())

    def rows(
        self, product: str, since_s: int = 0, every_s: int = 1, *, set_aside: bool = False
    ) -> GradedRows:
        """Return the rows of the blocks that begin at ``since_s`` (epoch seconds) or later.

        Parameters
        ----------
        every_s : int
            Of so many seconds the first row alone; see ``GradedRows.thinned``.
        set_aside : bool
            Whether a damaged block is renamed to ``.damaged``, told of in the log and done without; else it
            is an error.
        """
        blocks = self._blocks(product)
        decode = _decoded_or_set_aside if set_aside else _decoded
        kept = [path for start, path in blocks.items() if start >= since_s]
        return join_rows([decode(path).thinned(every_s) for path in kept])

    def forget(self, before_s: int) -> None:
        """Delete the blocks that begin before an epoch second."""
        for product in self.products():
            old = [path for start, path in self._blocks(product).items() if start < before_s]
            for path in old:
                with writing(path):
                    path.unlink(missing_ok=True)
            if old:
                self._listed.pop(product, None)

    def cursor(self) -> dict[str, int]:
        """Return the offsets to read on from, by ``topic/partition``; empty at first, or if it is damaged."""
        path = self._directory / CURSOR
        try:
            return msgspec.json.decode(path.read_bytes(), type=dict[str, int])
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise _unreadable(path, error) from error
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            _set_aside(path, str(error))
            return {}  # all is read again: blocks that are there are not written twice

    def move(self, cursor: dict[str, int]) -> None:
        """Note the offsets to read on from."""
        path = self._directory / CURSOR
        with writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            replace_file(path, msgspec.json.encode(cursor))

    def _blocks(self, product: str) -> dict[int, Path]:
        """Return the blocks of a product, oldest first; its directory is read again when it has changed."""
        directory = self._directory / product
        try:
            status = directory.stat()
        except FileNotFoundError:
            return {}
        changed = status.st_mtime_ns, status.st_ino
        listed = self._listed.get(product)
        if listed is None or listed.changed != changed:
            found = ((_BLOCK.fullmatch(path.name), path) for path in directory.glob("*"))
            blocks = {int(name[1]): path for name, path in found if name is not None}
            listed = self._listed[product] = _Listed(changed, dict(sorted(blocks.items())))
        return listed.blocks


def _encoded(rows: GradedRows) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    buffer = BytesIO()
    table = pa.table({name: getattr(rows, name) for name in DTYPES})
    pq.write_table(table, buffer, compression="zstd", write_page_checksum=True)
    return buffer.getvalue()


def _decoded(path: Path) -> GradedRows:
    import pyarrow as pa
    import pyarrow.parquet as pq

    texts = [name for name, of in DTYPES.items() if of == "str"]
    try:
        # A file of 1,800 rows: what pyarrow's dataset reader sets up for it takes longer than the reading.
        with pq.ParquetFile(path, read_dictionary=texts, page_checksum_verification=True) as file:
            table = file.read(use_threads=False)
        columns: dict[str, Any] = {name: _column(table[name], of) for name, of in DTYPES.items()}
    except (OSError, pa.ArrowException, KeyError, ValueError) as error:
        # Arrow raises a plain OSError for damage; what the operating system refuses has a number or a name.
        is_refused = isinstance(error, OSError) and (error.errno is not None or type(error) is not OSError)
        raise (_unreadable if is_refused else _DamagedError)(path, error) from error
    return GradedRows(**columns) if len(table) else empty_rows()


def _column(column: pa.ChunkedArray, of: str) -> npt.NDArray[Any]:
    import pyarrow as pa

    values: npt.NDArray[Any]
    if not pa.types.is_dictionary(column.type) or not len(column):
        values = column.to_numpy(zero_copy_only=False).astype(of, copy=False)
    else:
        coded = column.combine_chunks()
        values = np.array(coded.dictionary.to_pylist(), np.str_)[coded.indices.to_numpy()]
    return values


def _decoded_or_set_aside(path: Path) -> GradedRows:
    try:
        return _decoded(path)
    except _DamagedError as error:
        _set_aside(path, error.reason)
        return empty_rows()


def _set_aside(path: Path, reason: str) -> None:
    aside = path.with_name(path.name + ".damaged")
    with writing(aside):
        path.replace(aside)
    log.error("a damaged file of the ledger is set aside", path=str(aside), reason=reason)


def _unreadable(path: Path, error: Exception) -> ModelError:
    reason = f"can't be read ({_first_line(error)})"
    return ModelError(str(path), reason, "check its permissions and the disk")


class _DamagedError(ModelError):
    """What a file holds is no block."""

    def __init__(self, path: Path, error: Exception) -> None:
        reason = f"can't be read ({_first_line(error)})"
        super().__init__(str(path), reason, "remove it: trials and verdicts begin anew behind it")


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]
