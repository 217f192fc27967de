"""A tick carries the name that was subscribed."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from volspike.exchange import aliases
from volspike.exchange.aliases import AliasDecoder, names_on_the_wire
from volspike.exchange.dialects import ADVANCED_TRADE, EXCHANGE
from volspike.exchange.items import Quote, Rejected
from volspike.exchange.products import PriceScales


def test_the_example_in_the_docstring_holds() -> None:
    import doctest

    assert doctest.testmod(aliases).attempted == 2
    assert doctest.testmod(aliases).failed == 0


def test_fault_24_names_are_those_of_the_dialect() -> None:
    products = ("BTC-USDC", "USDT-USDC", "ETH-USD", "ETH-USDC")
    assert names_on_the_wire(ADVANCED_TRADE.served_as, products) == {"BTC-USD": "BTC-USDC"}
    assert names_on_the_wire(EXCHANGE.served_as, products) == {}


def test_fault_24_an_aliased_row_differs_in_its_name_and_scale_alone(golden: Callable[[str], bytes]) -> None:
    raw = golden("advanced_ticker_snapshot")
    plain = ADVANCED_TRADE.make_decoder(PriceScales()).decode(raw)
    scales = PriceScales({"BTC-USDC": 4})
    decoder = AliasDecoder(ADVANCED_TRADE.make_decoder, {"BTC-USD": "BTC-USDC"}, ("BTC-USDC",), scales)
    (item,) = decoder.decode(raw).items
    assert isinstance(item, Quote)
    assert (item.product, item.price_decimals) == ("BTC-USDC", 4)
    (other,) = plain.items
    assert isinstance(other, Quote)
    scale = 10 ** (8 - 4)
    prices = {name: getattr(other, name) // scale for name in ("bid", "ask", "price")}
    assert item == msgspec.structs.replace(other, product="BTC-USDC", price_decimals=4, **prices)


def test_fault_24_a_rejected_row_and_other_products_keep_track(golden: Callable[[str], bytes]) -> None:
    raw = golden("advanced_ticker_snapshot")
    decoder = AliasDecoder(
        ADVANCED_TRADE.make_decoder, {"BTC-USD": "BTC-USDC"}, ("BTC-USDC", "ETH-USD"), PriceScales()
    )
    bad = raw.replace(b'"best_bid":"', b'"best_bid":"x')
    (rejected,) = decoder.decode(bad).items
    assert isinstance(rejected, Rejected)
    assert rejected.product == "BTC-USDC"
    (kept,) = decoder.decode(raw.replace(b"BTC-USD", b"ETH-USD")).items
    assert isinstance(kept, Quote)
    assert kept.product == "ETH-USD"
    heartbeats = golden("advanced_heartbeats")
    assert decoder.decode(heartbeats) == ADVANCED_TRADE.make_decoder(PriceScales()).decode(heartbeats)
