"""Which archive positions the finished feature files hold; damaged files are set aside."""

from __future__ import annotations

import os
from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from volspike.features.store import finished_files, is_feature_file, key_of, position_of
from volspike.logs import get_logger

DAMAGED_SUFFIX = ".damaged"

Key = tuple[str, str]
Position = tuple[int, int]

log = get_logger()


@dataclass(frozen=True)
class FileSpan:
    """A finished file: product and feed, and its lowest and highest archive position (seq, row)."""

    path: Path
    key: Key
    first: Position
    last: Position

    def event_times(self, first_seq: int, last_seq: int) -> list[int]:
        """Return the event times (ns) of the rows whose seq lies in a range, both ends included."""
        file = pq.ParquetFile(self.path)
        found: list[int] = []
        for group in range(file.num_row_groups):
            low, high = _seq_range(file, group)
            if low <= last_seq and high >= first_seq:
                rows = file.read_row_group(group, columns=["seq", "event_ns"])
                pairs = zip(rows["seq"].to_pylist(), rows["event_ns"].to_pylist(), strict=True)
                found += [event_ns for seq, event_ns in pairs if first_seq <= seq <= last_seq]
        return found


def file_spans(directory: Path) -> list[FileSpan]:
    """Return the span of every finished file; a damaged one is renamed ``*.damaged``, with a warning.

    Call it while no writer is at work in the directory.
    """
    spans = []
    for path in finished_files(directory):
        try:
            spans.append(_span(path))
        except (OSError, pa.ArrowException) as error:
            aside = path.with_name(path.name + DAMAGED_SUFFIX)
            os.replace(path, aside)
            what = "a feature file is damaged; its rows are made again"
            log.warning(what, path=str(aside), reason=str(error))
    return spans


def damaged_files(directory: Path) -> dict[Path, tuple[Key, int]]:
    """Return the files set aside, each with its product and feed and its first seq."""
    aside = directory.glob(f"*.parquet{DAMAGED_SUFFIX}")
    names = {path: path.with_name(path.name.removesuffix(DAMAGED_SUFFIX)) for path in sorted(aside)}
    ours = {path: name for path, name in names.items() if is_feature_file(name)}
    return {path: (key_of(name), position_of(name)) for path, name in ours.items()}


class Held:
    """The positions that the files of one product and feed hold.

    Parameters
    ----------
    spans : iterable of FileSpan
        Of these files.
    """

    def __init__(self, spans: Iterable[FileSpan]) -> None:
        ordered = sorted((span.first, span.last) for span in spans)
        self._firsts = [first for first, _ in ordered]
        self._reaches = list(accumulate((last for _, last in ordered), max))

    def __contains__(self, position: Position) -> bool:
        index = bisect_right(self._firsts, position)
        return index > 0 and position <= self._reaches[index - 1]

    @property
    def last(self) -> Position:
        """The highest position, (0, -1) where there is none."""
        return self._reaches[-1] if self._reaches else (0, -1)


def _span(path: Path) -> FileSpan:
    file = pq.ParquetFile(path)
    ranges = [_seq_range(file, group) for group in range(file.num_row_groups)]
    lows, highs = zip(*ranges, strict=True)
    first = min(_positions(file, lows.index(min(lows))))
    return FileSpan(path, key_of(path), first, max(_positions(file, highs.index(max(highs)))))


def _seq_range(file: pq.ParquetFile, group: int) -> tuple[int, int]:
    column = file.schema_arrow.get_field_index("seq")
    statistics = file.metadata.row_group(group).column(column).statistics
    return statistics.min, statistics.max


def _positions(file: pq.ParquetFile, group: int) -> list[Position]:
    rows = file.read_row_group(group, columns=["seq", "row"])
    return list(zip(rows["seq"].to_pylist(), rows["row"].to_pylist(), strict=True))
