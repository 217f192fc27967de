"""The client against a real WebSocket server: what it sends, survives and hands over."""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
import time
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
from loopback import (
    IMPATIENT,
    Peer,
    acknowledgement,
    closed_port,
    envelope,
    heartbeat,
    loopback,
    make_rig,
    quote_row,
    serve_well,
    ticker,
)

from volspike.errors import FeedError
from volspike.exchange.backoff import TokenBucket
from volspike.exchange.connecting import describe_connect_error

EXCHANGE_SUBSCRIBE = {
    "type": "subscribe",
    "channels": [
        {"name": "ticker", "product_ids": ["BTC-USD"]},
        {"name": "heartbeat", "product_ids": ["BTC-USD"]},
    ],
}
ADVANCED_SUBSCRIBES = [
    {"type": "subscribe", "product_ids": ["BTC-USD"], "channel": "ticker"},
    {"type": "subscribe", "channel": "heartbeats"},
]


def test_client_is_live_only_with_acknowledgement_and_data() -> None:
    states: list[str] = []

    async def script(peer: Peer, number: int) -> None:
        for frame in (heartbeat(), acknowledgement("BTC-USD"), ticker(1)):
            await peer.send(frame)
            await asyncio.sleep(0.1)
            states.append(rig.client.status.state)
        await peer.beat(heartbeat())

    async def main() -> None:
        nonlocal rig
        async with loopback(script) as exchange:
            rig = make_rig(exchange.url)
            assert rig.client.status.missing == ("BTC-USD",)
            await rig.run_until(lambda: len(states) == 3)

    rig: Any = None
    asyncio.run(main())
    assert states == ["subscribing", "subscribing", "live"]
    status = rig.client.status
    assert (status.state, status.sessions, status.reconnects, status.reasons) == (
        "stopped",
        1,
        0,
        {"stop": 1},
    )
    assert (status.acknowledged, status.missing) == (("BTC-USD",), ())
    assert status.last_frame_monotonic_ns > 0


def test_fault_01_reset_in_mid_frame_resubscribes_exactly_once() -> None:
    async def script(peer: Peer, number: int) -> None:
        if number < 3:
            await peer.send(acknowledgement("BTC-USD"), ticker(number), heartbeat())
            await asyncio.sleep(0.05)
            peer.reset()
        else:
            await serve_well(peer, number)

    async def main() -> None:
        async with loopback(script) as exchange:
            rig = make_rig(exchange.url)
            await rig.run_until(lambda: len(rig.sink.log) == 5 and rig.client.status.state == "live")
            assert [peer.received for peer in exchange.peers] == [[EXCHANGE_SUBSCRIBE]] * 3
            assert rig.sink.ends == ["reset", "reset", "stop"]
            assert rig.client.status.reconnects == 2
            assert rig.sink.frames[:3] == [frame.encode() for frame in exchange.peers[0].sent]
            sessions = [entry[1] for entry in rig.sink.log if entry[0] == "begin"]
            assert sorted(set(sessions)) == sessions
            assert [peer.headers.get("x-cb-retry-counter") for peer in exchange.peers] == [None, "1", "2"]

    asyncio.run(main())


def test_advanced_subscribes_one_channel_a_message_and_once() -> None:
    async def script(peer: Peer, number: int) -> None:
        await peer.send(
            envelope("ticker", 0, {"type": "snapshot", "tickers": [quote_row("BTC-USD")]}),
            envelope("subscriptions", 1, {"subscriptions": {"ticker": ["BTC-USD"]}}),
            envelope(
                "subscriptions", 2, {"subscriptions": {"ticker": ["BTC-USD"], "heartbeats": ["heartbeats"]}}
            ),
        )
        await peer.read_to_the_end()

    async def main() -> None:
        async with loopback(script, subscribes=2) as exchange:
            rig = make_rig(exchange.url, "advanced")
            await rig.run_until(lambda: rig.client.status.state == "live")
            assert [peer.received for peer in exchange.peers] == [ADVANCED_SUBSCRIBES]

    asyncio.run(main())


def test_fault_02_half_open_connection_is_found_by_its_silence() -> None:
    async def script(peer: Peer, number: int) -> None:
        await peer.send(acknowledgement("BTC-USD"), ticker(1), heartbeat())
        await peer.connection.wait_closed()

    async def main() -> None:
        async with loopback(script) as exchange:
            rig = make_rig(exchange.url)
            await rig.run_until(lambda: len(exchange.peers) == 2)
            assert rig.sink.ends[0] == "silence"
            between_s = exchange.peers[1].opened_s - exchange.peers[0].opened_s
            assert IMPATIENT.silence_timeout_s <= between_s < IMPATIENT.silence_timeout_s + 3

    asyncio.run(main())


