"""A decoder that learns the shapes of a session's quotes, and reads their like in one compiled call."""

from __future__ import annotations

import struct

import numpy as np

from volspike.exchange.items import Decoded, Decoder, Quote
from volspike.jit import direct
from volspike.recording.reader import SPARE_BYTES
from volspike.recording.scanner import SCANNED, LineScanner, scan
from volspike.recording.template import BID, EVENT_NS, ITEM_WIDTH, MAX_ROWS, SEQUENCE, learn_template

_LONGEST_BYTES = 16_384
_NEWLINE = ord("\n")
_MOST_LESSONS = 64  # a feed that is odder than that is not worth more

_scan = direct(scan)
_item_at = struct.Struct(f"={ITEM_WIDTH}q").unpack_from


class ScanningDecoder:
    """Answer as another decoder would, and ask it only about frames of no shape learned so far.

    Parameters
    ----------
    general : Decoder
        The definition. What it makes of a frame also teaches the product and the shape.
    dialect : str
        ``exchange`` or ``advanced``.
    """

    def __init__(self, general: Decoder, dialect: str) -> None:
        self._general, self._dialect = general, dialect
        self._products: list[tuple[str, int]] = []
        self._scanner = LineScanner(None, (), MAX_ROWS)
        self._lessons = 0
        text = np.zeros(_LONGEST_BYTES + 1 + SPARE_BYTES, np.uint8)
        self._text, self._text_at = memoryview(text), text.ctypes.data  # type: ignore[arg-type]
        self._items = memoryview(self._scanner.items).cast("B")  # type: ignore[arg-type]
        self._addresses = self._scanner.addresses(_LONGEST_BYTES + 1)

    def decode(self, raw: bytes) -> Decoded:
        """Decode one frame. Whatever the bytes are, nothing is raised."""
        length = len(raw)
        if length > _LONGEST_BYTES:
            return self._general.decode(raw)
        self._text[:length] = raw
        self._text[length] = _NEWLINE
        n, _, status = _scan(self._text_at, 0, length + 1, *self._addresses, MAX_ROWS)
        if status != SCANNED:
            return self._decode_generally(raw)
        return self._decoded(n)

    def _decoded(self, rows: int) -> Decoded:
        words = _item_at(self._items, 0)
        if rows == 1:
            quotes: tuple[Quote, ...] = (self._quote(words),)
        else:
            offsets = range(0, rows * 8 * ITEM_WIDTH, 8 * ITEM_WIDTH)
            quotes = tuple(self._quote(_item_at(self._items, offset)) for offset in offsets)
        return Decoded(quotes, words[SEQUENCE], words[EVENT_NS])

    def _quote(self, words: tuple[int, ...]) -> Quote:
        _, _, _, event_ns, _, _, product, trade_id = words[:BID]
        bid, ask, bid_size, ask_size, _, _, price, size, volume_24h = words[BID:]
        name, decimals = self._products[product]
        sizes = bid_size, ask_size
        return Quote(name, event_ns, bid, ask, decimals, *sizes, price, size, trade_id, False, volume_24h)

    def _decode_generally(self, raw: bytes) -> Decoded:
        decoded = self._general.decode(raw)
        if type(decoded.items[0]) is Quote and self._lessons < _MOST_LESSONS:
            self._lessons += 1
            self._learn(raw, decoded)
            self._addresses = self._scanner.addresses(_LONGEST_BYTES + 1)
        return decoded

    def _learn(self, raw: bytes, decoded: Decoded) -> None:
        """Learn shape and products of a frame of quotes."""
        shape = learn_template(self._dialect, raw, decoded)
        if shape is None or self._scanner.is_full:
            return
        self._scanner.add(shape)
        for quote in decoded.items:
            assert type(quote) is Quote
            product = quote.product, quote.price_decimals
            if product not in self._products:
                self._products.append(product)
                self._scanner.add_product(*product)
