"""Archived frames to ticks: decode, then admit. The same object serves the live feed and replay."""

from __future__ import annotations

from volspike.errors import ArchiveError
from volspike.exchange.aliases import AliasDecoder
from volspike.exchange.dialects import get_dialect
from volspike.exchange.items import Decoded, Decoder
from volspike.exchange.products import PriceScales
from volspike.features.admission import Admission, Admitted, Dropped
from volspike.pipeline.accounting import Accounting
from volspike.recording.flat import FlatDecoder
from volspike.recording.frame import Frame, SegmentHeader
from volspike.records import DeadLetter


def make_decoder(header: SegmentHeader, scales: PriceScales, scanning: bool = True) -> Decoder:
    """Return the decoder that a segment's frames are written for.

    Parameters
    ----------
    header : SegmentHeader
        Of the segment.
    scales : PriceScales
        Of its products.
    scanning : bool
        Whether compiled code may read what it knows; what is decoded is the same.

    Raises
    ------
    ArchiveError
        A flat segment without its column mapping.
    """
    if header.dialect != "flat":
        make = get_dialect(header.dialect).make_decoder
        if header.aliases:
            return AliasDecoder(make, header.aliases, header.products, scales)
        return _scanned(make(scales), header.dialect) if scanning else make(scales)
    if header.mapping is None:
        raise ArchiveError(header.session, "flat rows without a column mapping", "import the recording again")
    return FlatDecoder(header.mapping, scales)


def _scanned(general: Decoder, dialect: str) -> Decoder:
    """Return a decoder with compiled code before it, where numba is installed."""
    try:
        from volspike.pipeline.scanning import ScanningDecoder
    except ModuleNotFoundError as error:
        if error.name != "numba":
            raise
        return general
    return ScanningDecoder(general, dialect)


def dead_letter(drop: Dropped, feed: str, frame: Frame) -> DeadLetter:
    """Return an item that could not be used, with the bytes it came in."""
    return DeadLetter(
        reason=drop.reason,
        detail=drop.detail,
        feed=feed,
        session=frame.session,
        archive_seq=frame.seq,
        archive_row=drop.row,
        raw=frame.raw,
        product=drop.product,
    )


class Ingest:
    """Decode and admit the frames of consecutive sessions, and keep the accounts.

    Parameters
    ----------
    scales : PriceScales
        Of the products.
    scanning : bool
        Whether compiled code may read what it knows; the outcome is the same.

    Attributes
    ----------
    accounting : Accounting
        Of this connection and those beside it.
    admission : Admission
        Of this connection.
    """

    def __init__(self, scales: PriceScales, scanning: bool = True) -> None:
        self.accounting = Accounting()
        self._scales, self._scanning = scales, scanning
        self.admission = Admission()
        self._decoder: Decoder | None = None

    def beside(self) -> Ingest:
        """Return the ingest of another connection at the same time, with products of its own."""
        other = Ingest(self._scales, self._scanning)
        other.accounting, other.admission = self.accounting, self.admission.beside()
        return other

    def begin(self, header: SegmentHeader) -> None:
        """Begin a session; its frames follow."""
        self._decoder = make_decoder(header, self._scales, self._scanning)
        self.admission.begin(header)

    def take(self, frame: Frame) -> tuple[Decoded, list[Admitted]]:
        """Decode and admit one archived frame."""
        assert self._decoder is not None, "begin() comes before take()"
        decoded = self._decoder.decode(frame.raw)
        admitted = self.admission.admit(frame, decoded)
        self.accounting.frames += 1
        self.accounting.count(admitted)
        return decoded, admitted
