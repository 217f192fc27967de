"""When the market runs, when it stands, and that nothing is lost at any speed."""

from __future__ import annotations

import asyncio
import json
import time

import pytest
from websockets.asyncio.client import connect

from volspike.errors import ConfigError
from volspike.simulation.market import MarketBreak
from volspike.simulation.pacing import MarketTime
from volspike.simulation.server import CLOCK_HEADER, SimulatorSettings, run_simulator
from volspike.simulation.synthetic import SyntheticMarket
from volspike.testing.manual_clock import ManualClock


async def first_frames(ws, count):
    async with asyncio.timeout(5):
        return [json.loads(await ws.recv()) for _ in range(count)]


def test_the_market_waits_for_the_last_of_two_subscribes(kit):
    async def run():
        ticker, heartbeats = kit.subscriptions("advanced", ["BTC-USD"])
        async with kit.connected(kit.steady(60.0), dialect="advanced") as (_, ws):
            await ws.send(ticker)
            opening = await first_frames(ws, 2)
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(ws.recv(), 0.3)
            await ws.send(heartbeats)
            rest = await first_frames(ws, 4)
        return opening, rest

    opening, rest = asyncio.run(run())
    assert [f["channel"] for f in opening] == ["ticker", "subscriptions"]
    assert [f["channel"] for f in rest] == ["subscriptions", "heartbeats", "ticker", "ticker"]
    assert rest[2]["timestamp"] == "2030-01-01T00:00:00Z"


def test_the_handshake_tells_the_clock_of_the_market(kit):
    async def run():
        async with kit.serving(kit.steady(60.0), speed=7.0) as simulator:
            before = time.monotonic_ns()
            async with connect(simulator.urls["exchange"]) as ws:
                return before, ws.response.headers[CLOCK_HEADER], time.monotonic_ns()

    before, header, after = asyncio.run(run())
    monotonic_ns, market_ns, speed = header.split(",")
    assert before <= int(monotonic_ns) <= after
    assert int(market_ns) == kit.START
    assert float(speed) == 7.0


def test_market_time_runs_at_the_speed_asked_for(kit):
    transcript, _ = kit.whole_run(kit.steady(60.0), "advanced", speed=100.0)
    wall_s = transcript.arrivals[-1] - transcript.arrivals[3]
    assert wall_s == pytest.approx((60 + 125) / 100.0, rel=0.15)


def test_the_market_stands_while_nobody_listens_and_resumes_at_its_next_event(kit):
    async def run():
        async with kit.serving(kit.steady(120.0), speed=20.0) as simulator:
            url, messages = simulator.urls["exchange"], kit.subscriptions("exchange", ["BTC-USD"])
            async with connect(url) as ws:
                await ws.send(messages[0])
                seen = await first_frames(ws, 40)
            await asyncio.sleep(0.1)
            standing = simulator.state()["market_ns"]
            await asyncio.sleep(0.4)
            assert simulator.state()["market_ns"] == standing
            async with connect(url) as ws:
                market_ns = int(ws.response.headers[CLOCK_HEADER].split(",")[1])
                await ws.send(messages[0])
                again = await first_frames(ws, 10)
        return seen, standing, market_ns, again

    seen, standing, market_ns, again = asyncio.run(run())
    assert market_ns == standing
    ids = [f["trade_id"] for f in again if f["type"] == "ticker"]
    assert ids == list(range(ids[0], ids[0] + len(ids)))
    assert ids[0] >= max(f["trade_id"] for f in seen if f["type"] == "ticker")
    assert [f["type"] for f in again[:3]] == ["subscriptions", "ticker", "heartbeat"]


def test_a_quiet_market_still_beats(kit):
    events = [MarketBreak("start", kit.START), kit.tick(0.0, 1), kit.tick(40.0, 2)]
    transcript, _ = kit.whole_run(kit.ListMarket(events), "exchange", speed=500.0)
    kinds = [f["type"] for f in transcript.frames]
    first, second = (i for i, kind in enumerate(kinds) if kind == "ticker")
    assert kinds[first + 1 : second] == ["heartbeat"] * 40


