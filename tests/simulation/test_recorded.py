"""A recording is told as it was recorded; its breaks become disconnects."""

from __future__ import annotations

import asyncio
import json

import pytest

from volspike.errors import NotEnoughDataError
from volspike.exchange.items import Quote
from volspike.simulation.market import MarketBreak, MarketTick
from volspike.simulation.recorded import RecordedMarket

SECOND = 1_000_000_000
START = 1_893_456_000 * SECOND


def quote(offset_s, trade_id=-1, product="BTC-USD", **fields):
    sized = {"size": 5, "bid_size": 10, "ask_size": 20, "trade_id": trade_id} if trade_id >= 0 else {}
    values = {"bid": 6_180_436, "ask": 6_180_437, "price": 6_180_437, "price_decimals": 2, **sized}
    return Quote(product=product, event_ns=START + round(offset_s * SECOND), **(values | fields))


def flat(*offsets, **fields):
    return [quote(offset, **fields) for offset in offsets]


def told(market):
    """Return the events as (kind or product, offset in seconds)."""
    return [
        (e.kind, (e.resume_ns - START) / SECOND)
        if isinstance(e, MarketBreak)
        else (e.product, (e.event_ns - START) / SECOND)
        for e in market.events()
    ]


BTC = "BTC-USD"


def test_each_session_is_a_break_and_so_is_a_long_silence():
    market = RecordedMarket([("a", flat(0, 1, 16, 31.1)), ("b", flat(33, 34))])
    assert told(market) == [
        ("start", 0), (BTC, 0), (BTC, 1), (BTC, 16),
        ("silence", 31.1), (BTC, 31.1),
        ("session", 33), (BTC, 33), (BTC, 34),
    ]  # fmt: skip


def test_silence_is_that_of_all_products():
    quotes = sorted(flat(0, 10, 20, 30) + flat(0.5, 29, product="ETH-USD"), key=lambda q: q.event_ns)
    assert [kind for kind, _ in told(RecordedMarket([("a", quotes)]))].count("silence") == 0


def test_where_sessions_overlap_the_earlier_one_wins_to_its_end():
    market = RecordedMarket([("a", flat(0, 1, 2, 3)), ("b", flat(1.5, 2.5, 3.5))])
    assert told(market)[-2:] == [("session", 3.5), (BTC, 3.5)]
    assert market.skipped == {"older than newest": 2}


def test_a_session_wholly_inside_another_leaves_no_break():
    market = RecordedMarket([("a", flat(0, 1, 2, 3)), ("b", flat(1.5, 2.5)), ("c", flat(4))])
    assert [kind for kind, _ in told(market)] == ["start", BTC, BTC, BTC, BTC, "session", BTC]


def test_a_snapshot_opens_its_product_and_is_not_told():
    quotes = [quote(0, snapshot=True), quote(0.1, product="ETH-USD", snapshot=True), *flat(0.5, 1)]
    events = list(RecordedMarket([("a", quotes)]).events())
    assert [tick.product for tick in events[0].opening] == ["BTC-USD", "ETH-USD"]
    assert events[0].resume_ns == events[1].event_ns == START + SECOND // 2
    assert len(events) == 3


def test_identified_trades_start_with_the_trade_before_the_subscription():
    market = RecordedMarket([("a", [quote(i / 10, 500 + i) for i in range(5)])])
    events = list(market.events())
    assert market.dialects == ("advanced", "exchange")
    assert events[0].opening[0].trade_id == 500
    assert [e.trade_id for e in events[1:]] == [501, 502, 503, 504]


def test_without_identities_the_first_row_both_opens_and_is_told():
    events = list(RecordedMarket([("a", flat(0, 1))]).events())
    assert events[0].opening[0] == events[1]
    assert len(events) == 3


def test_a_part_can_be_cut_out_and_opens_with_what_was_known():
    market = RecordedMarket(
        [("a", flat(0, 1, 2, 3, 4))], start_ns=START + 2 * SECOND, end_ns=START + 4 * SECOND
    )
    assert told(market) == [("start", 2), (BTC, 2), (BTC, 3)]
    again = RecordedMarket([("a", flat(0, 1, 2))], start_ns=START + 2 * SECOND)
    assert next(again.events()).opening[0].event_ns == START + SECOND


