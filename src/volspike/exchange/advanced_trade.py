"""Decode the Advanced Trade feed: envelopes with a channel, a connection-wide counter and events.

It has the place of ``exchange_dialect`` on the other feed.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from volspike.errors import ProtocolError
from volspike.exchange.decimals import parse_decimal, parse_time_ns
from volspike.exchange.feed_errors import classify_error
from volspike.exchange.items import Control, Decoded, Heartbeat, Ignored, Item, Rejected
from volspike.exchange.products import PriceScales
from volspike.exchange.quotes import NOT_SENT, Counter, QuoteReader, TickerRow
from volspike.exchange.rejection import DECODE_ERRORS, MAX_FRAME_BYTES, reject_frame
from volspike.records import UNKNOWN

_READ_CHANNELS = frozenset({"ticker", "ticker_batch", "heartbeats", "subscriptions"})
# Channels that are known and of no use here. Others share one label, so that a feed can't invent reasons.
_KNOWN_CHANNELS = frozenset({"market_trades", "l2_data", "level2", "candles", "status", "user"})

_NO_ROWS = Ignored(reason="no_rows")


class _Row(TickerRow, kw_only=True, gc=False):
    best_bid: str = ""
    best_ask: str = ""
    best_bid_size: str | None = msgspec.field(name="best_bid_quantity", default=None)
    best_ask_size: str | None = msgspec.field(name="best_ask_quantity", default=None)
    volume_24h: msgspec.Raw = msgspec.field(name="volume_24_h", default=NOT_SENT)


class _TickerEvent(msgspec.Struct, gc=False):
    tickers: list[_Row]
    type: str = ""


class _UnreadEvent(msgspec.Struct):
    tickers: list[msgspec.Raw]
    type: str = ""


class _HeartbeatEvent(msgspec.Struct):
    heartbeat_counter: Counter | str = UNKNOWN


class _SubscriptionsEvent(msgspec.Struct):
    subscriptions: dict[str, tuple[str, ...]]


class _Envelope(msgspec.Struct, tag_field="channel", kw_only=True):
    timestamp: str
    sequence_num: Counter


class _Ticker(_Envelope, tag="ticker"):
    events: list[_TickerEvent]


class _TickerBatch(_Envelope, tag="ticker_batch"):
    events: list[_UnreadEvent]


class _Heartbeats(_Envelope, tag="heartbeats"):
    events: list[_HeartbeatEvent]


class _Subscriptions(_Envelope, tag="subscriptions"):
    events: list[_SubscriptionsEvent]


class _AnyFrame(msgspec.Struct):
    """What can be said of a frame that is none of the above."""

    channel: str = ""
    type: str = ""
    message: str = ""
    reason: str = ""
    timestamp: str = ""
    sequence_num: Counter | None = None
    events: msgspec.Raw = msgspec.Raw(b"[]")


_Message = _Ticker | _TickerBatch | _Heartbeats | _Subscriptions
_decode_message = msgspec.json.Decoder(_Message).decode
_decode_any = msgspec.json.Decoder(_AnyFrame).decode
_decode_events = msgspec.json.Decoder(list[_UnreadEvent]).decode
_decode_row = msgspec.json.Decoder(_Row).decode


class AdvancedTradeDecoder:
    """Decode frames of the Advanced Trade feed; each ticker row of a frame is an item of its own.

    Parameters
    ----------
    scales : PriceScales
        Price decimals per product.

    Notes
    -----
    A row carries no time: the envelope's ``timestamp`` is that of all its rows. ``Decoded.sequence`` is the
    envelope's counter on every frame that has one, also on frames that are ignored or rejected, because a
    jump of it makes the whole connection suspect.
    """

    def __init__(self, scales: PriceScales) -> None:
        self._quotes = QuoteReader(scales)

    def decode(self, raw: bytes) -> Decoded:
        """Decode one frame. Whatever the bytes are, nothing is raised: see ``Rejected``."""
        if len(raw) > MAX_FRAME_BYTES:
            return Decoded((Rejected(reason="too_large", detail=f"{len(raw)} bytes"),))
        try:
            message = _decode_message(raw)
        except DECODE_ERRORS as error:
            return self._decode_irregular(raw, error)
        event_ns = _time_or_unknown(message.timestamp)
        if type(message) is _Ticker:
            rows = self._ticker_rows(message.events, event_ns, message.timestamp)
            items = tuple(rows) or (_NO_ROWS,)
        else:
            items = self._other_items(message, event_ns)
        return Decoded(items, message.sequence_num, event_ns)

    def _ticker_rows(self, events: list[_TickerEvent], event_ns: int, timestamp: str) -> Iterator[Item]:
        for event in events:
            snapshot = event.type == "snapshot"
            for row in event.tickers:
                yield self._row(row, event_ns, timestamp, snapshot)

    def _row(self, row: _Row, event_ns: int, timestamp: str, snapshot: bool) -> Item:
        if not row.best_bid or not row.best_ask:
            return Ignored(reason="no_quote")
        if event_ns == UNKNOWN:
            return Rejected(reason="time", detail=timestamp[:64], product=row.product_id[:64])
        try:
            return self._quotes.read(row, event_ns, snapshot=snapshot)
        except ProtocolError as error:
            return Rejected(reason=error.reason, detail=error.detail, product=row.product_id[:64])

    def _other_items(self, message: _Message, event_ns: int) -> tuple[Item, ...]:
        match message:
            case _TickerBatch(events=batches):
                rows = sum(len(event.tickers) for event in batches)
                return (Ignored(reason="ticker_batch"),) * rows or (_NO_ROWS,)
            case _Heartbeats(events=beats, timestamp=timestamp):
                return tuple(_heartbeat(beat, event_ns, timestamp) for beat in beats) or (_NO_ROWS,)
            case _Subscriptions(events=sets):
                channels = {name: products for each in sets for name, products in each.subscriptions.items()}
                return (Control(kind="subscriptions", channels=channels),)
        raise AssertionError(f"a decoded channel without a branch: {type(message)}")

    def _decode_irregular(self, raw: bytes, error: Exception) -> Decoded:
        """Read what can be read of a frame that is none of the expected ones, its counter above all."""
        try:
            frame = _decode_any(raw)
        except DECODE_ERRORS as worse:
            return Decoded((reject_frame(raw, worse),))
        if not frame.channel and frame.type == "error":
            return Decoded((classify_error(frame.message, frame.reason),))
        if not frame.channel or frame.sequence_num is None:
            return Decoded((Rejected(reason="missing_field", detail="channel or sequence_num"),))
        event_ns = _time_or_unknown(frame.timestamp)
        items: tuple[Item, ...]
        if frame.channel not in _READ_CHANNELS:
            items = (_ignored_channel(frame.channel),)
        elif frame.channel == "ticker" and frame.timestamp:
            items = self._salvage_rows(frame, event_ns) or (reject_frame(raw, error),)
        else:
            items = (reject_frame(raw, error),)
        return Decoded(items, frame.sequence_num, event_ns)

    def _salvage_rows(self, frame: _AnyFrame, event_ns: int) -> tuple[Item, ...]:
        """Read row by row, so that a broken row costs only itself; nothing if there are no rows at all."""
        try:
            events = _decode_events(frame.events)
        except DECODE_ERRORS:
            return ()
        items: list[Item] = []
        for event in events:
            for raw_row in event.tickers:
                try:
                    row = _decode_row(raw_row)
                except DECODE_ERRORS as error:
                    items.append(reject_frame(bytes(raw_row), error))
                else:
                    items.append(self._row(row, event_ns, frame.timestamp, event.type == "snapshot"))
        return tuple(items)


def _ignored_channel(channel: str) -> Ignored:
    return Ignored(reason=f"channel:{channel}" if channel in _KNOWN_CHANNELS else "unknown_channel")


def _time_or_unknown(timestamp: str) -> int:
    try:
        return parse_time_ns(timestamp)
    except ProtocolError:
        return UNKNOWN


def _heartbeat(beat: _HeartbeatEvent, event_ns: int, timestamp: str) -> Item:
    if event_ns == UNKNOWN:
        return Rejected(reason="time", detail=timestamp[:64])
    counter = beat.heartbeat_counter
    if isinstance(counter, str):
        try:
            counter = parse_decimal(counter, 0)
        except ProtocolError as error:
            return Rejected(reason=error.reason, detail=error.detail)
    return Heartbeat(event_ns=event_ns, counter=counter)
