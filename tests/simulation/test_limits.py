"""Deadlines, rates and the slow consumer."""

from __future__ import annotations

import asyncio
import json
import socket

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from volspike.simulation.limits import Limits, TokenBucket
from volspike.simulation.market import MarketBreak


async def read_to_end(ws):
    frames = []
    try:
        async with asyncio.timeout(10):
            while True:
                frames.append(json.loads(await ws.recv()))
    except ConnectionClosed:
        return frames


def test_the_defaults_are_those_of_the_exchange():
    limits = Limits()
    assert limits.subscribe_deadline_s == 5.0
    assert limits.idle_close_s == (60.0, 90.0)
    assert limits.connects_per_s == 8.0
    assert limits.messages_per_s == {"advanced": 8, "exchange": 100}


@pytest.mark.parametrize("dialect", ["advanced", "exchange"])
def test_who_does_not_subscribe_in_time_is_disconnected(kit, dialect):
    async def run():
        async with kit.connected(
            kit.steady(5.0), limits=Limits(subscribe_deadline_s=0.2), dialect=dialect
        ) as (simulator, ws):
            frames = await read_to_end(ws)
            return frames, ws.close_code, simulator.state()

    frames, code, state = asyncio.run(run())
    assert frames == []
    assert code == 1008
    assert state["sessions"][0]["close_by"] == "server"


def test_a_quiet_connection_without_heartbeats_is_closed(kit):
    limits = Limits(subscribe_deadline_s=0.1, idle_close_s=(0.4, 0.4))
    quiet = kit.ListMarket([MarketBreak("start", kit.START), kit.tick(0.0, 1), kit.tick(500.0, 2)])

    async def run():
        async with kit.connected(quiet, limits=limits, dialect="advanced") as (_, ws):
            await ws.send(kit.subscriptions("advanced", ["BTC-USD"])[0])
            frames = await read_to_end(ws)
            return frames, ws.close_code

    frames, code = asyncio.run(run())
    assert [f["channel"] for f in frames] == ["subscriptions", "ticker"]
    assert code == 1001


def test_a_ninth_connection_in_a_second_is_answered_429(kit):
    async def run():
        statuses = []
        async with kit.serving(kit.steady(5.0)) as simulator:
            for _ in range(10):
                try:
                    async with connect(simulator.urls["advanced"]):
                        statuses.append(101)
                except InvalidStatus as refused:
                    statuses.append(refused.response.status_code)
            return statuses, simulator.state()["refused"]

    statuses, refused = asyncio.run(run())
    assert statuses[:8] == [101] * 8
    assert 429 in statuses[8:]
    assert refused["429"] == statuses.count(429)


@pytest.mark.parametrize(("dialect", "allowed"), [("advanced", 8), ("exchange", 100)])
def test_who_sends_too_many_messages_is_disconnected(kit, dialect, allowed):
    async def run():
        async with kit.connected(kit.steady(5.0), dialect=dialect) as (_, ws):
            for _ in range(allowed * 2):
                await ws.send('{"type":"unsubscribe","channel":"heartbeats","channels":["x"]}')
            frames = await read_to_end(ws)
            return frames, ws.close_code

    frames, code = asyncio.run(run())
    assert code == 1008
    complaints = [f for f in frames if f.get("message") == "ErrSlowRead"]
    assert len(complaints) == (1 if dialect == "exchange" else 0)
    assert allowed <= len(frames) - len(complaints) < allowed * 2


def test_at_speed_one_a_reader_too_slow_is_disconnected(kit):
    burst = [kit.tick(0.0, 101 + i, size=i + 1) for i in range(60_000)]
    market = kit.ListMarket([MarketBreak("start", kit.START), *burst], sweeps=False)
    limits = Limits(slow_consumer_bytes=100_000, close_timeout_s=0.5)

    async def run():
        async with kit.serving(market, limits=limits) as simulator:
            raw = socket.socket()
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
            host, port = simulator.urls["exchange"].removeprefix("ws://").split(":")
            raw.connect((host, int(port)))
            url = simulator.urls["exchange"]
            async with connect(
                url, sock=raw, compression=None, max_queue=1, ping_interval=None, close_timeout=0.2
            ) as ws:
                await ws.send(kit.subscriptions("exchange", ["BTC-USD"])[0])
                async with asyncio.timeout(10):
                    while not simulator.state()["closes"]:
                        await asyncio.sleep(0.05)
            return simulator.state()

    state = asyncio.run(run())
    assert state["sessions"][0]["close_reason"] == "ErrSlowConsume"
    assert state["sessions"][0]["sent"] < 60_000


def test_a_token_bucket_admits_its_burst_and_then_its_rate():
    bucket = TokenBucket(8.0, 8)
    assert [bucket.take(0) for _ in range(9)] == [True] * 8 + [False]
    assert [bucket.take(125_000_000), bucket.take(125_000_000)] == [True, False]
    assert sum(bucket.take(60_000_000_000) for _ in range(20)) == 8
