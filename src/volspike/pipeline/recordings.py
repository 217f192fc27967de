"""Foreign recordings as a market for the simulator, and as history for a first model."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from volspike.errors import NotEnoughDataError
from volspike.exchange.items import Quote
from volspike.exchange.products import PriceScales
from volspike.pipeline.ingest import make_decoder
from volspike.recording.archive import ArchiveWriter
from volspike.recording.frame import SegmentHeader
from volspike.recording.importer import read_recording
from volspike.recording.sniff import ImportOptions
from volspike.simulation.market import Market
from volspike.simulation.scripted import exchange_frames

SILENCE_NS = 15_000_000_000


def recorded_sessions(
    paths: Sequence[Path], options: ImportOptions, scales: PriceScales
) -> Iterator[tuple[str, Iterable[Quote]]]:
    """Yield (session, quotes) of recordings, in order of their first quote."""
    for path in _in_order(paths, options, scales):
        for header, frames in read_recording(path, options, scales):
            decoder = make_decoder(header, scales)
            quotes = (
                item for _, raw in frames for item in decoder.decode(raw).items if isinstance(item, Quote)
            )
            yield header.session, quotes


def _in_order(paths: Sequence[Path], options: ImportOptions, scales: PriceScales) -> list[Path]:
    if len(paths) == 1:
        return list(paths)
    return sorted(paths, key=lambda path: _first_ns(path, options, scales))


def _first_ns(path: Path, options: ImportOptions, scales: PriceScales) -> int:
    for _, quotes in recorded_sessions([path], options, scales):
        for quote in quotes:
            return quote.event_ns
    raise NotEnoughDataError(str(path), "it has no quote", "give a recording of ticker frames")


def split_time_ns(
    paths: Sequence[Path], history_frac: float, options: ImportOptions, scales: PriceScales
) -> int:
    """Return the event time (ns) at which a fraction of the recorded time is over; silences don't count.

    Raises
    ------
    NotEnoughDataError
        If the recordings hold fewer than two quotes.
    """
    stretches: list[tuple[int, int]] = []
    for _, quotes in recorded_sessions(paths, options, scales):
        for quote in quotes:
            if stretches and 0 <= quote.event_ns - stretches[-1][1] <= SILENCE_NS:
                stretches[-1] = (stretches[-1][0], quote.event_ns)
            elif not stretches or quote.event_ns > stretches[-1][1]:
                stretches.append((quote.event_ns, quote.event_ns))
    left_ns = int(sum(end - start for start, end in stretches) * history_frac)
    if left_ns <= 0:
        raise NotEnoughDataError(
            str(paths[0]), "too few quotes for a history and a rest", "give a longer recording"
        )
    for start, end in stretches:
        if left_ns <= end - start:
            return start + left_ns
        left_ns -= end - start
    return stretches[-1][1]


def import_history(
    paths: Sequence[Path], end_ns: int, writer: ArchiveWriter, options: ImportOptions, scales: PriceScales
) -> int:
    """Archive the frames of recordings up to an event time; return how many.

    Parameters
    ----------
    end_ns : int
        The first frame whose newest quote is at or after this time ends its recording.
    """
    taken = 0
    with writer.stage() as staging:
        for path in _in_order(paths, options, scales):
            for header, frames in read_recording(path, options, scales):
                decoder = make_decoder(header, scales)
                staging.begin(header)
                for receive_ns, raw in frames:
                    stamps = [item.event_ns for item in decoder.decode(raw).items if isinstance(item, Quote)]
                    if stamps and max(stamps) >= end_ns:
                        break
                    staging.append(header.session, receive_ns, raw)
                    taken += 1
                staging.end(header.session)
    return taken


def synthetic_history(market: Market, seed: int, end_ns: int, writer: ArchiveWriter) -> int:
    """Archive what a client would have received of a synthetic market up to a time; return how many."""
    header = SegmentHeader(
        feed="exchange",
        dialect="exchange",
        session=f"synthetic-{seed}",
        products=tuple(market.products),
        heartbeats=True,
        origin="import",
        source=f"synthetic market, seed {seed}",
    )
    taken = 0
    with writer.stage() as staging:
        staging.begin(header)
        for receive_ns, frame in exchange_frames(market, seed, end_ns):
            staging.append(header.session, receive_ns, frame)
            taken += 1
        staging.end(header.session)
    return taken
