"""Bring foreign recordings into the archive: all of them, or nothing."""

from __future__ import annotations

from binascii import b2a_base64
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import msgspec

from volspike.errors import ImportFormatError
from volspike.exchange.decimals import format_time_ns
from volspike.exchange.products import PriceScales
from volspike.recording.archive import ArchiveWriter
from volspike.recording.foreign_file import recording_files
from volspike.recording.foreign_recording import ForeignRecording
from volspike.recording.frame import SegmentHeader
from volspike.recording.reader import Archive
from volspike.recording.sniff import ImportOptions
from volspike.recording.staging import Staging

_PROGRESS_LINES = 2_000


class ImportReport(msgspec.Struct, kw_only=True):
    """What an import brought in; ``lines`` = ``frames`` + ``blank`` + all of ``rejected``.

    Attributes
    ----------
    files, already_imported : int
        Files taken, and files left out because the archive has their sha256.
    lines, frames, blank : int
        Counts over the files taken.
    rejected : dict of str to int
        Lines that did not parse, by reason; each is kept in ``raw/<feed>/rejected-<sha256[:12]>.ndjson``.
    products : tuple of str
        Products with a quote.
    first, last : str
        Earliest and latest event time of a quote, RFC 3339; empty where no file was taken.
    sessions : int
        Sessions made.
    skipped : list of str
        Files of the directories named that are no recordings by their names.
    """

    files: int = 0
    already_imported: int = 0
    lines: int = 0
    frames: int = 0
    blank: int = 0
    rejected: dict[str, int] = {}
    products: tuple[str, ...] = ()
    first: str = ""
    last: str = ""
    sessions: int = 0
    skipped: list[str] = []


def read_recording(
    path: Path, options: ImportOptions, scales: PriceScales
) -> Iterator[tuple[SegmentHeader, Iterator[tuple[int, bytes]]]]:
    """Read a foreign recording without an archive.

    Returns
    -------
    iterator of (SegmentHeader, iterator of (int, bytes))
        The sessions in the order of the file, each with its frames: receive time (ns) and text. A session's
        frames must be taken before the next session is.

    Raises
    ------
    ImportFormatError
        If the file can't be read or has no shape we know.
    """
    return ForeignRecording(path, options, scales).sessions()


def import_recordings(
    paths: Sequence[Path],
    writer: ArchiveWriter,
    options: ImportOptions,
    scales: PriceScales,
    progress: Callable[[int], None] | None = None,
) -> ImportReport:
    """Import files, or directories of them with all below, in order of their first quote.

    Parameters
    ----------
    paths : sequence of Path
        What to import.
    writer : ArchiveWriter
        The archive, without open sessions.
    options : ImportOptions
        What the user said about the recordings.
    scales : PriceScales
        Decimal places per product.
    progress : callable, optional
        Told now and then how many more lines were read; each line is read twice.

    Raises
    ------
    ImportFormatError
        If a file can't be read or has no shape we know; nothing is imported then.
    ArchiveError
        If the archive can't be written; nothing is imported then.
    """
    files, others = recording_files(paths, writer.root)
    recordings, already_imported = _open_new(files, writer.root, options, scales)
    meter = _Meter(progress)
    for recording in recordings:
        meter.add(recording.survey().lines)
    recordings.sort(key=lambda recording: (recording.survey().first_ns, recording.path.name))
    if recordings:
        with writer.stage() as staging:
            for recording in recordings:
                _copy(recording, staging, meter)
    meter.flush()
    return _report(recordings, already_imported, [str(path) for path in others])


def _open_new(
    files: Sequence[Path], root: Path, options: ImportOptions, scales: PriceScales
) -> tuple[list[ForeignRecording], int]:
    if not files:
        raise ImportFormatError("import", "was given no file", "name one or more recordings")
    known = Archive(root).source_digests()
    recordings = []
    for path in files:
        recording = ForeignRecording(path, options, scales)
        if recording.sha256 not in known:
            known.add(recording.sha256)
            recordings.append(recording)
    return recordings, len(files) - len(recordings)


def _copy(recording: ForeignRecording, staging: Staging, meter: _Meter) -> None:
    side_file = Path(recording.feed) / f"rejected-{recording.sha256[:12]}.ndjson"

    def keep_aside(number: int, reason: str, line: bytes) -> None:
        staging.add_line(side_file, _rejected_line(number, reason, line))

    for header, frames in recording.sessions(keep_aside, meter.tick):
        staging.begin(header)
        for receive_ns, raw in frames:
            staging.append(header.session, receive_ns, raw)
        staging.end(header.session)


def _rejected_line(number: int, reason: str, line: bytes) -> bytes:
    try:
        return msgspec.json.encode({"line": number, "reason": reason, "raw": line.decode()})
    except UnicodeDecodeError:
        encoded = b2a_base64(line, newline=False).decode()
        return msgspec.json.encode({"line": number, "reason": reason, "raw_b64": encoded})


class _Meter:
    """Tells progress in steps that cost nothing."""

    def __init__(self, progress: Callable[[int], None] | None) -> None:
        self._progress = progress
        self._pending = 0

    def tick(self) -> None:
        self._pending += 1
        if self._pending >= _PROGRESS_LINES:
            self.flush()

    def add(self, lines: int) -> None:
        self._pending += lines
        self.flush()

    def flush(self) -> None:
        if self._progress is not None and self._pending:
            self._progress(self._pending)
        self._pending = 0


def _report(
    recordings: Sequence[ForeignRecording], already_imported: int, skipped: list[str]
) -> ImportReport:
    surveys = [recording.survey() for recording in recordings]
    rejected: Counter[str] = sum((survey.rejected for survey in surveys), Counter())
    return ImportReport(
        files=len(recordings),
        already_imported=already_imported,
        lines=sum(survey.lines for survey in surveys),
        frames=sum(survey.frames for survey in surveys),
        blank=sum(survey.blank for survey in surveys),
        rejected=dict(sorted(rejected.items())),
        products=tuple(sorted(set[str]().union(*(survey.products for survey in surveys)))),
        first=format_time_ns(min(survey.first_ns for survey in surveys)) if surveys else "",
        last=format_time_ns(max(survey.last_ns for survey in surveys)) if surveys else "",
        sessions=sum(len(survey.headers) for survey in surveys),
        skipped=skipped,
    )
