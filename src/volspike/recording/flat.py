"""Decode the flat rows of foreign recorders: one quote a row, under whatever names."""

from __future__ import annotations

import msgspec

from volspike.errors import ProtocolError
from volspike.exchange.decimals import format_decimal
from volspike.exchange.items import Decoded, Ignored, Rejected
from volspike.exchange.products import PriceScales
from volspike.exchange.quotes import NOT_SENT, QuoteReader, TickerRow
from volspike.exchange.rejection import MAX_FRAME_BYTES
from volspike.recording.flat_row import PlainRowReader, TextAt
from volspike.recording.foreign_values import TimeReader, parse_row, resolve, rounded_units, scalar_text
from volspike.recording.frame import FlatMapping
from volspike.records import SIZE_DECIMALS, UNKNOWN


class FlatDecoder:
    """Decode rows by a mapping; one row is one item.

    Parameters
    ----------
    mapping : FlatMapping
        Where the fields lie and how the clock is to be read.
    scales : PriceScales
        Decimal places per product.

    Raises
    ------
    ImportFormatError
        If the mapping's zone is unknown.

    Notes
    -----
    Numbers are taken from their literal text, never through a binary float. A number finer than the scale
    (the noise digits of a float) is rounded to it, half to even. ``BTC/USD`` and
    ``BTC_USD`` become ``BTC-USD``.
    """

    def __init__(self, mapping: FlatMapping, scales: PriceScales) -> None:
        self._mapping = mapping
        self._scales = scales
        self._quotes = QuoteReader(scales)
        self._times = TimeReader(mapping.zone)
        quote = (mapping.product, mapping.bid, mapping.ask, mapping.bid_size, mapping.ask_size)
        trade = (mapping.time, mapping.price, mapping.size, mapping.trade_id, mapping.event_type)
        self._plain_rows = PlainRowReader((*quote, *trade, mapping.volume_24h))

    def decode(self, raw: bytes) -> Decoded:
        """Decode one row. Whatever the bytes are, nothing is raised.

        A row with neither bid nor ask is ``Ignored("no_quote")``; reasons of ``Rejected``: ``json``,
        ``utf8``, ``nesting``, ``schema``, ``missing_field``, ``number``, ``price``, ``size``, ``crossed``,
        ``time``, ``product``, ``too_large``.
        """
        if len(raw) > MAX_FRAME_BYTES:
            return Decoded((Rejected(reason="too_large", detail=f"{len(raw)} bytes"),))
        try:
            return self._decode(self._plain_rows.read(raw) or _general_row(raw))
        except ProtocolError as error:
            return Decoded((Rejected(reason=error.reason, detail=error.detail),))

    def _decode(self, text_at: TextAt) -> Decoded:
        mapping = self._mapping
        bid, ask = text_at(mapping.bid), text_at(mapping.ask)
        if bid is None and ask is None:
            return Decoded((Ignored(reason="no_quote"),))
        product = mapping.fixed_product or _required(text_at(mapping.product), mapping.product)
        ticker = TickerRow(
            product_id=product.replace("/", "-").replace("_", "-"),
            best_bid=_required(bid, mapping.bid),
            best_ask=_required(ask, mapping.ask),
            best_bid_size=text_at(mapping.bid_size),
            best_ask_size=text_at(mapping.ask_size),
            price=text_at(mapping.price),
            last_size=text_at(mapping.size),
            volume_24h=_volume_at(text_at, mapping.volume_24h),
        )
        event_ns = self._times.read(_required(text_at(mapping.time), mapping.time), mapping.time_unit)
        trade_id = _trade_id(text_at(mapping.trade_id))
        snapshot = text_at(mapping.event_type) == "snapshot"
        try:
            quote = self._quotes.read(ticker, event_ns, trade_id, snapshot)
        except ProtocolError as error:
            if error.reason != "number":
                raise
            quote = self._quotes.read(self._rounded(ticker), event_ns, trade_id, snapshot)
        return Decoded((quote,), UNKNOWN, event_ns)

    def _rounded(self, ticker: TickerRow) -> TickerRow:
        decimals = self._scales.decimals(ticker.product_id)
        return TickerRow(
            product_id=ticker.product_id,
            best_bid=_round(ticker.best_bid, decimals),
            best_ask=_round(ticker.best_ask, decimals),
            best_bid_size=_round_or_none(ticker.best_bid_size, SIZE_DECIMALS),
            best_ask_size=_round_or_none(ticker.best_ask_size, SIZE_DECIMALS),
            price=_round_or_none(ticker.price, decimals),
            last_size=_round_or_none(ticker.last_size, SIZE_DECIMALS),
            volume_24h=ticker.volume_24h,
        )


def _general_row(raw: bytes) -> TextAt:
    row = parse_row(raw)
    return lambda path: scalar_text(resolve(row, path)) if path else None


def _volume_at(text_at: TextAt, path: str) -> msgspec.Raw:
    """Return a volume of 24 h, rounded where it is too fine; as on the wire, nothing is rejected for it."""
    try:
        text = text_at(path)
        if text is None:
            return NOT_SENT
        plain = text.replace(".", "", 1).isdigit() and len(text.partition(".")[2]) <= SIZE_DECIMALS
        return msgspec.Raw((text if plain else _round(text, SIZE_DECIMALS)).encode())
    except ProtocolError:
        return NOT_SENT


def _trade_id(text: str | None) -> int:
    if text is None:
        return UNKNOWN
    trade_id = rounded_units(text, 0)
    if trade_id < 0:
        raise ProtocolError("number", text)
    return trade_id


def _required(text: str | None, path: str) -> str:
    if text is None:
        raise ProtocolError("missing_field", path)
    return text


def _round(text: str, decimals: int) -> str:
    return format_decimal(rounded_units(text, decimals), decimals)


def _round_or_none(text: str | None, decimals: int) -> str | None:
    return None if text is None else _round(text, decimals)
