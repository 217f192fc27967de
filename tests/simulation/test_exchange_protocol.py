"""The Exchange dialect, checked against its description by a plain client."""

from __future__ import annotations

import asyncio
import json
import re
from datetime import datetime
from itertools import pairwise

import pytest

from volspike.simulation.synthetic import SyntheticMarket

TICKER = {
    "type", "sequence", "product_id", "price", "open_24h", "volume_24h", "low_24h", "high_24h", "volume_30d",
    "best_bid", "best_bid_size", "best_ask", "best_ask_size", "side", "time", "trade_id", "last_size",
}  # fmt: skip
STAMP = re.compile(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$")
TRIMMED = re.compile(r"^(0|[1-9]\d*)(\.\d*[1-9])?$")
PRODUCTS = ("BTC-USD", "ETH-USD")


@pytest.fixture(scope="module")
def run(kit):
    return kit.whole_run(SyntheticMarket(12, duration_s=120), "exchange", speed=600.0, seed=3)


def of(frames, kind, product=None):
    return [f for f in frames if f["type"] == kind and product in (None, f.get("product_id"))]


def seconds(stamp):
    return datetime.fromisoformat(stamp).timestamp()


def test_the_acknowledgement_precedes_one_stale_ticker_and_one_heartbeat_a_product(run):
    first = run[0].frames[:5]
    assert [f["type"] for f in first] == ["subscriptions", "ticker", "ticker", "heartbeat", "heartbeat"]
    assert [f["product_id"] for f in first[1:3]] == list(PRODUCTS)
    assert first[0]["channels"] == [
        {"name": "ticker", "product_ids": list(PRODUCTS), "account_ids": None},
        {"name": "heartbeat", "product_ids": list(PRODUCTS), "account_ids": None},
    ]


def test_the_first_ticker_is_the_last_trade_before_the_subscription_with_its_own_age(run):
    for product in PRODUCTS:
        stale, following = of(run[0].frames, "ticker", product)[:2]
        beat = of(run[0].frames, "heartbeat", product)[0]
        assert following["trade_id"] == stale["trade_id"] + 1
        assert 0 <= seconds(beat["time"]) - seconds(stale["time"]) < 110
        assert beat["last_trade_id"] == stale["trade_id"]
        assert beat["sequence"] == stale["sequence"]


def test_everything_sent_is_received_and_closed_with_1000(run):
    transcript, state = run
    assert state["sent"] == {"exchange": len(transcript.raw), "total": len(transcript.raw)}
    assert transcript.close_code == 1000


@pytest.mark.parametrize("product", PRODUCTS)
def test_trade_ids_are_contiguous_and_sequences_are_not(run, product):
    tickers = of(run[0].frames, "ticker", product)
    ids = [t["trade_id"] for t in tickers]
    assert ids == list(range(ids[0], ids[0] + len(ids)))
    sequences = [t["sequence"] for t in tickers]
    steps = [later - earlier for earlier, later in pairwise(sequences)]
    assert min(steps) >= 2
    assert max(steps) > 10


def test_tickers_have_exactly_the_described_keys_and_types(run):
    tickers = of(run[0].frames, "ticker")
    assert all(set(t) == TICKER for t in tickers)
    assert all(type(t["sequence"]) is int and type(t["trade_id"]) is int for t in tickers)
    assert all(STAMP.match(t["time"]) for t in tickers)
    for field in ("price", "last_size", "open_24h", "low_24h", "high_24h"):
        assert all(TRIMMED.match(t[field]) for t in tickers), field
    assert all(re.match(r"^\d+\.\d\d$", t[side]) for t in tickers for side in ("best_bid", "best_ask"))
    for field in ("best_bid_size", "best_ask_size", "volume_24h", "volume_30d"):
        assert all(re.match(r"^\d+\.\d{8}$", t[field]) for t in tickers), field


def test_the_taker_never_trades_on_the_wrong_side_of_the_quotes(run):
    tickers = [
        (t["side"], float(t["best_bid"]), float(t["price"]), float(t["best_ask"]))
        for t in of(run[0].frames, "ticker")
    ]
    assert {side for side, *_ in tickers} == {"buy", "sell"}
    assert all(bid < ask and bid <= price <= ask for _, bid, price, ask in tickers)
    assert not any(price == bid for side, bid, price, _ in tickers[2:] if side == "buy")
    assert not any(price == ask for side, _, price, ask in tickers[2:] if side == "sell")
    assert any(bid < price < ask for _, bid, price, ask in tickers)


def test_sweeps_share_a_stamp_under_consecutive_trade_ids(run):
    stamps = [t["time"] for t in of(run[0].frames, "ticker", "BTC-USD")]
    assert len(set(stamps)) < 0.85 * len(stamps)
    assert stamps == sorted(stamps)


def test_heartbeats_tell_the_current_trade_each_market_second(run):
    last = {}
    for frame in run[0].frames[1:]:
        if frame["type"] == "ticker":
            last[frame["product_id"]] = (frame["sequence"], frame["trade_id"])
        else:
            assert set(frame) == {"type", "sequence", "last_trade_id", "product_id", "time"}
            assert STAMP.match(frame["time"])
            assert last[frame["product_id"]] == (frame["sequence"], frame["last_trade_id"])
    beats = [seconds(f["time"]) for f in of(run[0].frames, "heartbeat", "ETH-USD")]
    gaps = {round(b - a, 5) for a, b in pairwise(beats)}
    assert gaps == {1.0}


def answers(kit, messages, count):
    async def run():
        async with (
            asyncio.timeout(5),
            kit.connected(kit.steady(100.0), dialect="exchange") as (_, ws),
        ):
            for message in messages:
                await ws.send(json.dumps(message))
            return [json.loads(await ws.recv()) for _ in range(count)]

    return asyncio.run(run())


@pytest.mark.parametrize(
    ("request_", "reason"),
    [
        ({"channels": ["ticker"], "product_ids": ["BTC-USD", "FOO-USDX"]}, "FOO-USDX is not a valid product"),
        ({"channels": ["tickr"], "product_ids": ["BTC-USD"]}, "tickr is not a valid channel"),
        ({"channels": [], "product_ids": ["BTC-USD"]}, "No channels provided"),
        ({"product_ids": ["BTC-USD"]}, "No channels provided"),
        ({"channels": [{"name": "ticker"}]}, " is not a valid product"),
    ],
)
def test_one_invalid_part_refuses_the_whole_subscribe(kit, request_, reason):
    good = {"type": "subscribe", "channels": ["ticker"], "product_ids": ["BTC-USD"]}
    frames = answers(kit, [{"type": "subscribe", **request_}, good], 2)
    assert frames[0] == {"type": "error", "message": "Failed to subscribe", "reason": reason}
    assert frames[1]["channels"] == [{"name": "ticker", "product_ids": ["BTC-USD"], "account_ids": None}]


def test_products_inside_the_channel_object_are_accepted(kit):
    channel = {"name": "ticker", "product_ids": ["BTC-USD"]}
    frames = answers(kit, [{"type": "subscribe", "channels": [channel]}], 2)
    assert [f["type"] for f in frames] == ["subscriptions", "ticker"]


def test_subscribing_again_brings_no_second_stale_ticker(kit):
    good = {"type": "subscribe", "channels": ["heartbeat"], "product_ids": ["BTC-USD"]}
    frames = answers(kit, [good, good, good], 4)
    assert [f["type"] for f in frames] == ["subscriptions", "heartbeat", "subscriptions", "subscriptions"]
