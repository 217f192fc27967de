"""The usual names of fields in foreign recordings, most telling first."""

from __future__ import annotations

# Compared without case, underscores and hyphens; one-letter names exactly.
BID = ("bestbid", "bestbidprice", "bid", "bidprice", "bidpx", "b")
ASK = ("bestask", "bestaskprice", "ask", "askprice", "askpx", "bestoffer", "offer", "a")
PRODUCT = ("productid", "product", "symbol", "pair", "instrument", "market", "s")
BID_SIZE = ("bestbidsize", "bestbidquantity", "bestbidqty", "bidsize", "bidquantity", "bidqty", "B")
ASK_SIZE = ("bestasksize", "bestaskquantity", "bestaskqty", "asksize", "askquantity", "askqty", "A")
PRICE = ("price", "lastprice", "last", "tradeprice")
SIZE = ("lastsize", "lastqty", "tradesize", "tradeqty")
VOLUME_24H = ("volume24h",)
TRADE_ID = ("tradeid",)
EVENT_TYPE = ("eventtype",)

# Clocks: the exchange's, one that may be either's, the recorder's.
EXCHANGE_TIME = (
    "wstimestamp",
    "exchangetime",
    "exchangetimestamp",
    "exchangets",
    "eventtime",
    "eventtimestamp",
    "eventns",
    "tradetime",
    "time",
)
EITHER_TIME = ("timestamp", "ts", "datetime", "t")
RECEIVE_TIME = (
    "receivedat",
    "receivens",
    "receivedns",
    "receivetime",
    "receivetimestamp",
    "receivets",
    "receivedts",
    "recvat",
    "recvts",
    "recvtime",
    "recvtimestamp",
    "recvns",
    "localts",
    "localtime",
    "localtimestamp",
    "capturedat",
    "collectedat",
    "ingestedat",
    "ingesttime",
    "ingestts",
)

# Spellings that only one of the two feeds uses.
ADVANCED_ONLY = frozenset(
    {
        "volume_24_h",
        "low_24_h",
        "high_24_h",
        "price_percent_chg_24_h",
        "best_bid_quantity",
        "best_ask_quantity",
        "best_bid_qty",
        "best_ask_qty",
        "sequence_num",
        "ws_timestamp",
    }
)
EXCHANGE_ONLY = frozenset({"trade_id", "best_bid_size"})


def normal(name: str) -> str:
    """Return a field name as the tables above spell it."""
    return name if len(name) == 1 else name.replace("_", "").replace("-", "").lower()