def test_fault_07_ticks_without_heartbeats_are_silence() -> None:
    async def script(peer: Peer, number: int) -> None:
        await peer.send(acknowledgement("BTC-USD"))
        await peer.beat(ticker(1), every_s=0.02)

    async def main() -> None:
        async with loopback(script) as exchange:
            rig = make_rig(exchange.url)
            await rig.run_until(lambda: len(exchange.peers) == 2)
            assert rig.sink.ends[0] == "silence"
            assert "heartbeat" in rig.client.status.last_error

    asyncio.run(main())


@pytest.mark.parametrize(("step", "reason"), [(0, "silence"), (1, "stop")])
def test_fault_07_a_heartbeat_counter_that_stands_still_is_silence(step: int, reason: str) -> None:
    async def script(peer: Peer, number: int) -> None:
        subscriptions = {"ticker": ["BTC-USD"], "heartbeats": ["heartbeats"]}
        await peer.send(envelope("subscriptions", 0, {"subscriptions": subscriptions}))
        for n in range(30):
            await peer.send(envelope("heartbeats", n + 1, {"heartbeat_counter": 700 + n * step}))
            await asyncio.sleep(0.05)
        done.set()
        await peer.read_to_the_end()

    async def main() -> None:
        nonlocal done
        done = asyncio.Event()
        async with loopback(script, subscribes=2) as exchange:
            rig = make_rig(exchange.url, "advanced")
            await rig.run_until(lambda: done.is_set() or bool(rig.sink.ends))
            assert rig.sink.ends[0] == reason

    done: Any = None
    asyncio.run(main())


@pytest.mark.parametrize("code", [1000, 1001, 1008, 1009, 1011, 1012, 1013, 4000])
def test_fault_03_close_codes_are_labelled_and_no_frame_before_them_is_lost(code: int) -> None:
    async def script(peer: Peer, number: int) -> None:
        if number > 1:
            return await serve_well(peer, number)
        await peer.send(acknowledgement("BTC-USD"), heartbeat(), *(ticker(n) for n in range(800)))
        await peer.connection.close(code, "because")

    async def main() -> None:
        async with loopback(script) as exchange:
            rig = make_rig(exchange.url)
            await rig.run_until(lambda: len(exchange.peers) == 2)
            assert rig.sink.ends[0] == f"close_{code}"
            assert rig.sink.frames[:802] == [frame.encode() for frame in exchange.peers[0].sent]
            assert rig.client.status.reasons[f"close_{code}"] == 1

    asyncio.run(main())


def test_fault_03_an_end_without_handshake_is_1006() -> None:
    async def script(peer: Peer, number: int) -> None:
        await peer.send(acknowledgement("BTC-USD"), ticker(1))
        await asyncio.sleep(0.05)
        peer.connection.transport.abort()

    async def main() -> None:
        async with loopback(script) as exchange:
            rig = make_rig(exchange.url)
            await rig.run_until(lambda: len(exchange.peers) == 2)
            assert rig.sink.ends[0] == "close_1006"
            assert len(rig.sink.frames) >= 2

    asyncio.run(main())


def test_fault_03_policy_closes_degrade_and_go_on() -> None:
    states: set[str] = set()

    async def script(peer: Peer, number: int) -> None:
        if number > 4:
            return await serve_well(peer, number)
        await peer.connection.close(1008)

    async def main() -> None:
        async with loopback(script) as exchange:
            rig = make_rig(exchange.url)
            await rig.run_until(lambda: bool(states.add(rig.client.status.state)) or "live" in states)
            assert rig.client.status.reasons["close_1008"] == 4
            assert "degraded" in states

    asyncio.run(main())


def test_fault_03_frames_beyond_the_limit_end_with_a_remedy() -> None:
    async def script(peer: Peer, number: int) -> None:
        await peer.send(acknowledgement("BTC-USD"), "x" * 5000)
        await peer.read_to_the_end()

    async def main() -> None:
        async with loopback(script) as exchange:
            rig = make_rig(exchange.url, settings=replace(IMPATIENT, max_frame_bytes=4000))
            with pytest.raises(FeedError, match="raise max_frame_bytes"):
                await rig.run_until(lambda: False)
            assert rig.sink.ends == ["close_1009"] * 3
            assert rig.client.status.state == "stopped"

    asyncio.run(main())


@pytest.mark.parametrize("status", [403, 429, 500, 503])
def test_fault_04_http_errors_at_the_handshake_are_retried(status: int) -> None:
    async def main() -> None:
        async with loopback(serve_well, statuses=[status] * 3) as exchange:
            rig = make_rig(exchange.url)
            await rig.run_until(lambda: rig.client.status.state == "live")
            assert rig.client.status.reasons == {f"http_{status}": 3, "stop": 1}
            assert (rig.client.status.sessions, rig.client.status.reconnects) == (1, 0)
            assert exchange.peers[0].headers["x-cb-retry-counter"] == "3"
            assert str(status) in rig.client.status.last_error

    asyncio.run(main())


