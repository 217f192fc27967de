"""What the tests of the decoders share."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from hypothesis import settings

from volspike.exchange.advanced_trade import AdvancedTradeDecoder
from volspike.exchange.exchange_dialect import ExchangeDecoder
from volspike.exchange.items import Decoded, Item, Rejected
from volspike.exchange.products import PriceScales

Golden = Callable[[str], bytes]

REJECTIONS = {"json", "utf8", "too_large", "nesting", "schema", "missing_field", "number", "price", "size"}
REJECTIONS |= {"crossed", "time", "product"}

ETH_TIME_NS = 1_961_711_998_070_401_000

few = settings(max_examples=60, deadline=None)


def exchange(raw: bytes) -> Decoded:
    return ExchangeDecoder(PriceScales()).decode(raw)


def advanced(raw: bytes) -> Decoded:
    return AdvancedTradeDecoder(PriceScales()).decode(raw)


def only(decoded: Decoded) -> Item:
    (item,) = decoded.items
    return item


def rejection(decoded: Decoded) -> str:
    item = only(decoded)
    assert isinstance(item, Rejected)
    return item.reason


def changed(raw: bytes, **fields: Any) -> bytes:
    """Return a flat frame with some fields replaced, or removed where the value is ``...``."""
    message = json.loads(raw) | fields
    return json.dumps({k: v for k, v in message.items() if v is not ...}).encode()


def changed_row(raw: bytes, **fields: Any) -> bytes:
    """Return an envelope whose first ticker row has some fields replaced or removed."""
    message = json.loads(raw)
    rows = message["events"][0]["tickers"]
    rows[0] = json.loads(changed(json.dumps(rows[0]).encode(), **fields))
    return json.dumps(message).encode()
