"""Channels beside the ticker, and the aliases of Advanced Trade."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from volspike.simulation.limits import Limits
from volspike.simulation.market import MarketBreak

BATCH_ROW = {
    "type", "product_id", "price", "volume_24_h", "low_24_h", "high_24_h", "low_52_w", "high_52_w",
    "price_percent_chg_24_h",
}  # fmt: skip
BEATS = {"type": "subscribe", "channel": "heartbeats"}


def told(kit: Any, dialect: str, market: Any, *requests: dict[str, Any]) -> list[dict[str, Any]]:
    """Send requests, and return every frame of the whole market."""

    async def main() -> Any:
        limits = Limits(subscribe_deadline_s=0.3)
        async with kit.serving(market, speed=500.0, limits=limits) as simulator, asyncio.timeout(30):
            messages = [json.dumps(request) for request in requests]
            return await kit.listen(simulator.urls[dialect], messages)

    frames: list[dict[str, Any]] = asyncio.run(main()).frames
    return frames


def half_quiet(kit: Any) -> Any:
    """Return 30 s in which one product trades all the time and the other only in the first 12 s."""
    btc = [kit.tick(i / 4, 101 + i) for i in range(120)]
    eth = [kit.tick(i / 4 + 0.1, 501 + i, "ETH-USD") for i in range(48)]
    ticks = sorted([*btc, *eth], key=lambda tick: tick.event_ns)
    return kit.ListMarket([MarketBreak("start", kit.START, (kit.tick(-9.0, 100),)), *ticks])


def test_advanced_batches_come_every_five_seconds_with_what_changed_and_without_quotes(kit: Any) -> None:
    request = {"type": "subscribe", "channel": "ticker_batch", "product_ids": ["BTC-USD", "ETH-USD"]}
    frames = told(kit, "advanced", half_quiet(kit), request, BEATS)
    assert [frame["sequence_num"] for frame in frames] == list(range(len(frames)))
    batches = [frame for frame in frames if frame["channel"] == "ticker_batch"]
    events = [event for frame in batches for event in frame["events"]]
    assert [event["type"] for event in events[:3]] == ["snapshot", "snapshot", "update"]
    rows = [[row["product_id"] for row in event["tickers"]] for event in events]
    # ETH-USD is not known yet: a row of empty strings.
    assert rows == [["BTC-USD"], [""], *[["BTC-USD", "ETH-USD"]] * 3, *[["BTC-USD"]] * 3]
    assert all(set(row) == BATCH_ROW for event in events for row in event["tickers"])
    assert {value for name, value in events[1]["tickers"][0].items() if name != "type"} == {""}
    seconds = [float(frame["timestamp"][17:-1]) for frame in batches[2:]]
    assert seconds == [5, 10, 15, 20, 25, 30]


def test_exchange_batches_are_tickers_every_five_seconds(kit: Any) -> None:
    request = {"type": "subscribe", "channels": ["ticker_batch"], "product_ids": ["BTC-USD", "ETH-USD"]}
    frames = told(kit, "exchange", half_quiet(kit), request)
    assert frames[0]["channels"][0]["name"] == "ticker_batch"
    assert {frame["type"] for frame in frames[1:]} == {"ticker"}
    ids = {p: [f["trade_id"] for f in frames[1:] if f["product_id"] == p] for p in ("BTC-USD", "ETH-USD")}
    assert ids == {"BTC-USD": [100, 120, 140, 160, 180, 200, 220], "ETH-USD": [520, 540, 548]}


def test_tickers_and_batches_together(kit: Any) -> None:
    request = {"type": "subscribe", "channels": ["ticker", "ticker_batch"], "product_ids": ["BTC-USD"]}
    frames = told(kit, "exchange", kit.steady(11.0, 1.0), request)
    assert [f["trade_id"] for f in frames[1:]][:9] == [100, 101, 102, 103, 104, 105, 105, 106, 107]


@pytest.mark.parametrize("dialect", ["exchange", "advanced"])
def test_status_lists_the_products_as_described(kit: Any, dialect: str) -> None:
    channel = {"channel": "status"} if dialect == "advanced" else {"channels": ["status"]}
    frames = told(kit, dialect, half_quiet(kit), {"type": "subscribe", **channel})
    if dialect == "advanced":
        (products,) = [e["products"] for f in frames if f["channel"] == "status" for e in f["events"]]
    else:
        (status,) = [f for f in frames if f["type"] == "status"]
        products = status["products"]
        assert {currency["id"] for currency in status["currencies"]} == {"BTC", "ETH", "USD"}
    common = {"id", "base_currency", "quote_currency", "base_increment", "quote_increment", "display_name"}
    common |= {"status", "status_message", "min_market_funds"}
    own = {
        "advanced": {"product_type"},
        "exchange": {"post_only", "limit_only", "cancel_only", "fx_stablecoin"},
    }
    assert all(set(product) == common | own[dialect] for product in products)
    assert [(p["id"], p["status"]) for p in products] == [("BTC-USD", "online"), ("ETH-USD", "online")]


def first_answer(kit: Any, dialect: str, request: dict[str, Any]) -> dict[str, Any]:
    async def main() -> dict[str, Any]:
        async with kit.connected(kit.steady(5.0), dialect) as (_, ws), asyncio.timeout(5):
            await ws.send(json.dumps(request))
            answer: dict[str, Any] = json.loads(await ws.recv())
            return answer

    return asyncio.run(main())


@pytest.mark.parametrize("channel", ["level2", "market_trades", "candles", "user"])
def test_advanced_channels_that_are_not_served_are_unknown_ones(kit: Any, channel: str) -> None:
    request = {"type": "subscribe", "channel": channel, "product_ids": ["BTC-USD"]}
    assert first_answer(kit, "advanced", request) == {"type": "error", "message": "authentication failure"}


@pytest.mark.parametrize(
    ("channel", "reason"),
    [
        ("matches", "matches is not a valid channel"),
        ("level2_batch", "level2_batch is not a valid channel"),
        ("level2", "level2, level3, full, user channels require authentication"),
        ("full", "level2, level3, full, user channels require authentication"),
    ],
)
def test_exchange_channels_that_are_not_served_say_why(kit: Any, channel: str, reason: str) -> None:
    request = {"type": "subscribe", "channels": [channel], "product_ids": ["BTC-USD"]}
    answer = {"type": "error", "message": "Failed to subscribe", "reason": reason}
    assert first_answer(kit, "exchange", request) == answer


def test_an_advanced_alias_is_answered_under_the_other_name(kit: Any) -> None:
    request = {"type": "subscribe", "channel": "ticker", "product_ids": ["BTC-USDC"]}
    frames = told(kit, "advanced", kit.steady(5.0), request, BEATS)
    rows = [row for f in frames if f["channel"] == "ticker" for e in f["events"] for row in e["tickers"]]
    assert {row["product_id"] for row in rows} == {"BTC-USD"}
    assert len(rows) == 51
    first = next(f for f in frames if f["channel"] == "subscriptions")
    assert first["events"] == [{"subscriptions": {"ticker": ["BTC-USD"]}}]


@pytest.mark.parametrize("product", ["USDT-USDC", "EURC-USDC", "FOO-USDC"])
def test_what_is_no_alias_of_a_product_is_refused(kit: Any, product: str) -> None:
    request = {"type": "subscribe", "channel": "ticker", "product_ids": [product]}
    assert first_answer(kit, "advanced", request) == {"type": "error", "message": "failure to subscribe"}


def test_the_exchange_dialect_has_no_alias(kit: Any) -> None:
    request = {"type": "subscribe", "channels": ["ticker"], "product_ids": ["BTC-USDC"]}
    assert first_answer(kit, "exchange", request)["reason"] == "BTC-USDC is not a valid product"
