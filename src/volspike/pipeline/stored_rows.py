"""What the feature files hold, and whether the archive still has the frames that it was made of."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain, pairwise

from volspike.errors import ArchiveError
from volspike.features.spans import FileSpan, Held, Key, Position, damaged_files, file_spans
from volspike.pipeline.home import Home
from volspike.recording.layout import raw_directory
from volspike.recording.reader import NO_END, Archive

# The archive is forced to disk within a second; under a sped-up simulator that is more of market time.
POWER_CUT_NS = 60_000_000_000


class StoredRows:
    """The rows in the finished feature files of a data directory; call while no writer is at work.

    Rows beyond the archive's end, of which a power cut has cost it the frames, are removed with their files.

    Attributes
    ----------
    last_seq : int
        The highest archive position of any row, removed ones included, 0 where there is none.

    Raises
    ------
    ArchiveError
        If rows were made of frames that the archive lacks for another reason; nothing is removed then.
    """

    def __init__(self, home: Home, archive: Archive) -> None:
        spans = file_spans(home.features)
        self.last_seq = max((span.last[0] for span in spans), default=0)
        ranges = archive.seq_ranges()
        for first, last in _holes(ranges):
            _refuse_rows(home, spans, first, last)
        lost = _beyond(home, spans, ranges)
        for span in lost:
            span.path.unlink()
        kept = [span for span in spans if span not in lost]
        self._held = {key: Held(span for span in kept if span.key == key) for key in {s.key for s in kept}}
        self._damaged = damaged_files(home.features).values()

    def has(self, key: Key, position: Position) -> bool:
        """Tell whether the row of a product and feed at a position is stored."""
        held = self._held.get(key)
        return held is not None and position in held

    def has_all(self, feed: str, products: Sequence[str], seq: int) -> bool:
        """Tell whether no row of the products is missing up to a seq for certain; never for no product."""
        held = [self._held.get((product, feed)) for product in products]
        reach = [0 if each is None else each.last[0] for each in held]
        return seq <= min(reach, default=0) and seq <= self.whole_to

    @property
    def whole_to(self) -> int:
        """The seq up to which no row is missing for certain, 0 where a damaged file is not yet replaced."""
        if any(not self.has(key, (seq, 0)) for key, seq in self._damaged):
            return 0
        return min((held.last[0] for held in self._held.values()), default=0)


def _holes(ranges: Sequence[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Yield the ranges of seq below the archive's end that no segment holds."""
    reach = 0
    for (first, last), (following, _) in pairwise((*ranges, (NO_END, NO_END))):
        if first > reach + 1:
            yield reach + 1, first - 1
        reach = max(reach, following - 1 if last == NO_END else last)
    if not ranges:
        yield 0, NO_END


def _refuse_rows(home: Home, spans: Sequence[FileSpan], first: int, last: int) -> None:
    touched = [span for span in spans if span.first[0] <= last and span.last[0] >= first]
    if any(span.event_times(first, last) for span in touched):
        raise _missing(home, first, min(last, max(span.last[0] for span in touched)))


def _beyond(home: Home, spans: Sequence[FileSpan], ranges: Sequence[tuple[int, int]]) -> list[FileSpan]:
    """Return the files with rows beyond the end of the archive."""
    end = max((last for _, last in ranges), default=0)
    beyond = [span for span in spans if span.last[0] > end]
    times = sorted(chain.from_iterable(span.event_times(end + 1, NO_END) for span in beyond))
    if times and times[-1] - times[0] > POWER_CUT_NS:
        raise _missing(home, end + 1, max(span.last[0] for span in beyond))
    return beyond


def _missing(home: Home, first: int, last: int) -> ArchiveError:
    return ArchiveError(
        str(raw_directory(home.root)),
        f"lacks frames between {first} and {last} that rows in {home.features} were made of",
        f"bring the missing segments back, or move {home.features} away to go on without them",
    )
