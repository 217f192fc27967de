"""The text of every frame of both dialects: pure functions of what the frame says.

Number formats as measured on recordings: Advanced Trade trims trailing zeros of prices and stamps, not of
quantities; Exchange trims traded prices and sizes, but writes quotes with at least two decimals, quoted sizes
and volumes with eight, and stamps with six.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

import msgspec

from volspike.exchange.decimals import format_decimal, format_time_ns
from volspike.records import SIZE_DECIMALS, UNKNOWN
from volspike.simulation.market import MarketTick
from volspike.simulation.rolling import RollingDay

_UNIT = 10**SIZE_DECIMALS
_to_json = msgspec.json.encode


def advanced_frame(
    channel: str, stamp: str, sequence_num: int, events: str, with_client_id: bool = True
) -> bytes:
    """Write an Advanced Trade envelope around the JSON text of its events."""
    client_id = '"client_id":"",' if with_client_id else ""
    return (
        f'{{"channel":"{channel}",{client_id}"timestamp":"{stamp}",'
        f'"sequence_num":{sequence_num},"events":[{events}]}}'
    ).encode()


def advanced_stamp(event_ns: int) -> str:
    """Write an envelope's stamp: up to nine digits, trailing zeros trimmed."""
    return format_time_ns(event_ns)


def advanced_ticker_row(tick: MarketTick, day: RollingDay) -> str:
    """Write one row of a ticker event; quantities that a recording does not know are left out."""
    decimals = tick.price_decimals
    bid_quantity = f'"best_bid_quantity":"{_size(tick.bid_size)}",' if tick.bid_size != UNKNOWN else ""
    ask_quantity = f',"best_ask_quantity":"{_size(tick.ask_size)}"' if tick.ask_size != UNKNOWN else ""
    return (
        f'{advanced_batch_row(tick, day)[:-1]},"best_bid":"{format_decimal(tick.bid, decimals)}",'
        f'{bid_quantity}"best_ask":"{format_decimal(tick.ask, decimals)}"{ask_quantity}}}'
    )


def advanced_batch_row(tick: MarketTick, day: RollingDay) -> str:
    """Write one row of a ``ticker_batch`` event: as in a ticker event, but for the quotes."""
    decimals = tick.price_decimals
    return (
        f'{{"type":"ticker","product_id":"{tick.product}","price":"{format_decimal(tick.price, decimals)}",'
        f'"volume_24_h":"{format_decimal(day.volume_24h, SIZE_DECIMALS)}",'
        f'"low_24_h":"{format_decimal(day.low_24h, decimals)}",'
        f'"high_24_h":"{format_decimal(day.high_24h, decimals)}",'
        f'"low_52_w":"{format_decimal(day.low_52w, decimals)}",'
        f'"high_52_w":"{format_decimal(day.high_52w, decimals)}",'
        f'"price_percent_chg_24_h":"{day.change_percent(tick.price):.14f}"}}'
    )


def advanced_empty_row() -> str:
    """Write the row that stands for a product of which nothing is known."""
    names = ("product_id", "price", "volume_24_h", "low_24_h", "high_24_h", "low_52_w", "high_52_w")
    empty = dict.fromkeys((*names, "price_percent_chg_24_h"), "")
    return _to_json({"type": "ticker", **empty}).decode()


def advanced_ticker_event(kind: str, rows: Iterable[str]) -> str:
    """Write a ticker event; ``kind`` is ``snapshot`` or ``update``."""
    return f'{{"type":"{kind}","tickers":[{",".join(rows)}]}}'


def advanced_heartbeat_event(event_ns: int, uptime_ns: int) -> str:
    """Write a heartbeat event: a Go ``time.String()``, and the server's uptime in whole seconds."""
    seconds, nanoseconds = divmod(uptime_ns, 10**9)
    date, clock = format_time_ns(event_ns)[:-1].split("T")
    return (
        f'{{"current_time":"{date} {clock} +0000 UTC m=+{seconds}.{nanoseconds:09d}",'
        f'"heartbeat_counter":{seconds}}}'
    )


