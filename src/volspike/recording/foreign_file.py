"""Open a foreign recording as lines: plain, gzip or zstd, NDJSON or CSV."""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, cast

import msgspec
import zstandard

from volspike.errors import ImportFormatError
from volspike.recording.compression import BlockReader, decompress

_GZIP = b"\x1f\x8b"
_ZSTD = b"\x28\xb5\x2f\xfd"
_PARQUET = b"PAR1"
_SUFFIXES = (".ndjson", ".jsonl", ".json", ".csv")
_COMPRESSED = ("", ".gz", ".zst")


def recording_files(paths: Sequence[Path], own: Path) -> tuple[list[Path], list[Path]]:
    """Replace each directory by the recordings in it and below it, by name.

    Parameters
    ----------
    paths : sequence of Path
        Files and directories.
    own : Path
        The data directory, which is passed over where a directory holds it.

    Returns
    -------
    recordings, others : list of Path
        What is to be imported, and the files of directories that are no recordings by their names.

    Raises
    ------
    ImportFormatError
        If a directory holds none.
    """
    files: list[Path] = []
    others: list[Path] = []
    endings = tuple(suffix + packed for suffix in _SUFFIXES for packed in _COMPRESSED)
    for path in paths:
        if not path.is_dir():
            files.append(path)
            continue
        inside = sorted(file for file in path.rglob("*") if file.is_file())
        if own.resolve().is_relative_to(path.resolve()):
            inside = [file for file in inside if not file.resolve().is_relative_to(own.resolve())]
        recordings = [file for file in inside if file.name.endswith(endings)]
        if not recordings:
            raise ImportFormatError(
                str(path), "holds no recording", f"name files that end in {' '.join(_SUFFIXES)}"
            )
        files += recordings
        others += [file for file in inside if not file.name.endswith(endings)]
    return files, others


class ForeignFile:
    """A foreign recording on disk.

    Parameters
    ----------
    path : Path
        The file.

    Attributes
    ----------
    sha256 : str
        Digest of the file as it lies on the disk, as ``sha256sum`` prints it.

    Raises
    ------
    ImportFormatError
        If it can't be read, is empty, or is not what its name says.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        if path.exists() and not path.is_file():
            raise ImportFormatError(
                str(path), "is no regular file", "write what comes out of it to a file first"
            )
        try:
            with path.open("rb") as file:
                self._magic = file.read(4)
                file.seek(0)
                self.sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        except FileNotFoundError:
            raise ImportFormatError(str(path), "does not exist", "check the name") from None
        except OSError as error:
            raise ImportFormatError(
                str(path), f"can't be read ({error.strerror})", "check its rights"
            ) from None
        self._check_magic()

    def _check_magic(self) -> None:
        if not self._magic:
            raise ImportFormatError(str(self.path), "is empty", "name a recording with rows in it")
        if self._magic == _PARQUET:
            raise ImportFormatError(
                str(self.path),
                "is a Parquet table, not a recording",
                "import the NDJSON or CSV it was made from",
            )
        for suffix, magic, name in ((".gz", _GZIP, "gzip"), (".zst", _ZSTD, "zstd")):
            if self.path.suffix == suffix and not self._magic.startswith(magic):
                raise ImportFormatError(
                    str(self.path),
                    f"is not {name}, whatever its name",
                    "rename it to what it is, or fetch it again",
                )

    @property
    def is_csv(self) -> bool:
        """Whether its name says CSV."""
        return ".csv" in self.path.suffixes[-2:]

    def lines(self) -> Iterator[bytes]:
        """Yield every line without its line ending; a CSV row becomes an object of strings.

        The header row of a CSV is not among them. A row that is no CSV, or has another number of columns, is
        yielded as it stands, and so can't be read as an object.

        Raises
        ------
        ImportFormatError
            If the compressed data are damaged or cut short.
        """
        lines = self._text_lines()
        yield from _csv_objects(lines) if self.is_csv else lines

    def _text_lines(self) -> Iterator[bytes]:
        try:
            with self._open() as stream:
                for number, line in enumerate(stream):
                    yield (line.removeprefix(b"\xef\xbb\xbf") if number == 0 else line).rstrip(b"\r\n")
        except (EOFError, gzip.BadGzipFile, zlib.error, zstandard.ZstdError) as error:
            raise ImportFormatError(
                str(self.path),
                f"is damaged or cut short ({error})",
                "unpack what is readable and import that",
            ) from None

    def _open(self) -> BinaryIO:
        if self._magic.startswith(_GZIP):
            return cast(BinaryIO, gzip.open(self.path, "rb"))
        if self._magic.startswith(_ZSTD):
            return cast(BinaryIO, io.BufferedReader(BlockReader(decompress(self.path))))
        return self.path.open("rb")


def _csv_objects(lines: Iterator[bytes]) -> Iterator[bytes]:
    names = _csv_cells(next(lines, b""))
    for line in lines:
        cells = _csv_cells(line)
        is_row = len(cells) == len(names) > 0
        yield msgspec.json.encode(dict(zip(names, cells, strict=True))) if is_row else line


def _csv_cells(line: bytes) -> list[str]:
    """Return the cells of a row; none where it holds a bare carriage return or a field without end."""
    try:
        cells = next(csv.reader([line.decode(errors="replace")]), [])
    except csv.Error:
        return []
    return [cell.strip() for cell in cells]
