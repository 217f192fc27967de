"""The text of every frame of both dialects: pure functions of what the frame says.

Number formats as measured on recordings: Advanced Trade trims trailing zeros of prices and stamps, not of
quantities; Exchange trims traded prices and sizes, but writes quotes with at least two decimals, quoted sizes
and volumes with eight, and stamps with six.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

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
        f'{{"type":"ticker","product_id":"{tick.product}","price":"{format_decimal(tick.price, decimals)}",'
        f'"volume_24_h":"{format_decimal(day.volume_24h, SIZE_DECIMALS)}",'
        f'"low_24_h":"{format_decimal(day.low_24h, decimals)}",'
        f'"high_24_h":"{format_decimal(day.high_24h, decimals)}",'
        f'"low_52_w":"{format_decimal(day.low_52w, decimals)}",'
        f'"high_52_w":"{format_decimal(day.high_52w, decimals)}",'
        f'"price_percent_chg_24_h":"{day.change_percent(tick.price):.14f}",'
        f'"best_bid":"{format_decimal(tick.bid, decimals)}",{bid_quantity}'
        f'"best_ask":"{format_decimal(tick.ask, decimals)}"{ask_quantity}}}'
    )


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


def _size(units: int) -> str:
    whole, fraction = divmod(units, _UNIT)
    return f"{whole}.{fraction:08d}"


def _quote(value: int, decimals: int) -> str:
    text = format_decimal(value, decimals)
    whole, _, fraction = text.partition(".")
    return text if len(fraction) >= 2 else f"{whole}.{fraction:0<2}"
