"""The client on a feed that serves only a part, or counts its heartbeats strangely; and what it shows."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from loopback import (
    Peer,
    acknowledgement,
    closed_port,
    envelope,
    heartbeat,
    loopback,
    make_rig,
    ticker,
)

from volspike.errors import FeedError

TWO = ("BTC-USD", "OLD-USD")


def refusal(reason: str) -> str:
    return json.dumps({"type": "error", "message": "Failed to subscribe", "reason": reason})


def test_fault_05_a_product_missing_in_every_channel_degrades_and_the_feed_goes_on() -> None:
    async def script(peer: Peer, number: int) -> None:
        await peer.send(acknowledgement("BTC-USD"), ticker(1))
        await peer.beat(heartbeat())

    async def main() -> None:
        async with loopback(script) as exchange:
            rig = make_rig(exchange.url, products=TWO)
            status = rig.client.status
            await rig.run_until(lambda: status.state == "degraded" and len(rig.sink.frames) > 12)
            assert (rig.sink.ends, len(exchange.peers)) == (["stop"], 1)
            assert (status.acknowledged, status.missing) == (("BTC-USD",), ("OLD-USD",))
            assert status.reasons["partial_ack"] == 1

    asyncio.run(main())


def test_fault_24_a_delisted_product_does_not_cost_the_others() -> None:
    async def script(peer: Peer, number: int) -> None:
        await peer.send(refusal("OLD-USD is delisted"))
        await peer.read_subscribes(1)
        await peer.send(acknowledgement("BTC-USD"), ticker(1))
        reader = asyncio.create_task(peer.read_to_the_end())
        await peer.beat(heartbeat())
        await reader

    async def main() -> None:
        async with loopback(script) as exchange:
            rig = make_rig(exchange.url, products=TWO)
            status = rig.client.status
            await rig.run_until(lambda: len(rig.sink.frames) > 12)
            subscribes = [message["channels"][0]["product_ids"] for message in exchange.peers[0].received]
            assert subscribes == [["BTC-USD", "OLD-USD"], ["BTC-USD"]]
            assert (rig.sink.ends, len(exchange.peers)) == (["stop"], 1)
            assert (status.acknowledged, status.missing) == (("BTC-USD",), ("OLD-USD",))
            assert "OLD-USD" in status.last_error
            assert status.reasons["error_configuration"] == 1

    asyncio.run(main())


def test_fault_24_a_feed_that_refuses_every_product_is_given_up() -> None:
    async def script(peer: Peer, number: int) -> None:
        await peer.send(refusal("OLD-USD is delisted"))
        await peer.read_subscribes(1)
        await peer.send(refusal("BTC-USD is not a valid product"))
        await peer.beat(heartbeat())

    async def main() -> None:
        async with loopback(script) as exchange:
            rig = make_rig(exchange.url, products=TWO)
            with pytest.raises(FeedError, match="BTC-USD is not a valid product"):
                await rig.run_until(lambda: False)
            assert rig.sink.ends == ["subscribe_refused"] * 3

    asyncio.run(main())


@pytest.mark.parametrize("counters", [(700, 701, 4_000), (700, 701, 12)])
def test_fault_07_each_jump_of_the_heartbeat_counter_is_one_new_session(counters: tuple[int, ...]) -> None:
    async def script(peer: Peer, number: int) -> None:
        subscriptions = {"ticker": ["BTC-USD"], "heartbeats": ["heartbeats"]}
        await peer.send(envelope("subscriptions", 0, {"subscriptions": subscriptions}))
        beats = counters if number == 1 else tuple(range(counters[-1], counters[-1] + 60))
        for n, counter in enumerate(beats):
            await peer.send(envelope("heartbeats", n + 1, {"heartbeat_counter": counter}))
            await asyncio.sleep(0.02)
        await peer.beat(envelope("heartbeats", 99, {"heartbeat_counter": beats[-1] + 1}), every_s=0.05)

    async def main() -> None:
        async with loopback(script, subscribes=2) as exchange:
            rig = make_rig(exchange.url, "advanced")
            await rig.run_until(lambda: len(exchange.peers) == 2 and len(rig.sink.frames) > 40)
            assert rig.sink.ends == ["heartbeat_jump", "stop"]
            assert rig.client.status.reasons["heartbeat_jump"] == 1
            assert str(counters[-1]) in rig.client.status.last_error

    asyncio.run(main())


def test_fault_07_beats_a_few_seconds_apart_are_no_jump() -> None:
    async def script(peer: Peer, number: int) -> None:
        subscriptions = {"ticker": ["BTC-USD"], "heartbeats": ["heartbeats"]}
        await peer.send(envelope("subscriptions", 0, {"subscriptions": subscriptions}))
        for n, counter in enumerate((700, 702, 707, 707, 708)):
            await peer.send(envelope("heartbeats", n + 1, {"heartbeat_counter": counter}))
            await asyncio.sleep(0.1)
        await peer.read_to_the_end()

    async def main() -> None:
        async with loopback(script, subscribes=2) as exchange:
            rig = make_rig(exchange.url, "advanced")
            await rig.run_until(lambda: len(rig.sink.frames) == 6)
            await asyncio.sleep(0)
            assert rig.sink.ends == ["stop"]

    asyncio.run(main())


@pytest.mark.parametrize(
    "url",
    [
        "http://me:hunter2@127.0.0.1:1",
        "wss://me:hunter2@[::1",
        "ws://me:hunter2@127.0.0.1:99999/?token=hunter2",
    ],
)
def test_fault_50_a_secret_in_the_address_is_never_told(url: str) -> None:
    with pytest.raises(FeedError) as caught:
        asyncio.run(make_rig(url).run_until(lambda: False))
    assert "hunter2" not in str(caught.value)


def test_fault_50_a_secret_in_the_address_is_in_no_failure_of_a_feed() -> None:
    async def refuse(peer: Peer, number: int) -> None:
        await peer.send(refusal("BTC-USD is not a valid product"))
        await peer.beat(heartbeat())

    async def main() -> tuple[Any, str]:
        async with loopback(refuse) as exchange:
            rig = make_rig(exchange.url.replace("ws://", "ws://me:hunter2@") + "/?token=hunter2")
            with pytest.raises(FeedError) as caught:
                await rig.run_until(lambda: False)
            assert exchange.peers[0].headers["authorization"].startswith("Basic ")
        with closed_port() as port:
            lost = make_rig(f"ws://me:hunter2@127.0.0.1:{port}/?token=hunter2")
            await lost.run_until(lambda: bool(lost.client.status.last_error))
        return caught.value, rig.client.status.last_error + lost.client.status.last_error

    error, shown = asyncio.run(main())
    assert "hunter2" not in f"{error} {error.subject} {shown}"
