"""How long each product was recorded of late, looked at again and again while the archive grows."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from volspike.errors import ArchiveError
from volspike.recording.layout import raw_directory, segments
from volspike.recording.reader import distinct_segments, look_at_segment

DAY_NS = 86_400_000_000_000


class Recorded(NamedTuple):
    """How a product is recorded: receive time of the newest frame, and for how long without the gaps, ns."""

    until_ns: int
    length_ns: int


class _Segment(NamedTuple):
    products: tuple[str, ...]
    first_ns: int
    last_ns: int


class RecentArchive:
    """The segments of one feed in the last days of an archive; of a closed one is remembered what it holds.

    Parameters
    ----------
    root : Path
        The data directory.
    feed : str
        Which.
    days : float
        How far back from the newest frame.
    """

    def __init__(self, root: Path, feed: str, days: float) -> None:
        self._raw = raw_directory(root)
        self._feed = feed
        self._days_ns = round(days * DAY_NS)
        self._closed: dict[Path, _Segment | None] = {}

    def look(self) -> dict[str, Recorded]:
        """Return how each product is recorded whose frames a session has asked for.

        Raises
        ------
        ArchiveError
            If a segment can't be read.
        """
        found: dict[str, Recorded] = {}
        for segment in self._segments():
            for product in segment.products:
                until_ns, length_ns = found.get(product, Recorded(0, 0))
                length_ns += segment.last_ns - segment.first_ns
                found[product] = Recorded(max(until_ns, segment.last_ns), length_ns)
        return found

    def _segments(self) -> Iterator[_Segment]:
        known, self._closed = self._closed, {}
        newest_ns = 0
        paths = distinct_segments(segments(self._raw))
        for path in reversed([path for path in paths if path.parent.parent.name == self._feed]):
            segment = known[path] if path in known else _look(path)
            if path.suffix == ".zst":
                self._closed[path] = segment
            if segment is None:
                continue
            newest_ns = max(newest_ns, segment.last_ns)
            if segment.last_ns < newest_ns - self._days_ns:
                return
            yield segment


def _look(path: Path) -> _Segment | None:
    try:
        seen = look_at_segment(path)
    except OSError as error:
        remedy = "check its permissions and the disk"
        raise ArchiveError(str(path), f"can't be read ({error.strerror})", remedy) from error
    if seen is None or not seen[0].last_seq:
        return None
    summary, header, _ = seen
    return _Segment(header.products, summary.first_receive_ns, summary.last_receive_ns)
