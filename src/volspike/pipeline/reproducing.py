"""A foreign recording through import and admission, into the original's protocol and the true label's."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np

from volspike.clock import SystemClock
from volspike.errors import ConfigError, NotEnoughDataError
from volspike.evaluation.original.columns import MARK, SNAPSHOT, TICK, Recorded
from volspike.evaluation.original.report import reproduce_original
from volspike.evaluation.original.threshold import Threshold
from volspike.evaluation.original.words import in_words
from volspike.exchange.items import Decoded, Quote
from volspike.exchange.products import PriceScales
from volspike.features.admission import Admitted, Dropped
from volspike.pipeline.ingest import Ingest
from volspike.recording.archive import ArchiveWriter
from volspike.recording.frame import Frame
from volspike.recording.importer import ImportReport, import_recordings
from volspike.recording.reader import Archive
from volspike.recording.sniff import ImportOptions
from volspike.records import Mark, Tick

PROGRESS_FRAMES = 2_000
Kind = tuple[str, str]  # product and feed
Progress = Callable[[int], None]


def reproduce(
    paths: Sequence[Path],
    options: ImportOptions,
    scales: PriceScales,
    threshold: Threshold,
    product: str | None = None,
    progress: Progress = lambda _lines: None,
) -> dict[str, Any]:
    """Run the original's protocol, and the true label's, on recordings; nothing is left behind.

    Parameters
    ----------
    paths, options, scales
        As of an import.
    threshold : Threshold
        How tau is set.
    product : str, optional
        Which product; without it, the one with the most tickers.
    progress : callable
        Told now and then how many more lines or frames were read.

    Returns
    -------
    dict
        The report under the names of the command line, with ``words``: paragraphs that explain it.

    Raises
    ------
    ImportFormatError
        If a file can't be read or has no shape we know.
    ConfigError
        If the product asked for is not in the recordings.
    NotEnoughDataError
        If there is no row to speak of.
    """
    imported, events = read_recordings(paths, options, scales, progress)
    chosen = _choose(events.tickers, paths, product)
    report = reproduce_original(events.recorded(chosen), threshold)
    return {
        **report.as_dict(),
        "feed": chosen[1],
        "products": {f"{name} {feed}": count for (name, feed), count in sorted(events.tickers.items())},
        "files": imported.files,
        "lines": imported.lines,
        "rejected": imported.rejected,
        "words": in_words(report),
    }


def read_recordings(
    paths: Sequence[Path],
    options: ImportOptions,
    scales: PriceScales,
    progress: Progress = lambda _lines: None,
) -> tuple[ImportReport, RecordedEvents]:
    """Import recordings into an archive that is gone afterwards; return what they hold of each product."""
    with TemporaryDirectory(prefix="volspike-reproduce-") as directory:
        imported = _import(Path(directory), paths, options, scales, progress)
        return imported, _read_events(Archive(Path(directory)), scales, progress)


def _import(
    root: Path, paths: Sequence[Path], options: ImportOptions, scales: PriceScales, progress: Progress
) -> ImportReport:
    writer = ArchiveWriter(root, SystemClock())
    try:
        return import_recordings(paths, writer, options, scales, progress)
    finally:
        writer.close()


def _read_events(archive: Archive, scales: PriceScales, progress: Progress) -> RecordedEvents:
    """Decode and admit all frames of an archive, in replay order, as ``pipeline.replay`` does."""
    ingest, events = Ingest(scales), RecordedEvents()
    for session in archive.sessions():
        ingest.begin(session.header)
        events.begin_session()
        for number, frame in enumerate(archive.frames(session), start=1):
            events.add(frame, session.header.feed, *ingest.take(frame))
            if number % PROGRESS_FRAMES == 0:
                progress(PROGRESS_FRAMES)
    return events


def _choose(tickers: Counter[Kind], paths: Sequence[Path], product: str | None) -> Kind:
    found = [kind for kind, _ in tickers.most_common() if product in (None, kind[0])]
    if not found and tickers:
        products = ", ".join(sorted({name for name, _ in tickers}))
        raise ConfigError(f"product {product}", "is not in the recordings", f"choose one of {products}")
    if not found:
        raise NotEnoughDataError(
            ", ".join(path.name for path in paths), "no ticker was admitted", "give a longer recording"
        )
    return found[0]


class _Event(NamedTuple):
    """One row of ``Recorded``."""

    kind: int
    receive_ns: int
    event_ns: int
    covered_since_ns: int
    bid: int
    ask: int


class RecordedEvents:
    """Collects what admission answers, by product and feed; snapshots wait for the tick that follows.

    Attributes
    ----------
    tickers : Counter of (product, feed)
        Tickers collected, snapshots among them.
    """

    def __init__(self) -> None:
        self.tickers: Counter[Kind] = Counter()
        self._events: dict[Kind, list[_Event]] = {}
        self._decimals: dict[Kind, int] = {}
        self._waiting: dict[Kind, list[tuple[int, Quote]]] = {}

    def begin_session(self) -> None:
        """Forget the snapshots of a session in which no tick followed them."""
        self._waiting.clear()

    def add(self, frame: Frame, feed: str, decoded: Decoded, admitted: Iterable[Admitted]) -> None:
        """Take what one frame led to."""
        for answer in admitted:
            if isinstance(answer, Tick):
                self._tick(answer)
            elif isinstance(answer, Mark):
                self._events[answer.product, answer.feed].append(
                    _Event(MARK, answer.receive_ns, answer.event_ns, answer.covered_since_ns, 0, 0)
                )
            elif isinstance(answer, Dropped) and answer.reason == "snapshot":
                quote = decoded.items[answer.row]
                assert isinstance(quote, Quote), "only a quote is dropped as a snapshot"
                self._waiting.setdefault((quote.product, feed), []).append((frame.receive_ns, quote))

    def _tick(self, tick: Tick) -> None:
        kind = (tick.product, tick.feed)
        cover = tick.covered_since_ns
        events = self._events.setdefault(kind, [])
        self._decimals[kind] = tick.price_decimals
        before = self._waiting.pop(kind, [])
        for receive_ns, quote in before:
            events.append(_Event(SNAPSHOT, receive_ns, quote.event_ns, cover, quote.bid, quote.ask))
        events.append(_Event(TICK, tick.receive_ns, tick.event_ns, cover, tick.bid, tick.ask))
        self.tickers[kind] += 1 + len(before)

    def recorded(self, kind: Kind) -> Recorded:
        """Return the events of one product and feed as arrays."""
        columns = np.array(self._events[kind], np.int64).T
        return Recorded(kind[0], self._decimals[kind], columns[0].astype(np.int8), *columns[1:])
