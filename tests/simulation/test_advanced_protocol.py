"""The Advanced Trade dialect, checked against its description by a plain client."""

from __future__ import annotations

import asyncio
import json
import re

import pytest

from volspike.simulation.market import MarketBreak
from volspike.simulation.synthetic import SyntheticMarket

ROW = {
    "type", "product_id", "price", "volume_24_h", "low_24_h", "high_24_h", "low_52_w", "high_52_w",
    "price_percent_chg_24_h", "best_bid", "best_bid_quantity", "best_ask", "best_ask_quantity",
}  # fmt: skip
STAMP = re.compile(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{0,8}[1-9])?Z$")
GO_TIME = re.compile(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d{0,8}[1-9])? \+0000 UTC m=\+\d+\.\d{9}$")
TRIMMED = re.compile(r"^(0|[1-9]\d*)(\.\d*[1-9])?$")
PERCENT = re.compile(r"^-?\d+\.\d{1,15}$")


@pytest.fixture(scope="module")
def run(kit):
    market = SyntheticMarket(11, duration_s=120)
    return kit.whole_run(market, "advanced", speed=600.0, seed=3)


def of(frames, channel):
    return [frame for frame in frames if frame["channel"] == channel]


def test_snapshots_come_first_then_both_acknowledgements_then_a_heartbeat(run):
    channels = [frame["channel"] for frame in run[0].frames[:5]]
    assert channels == ["ticker", "ticker", "subscriptions", "subscriptions", "heartbeats"]
    assert [f["events"][0]["type"] for f in run[0].frames[:2]] == ["snapshot", "snapshot"]
    assert all(f["events"][0]["type"] == "update" for f in of(run[0].frames[2:], "ticker"))


def test_sequence_counts_every_frame_of_the_connection_from_zero(run):
    assert [frame["sequence_num"] for frame in run[0].frames] == list(range(len(run[0].raw)))


def test_everything_sent_is_received_and_closed_with_1000(run):
    transcript, state = run
    assert state["sent"] == {"advanced": len(transcript.raw), "total": len(transcript.raw)}
    by_type = state["sent_by_type"]
    assert by_type["heartbeat"] == len(of(transcript.frames, "heartbeats"))
    assert by_type["ticker"] + by_type["snapshot"] == len(of(transcript.frames, "ticker"))
    assert transcript.close_code == 1000
    assert state["finished"] is True


def test_envelopes_have_exactly_the_described_keys(run):
    required = {"channel", "timestamp", "sequence_num", "events"}
    without = [frame for frame in run[0].frames if set(frame) == required]
    full = [frame for frame in run[0].frames if set(frame) == required | {"client_id"}]
    assert len(without) + len(full) == len(run[0].frames)
    assert 0 < len(without) < len(full) / 10
    assert all(frame["client_id"] == "" for frame in full)


def test_stamps_are_trimmed_and_never_step_back(run, kit):
    stamps = [frame["timestamp"] for frame in run[0].frames]
    assert all(STAMP.match(stamp) for stamp in stamps)
    padded = [stamp[:-1].partition(".") for stamp in stamps]
    keys = [whole + fraction.ljust(9, "0") for whole, _, fraction in padded]
    assert keys == sorted(keys)
    assert {len(fraction) for _, _, fraction in padded} >= {8, 9}


def test_rows_have_exactly_the_described_keys_as_decimal_strings(run):
    rows = [row for f in of(run[0].frames, "ticker") for e in f["events"] for row in e["tickers"]]
    assert all(set(row) == ROW and row["type"] == "ticker" for row in rows)
    assert {row["product_id"] for row in rows} == {"BTC-USD", "ETH-USD"}
    for field in ("price", "best_bid", "best_ask", "volume_24_h", "low_24_h", "high_24_h", "low_52_w"):
        assert all(TRIMMED.match(row[field]) for row in rows), field
    assert all(re.match(r"^\d+\.\d{8}$", row["best_bid_quantity"]) for row in rows)
    assert all(PERCENT.match(row["price_percent_chg_24_h"]) for row in rows)
    assert all(float(row["best_bid"]) < float(row["best_ask"]) for row in rows)


def test_a_sweep_is_one_frame_with_a_row_for_each_trade(run):
    sizes = [len(f["events"][0]["tickers"]) for f in of(run[0].frames, "ticker")]
    assert max(sizes) > 3
    assert min(sizes) == 1
    sweep = next(f for f in of(run[0].frames, "ticker") if len(f["events"][0]["tickers"]) > 1)
    assert len({row["product_id"] for row in sweep["events"][0]["tickers"]}) == 1


def test_heartbeats_beat_once_a_market_second_with_uptime(run):
    beats = [frame["events"] for frame in of(run[0].frames, "heartbeats")]
    assert all(set(events[0]) == {"current_time", "heartbeat_counter"} for events in beats)
    assert all(GO_TIME.match(events[0]["current_time"]) for events in beats)
    counters = [events[0]["heartbeat_counter"] for events in beats]
    assert counters[0] > 1_000
    assert counters == list(range(counters[0], counters[0] + len(counters)))
    uptimes = [events[0]["current_time"].partition("m=+")[2] for events in beats]
    assert [int(float(uptime)) for uptime in uptimes] == counters
    assert len({uptime.partition(".")[2] for uptime in uptimes}) == 1


