"""Products that a feed answers under another name: the tick carries the name that was subscribed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import msgspec

from volspike.exchange.items import Decoded, Decoder, Item, Quote, Rejected
from volspike.exchange.products import PriceScales


def names_on_the_wire(served_as: Callable[[str], str], products: Sequence[str]) -> dict[str, str]:
    """Return (name on the wire, product) for each product answered under another name.

    One that is subscribed under its own name too keeps it: one row on the wire is one tick.

    Examples
    --------
    >>> from volspike.exchange.dialects import ADVANCED_TRADE
    >>> names_on_the_wire(ADVANCED_TRADE.served_as, ("BTC-USDC", "ETH-USD", "ETH-USDC"))
    {'BTC-USD': 'BTC-USDC'}
    """
    wire_names = {served_as(product): product for product in reversed(products)}
    return {name: product for name, product in wire_names.items() if name not in products}


class AliasDecoder:
    """Decode frames, and give each item of an aliased product the name that was subscribed.

    Parameters
    ----------
    make_decoder : Callable[[PriceScales], Decoder]
        Builds the decoder that reads the names of the wire.
    aliases : Mapping[str, str]
        Product by its name on the wire.
    products : Sequence[str]
        All that was subscribed.
    scales : PriceScales
        Price decimals per product.
    """

    def __init__(
        self,
        make_decoder: Callable[[PriceScales], Decoder],
        aliases: Mapping[str, str],
        products: Sequence[str],
        scales: PriceScales,
    ) -> None:
        names = dict(zip(products, products, strict=True)) | dict(aliases)
        decimals = {name: scales.decimals(product) for name, product in names.items()}
        self._decoder = make_decoder(PriceScales(decimals))
        self._aliases = aliases

    def decode(self, raw: bytes) -> Decoded:
        """Decode one frame."""
        decoded = self._decoder.decode(raw)
        items = tuple(self._renamed(item) for item in decoded.items)
        return Decoded(items, decoded.sequence, decoded.event_ns)

    def _renamed(self, item: Item) -> Item:
        if isinstance(item, Quote | Rejected) and item.product in self._aliases:
            return msgspec.structs.replace(item, product=self._aliases[item.product])
        return item