@pytest.mark.parametrize("dialect", ["advanced", "exchange"])
def test_a_slow_reader_at_high_speed_loses_nothing(kit, dialect):
    async def run():
        market = SyntheticMarket(4, ("BTC-USD",), duration_s=2_000, activity=2.0)
        expected = sum(1 for _ in market.events()) - 1
        async with kit.serving(market, speed=20_000.0) as simulator:
            messages = kit.subscriptions(dialect, ["BTC-USD"])
            transcript = await kit.listen(simulator.urls[dialect], messages, pause_s=1.0)
            await simulator.wait()
            return transcript, simulator.state(), expected

    transcript, state, expected = asyncio.run(run())
    assert state["sent"]["total"] == len(transcript.raw)
    assert transcript.close_code == 1000
    if dialect == "advanced":
        rows = [e["tickers"] for f in transcript.frames if f["channel"] == "ticker" for e in f["events"]]
        assert sum(map(len, rows)) == expected + 1
        assert [f["sequence_num"] for f in transcript.frames] == list(range(len(transcript.raw)))
    else:
        ids = [f["trade_id"] for f in transcript.frames if f["type"] == "ticker"]
        assert ids == list(range(ids[0], ids[0] + expected + 1))


def test_both_dialects_are_told_the_same_trades_at_once(kit):
    async def run():
        async with kit.serving(kit.steady(30.0), speed=300.0) as simulator:
            return await asyncio.gather(
                *(
                    kit.listen(simulator.urls[d], kit.subscriptions(d, ["BTC-USD"]))
                    for d in ("advanced", "exchange")
                )
            )

    advanced, exchange = asyncio.run(run())
    stamps = {f["timestamp"] for f in advanced.frames if f["channel"] == "ticker"}
    times = {f["time"].rstrip("0Z").rstrip(".") + "Z" for f in exchange.frames if f["type"] == "ticker"}
    assert len(stamps & times) > 250


def test_rebased_stamps_begin_now_and_keep_their_distances(kit):
    before = time.time()
    transcript, state = kit.whole_run(kit.steady(20.0), "exchange", speed=1_000.0, stamps="rebased")
    times = [f["time"] for f in transcript.frames if f["type"] == "ticker"]
    from datetime import datetime

    shifted = [datetime.fromisoformat(t).timestamp() for t in times]
    assert before - 0.01 <= shifted[1] <= time.time()
    assert shifted[1] - shifted[0] == pytest.approx(20.0, abs=1e-4)
    assert shifted[-1] - shifted[1] == pytest.approx(19.9, abs=1e-4)
    assert state["offset_ns"] % 1_000 == 0


def test_above_speed_one_time_waits_for_a_reader_who_is_a_second_behind():
    clock = ManualClock()
    market = MarketTime(clock, 100.0)
    market.run_from(5_000)
    clock.advance(900_000_000)
    market.wait_for(5_000)
    assert market.now_ns() == 5_000 + 90_000_000_000
    clock.advance(200_000_000)
    market.wait_for(5_000)
    assert market.now_ns() == 5_000


def test_at_speed_one_time_waits_for_nobody():
    clock = ManualClock()
    market = MarketTime(clock, 1.0)
    market.run_from(0)
    clock.advance(90_000_000_000)
    market.wait_for(0)
    assert market.now_ns() == 90_000_000_000


def test_a_speed_that_is_not_positive_is_refused(kit):
    with pytest.raises(ConfigError, match="not positive"):
        kit.whole_run(kit.steady(1.0), "advanced", speed=0.0)


def test_run_simulator_announces_its_addresses_and_ends_when_told_to(kit):
    async def run():
        stop = asyncio.Event()
        addresses = []

        def announce(simulator):
            addresses.append(simulator.urls)
            stop.set()

        state = await run_simulator(kit.steady(5.0), SimulatorSettings(), announce, stop.wait())
        return addresses, state

    addresses, state = asyncio.run(run())
    assert set(addresses[0]) == {"advanced", "exchange"}
    assert state["finished"] is True
    assert state["sent"]["total"] == 0


@pytest.mark.parametrize("dialect", ["advanced", "exchange"])
def test_the_same_seed_puts_the_same_bytes_on_the_wire(kit, dialect):
    runs = [
        kit.whole_run(SyntheticMarket(8, duration_s=60), dialect, speed=speed, seed=5)[0].raw
        for speed in (500.0, 2_000.0)
    ]
    assert runs[0] == runs[1]