def test_heartbeats_go_on_for_two_minutes_after_the_last_trade(run):
    frames = run[0].frames
    last_trade = max(i for i, frame in enumerate(frames) if frame["channel"] == "ticker")
    assert 123 <= len(frames) - last_trade - 1 <= 126


def test_an_acknowledgement_lists_the_whole_set(run):
    first, second = of(run[0].frames, "subscriptions")
    assert first["events"] == [{"subscriptions": {"ticker": ["BTC-USD", "ETH-USD"]}}]
    assert second["events"] == [
        {"subscriptions": {"ticker": ["BTC-USD", "ETH-USD"], "heartbeats": ["heartbeats"]}}
    ]


def exchange_of_messages(kit, messages, count):
    """Send messages one by one; return the first ``count`` frames."""

    async def run():
        async with (
            asyncio.timeout(5),
            kit.connected(kit.steady(100.0), dialect="advanced") as (_, ws),
        ):
            for message in messages:
                await ws.send(json.dumps(message) if isinstance(message, dict) else message)
            return [json.loads(await ws.recv()) for _ in range(count)]

    return asyncio.run(run())


@pytest.mark.parametrize(
    ("message", "text"),
    [
        ({"type": "subscribe", "channel": "heartbeat"}, "authentication failure"),
        ({"type": "subscribe", "channel": "tickr", "product_ids": ["BTC-USD"]}, "authentication failure"),
        ({"type": "subscribe", "channel": "heartbeats", "jwt": "x"}, "authentication failure"),
        ({"type": "subscribe", "channel": "ticker", "product_ids": ["FOO-USDX"]}, "failure to subscribe"),
        ({"type": "subscribe", "channel": "ticker"}, "failure to subscribe"),
        ({"type": "hello"}, "failure to subscribe"),
        ("{not json", "failure to subscribe"),
        (b'{"type":"\xff"}', "failure to subscribe"),
        ("[" * 100_000, "failure to subscribe"),
        ("7", "failure to subscribe"),
    ],
)
def test_what_is_refused_is_answered_by_an_error_frame_without_channel(kit, message, text):
    assert exchange_of_messages(kit, [message], 1) == [{"type": "error", "message": text}]


def test_an_error_does_not_use_up_a_sequence_number(kit):
    beats = {"type": "subscribe", "channel": "heartbeats"}
    frames = exchange_of_messages(kit, [{"type": "subscribe", "channel": "heartbeat"}, beats], 3)
    assert [frame.get("sequence_num") for frame in frames] == [None, 0, 1]


def test_unsubscribing_is_acknowledged_by_what_is_left(kit):
    subscribe = {"type": "subscribe", "channel": "ticker", "product_ids": ["BTC-USD"]}
    frames = exchange_of_messages(kit, [subscribe, {"type": "unsubscribe", "channel": "ticker"}], 3)
    assert [frame["channel"] for frame in frames] == ["ticker", "subscriptions", "subscriptions"]
    assert frames[2]["events"] == [{"subscriptions": {}}]


def test_a_recorded_row_without_sizes_has_no_quantities(kit):
    from volspike.exchange.items import Quote
    from volspike.simulation.recorded import RecordedMarket

    quotes = [
        Quote(
            product="BTC-USD",
            event_ns=kit.START + i * 175_677_226,
            bid=6_737_723_000_000,
            ask=6_737_724_000_000,
            price=6_737_724_000_000,
            price_decimals=8,
        )
        for i in range(3)
    ]
    market = RecordedMarket([("one", quotes)])
    assert market.dialects == ("advanced",)
    transcript, _ = kit.whole_run(market, "advanced", speed=500.0)
    frames = of(transcript.frames, "ticker")
    rows = [frame["events"][0]["tickers"][0] for frame in frames]
    assert len(rows) == 4  # the snapshot and three updates
    assert all(set(row) == ROW - {"best_bid_quantity", "best_ask_quantity"} for row in rows)
    assert {(row["best_bid"], row["best_ask"], row["price"]) for row in rows} == {
        ("67377.23", "67377.24", "67377.24")
    }
    assert frames[2]["timestamp"] == "2030-01-01T00:00:00.175677226Z"


def test_a_recorded_market_is_one_row_a_frame(kit):
    same_stamp = [kit.tick(0.5, 101), kit.tick(0.5, 102)]
    market = kit.ListMarket([MarketBreak("start", kit.START), *same_stamp], sweeps=False)
    transcript, _ = kit.whole_run(market, "advanced", speed=500.0)
    sizes = [len(f["events"][0]["tickers"]) for f in of(transcript.frames, "ticker")]
    assert sizes == [1, 1]
