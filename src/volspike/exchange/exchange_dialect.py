"""Decode the Exchange feed: flat messages with a ``type``.

Live the frames come from ``session`` by way of the archive, in replay from the archive; admission takes the
items.
"""

from __future__ import annotations

import msgspec

from volspike.errors import ProtocolError
from volspike.exchange.decimals import parse_time_ns
from volspike.exchange.feed_errors import classify_error
from volspike.exchange.items import Control, Decoded, Heartbeat, Ignored, Item, Rejected
from volspike.exchange.products import PriceScales
from volspike.exchange.quotes import Counter, QuoteReader, TickerRow
from volspike.exchange.rejection import DECODE_ERRORS, MAX_FRAME_BYTES, reject_frame
from volspike.records import UNKNOWN

# Types that are known and of no use here. Others share one label, so that a feed can't invent reasons.
_KNOWN_TYPES = frozenset(
    {"match", "last_match", "snapshot", "l2update", "status", "received", "open", "done", "change"}
    | {"activate", "auction", "rfq_match"}
)


class _Ticker(TickerRow, tag_field="type", tag="ticker", gc=False, kw_only=True):
    time: str
    trade_id: Counter


class _Heartbeat(msgspec.Struct, tag_field="type", tag="heartbeat", gc=False):
    product_id: str
    time: str


class _Channel(msgspec.Struct):
    name: str
    product_ids: tuple[str, ...] = ()


class _Subscriptions(msgspec.Struct, tag_field="type", tag="subscriptions"):
    channels: tuple[_Channel, ...]


class _Error(msgspec.Struct, tag_field="type", tag="error"):
    message: str = ""
    reason: str = ""


class _TypeOnly(msgspec.Struct):
    type: str


_Message = _Ticker | _Heartbeat | _Subscriptions | _Error
_decode_message = msgspec.json.Decoder(_Message).decode
_decode_type = msgspec.json.Decoder(_TypeOnly).decode


class ExchangeDecoder:
    """Decode frames of the Exchange feed; one frame is one item.

    Parameters
    ----------
    scales : PriceScales
        Price decimals per product.

    Notes
    -----
    A ``ticker`` becomes a ``Quote`` whose time is the trade's. The feed does not say which ticker is the
    snapshot of a subscription (the first per product and session): admission knows.
    """

    def __init__(self, scales: PriceScales) -> None:
        self._quotes = QuoteReader(scales)
        self._time: str | None = None
        self._time_ns = UNKNOWN

    def decode(self, raw: bytes) -> Decoded:
        """Decode one frame. Whatever the bytes are, nothing is raised: see ``Rejected``."""
        if len(raw) > MAX_FRAME_BYTES:
            return Decoded((Rejected(reason="too_large", detail=f"{len(raw)} bytes"),))
        try:
            message = _decode_message(raw)
        except DECODE_ERRORS as error:
            return Decoded((_explain(raw, error),))
        if type(message) is _Ticker:
            return self._ticker(message)
        return self._other(message)

    def _ticker(self, row: _Ticker) -> Decoded:
        event_ns = UNKNOWN
        try:
            if row.time != self._time:  # a sweep's trades share one stamp
                self._time_ns = parse_time_ns(row.time)
                self._time = row.time
            event_ns = self._time_ns
            quote = self._quotes.read(row, event_ns, row.trade_id)
        except ProtocolError as error:
            rejected = Rejected(reason=error.reason, detail=error.detail, product=row.product_id[:64])
            return Decoded((rejected,), UNKNOWN, event_ns)
        return Decoded((quote,), UNKNOWN, event_ns)

    def _other(self, message: _Message) -> Decoded:
        match message:
            case _Heartbeat():
                return self._heartbeat(message)
            case _Subscriptions():
                channels = {channel.name: channel.product_ids for channel in message.channels}
                return Decoded((Control(kind="subscriptions", channels=channels),))
            case _Error():
                return Decoded((classify_error(message.message, message.reason),))
        raise AssertionError(f"a decoded type without a branch: {type(message)}")

    def _heartbeat(self, message: _Heartbeat) -> Decoded:
        try:
            self._quotes.check_product(message.product_id)
            event_ns = parse_time_ns(message.time)
        except ProtocolError as error:
            return Decoded(
                (Rejected(reason=error.reason, detail=error.detail, product=message.product_id[:64]),)
            )
        return Decoded((Heartbeat(event_ns=event_ns, product=message.product_id),), UNKNOWN, event_ns)


def _explain(raw: bytes, error: Exception) -> Item:
    """Tell a type of no interest from a broken frame."""
    if isinstance(error, msgspec.ValidationError):
        try:
            name = _decode_type(raw).type
        except DECODE_ERRORS as worse:
            return reject_frame(raw, worse)
        if name == "ticker_batch":
            return Ignored(reason="ticker_batch")
        if name in _KNOWN_TYPES:
            return Ignored(reason=f"type:{name}")
        if name not in ("ticker", "heartbeat", "subscriptions", "error"):
            return Ignored(reason="unknown_type")
    return reject_frame(raw, error)
