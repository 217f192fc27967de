"""The client against a real WebSocket server: refusals, bursts, stopping, and the clock it follows."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import replace

import pytest
from loopback import (
    IMPATIENT,
    Peer,
    acknowledgement,
    envelope,
    heartbeat,
    loopback,
    make_rig,
    quote_row,
    serve_well,
    ticker,
)

from volspike.clock import SimulatedClock
from volspike.errors import ArchiveError, FeedError
from volspike.exchange.backoff import TokenBucket
from volspike.exchange.items import Control, Quote, Rejected


def test_fault_16_a_twenty_megabyte_frame_does_not_cost_the_connection() -> None:
    async def script(peer: Peer, number: int) -> None:
        await peer.send(acknowledgement("BTC-USD"), heartbeat(), "x" * 20_000_000, "{", ticker(1))
        await peer.read_to_the_end()

    async def main() -> None:
        async with loopback(script) as exchange:
            rig = make_rig(exchange.url, settings=replace(IMPATIENT, silence_timeout_s=20.0))
            await rig.run_until(lambda: rig.client.status.state == "live")
            items = [item for decoded in rig.sink.decoded for item in decoded.items]
            assert [item.reason for item in items if isinstance(item, Rejected)] == ["too_large", "json"]
            assert (isinstance(items[-1], Quote), rig.sink.ends) == (True, ["stop"])

    asyncio.run(main())


def test_fault_18_a_refused_subscription_is_tried_three_times_then_told() -> None:
    words = "QUX-USDX is not a valid product"
    states: set[str] = set()

    async def script(peer: Peer, number: int) -> None:
        reason = f"{words}\x1b[2J"  # clears a terminal that it gets to
        await peer.send(json.dumps({"type": "error", "message": "Failed to subscribe", "reason": reason}))
        await peer.beat(heartbeat())

    async def main() -> None:
        async with loopback(script) as exchange:
            rig = make_rig(exchange.url, products=("QUX-USDX",))
            with pytest.raises(FeedError, match=words) as caught:
                await rig.run_until(lambda: bool(states.add(rig.client.status.state)))
            assert "QUX-USDX" in caught.value.remedy
            assert str(caught.value).isprintable()
            assert rig.sink.ends == ["subscribe_refused"] * 3
            assert rig.client.status.reasons["error_configuration"] == 3

    asyncio.run(main())
    assert "degraded" in states
    assert "live" not in states


def test_fault_18_an_error_on_a_live_feed_degrades_it_and_keeps_its_text() -> None:
    async def script(peer: Peer, number: int) -> None:
        await peer.send(acknowledgement("BTC-USD"), ticker(1), heartbeat())
        await peer.send(json.dumps({"type": "error", "message": "ErrSlowConsume"}))
        await peer.beat(ticker(2), heartbeat())

    async def main() -> None:
        async with loopback(script) as exchange:
            rig = make_rig(exchange.url)
            await rig.run_until(lambda: len(rig.sink.frames) > 8)
            assert rig.sink.ends == ["stop"]
            assert rig.client.status.last_error == "ErrSlowConsume"
            assert rig.client.status.reasons == {"error_capacity": 1, "stop": 1}
            assert any(
                item.text == "ErrSlowConsume"
                for decoded in rig.sink.decoded
                for item in decoded.items
                if isinstance(item, Control)
            )

    asyncio.run(main())


def test_fault_23_a_burst_is_handed_over_whole() -> None:
    count = 10_000

    async def script(peer: Peer, number: int) -> None:
        await peer.send(acknowledgement("BTC-USD"), heartbeat(), *(ticker(n) for n in range(count)))
        await peer.read_to_the_end()

    async def main() -> None:
        async with loopback(script) as exchange:
            rig = make_rig(exchange.url, settings=replace(IMPATIENT, silence_timeout_s=20.0))
            await rig.run_until(lambda: len(rig.sink.frames) == count + 2, limit_s=30)
            assert rig.sink.frames == [frame.encode() for frame in exchange.peers[0].sent]

    asyncio.run(main())


def test_fault_24_an_alias_counts_as_its_product() -> None:
    async def script(peer: Peer, number: int) -> None:
        subscriptions = {"ticker": ["BTC-USD"], "heartbeats": ["heartbeats"]}
        await peer.send(
            envelope("subscriptions", 0, {"subscriptions": subscriptions}),
            envelope("ticker", 1, {"type": "snapshot", "tickers": [quote_row("BTC-USD")]}),
        )
        await peer.read_to_the_end()

    async def main() -> None:
        async with loopback(script, subscribes=2) as exchange:
            rig = make_rig(exchange.url, "advanced", products=("BTC-USDC",))
            await rig.run_until(lambda: rig.client.status.state == "live")
            assert rig.client.status.aliases == {"BTC-USDC": "BTC-USD"}
            assert rig.client.status.acknowledged == ("BTC-USDC",)

    asyncio.run(main())


def test_fault_33_stop_hands_over_every_frame_that_was_sent() -> None:
    async def script(peer: Peer, number: int) -> None:
        await peer.send(acknowledgement("BTC-USD"), heartbeat())
        await peer.send(*(ticker(n) for n in range(20_000)))

    async def main() -> None:
        async with loopback(script) as exchange:
            rig = make_rig(exchange.url, settings=replace(IMPATIENT, close_timeout_s=20.0))
            rig.sink.on_frame = lambda count: rig.stop.set() if count == 300 else None
            await rig.run_until(rig.stop.is_set)
            sent = [frame.encode() for frame in exchange.peers[0].sent]
            assert rig.sink.frames[: len(sent)] == sent
            assert 300 <= len(rig.sink.frames) <= len(sent) + 1  # the last send may have been cut short
            assert rig.sink.ends == ["stop"]

    asyncio.run(main())


@pytest.mark.parametrize("moment", ["waiting", "connecting"])
def test_stop_is_heard_while_there_is_no_connection(moment: str) -> None:
    async def main() -> None:
        answered = asyncio.Event()

        async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read()
            writer.close()
            answered.set()

        server = await asyncio.start_server(say_nothing, "127.0.0.1", 0)
        async with server:
            port = server.sockets[0].getsockname()[1]
            bucket = TokenBucket(rate_per_s=0.01)
            if moment == "waiting":
                bucket.reserve_ns(time.monotonic_ns())
            rig = make_rig(f"ws://127.0.0.1:{port}", bucket=bucket)
            began = time.monotonic()
            await rig.run_until(lambda: time.monotonic() - began > 0.1)
            assert time.monotonic() - began < 2
            assert rig.sink.log == []
            if moment == "connecting":
                await asyncio.wait_for(answered.wait(), 5)

    asyncio.run(main())


def test_a_sink_that_fails_ends_the_session_and_the_run() -> None:
    async def main() -> None:
        async with loopback(serve_well) as exchange:
            rig = make_rig(exchange.url)

            def fail(count: int) -> None:
                raise ArchiveError("raw/", "the disk is full", "free some space")

            rig.sink.on_frame = fail
            with pytest.raises(ArchiveError):
                await rig.run_until(lambda: False)
            assert rig.sink.ends == ["failed"]
            await asyncio.wait_for(exchange.peers[0].connection.wait_closed(), 5)

    asyncio.run(main())


def test_simulated_clock_is_followed_before_the_first_frame() -> None:
    market_ns = 1_961_712_000_000_000_000

    def header() -> dict[str, str]:
        return {"X-Simulated-Clock": f"{time.monotonic_ns()},{market_ns},60.0"}

    async def main() -> None:
        async with loopback(serve_well, extra_headers=header) as exchange:
            rig = make_rig(exchange.url, clock=SimulatedClock())
            await rig.run_until(lambda: rig.client.status.state == "live")
            assert rig.client.status.session.startswith("20320301T0000")
            assert all(0 <= ns - market_ns < 60 * 10**9 for ns in rig.sink.receive_ns)

    asyncio.run(main())


def test_a_malformed_clock_header_is_told() -> None:
    async def main() -> None:
        async with loopback(serve_well, extra_headers=lambda: {"X-Simulated-Clock": "soon"}) as exchange:
            rig = make_rig(exchange.url, clock=SimulatedClock())
            with pytest.raises(FeedError, match="X-Simulated-Clock"):
                await rig.run_until(lambda: False)
            assert rig.sink.log == []

    asyncio.run(main())


def test_no_products_are_refused() -> None:
    with pytest.raises(FeedError, match="no product"):
        make_rig("ws://127.0.0.1:1", products=())
