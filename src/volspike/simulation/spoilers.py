"""Spoil a ticker frame of either dialect: what a peer may send and nobody should believe.

| kind          | the frame                                                                               |
|---------------|-----------------------------------------------------------------------------------------|
| ``nan``       | a best bid of ``"NaN"``                                                                 |
| ``infinite``  | a best ask of ``"Infinity"``                                                            |
| ``exponent``  | a best bid of ``"1e-8"``                                                                |
| ``negative``  | a best bid below zero                                                                   |
| ``zero``      | a best bid of zero                                                                      |
| ``empty``     | a best bid of ``""``                                                                    |
| ``zerosize``  | nothing offered at the best bid                                                         |
| ``crossed``   | bid and ask exchanged                                                                   |
| ``locked``    | an ask equal to the bid                                                                 |
| ``wide``      | a bid at half, an ask at one and a half times its price                                 |
| ``outlier``   | every price a fifth higher                                                              |
| ``past``      | the stamp 1970                                                                          |
| ``future``    | a stamp decades ahead                                                                   |
| ``undated``   | no stamp                                                                                |
| ``missing``   | no product                                                                              |
| ``stranger``  | a product that nobody can subscribe                                                     |
| ``extra``     | more fields than described, beside and inside the known ones                            |
| ``unknown``   | a type (Exchange) or channel (Advanced Trade) that does not exist                       |
| ``nested``    | an extra field nested 50,000 deep                                                       |
| ``utf8``      | its end cut off in the middle of a character                                            |
| ``binary``    | a binary message instead of a text                                                      |
| ``huge``      | 20 MiB long                                                                             |

Where a frame has several rows the first one is spoiled.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from functools import partial
from typing import Any

import msgspec

Fields = dict[str, Any]
Spoiler = Callable[[bytes], bytes]

STRANGER = "NOBODY-USD"
HUGE_BYTES = 20 * 2**20
_NESTING = 50_000
_EXTRA: Fields = {"note": "new", "flags": [1, None, {"deep": True}], "ratio": -1.5e-3}
_PRICES = ("price", "best_bid", "best_ask")


def _edit(change: Callable[[Fields, Fields], None], frame: bytes) -> bytes:
    """Apply a change to (frame, first row); in the Exchange dialect they are the same object."""
    fields = msgspec.json.decode(frame)
    row = fields["events"][0]["tickers"][0] if "events" in fields else fields
    change(fields, row)
    return msgspec.json.encode(fields)


def _set(values: Mapping[str, str], frame: Fields, row: Fields) -> None:
    row.update(values)


def _scale(factors: Mapping[str, str], frame: Fields, row: Fields) -> None:
    row.update({name: str(Decimal(row[name]) * Decimal(factor)) for name, factor in factors.items()})


def _empty_bid(frame: Fields, row: Fields) -> None:
    row["best_bid_size" if row is frame else "best_bid_quantity"] = "0.00000000"


def _cross(frame: Fields, row: Fields) -> None:
    row["best_bid"], row["best_ask"] = str(Decimal(row["best_ask"]) + 1), row["best_bid"]


def _lock(frame: Fields, row: Fields) -> None:
    row["best_ask"] = row["best_bid"]


def _stamp(text: str | None, frame: Fields, row: Fields) -> None:
    name = "time" if row is frame else "timestamp"
    if text is None:
        del frame[name]
    else:
        frame[name] = text


def _lose_product(frame: Fields, row: Fields) -> None:
    del row["product_id"]


def _rename_kind(frame: Fields, row: Fields) -> None:
    frame["type" if row is frame else "channel"] = "rumour"


def _add_fields(frame: Fields, row: Fields) -> None:
    frame |= _EXTRA
    row |= _EXTRA


def _append(field: bytes, frame: bytes) -> bytes:
    return frame[:-1] + b',"x":' + field + b"}"


def _cut_in_character(frame: bytes) -> bytes:
    return frame[:-2] + b"\xe2\x82"


def _to_binary(frame: bytes) -> bytes:
    return bytes(byte ^ 0xA5 for byte in frame)


def _pad(frame: bytes) -> bytes:
    return _append(b'"' + b"a" * HUGE_BYTES + b'"', frame)


_CHANGES: Mapping[str, Callable[[Fields, Fields], None]] = {
    "nan": partial(_set, {"best_bid": "NaN"}),
    "infinite": partial(_set, {"best_ask": "Infinity"}),
    "exponent": partial(_set, {"best_bid": "1e-8"}),
    "negative": partial(_scale, {"best_bid": "-1"}),
    "zero": partial(_set, {"best_bid": "0.00"}),
    "empty": partial(_set, {"best_bid": ""}),
    "zerosize": _empty_bid,
    "crossed": _cross,
    "locked": _lock,
    "wide": partial(_scale, {"best_bid": "0.5", "best_ask": "1.5"}),
    "outlier": partial(_scale, dict.fromkeys(_PRICES, "1.2")),
    "past": partial(_stamp, "1970-01-01T00:00:00Z"),
    "future": partial(_stamp, "2099-12-31T23:59:59.999999Z"),
    "undated": partial(_stamp, None),
    "missing": _lose_product,
    "stranger": partial(_set, {"product_id": STRANGER}),
    "extra": _add_fields,
    "unknown": _rename_kind,
}

SPOILERS: Mapping[str, Spoiler] = {
    **{kind: partial(_edit, change) for kind, change in _CHANGES.items()},
    "nested": partial(_append, b"[" * _NESTING + b"]" * _NESTING),
    "utf8": _cut_in_character,
    "binary": _to_binary,
    "huge": _pad,
}
"""How to spoil a frame, by kind."""
