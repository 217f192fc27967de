"""The graded ledger: one Parquet file for each finished half hour of a product, written once.

ledger/<product>/<epoch second of its begin>.parquet
ledger/cursor.json                                   from where on the topics are read again after a restart
"""

from __future__ import annotations

import re
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import numpy.typing as npt

from volspike.errors import ModelError
from volspike.models.shelf import replace_file, writing
from volspike.monitoring.graded import DTYPES, GradedRows, empty_rows, join_rows
from volspike.monitoring.grading import GradedBlock

if TYPE_CHECKING:
    import pyarrow as pa

CURSOR = "cursor.json"
_BLOCK = re.compile(r"([0-9]{1,12})\.parquet")


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

    def add(self, block: GradedBlock) -> bool:
        """Write a block, unless it or a later one is there; return whether it was new."""
        newest = self.newest_s(block.product)
        if newest is not None and block.start_s <= newest:
            return False
        path = self._directory / block.product / f"{block.start_s}.parquet"
        with writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            replace_file(path, _encoded(block.rows))
        return True

    def newest_s(self, product: str) -> int | None:
        """Return where a product's newest block begins, epoch seconds, or None."""
        return max(self._blocks(product), default=None)

    def oldest_s(self, product: str) -> int | None:
        """Return where a product's oldest block begins, epoch seconds, or None."""
        return min(self._blocks(product), default=None)

    def products(self) -> list[str]:
        """Return the products that have blocks."""
        return sorted(path.name for path in self._directory.glob("*") if path.is_dir())

    def rows(self, product: str, since_s: int = 0, every_s: int = 1) -> GradedRows:
        """Return the rows of the blocks that begin at ``since_s`` (epoch seconds) or later.

        Of ``every_s`` seconds the first row alone; see ``GradedRows.thinned``.
        """
        blocks = self._blocks(product)
        kept = [blocks[start] for start in sorted(blocks) if start >= since_s]
        return join_rows([_decoded(path).thinned(every_s) for path in kept])

    def forget(self, before_s: int) -> None:
        """Delete the blocks that begin before an epoch second."""
        for product in self.products():
            for start, path in self._blocks(product).items():
                if start < before_s:
                    path.unlink(missing_ok=True)

    def cursor(self) -> dict[str, int]:
        """Return the offsets to read on from, by ``topic/partition``; empty at first."""
        try:
            return msgspec.json.decode((self._directory / CURSOR).read_bytes(), type=dict[str, int])
        except FileNotFoundError:
            return {}
        except (OSError, msgspec.MsgspecError) as error:
            raise _damaged(self._directory / CURSOR, error) from error

    def move(self, cursor: dict[str, int]) -> None:
        """Note the offsets to read on from."""
        path = self._directory / CURSOR
        with writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            replace_file(path, msgspec.json.encode(cursor))

    def _blocks(self, product: str) -> dict[int, Path]:
        found = ((_BLOCK.fullmatch(path.name), path) for path in (self._directory / product).glob("*"))
        return {int(name[1]): path for name, path in found if name is not None}


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
        columns = [_column(table[name], of) for name, of in DTYPES.items()]
    except (OSError, pa.ArrowException, KeyError, ValueError) as error:
        raise _damaged(path, error) from error
    return GradedRows(*columns) if len(table) else empty_rows()


def _column(column: pa.ChunkedArray, of: str) -> npt.NDArray[Any]:
    import pyarrow as pa

    values: npt.NDArray[Any]
    if not pa.types.is_dictionary(column.type) or not len(column):
        values = column.to_numpy(zero_copy_only=False).astype(of, copy=False)
    else:
        coded = column.combine_chunks()
        values = np.array(coded.dictionary.to_pylist(), np.str_)[coded.indices.to_numpy()]
    return values


def _damaged(path: Path, error: Exception) -> ModelError:
    reason = f"can't be read ({str(error).splitlines()[0]})"
    return ModelError(str(path), reason, "remove it: trials and verdicts begin anew behind it")
