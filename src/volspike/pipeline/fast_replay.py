"""Replay at the speed of the disk: known shapes of lines in compiled code, everything else as ever.

What it yields equals ``session_tables`` to the bit, which stays the definition: ``verify`` uses that one, and
so proves this one. A line goes the plain way wherever the scanner doesn't know its shape, a value is out of
the ordinary, or admission has to think; the state is handed over and back.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
import numpy as np

from volspike.errors import ArchiveError, ProtocolError
from volspike.exchange.products import PriceScales
from volspike.exchange.quotes import QuoteReader
from volspike.features.admission_kernel import PLAIN, PRODUCT_ROW, AdmissionRun
from volspike.features.table import FeatureTable
from volspike.pipeline.batch import BatchStages
from volspike.pipeline.ingest import Ingest
from volspike.pipeline.replay import Progress, session_tables
from volspike.recording.frame import SegmentHeader
from volspike.recording.reader import Archive, LineBlock, SessionInfo
from volspike.recording.scan import pieces
from volspike.recording.scanner import MISMATCH, LineScanner
from volspike.recording.template import LINE, ROWS, learn_template

_PROGRESS_BLOCKS = 16
_LONGEST_REST = 1 << 12  # lines for which no shape is sought after many futile attempts


def fast_session_tables(
    archive: Archive,
    session: SessionInfo,
    ingest: Ingest,
    stages: BatchStages,
    scales: PriceScales,
    progress: Progress,
) -> Iterator[FeatureTable]:
    """Yield the tables that are filled by a session, which has begun.

    Parameters
    ----------
    archive, session, ingest, stages, progress
        As of ``session_tables``.
    scales : PriceScales
        Those of ``ingest``.
    """
    if not _is_known(session):
        yield from session_tables(archive, session, ingest, stages, progress)
        return
    run = FastSession(archive, session.header, ingest, stages, scales)
    for path in session.paths:
        yield from run.replay(msgspec.structs.replace(session, paths=(path,)), progress)


def _is_known(session: SessionInfo) -> bool:
    """Tell whether a session's lines may have shapes: a dialect, and products known to it by their names."""
    reader = QuoteReader(PriceScales())
    try:
        for product in session.header.products:
            reader.check_product(product)
    except ProtocolError:
        return False
    header = session.header
    return header.dialect != "flat" and bool(header.products) and not header.aliases


class FastSession:
    """The frames of one session, segment by segment.

    Parameters
    ----------
    archive : Archive
        Counts damaged lines.
    header : SegmentHeader
        Of the session, which ``ingest`` has begun.
    ingest : Ingest
        Takes what is not plain, and keeps state and accounts.
    stages : BatchStages
        Take the ticks and marks.
    scales : PriceScales
        Those of ``ingest``.
    """

    def __init__(
        self,
        archive: Archive,
        header: SegmentHeader,
        ingest: Ingest,
        stages: BatchStages,
        scales: PriceScales,
    ) -> None:
        self._archive, self._header, self._ingest, self._stages = archive, header, ingest, stages
        self._products = tuple(dict.fromkeys(header.products))
        names = [(product, scales.decimals(product)) for product in self._products]
        self._scanner = LineScanner(header.session, names)
        self._admission = AdmissionRun(ingest.admission, header)
        self._admission.load()
        self._resting, self._rest = 0, 0

    def replay(self, segment: SessionInfo, progress: Progress) -> Iterator[FeatureTable]:
        """Replay one segment; yield tables that are full. A damaged one is read to its last good line."""
        accounting, archive = self._ingest.accounting, self._archive
        before, told = accounting.frames + archive.corrupt, accounting.frames
        try:
            for i, block in enumerate(archive.chunks(segment), 1):
                yield from self._take(block)
                if i % _PROGRESS_BLOCKS == 0:
                    self._hand_over()
                    progress(accounting.frames - told)
                    told = accounting.frames
            self._hand_over()
        except ArchiveError as damage:
            self._hand_over()
            archive.count_lost(segment.paths[0], accounting.frames + archive.corrupt - before, damage)
        progress(accounting.frames - told)

    def _take(self, block: LineBlock) -> Iterator[FeatureTable]:
        """Take a block of lines; yield tables that are full."""
        lines, offset, stop = block
        text = np.frombuffer(lines, np.uint8)
        while offset < stop:
            n, offset, status = self._scanner.scan(text, offset, stop)
            yield from self._admit(lines, n)
            if status == MISMATCH:
                end = lines.index(b"\n", offset)
                yield from self._plain(bytes(lines[offset:end]), learn=True)
                offset = end + 1

    def _admit(self, lines: bytearray, n: int) -> Iterator[FeatureTable]:
        """Admit the scanned items; a frame that needs thought goes the plain way."""
        i = 0
        while i < n:
            i, rows, status = self._admission.admit(self._scanner.items, i, n)
            yield from self._collect(rows)
            if status == PLAIN:
                start = int(self._scanner.items[i, LINE])
                yield from self._plain(bytes(lines[start : lines.index(b"\n", start)]), learn=False)
                i += int(self._scanner.items[i, ROWS])

    def _collect(self, n: int) -> Iterator[FeatureTable]:
        rows, feed = self._admission.rows[:, :n], self._header.feed
        if len(self._products) == 1 and n:
            yield from self._stages.extend(self._products[0], feed, rows[:PRODUCT_ROW])
            return
        for index in np.flatnonzero(np.bincount(rows[PRODUCT_ROW])).tolist():
            of_product = rows[:PRODUCT_ROW, rows[PRODUCT_ROW] == index]
            yield from self._stages.extend(self._products[index], feed, of_product)

    def _plain(self, line: bytes, learn: bool) -> Iterator[FeatureTable]:
        """Take a line the plain way, on the authoritative state; learn its shape where that is of use."""
        self._hand_over()
        for _, frame in pieces(line):
            if frame is None:
                self._archive.corrupt += 1
                continue
            decoded, admitted = self._ingest.take(frame)
            yield from self._stages.add(admitted)
            if learn and self._seeks_shapes():
                template = learn_template(self._header.dialect, frame.raw, decoded)
                if template is not None and self._scanner.add(template):
                    self._rest = 0
        self._admission.load()

    def _seeks_shapes(self) -> bool:
        """Tell whether to look for a shape; after futile attempts the pauses grow."""
        if self._scanner.is_full:
            return False
        self._resting -= 1
        if self._resting < 0:
            self._rest = min(2 * self._rest + 1, _LONGEST_REST)
            self._resting = self._rest
            return True
        return False

    def _hand_over(self) -> None:
        """Bring state and accounts up to what the compiled code has admitted; it goes on from there."""
        admitted = self._admission.store()
        accounting = self._ingest.accounting
        accounting.frames += admitted.frames
        accounting.items += admitted.ticks + admitted.beats
        accounting.ticks += admitted.ticks
        accounting.marks += admitted.marks
        if admitted.beats:
            accounting.ignored["heartbeat"] += admitted.beats
