"""The simulated exchange's candles: what was told on the wire, as the REST interface answers it."""

from __future__ import annotations

import asyncio
import json
from decimal import Decimal

import pytest

from made_candles import MINUTE_NS, NOW, candles_of, exchange, trades
from volspike.exchange.decimals import format_time_ns
from volspike.simulation.candle_book import CandleBook
from volspike.simulation.later import LaterMarket
from volspike.simulation.limits import Limits
from volspike.simulation.recorded import RecordedMarket
from volspike.simulation.server import CLOCK_HEADER, Simulator, SimulatorSettings
from volspike.simulation.synthetic import SyntheticMarket

BTC = "/products/BTC-USD/candles"


def wanted(first: int, last: int, more: str = "&granularity=60") -> str:
    return f"{BTC}?start={format_time_ns(first * MINUTE_NS)}&end={format_time_ns(last * MINUTE_NS)}{more}"


def test_rows_are_newest_first_with_both_ends_and_exact_numbers(kit) -> None:
    ticks = list(trades(NOW - 30, NOW, {NOW - 12}))

    async def run():
        async with exchange(ticks) as simulator:
            return await kit.admin(simulator, wanted(NOW - 20, NOW - 5))

    status, kind, rows = asyncio.run(run())
    assert (status, kind) == (200, "application/json")
    assert [row[0] // 60 for row in rows] == [m for m in range(NOW - 5, NOW - 21, -1) if m != NOW - 12]
    expected = candles_of(ticks)
    for time, low, high, open_, close, volume in rows:
        assert (open_, high, low, close, volume) == expected[time // 60]


def test_without_a_span_the_last_candles_come_and_the_one_that_is_not_over(kit) -> None:
    async def run():
        async with exchange(list(trades(NOW - 400, NOW + 1))) as simulator:
            return [await kit.admin(simulator, BTC + query) for query in ("", "?start=1700000000", "?end=x")]

    for status, _, rows in asyncio.run(run()):
        assert status == 200
        assert [row[0] // 60 for row in rows] == list(range(NOW, NOW - 300, -1))


@pytest.mark.parametrize(
    ("target", "status", "message"),
    [
        (wanted(NOW - 300, NOW), 400, "Count of aggregations requested exceeds 300"),
        (wanted(NOW - 3, NOW, "&granularity=61"), 400, "Unsupported granularity"),
        (wanted(NOW, NOW - 1), 400, "start must be before end"),
        (f"{BTC}?start=yesterday&end=now", 400, "Invalid start or end"),
        ("/products/NOPE-USD/candles", 404, "NotFound"),
        ("/products/BTC-USD/book", 404, "NotFound"),
        ("/products/", 404, "NotFound"),
    ],
)
def test_a_request_that_makes_no_sense_is_refused(target: str, status: int, message: str, kit) -> None:
    async def run():
        async with exchange([]) as simulator:
            return await kit.admin(simulator, target), simulator.state()

    (found, _, body), state = asyncio.run(run())
    assert found == status
    assert body["message"].endswith(message)
    assert state["candle_answers"] == {str(status): 1}


def test_more_requests_than_the_limit_are_answered_429_with_a_pause() -> None:
    async def run():
        async with exchange([], limits=Limits(requests_per_s=0.001, request_burst=3)) as simulator:
            answers = []
            for _ in range(4):
                host, port = simulator.admin_url.removeprefix("http://").split(":")
                reader, writer = await asyncio.open_connection(host, int(port))
                writer.write(f"GET {BTC} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
                answers.append((await reader.read()).decode())
                writer.close()
            return answers

    *good, refused = asyncio.run(run())
    assert all(answer.startswith("HTTP/1.1 200") and CLOCK_HEADER in answer for answer in good)
    assert refused.startswith("HTTP/1.1 429")
    assert "Retry-After: 1\r\n" in refused
    assert json.loads(refused.partition("\r\n\r\n")[2]) == {"message": "Public rate limit exceeded"}


def test_a_fault_spoils_the_next_answers_and_no_others(kit) -> None:
    async def run():
        async with exchange(list(trades(NOW - 9, NOW)), ["rest:502", "restcut:2"]) as simulator:
            seen = []
            for _ in range(4):
                try:
                    status, _, body = await kit.admin(simulator, wanted(NOW - 9, NOW - 1))
                except json.JSONDecodeError:
                    status, body = 0, []
                seen.append((status, len(body)))
            await kit.admin(simulator, "/admin/fault?kind=rest:429")
            seen.append(((await kit.admin(simulator, BTC))[0], 0))
            return seen, simulator.state()

    seen, state = asyncio.run(run())
    assert seen == [(502, 1), (0, 0), (0, 0), (200, 9), (429, 0)]
    assert state["candle_answers"] == {"502": 1, "200": 3, "429": 1}
    assert state["faults"] == {"rest": 2, "restcut": 1}


@pytest.mark.parametrize("stamps", ["kept", "rebased"])
def test_invariant_03_candles_are_made_of_the_trades_that_were_told(stamps: str, kit) -> None:
    """A subscriber's own candles are those of the REST interface."""
    market = SyntheticMarket(7, ("BTC-USD",), kit.START, duration_s=150)

    async def run():
        async with kit.serving(market, speed=100.0, stamps=stamps) as simulator:
            url, messages = simulator.urls["exchange"], kit.subscriptions("exchange", ["BTC-USD"])
            transcript = await kit.listen(url, messages)
            return transcript, (await kit.admin(simulator, BTC))[2]

    transcript, rows = asyncio.run(run())
    bars: dict[str, list[dict[str, str]]] = {}
    told = [frame for frame in transcript.frames if frame["type"] == "ticker"][1:]  # the first is a snapshot
    for frame in told:
        bars.setdefault(frame["time"][:16], []).append(frame)
    assert len(rows) == len(bars) >= 3
    for row, (minute, frames) in zip(rows[::-1], sorted(bars.items()), strict=True):
        prices = [Decimal(frame["price"]) for frame in frames]
        volume = sum(Decimal(frame["last_size"]) for frame in frames)
        expected = (min(prices), max(prices), prices[0], prices[-1], volume)
        assert tuple(map(float, expected)) == tuple(row[1:])
        assert format_time_ns(row[0] * 10**9).startswith(minute)


def test_what_is_skipped_before_the_start_has_candles() -> None:
    start_ns = NOW * MINUTE_NS
    book, later = CandleBook(), CandleBook()
    whole = SyntheticMarket(7, ("BTC-USD",), start_ns, duration_s=600)
    for event in whole.events():
        if hasattr(event, "price") and event.event_ns < start_ns + 5 * MINUTE_NS:
            book.trade(event)
    market = LaterMarket(
        SyntheticMarket(7, ("BTC-USD",), start_ns, duration_s=600), start_ns + 5 * MINUTE_NS, later.trade
    )
    next(market.events())
    rows = later.rows("BTC-USD", NOW, NOW + 99, 300)
    assert rows == book.rows("BTC-USD", NOW, NOW + 99, 300)
    assert len(rows) == 5


def test_a_recordings_past_has_candles_and_a_size_it_does_not_say_counts_as_nothing() -> None:
    from volspike.exchange.items import Quote

    quotes = [
        Quote(
            product="BTC-USD",
            event_ns=NOW * MINUTE_NS + second * 10**9,
            bid=100 + second,
            ask=101 + second,
            price=100 + second,
            price_decimals=0,
        )
        for second in range(0, 180, 2)
    ]
    book = CandleBook()
    start_ns = (NOW + 2) * MINUTE_NS
    market = RecordedMarket([("a", quotes)], start_ns=start_ns, before=book.trade)
    next(market.events())
    rows = [json.loads(row) for row in book.rows("BTC-USD", NOW, NOW + 9, 300)]
    assert [row[0] // 60 for row in rows] == [NOW + 1, NOW]
    assert rows[0][1:] == [160, 218, 160, 218, 0]


def test_the_simulator_answers_after_its_market_has_been_told(kit) -> None:
    async def run():
        simulator = Simulator(kit.steady(3.0), SimulatorSettings(speed=100.0))
        await simulator.start()
        messages = kit.subscriptions("exchange", ["BTC-USD"])
        await kit.listen(simulator.urls["exchange"], messages)
        await simulator.wait()
        answer = await kit.admin(simulator, BTC)
        await simulator.stop()
        return answer

    status, _, rows = asyncio.run(run())
    assert status == 200
    assert len(rows) == 1
