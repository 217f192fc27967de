"""From the texts of one ticker row to a ``Quote``: the checks both dialects share.

The decoders hand it the rows that they found in a frame.
"""

from __future__ import annotations

import re
from typing import Annotated

import msgspec

from volspike.errors import ProtocolError
from volspike.exchange.decimals import parse_decimal
from volspike.exchange.items import Quote
from volspike.exchange.products import PriceScales
from volspike.records import SIZE_DECIMALS, UNKNOWN

_PRODUCT = re.compile(r"[A-Za-z0-9]{1,24}(-[A-Za-z0-9]{1,24}){0,3}", re.ASCII)
_MAX_PRODUCTS = 4096  # a hostile feed can't grow the table without end

NOT_SENT = msgspec.Raw()

Counter = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]


class TickerRow(msgspec.Struct, kw_only=True, gc=False):
    """The fields of a ticker row that are used; a dialect renames them to its own spelling.

    A field the feed did not send is None.
    """

    product_id: str
    best_bid: str
    best_ask: str
    best_bid_size: str | None = None
    best_ask_size: str | None = None
    price: str | None = None
    last_size: str | None = None
    volume_24h: msgspec.Raw = NOT_SENT  # as written: whatever it is, the quote stands


class _Latest:
    """The texts and integers of a product's latest row.

    From tick to tick a best price stays in over half of the cases, and a comparison costs a tenth of a parse.
    """

    __slots__ = (
        "ask",
        "ask_size",
        "ask_size_text",
        "ask_text",
        "bid",
        "bid_size",
        "bid_size_text",
        "bid_text",
        "decimals",
    )

    def __init__(self, decimals: int) -> None:
        self.decimals = decimals
        self.bid_text: str | None = None
        self.ask_text: str | None = None
        self.bid_size_text: str | None = None
        self.ask_size_text: str | None = None
        self.bid = self.ask = self.bid_size = self.ask_size = UNKNOWN

    def price(self, text: str | None) -> int:
        """Read the price of the last trade, which most often is one of the two best prices."""
        if text == self.bid_text:
            return self.bid
        if text == self.ask_text:
            return self.ask
        return UNKNOWN if text is None else _parse_price(text, self.decimals)


class QuoteReader:
    """Turn ticker rows into quotes, each at the price scale of its product.

    Parameters
    ----------
    scales : PriceScales
        Decimal places per product.
    """

    def __init__(self, scales: PriceScales) -> None:
        self._scales = scales
        self._latest: dict[str, _Latest] = {}

    def check_product(self, product: str) -> None:
        """Check that a name can be a product's.

        Raises
        ------
        ProtocolError
            Reason ``product``: the name is empty, too long or holds other characters than letters, digits
            and inner hyphens.
        """
        if product not in self._latest:
            self._open(product)

    def read(self, row: TickerRow, event_ns: int, trade_id: int = UNKNOWN, snapshot: bool = False) -> Quote:
        """Build the quote of one row.

        Raises
        ------
        ProtocolError
            Reasons ``product``, ``number``, ``price`` (not above 0), ``size`` (below 0), ``crossed``.
        """
        product = row.product_id
        latest = self._latest.get(product) or self._open(product)
        bid, ask, price = row.best_bid, row.best_ask, row.price
        bid_size, ask_size, last_size = row.best_bid_size, row.best_ask_size, row.last_size
        if bid != latest.bid_text:
            latest.bid = _parse_price(bid, latest.decimals)
            latest.bid_text = bid
        if ask != latest.ask_text:
            latest.ask = _parse_price(ask, latest.decimals)
            latest.ask_text = ask
        if bid_size != latest.bid_size_text:
            latest.bid_size = _parse_size(bid_size)
            latest.bid_size_text = bid_size
        if ask_size != latest.ask_size_text:
            latest.ask_size = _parse_size(ask_size)
            latest.ask_size_text = ask_size
        if latest.bid > latest.ask:
            raise ProtocolError("crossed", f"bid {bid}, ask {ask}")
        # By position: keywords take longer than all the rest of a quote.
        return Quote(
            product,
            event_ns,
            latest.bid,
            latest.ask,
            latest.decimals,
            latest.bid_size,
            latest.ask_size,
            latest.price(price),
            _parse_size(last_size),
            trade_id,
            snapshot,
            parse_volume(row.volume_24h),
        )

    def _open(self, product: str) -> _Latest:
        if not _PRODUCT.fullmatch(product):
            raise ProtocolError("product", product[:64])
        latest = _Latest(self._scales.decimals(product))
        if len(self._latest) < _MAX_PRODUCTS:
            self._latest[product] = latest
        return latest


def parse_volume(written: msgspec.Raw) -> int:
    """Read the volume of 24 h, in JSON's own spelling, in units of ``10 ** -8`` of the base currency.

    It is a statistic beside the quote, so nothing is rejected for it: ``UNKNOWN`` is what was not sent, is no
    exact number from 0, or is beyond int64 (9.2e10 of the base currency).
    """
    if len(written) == 0:
        return UNKNOWN
    try:
        text = bytes(written).strip(b'" ').decode("ascii")
        return max(parse_decimal(text, SIZE_DECIMALS), UNKNOWN)
    except (ProtocolError, UnicodeDecodeError):
        return UNKNOWN


def _parse_price(text: str, decimals: int) -> int:
    units = parse_decimal(text, decimals)
    if units <= 0:
        raise ProtocolError("price", text)
    return units


def _parse_size(text: str | None) -> int:
    if text is None:
        return UNKNOWN
    units = parse_decimal(text, SIZE_DECIMALS)
    if units < 0:
        raise ProtocolError("size", text)
    return units
