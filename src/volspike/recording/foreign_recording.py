"""A foreign recording as sessions of frames, ready for the archive."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from itertools import groupby
from pathlib import Path

import msgspec

from volspike.errors import ImportFormatError, ProtocolError
from volspike.exchange.dialects import get_dialect
from volspike.exchange.items import Control, Decoded, Decoder, Heartbeat, Quote, Rejected
from volspike.exchange.products import PriceScales
from volspike.recording.flat import FlatDecoder
from volspike.recording.foreign_file import ForeignFile
from volspike.recording.foreign_values import TimeReader, guess_unit, parse_row, resolve, scalar_text
from volspike.recording.frame import SegmentHeader
from volspike.recording.sniff import FlatShape, FrameShape, ImportOptions, sniff
from volspike.recording.time_outliers import Line, without_outliers
from volspike.records import UNKNOWN

# A connection's counter starts at 0, but a recorder may have missed its first few frames.
_FIRST_SEQUENCES = 16

OnReject = Callable[[int, str, bytes], None]
OnLine = Callable[[], None]


class Entry(msgspec.Struct, gc=False):
    """One frame of a recording: which session, when received (ns, UNKNOWN if not known yet), what."""

    session: int
    receive_ns: int
    raw: bytes
    decoded: Decoded


class Survey(msgspec.Struct, kw_only=True):
    """What a first pass over a recording found.

    Attributes
    ----------
    headers : list of SegmentHeader
        One a session.
    lines, blank, frames, quotes : int
        Counts; ``lines`` = ``frames`` + ``blank`` + all of ``rejected``.
    rejected : Counter of str
        Lines that can't be used, by reason.
    products : set of str
        Products with a quote.
    first_ns, last_ns : int
        Earliest and latest event time of a quote.
    """

    headers: list[SegmentHeader] = []
    lines: int = 0
    blank: int = 0
    frames: int = 0
    quotes: int = 0
    rejected: Counter[str] = msgspec.field(default_factory=Counter)
    products: set[str] = set()
    first_ns: int = UNKNOWN
    last_ns: int = UNKNOWN

    def count(self, quote: Quote) -> None:
        """Count one quote."""
        self.quotes += 1
        self.products.add(quote.product)
        self.first_ns = quote.event_ns if self.first_ns == UNKNOWN else min(self.first_ns, quote.event_ns)
        self.last_ns = max(self.last_ns, quote.event_ns)


class ForeignRecording:
    """A recording of a shape we know.

    Parameters
    ----------
    path : Path
        The file: NDJSON or CSV, plain, gzip or zstd.
    options : ImportOptions
        What the user said about it.
    scales : PriceScales
        Decimal places per product, to check the quotes with.

    Raises
    ------
    ImportFormatError
        If it can't be read or has no shape we know.
    """

    def __init__(self, path: Path, options: ImportOptions, scales: PriceScales) -> None:
        self._file = ForeignFile(path)
        self._options = options
        self._scales = scales
        self._times = TimeReader(options.zone)
        self.path = path
        self.sha256 = self._file.sha256
        self.shape = sniff(str(path), self._file.lines(), options)
        self.feed = options.feed or (
            self.shape.feed if isinstance(self.shape, FlatShape) else self.shape.dialect
        )
        self._survey: Survey | None = None

    def survey(self) -> Survey:
        """Read the recording once, for what a session's header must say before its first frame.

        Raises
        ------
        ImportFormatError
            If it is damaged or holds no usable quote.
        """
        if self._survey is None:
            self._survey = self._take_survey()
        return self._survey

    def sessions(
        self, on_reject: OnReject | None = None, on_line: OnLine | None = None
    ) -> Iterator[tuple[SegmentHeader, Iterator[tuple[int, bytes]]]]:
        """Yield each session's header and its frames as ``(receive_ns, raw)``, in the order of the file.

        Parameters
        ----------
        on_reject : callable, optional
            Told line number, reason and bytes of every line that can't be used.
        on_line : callable, optional
            Told of every line.
        """
        headers = self.survey().headers
        entries = self._entries(Survey(), on_reject, on_line)
        for session, group in groupby(entries, key=_session):
            yield headers[session], ((entry.receive_ns, entry.raw) for entry in group)

    def _take_survey(self) -> Survey:
        survey = Survey()
        for session, group in groupby(self._entries(survey, None, None), key=_session):
            traits = _SessionTraits()
            for entry in group:
                survey.frames += 1
                traits.note(entry.decoded)
                for item in entry.decoded.items:
                    if isinstance(item, Quote):
                        survey.count(item)
            survey.headers.append(self._header(session, traits))
        if not survey.quotes:
            reasons = ", ".join(f"{reason} {count}" for reason, count in survey.rejected.most_common(5))
            raise ImportFormatError(
                str(self.path),
                f"holds no usable quote in {survey.lines} lines ({reasons or 'no rejected line'})",
                "check the fields with --map bid=FIELD --map ask=FIELD --map time=FIELD, and --product",
            )
        return survey

    def _header(self, session: int, traits: _SessionTraits) -> SegmentHeader:
        flat = self.shape if isinstance(self.shape, FlatShape) else None
        return SegmentHeader(
            feed=self.feed,
            dialect="flat" if isinstance(self.shape, FlatShape) else self.shape.dialect,
            session=f"import-{self.sha256[:12]}-{session + 1}",
            products=tuple(sorted(traits.products)),
            heartbeats=traits.whole_feed,
            origin="import",
            event_time_source=flat.event_time_source if flat else "exchange",
            mapping=flat.mapping if flat else None,
            source=self.path.name,
            source_sha256=self.sha256,
        )

    def _decoder(self) -> Decoder:
        if isinstance(self.shape, FlatShape):
            return FlatDecoder(self.shape.mapping, self._scales)
        return get_dialect(self.shape.dialect).make_decoder(self._scales)

    def _entries(self, survey: Survey, on_reject: OnReject | None, on_line: OnLine | None) -> Iterator[Entry]:
        """Yield frames; those before the first known time wait for it, later ones take the time before."""
        waiting: list[Entry] = []
        latest_ns = UNKNOWN
        for entry in self._untimed(survey, on_reject, on_line):
            if entry.receive_ns == UNKNOWN:
                entry.receive_ns = latest_ns
            latest_ns = entry.receive_ns
            waiting.append(entry)
            if latest_ns != UNKNOWN:
                for held in waiting:
                    held.receive_ns = latest_ns if held.receive_ns == UNKNOWN else held.receive_ns
                    yield held
                waiting.clear()

    def _untimed(self, survey: Survey, on_reject: OnReject | None, on_line: OnLine | None) -> Iterator[Entry]:
        def reject(number: int, reason: str, line: bytes) -> None:
            survey.rejected[reason] += 1
            if on_reject is not None:
                on_reject(number, reason, line)

        splitter = _SessionSplitter()
        lines = without_outliers(
            self._usable(survey, reject, on_line),
            lambda outlier: reject(outlier.number, "time_outlier", outlier.text),
        )
        for line in lines:
            yield Entry(splitter.session(line.decoded), line.receive_ns, line.raw, line.decoded)

    def _usable(self, survey: Survey, reject: OnReject, on_line: OnLine | None) -> Iterator[Line]:
        decoder = self._decoder()
        for number, line in enumerate(self._file.lines(), start=1):
            survey.lines += 1
            if on_line is not None:
                on_line()
            if not line.strip():
                survey.blank += 1
                continue
            try:
                yield self._line(number, line, decoder)
            except ProtocolError as error:
                no_row = self._file.is_csv and error.reason == "json"
                reject(number, "csv" if no_row else error.reason, line)

    def _line(self, number: int, line: bytes, decoder: Decoder) -> Line:
        if isinstance(self.shape, FrameShape):
            raw, receive_ns = self._frame(line, self.shape)
            decoded = decoder.decode(raw)
            return Line(number, line, raw, decoded, decoded.event_ns if receive_ns == UNKNOWN else receive_ns)
        decoded = decoder.decode(line)
        item = decoded.items[0]
        if isinstance(item, Rejected):
            raise ProtocolError(item.reason, item.detail)
        receive_ns = self._receive_ns(line, self.shape)
        return Line(number, line, line, decoded, decoded.event_ns if receive_ns == UNKNOWN else receive_ns)

    def _frame(self, line: bytes, shape: FrameShape) -> tuple[bytes, int]:
        """Return the frame's own text and its receive time from the recorder's object around it."""
        body, receive_ns = line.strip(), UNKNOWN
        row = parse_row(body)
        for depth, key in enumerate(shape.path):
            if shape.receive[:-1] == shape.path[:depth] and shape.receive:
                receive_ns = self._time(row.get(shape.receive[-1]))
            value = row.get(key)
            if value is None:
                raise ProtocolError("no_frame", ".".join(shape.path[: depth + 1]))
            body = bytes(value)
            if body.startswith(b'"'):
                body = (scalar_text(value) or "").encode()
            if depth + 1 < len(shape.path):
                row = parse_row(body)
        if not shape.path and shape.receive:
            receive_ns = self._time(row.get(shape.receive[-1]))
        return body, receive_ns

    def _receive_ns(self, line: bytes, shape: FlatShape) -> int:
        path = shape.mapping.receive_time
        return self._time(resolve(parse_row(line), path)) if path else UNKNOWN

    def _time(self, value: msgspec.Raw | None) -> int:
        try:
            text = scalar_text(value)
            return UNKNOWN if text is None else self._times.read(text, guess_unit(text))
        except ProtocolError:
            return UNKNOWN  # the receive time is for audit only: the frame is worth keeping without


class _SessionSplitter:
    """Tells where a recording goes on with another connection."""

    def __init__(self) -> None:
        self._session = 0
        self._has_data = False
        self._sequence = UNKNOWN

    def session(self, decoded: Decoded) -> int:
        """Return the running number of the session that a frame belongs to."""
        item = decoded.items[0]
        acknowledged = (
            isinstance(item, Control) and item.kind == "subscriptions" and decoded.sequence == UNKNOWN
        )
        restarted = decoded.sequence != UNKNOWN and decoded.sequence < min(self._sequence, _FIRST_SEQUENCES)
        if self._has_data and (acknowledged or restarted):
            self._session += 1
            self._has_data = False
        if not isinstance(item, Control):
            self._has_data = True
        if decoded.sequence != UNKNOWN:
            self._sequence = decoded.sequence
        return self._session


class _SessionTraits:
    """What a session's header says about its frames."""

    def __init__(self) -> None:
        self.products: set[str] = set()
        self._heartbeats = 0
        self._sequence = UNKNOWN
        self._steps = Counter[bool]()

    def note(self, decoded: Decoded) -> None:
        """Look at one frame."""
        for item in decoded.items:
            if isinstance(item, Quote):
                self.products.add(item.product)
            elif isinstance(item, Heartbeat):
                self._heartbeats += 1
            elif isinstance(item, Control):
                self.products.update(item.channels.get("ticker", ()))
        if decoded.sequence != UNKNOWN:
            if self._sequence != UNKNOWN:
                self._steps[decoded.sequence == self._sequence + 1] += 1
            self._sequence = decoded.sequence

    @property
    def whole_feed(self) -> bool:
        """Whether heartbeats and frame counter can serve as evidence of a break.

        A recorder that left out a channel shows as a counter that jumps more often than not.
        """
        return self._heartbeats > 0 and self._steps[True] >= self._steps[False]


def _session(entry: Entry) -> int:
    return entry.session