def test_rows_without_quotes_or_of_other_products_are_counted():
    quotes = [*flat(0), quote(1, bid=-1), quote(2, product="ABC-USD"), quote(3, snapshot=True), *flat(4)]
    market = RecordedMarket([("a", quotes)], products=(BTC,))
    assert [offset for _, offset in told(market)] == [0, 0, 4]
    assert market.skipped == {"no quote": 1, "other product": 1, "snapshot": 1}


def test_a_row_without_a_last_price_is_a_trade_at_the_bid():
    event = list(RecordedMarket([("a", flat(0, price=-1))]).events())[1]
    assert isinstance(event, MarketTick)
    assert (event.price, event.side) == (event.bid, "sell")


def test_an_empty_recording_is_refused():
    with pytest.raises(NotEnoughDataError, match="no quote"):
        RecordedMarket([])
    with pytest.raises(NotEnoughDataError, match="no quote"):
        RecordedMarket([("a", [])])


def test_a_recorded_break_is_a_disconnect_and_its_hole_is_not_waited_out(kit):
    hour = 3_600.0
    sessions = [("a", flat(0, 1, 2)), ("b", flat(hour, hour + 1, hour + 30))]

    async def run():
        async with kit.serving(RecordedMarket(sessions), speed=100.0) as simulator:
            url, messages = simulator.urls["advanced"], kit.subscriptions("advanced", [BTC])
            async with asyncio.timeout(10):
                transcripts = [await kit.listen(url, messages) for _ in range(3)]
            return transcripts, simulator.state()

    transcripts, state = asyncio.run(run())
    assert [t.close_code for t in transcripts] == [1012, 1012, 1000]
    assert state["breaks"] == {"session": 1, "silence": 1}
    assert state["sent"]["total"] == sum(len(t.raw) for t in transcripts)
    clocks = [int(t.headers["x-simulated-clock"].split(",")[1]) - START for t in transcripts]
    assert clocks == [0, 3_600 * SECOND, 3_630 * SECOND]
    tickers = [[f for f in t.frames if f["channel"] == "ticker"] for t in transcripts]
    assert [[f["events"][0]["type"] for f in frames] for frames in tickers] == [
        ["snapshot", "update", "update", "update"],
        ["snapshot", "update", "update"],
        ["snapshot", "update"],
    ]
    assert tickers[1][1]["timestamp"] == "2030-01-01T01:00:00Z"
    assert [t.frames[0]["sequence_num"] for t in transcripts] == [0, 0, 0]


@pytest.mark.shared
def test_a_real_recording_comes_through_price_by_price(kit, shared):
    import gzip

    from volspike.exchange.decimals import parse_decimal, parse_time_ns

    path = shared / "data" / "ticks" / "apr-2026-04T2254.ndjson.gz"
    with gzip.open(path, "rt") as lines:
        rows = [json.loads(line) for line in lines][:3_000]
    quotes = [
        Quote(
            product=row["product_id"],
            event_ns=parse_time_ns(row["timestamp"]),
            price_decimals=8,
            **{
                name: parse_decimal(row[key], 8)
                for name, key in (("bid", "best_bid"), ("ask", "best_ask"), ("price", "price"))
            },
        )
        for row in rows
    ]

    async def run():
        async with kit.serving(RecordedMarket([("a", quotes)]), speed=1_000.0) as simulator:
            url, messages = simulator.urls["advanced"], kit.subscriptions("advanced", ["BTC-USD"])
            frames = []
            async with asyncio.timeout(60):
                while not simulator.state()["finished"]:
                    frames += (await kit.listen(url, messages)).frames
            return frames

    tickers = [frame for frame in asyncio.run(run()) if frame["channel"] == "ticker"]
    updates = [frame for frame in tickers if frame["events"][0]["type"] == "update"]
    fields = ("product_id", "price", "best_bid", "best_ask")
    received = [(f["timestamp"], *(f["events"][0]["tickers"][0][field] for field in fields)) for f in updates]
    recorded = [(row["timestamp"], *(row[field] for field in fields)) for row in rows]
    assert received == recorded