def advanced_subscriptions_event(channels: Mapping[str, Sequence[str]]) -> str:
    """Write an acknowledgement: the whole current set."""
    return _to_json({"subscriptions": channels}).decode()


def advanced_status_event(products: Iterable[str], delisted: Collection[str]) -> str:
    """Write a status event: every product of the market."""
    rows = [{"product_type": "SPOT", **_product(product, delisted)} for product in products]
    return _to_json({"type": "snapshot", "products": rows}).decode()


def exchange_ticker(tick: MarketTick, day: RollingDay, sequence: int, offset_ns: int = 0) -> bytes:
    """Write a ticker of the Exchange dialect, its stamp shifted by ``offset_ns``."""
    decimals = tick.price_decimals
    stamp = format_time_ns(tick.event_ns + offset_ns, digits=6, trim=False)
    return (
        f'{{"type":"ticker","sequence":{sequence},"product_id":"{tick.product}",'
        f'"price":"{format_decimal(tick.price, decimals)}",'
        f'"open_24h":"{format_decimal(day.open_24h, decimals)}","volume_24h":"{_size(day.volume_24h)}",'
        f'"low_24h":"{format_decimal(day.low_24h, decimals)}",'
        f'"high_24h":"{format_decimal(day.high_24h, decimals)}","volume_30d":"{_size(day.volume_30d)}",'
        f'"best_bid":"{_quote(tick.bid, decimals)}","best_bid_size":"{_size(tick.bid_size)}",'
        f'"best_ask":"{_quote(tick.ask, decimals)}","best_ask_size":"{_size(tick.ask_size)}",'
        f'"side":"{tick.side}","time":"{stamp}","trade_id":{tick.trade_id},'
        f'"last_size":"{format_decimal(tick.size, SIZE_DECIMALS)}"}}'
    ).encode()


def exchange_heartbeat(product: str, sequence: int, last_trade_id: int, event_ns: int) -> bytes:
    """Write a heartbeat: the product's current values and the time."""
    stamp = format_time_ns(event_ns, digits=6, trim=False)
    return (
        f'{{"type":"heartbeat","sequence":{sequence},"last_trade_id":{last_trade_id},'
        f'"product_id":"{product}","time":"{stamp}"}}'
    ).encode()


def exchange_status(products: Sequence[str], delisted: Collection[str]) -> bytes:
    """Write a status message: every product of the market, and the currencies they are made of."""
    modes = dict.fromkeys(("post_only", "limit_only", "cancel_only", "fx_stablecoin"), False)
    currencies = dict.fromkeys(currency for product in products for currency in product.split("-"))
    return _to_json(
        {
            "type": "status",
            "products": [_product(product, delisted) | modes for product in products],
            "currencies": [{"id": name, "name": name, "status": "online"} for name in currencies],
        }
    )


def exchange_subscriptions(channels: Mapping[str, Sequence[str]]) -> bytes:
    """Write an acknowledgement: the whole current set."""
    return _to_json(
        {
            "type": "subscriptions",
            "channels": [
                {"name": name, "product_ids": list(products), "account_ids": None}
                for name, products in channels.items()
            ],
        }
    )


def error(message: str, reason: str = "") -> bytes:
    """Write an error frame of either dialect; Advanced Trade gives no reason."""
    fields = {"type": "error", "message": message} | ({"reason": reason} if reason else {})
    return _to_json(fields)


def _product(product: str, delisted: Collection[str]) -> dict[str, object]:
    base, _, quote = product.partition("-")
    return {
        "id": product,
        "base_currency": base,
        "quote_currency": quote,
        "base_increment": "0.00000001",
        "quote_increment": "0.01",
        "display_name": f"{base}/{quote}",
        "status": "delisted" if product in delisted else "online",
        "status_message": "",
        "min_market_funds": "1",
    }


def _size(units: int) -> str:
    whole, fraction = divmod(units, _UNIT)
    return f"{whole}.{fraction:08d}"


def _quote(value: int, decimals: int) -> str:
    text = format_decimal(value, decimals)
    whole, _, fraction = text.partition(".")
    return text if len(fraction) >= 2 else f"{whole}.{fraction:0<2}"
