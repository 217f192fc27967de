"""A frame as archived, and the header that says how to read its segment."""

from __future__ import annotations

import msgspec

FEEDS = ("exchange", "advanced", "flat")


class FlatMapping(msgspec.Struct, frozen=True, kw_only=True):
    """Where the fields of a flat foreign row are found, and how its clock is to be read.

    Names are dotted paths into the row's object. ``time_unit`` is one of ``iso``, ``s``, ``ms``, ``us``,
    ``ns``; ``zone`` is an IANA name or a fixed offset such as ``-05:00``, used when an ISO time has none.
    """

    time: str
    bid: str
    ask: str
    product: str = ""
    fixed_product: str = ""
    bid_size: str = ""
    ask_size: str = ""
    price: str = ""
    size: str = ""
    trade_id: str = ""
    event_type: str = ""
    receive_time: str = ""
    time_unit: str = "iso"
    zone: str = "UTC"
    volume_24h: str = ""


class SegmentHeader(msgspec.Struct, frozen=True, kw_only=True):
    """First line of every archive segment; a session that rotates repeats it.

    ``feed`` is where the market data come from (one of `FEEDS`); ``dialect`` how the frames are
    written (``exchange``, ``advanced`` or ``flat``); ``heartbeats`` whether the recording carries them, so
    that their absence means a break; ``aliases`` the product by its name on the wire, where that is another.
    """

    feed: str
    dialect: str
    session: str
    products: tuple[str, ...]
    heartbeats: bool
    origin: str = "live"
    event_time_source: str = "exchange"
    mapping: FlatMapping | None = None
    source: str = ""
    source_sha256: str = ""
    aliases: dict[str, str] = {}
    v: int = 1


class Frame(msgspec.Struct, frozen=True, gc=False):
    """One received frame, verbatim, with its place in the replay order."""

    seq: int
    receive_ns: int
    session: str
    raw: bytes
