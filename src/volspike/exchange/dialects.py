"""The two dialects: where they are served, how one subscribes, what the exchange then confirms."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from volspike.errors import ConfigError
from volspike.exchange.advanced_trade import AdvancedTradeDecoder
from volspike.exchange.exchange_dialect import ExchangeDecoder
from volspike.exchange.items import Decoder
from volspike.exchange.products import PriceScales

# Advanced Trade serves these under their own name; every other -USDC product is answered as -USD.
_OWN_USDC_PRODUCTS = frozenset({"USDT-USDC", "EURC-USDC"})


@dataclass(frozen=True)
class Dialect:
    """One of the exchange's two protocols.

    Attributes
    ----------
    name : str
        ``exchange`` or ``advanced``; also the name of its feed.
    url : str
        Address of the production feed.
    make_decoder : Callable[[PriceScales], Decoder]
        Build a decoder of its frames.
    subscribe_frames : Callable[[Sequence[str]], list[str]]
        The messages that subscribe to tickers of the products, and always to heartbeats.
    expected_channels : Callable[[Sequence[str]], dict[str, tuple[str, ...]]]
        What a complete acknowledgement of these lists, by channel.
    served_as : Callable[[str], str]
        The name under which the feed answers for a product.
    connects_per_s : float
        Connections that may be opened in a second without breaking a limit of the exchange.
    """

    name: str
    url: str
    make_decoder: Callable[[PriceScales], Decoder]
    subscribe_frames: Callable[[Sequence[str]], list[str]]
    expected_channels: Callable[[Sequence[str]], dict[str, tuple[str, ...]]]
    served_as: Callable[[str], str]
    connects_per_s: float


def _exchange_frames(products: Sequence[str]) -> list[str]:
    # Ids inside each channel object: a list beside the channels is refused in some mixes.
    channels = [{"name": name, "product_ids": list(products)} for name in ("ticker", "heartbeat")]
    return [_compact({"type": "subscribe", "channels": channels})]


def _exchange_channels(products: Sequence[str]) -> dict[str, tuple[str, ...]]:
    return {"ticker": tuple(products), "heartbeat": tuple(products)}


def _advanced_frames(products: Sequence[str]) -> list[str]:
    ticker = {"type": "subscribe", "product_ids": list(products), "channel": "ticker"}
    return [_compact(ticker), _compact({"type": "subscribe", "channel": "heartbeats"})]


def _advanced_channels(products: Sequence[str]) -> dict[str, tuple[str, ...]]:
    return {"ticker": tuple(products), "heartbeats": ("heartbeats",)}


def _advanced_name(product: str) -> str:
    if product.endswith("-USDC") and product not in _OWN_USDC_PRODUCTS:
        return product[:-1]
    return product


def _compact(message: object) -> str:
    return json.dumps(message, separators=(",", ":"))


EXCHANGE = Dialect(
    name="exchange",
    url="wss://ws-feed.exchange.coinbase.com",
    make_decoder=ExchangeDecoder,
    subscribe_frames=_exchange_frames,
    expected_channels=_exchange_channels,
    served_as=str,
    connects_per_s=8.0,
)

ADVANCED_TRADE = Dialect(
    name="advanced",
    url="wss://advanced-trade-ws.coinbase.com",
    make_decoder=AdvancedTradeDecoder,
    subscribe_frames=_advanced_frames,
    expected_channels=_advanced_channels,
    served_as=_advanced_name,
    connects_per_s=4.0,  # 8 client messages a second, and a connection opens with two
)

DIALECTS: Mapping[str, Dialect] = MappingProxyType(
    {dialect.name: dialect for dialect in (EXCHANGE, ADVANCED_TRADE)}
)


def get_dialect(name: str) -> Dialect:
    """Return a dialect by name.

    Raises
    ------
    ConfigError
        If there is none of that name.
    """
    try:
        return DIALECTS[name]
    except KeyError:
        raise ConfigError(
            "dialect", f"there is no dialect {name!r}", f"use {' or '.join(DIALECTS)}"
        ) from None