def test_fault_04_a_refused_connection_is_retried() -> None:
    async def main(port: int) -> None:
        rig = make_rig(f"ws://127.0.0.1:{port}")
        await rig.run_until(lambda: rig.client.status.reasons.get("connection_refused", 0) >= 3)
        assert rig.sink.log == []

    with closed_port() as port:
        asyncio.run(main(port))


def test_fault_04_a_server_that_speaks_no_websocket_is_retried() -> None:
    async def main() -> None:
        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readline()
            writer.write(b"SSH-2.0-nothing\r\n")
            writer.close()

        server = await asyncio.start_server(handle, "127.0.0.1", 0)
        async with server:
            rig = make_rig(f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}")
            await rig.run_until(lambda: rig.client.status.reasons.get("handshake", 0) >= 2)

    asyncio.run(main())


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (socket.gaierror(-2, "Name or service not known"), "dns"),
        (ssl.SSLCertVerificationError(1, "certificate verify failed"), "tls"),
        (TimeoutError("timed out during opening handshake"), "timeout"),
        (OSError(101, "Network is unreachable"), "network"),
    ],
)
def test_fault_04_connect_errors_have_stable_labels(error: Exception, reason: str) -> None:
    assert describe_connect_error(error)[0] == reason


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "ws://[::1", "not an address"])
def test_a_malformed_address_is_told_at_once(url: str) -> None:
    with pytest.raises(FeedError, match="give a ws:// or wss:// address"):
        asyncio.run(make_rig(url).run_until(lambda: False))


def test_fault_05_a_subscription_never_acknowledged_reconnects() -> None:
    states: set[str] = set()

    async def script(peer: Peer, number: int) -> None:
        await peer.beat(heartbeat(), ticker(1), every_s=0.05)

    async def main() -> None:
        async with loopback(script) as exchange:
            rig = make_rig(exchange.url)

            def ended() -> bool:
                if not rig.sink.ends:
                    states.add(rig.client.status.state)
                return bool(rig.sink.ends)

            await rig.run_until(ended)
            assert rig.sink.ends[0] == "no_ack"
            assert "subscribing" in states
            assert "live" not in states

    asyncio.run(main())


def test_fault_05_an_acknowledgement_without_heartbeats_reconnects() -> None:
    async def script(peer: Peer, number: int) -> None:
        channels = [{"name": "ticker", "product_ids": ["BTC-USD"]}]
        await peer.send(json.dumps({"type": "subscriptions", "channels": channels}))
        await peer.beat(heartbeat(), ticker(1), every_s=0.05)

    async def main() -> None:
        async with loopback(script) as exchange:
            rig = make_rig(exchange.url)
            await rig.run_until(lambda: len(exchange.peers) == 2)
            assert rig.sink.ends[0] == "no_ack"
            assert "heartbeat" in rig.client.status.last_error

    asyncio.run(main())


def test_fault_05_a_partial_acknowledgement_degrades_and_heals() -> None:
    async def script(peer: Peer, number: int) -> None:
        everything = ["BTC-USD", "OLD-USD"]
        channels = [
            {"name": "ticker", "product_ids": ["BTC-USD"]},
            {"name": "heartbeat", "product_ids": everything},
        ]
        await peer.send(json.dumps({"type": "subscriptions", "channels": channels}), ticker(1))
        beating = asyncio.create_task(peer.beat(heartbeat()))
        await heal.wait()
        await peer.send(acknowledgement(*everything))
        await beating

    async def main() -> None:
        nonlocal heal
        heal = asyncio.Event()
        async with loopback(script) as exchange:
            rig = make_rig(exchange.url, products=("BTC-USD", "OLD-USD"))
            status = rig.client.status

            def degraded_then_live() -> bool:
                if status.state == "degraded":
                    assert (status.acknowledged, status.missing) == (("BTC-USD",), ("OLD-USD",))
                    heal.set()
                return heal.is_set() and status.state == "live"

            await rig.run_until(degraded_then_live)
            assert (rig.sink.ends, status.missing) == (["stop"], ())
            assert status.reasons["partial_ack"] == 1

    heal: Any = None
    asyncio.run(main())


def test_fault_06_a_connect_storm_is_bounded_by_the_bucket() -> None:
    async def script(peer: Peer, number: int) -> None:
        peer.connection.transport.abort()

    async def main() -> None:
        async with loopback(script) as exchange:
            rig = make_rig(exchange.url, bucket=TokenBucket(rate_per_s=20.0))
            began = time.monotonic()
            await rig.run_until(lambda: len(exchange.peers) == 16)
            assert time.monotonic() - began >= 15 / 20.0 * 0.95
            opened = [peer.opened_s for peer in exchange.peers]
            assert len({round(later - earlier, 4) for earlier, later in pairwise(opened)}) > 1

    asyncio.run(main())
