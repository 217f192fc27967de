"""What a frame decodes to, the same for every dialect.

A frame yields one or more items; a frame that can't be decoded, or that carries no market data, is one item.
A decoder never raises: what it can't read becomes ``Rejected`` with a stable reason.
"""

from __future__ import annotations

from typing import Protocol

import msgspec

from volspike.records import UNKNOWN


class Quote(msgspec.Struct, frozen=True, gc=False):
    """One ticker row: integer prices and sizes, exchange time, and what identifies it."""

    product: str
    event_ns: int
    bid: int
    ask: int
    price_decimals: int
    bid_size: int = UNKNOWN
    ask_size: int = UNKNOWN
    price: int = UNKNOWN
    size: int = UNKNOWN
    trade_id: int = UNKNOWN
    snapshot: bool = False
    volume_24h: int = UNKNOWN


class Heartbeat(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """Proof that the feed is whole at ``event_ns``; an empty product means the whole connection.

    ``counter`` is the beat's own number (Advanced Trade only): it advances by one a second.
    """

    event_ns: int
    product: str = ""
    counter: int = UNKNOWN


class Control(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """A ``subscriptions`` acknowledgement or an ``error`` frame.

    ``error_class`` is one of configuration, authentication, capacity, rate, unknown (errors only);
    ``text`` keeps the exchange's own words; ``channels`` maps channel to products (acknowledgements only).
    """

    kind: str
    error_class: str = ""
    text: str = ""
    channels: dict[str, tuple[str, ...]] = {}


class Ignored(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """An item that is well formed and of no use here (an unknown channel, a quote-less batch row)."""

    reason: str


class Rejected(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """An item that breaks the protocol; it is dead-lettered under ``reason``."""

    reason: str
    detail: str = ""
    product: str = ""


Item = Quote | Heartbeat | Control | Ignored | Rejected


class Decoded(msgspec.Struct, frozen=True, gc=False):
    """A decoded frame.

    ``sequence`` is the connection-wide frame counter of Advanced Trade, ``event_ns`` the frame's own exchange
    time; each is ``UNKNOWN`` where the dialect has none.
    """

    items: tuple[Item, ...]
    sequence: int = UNKNOWN
    event_ns: int = UNKNOWN


class Decoder(Protocol):
    """Turns the bytes of one frame into items, without ever raising."""

    def decode(self, raw: bytes) -> Decoded:
        """Decode one frame."""
