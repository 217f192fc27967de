"""Messages are handed over whole, in order, once, and a receiver that fails is heard."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed, ConnectionClosedOK

from volspike.exchange.connecting import ClientSettings, open_socket
from volspike.exchange.direct_connection import DirectConnection

Speak = Callable[[ServerConnection], Awaitable[None]]


@asynccontextmanager
async def connected(speak: Speak) -> AsyncIterator[DirectConnection]:
    async with serve(speak, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        socket = await open_socket(f"ws://127.0.0.1:{port}", ClientSettings(), 0)
        try:
            yield socket
        finally:
            socket.transport.abort()


def heard(speak: Speak, pause_s: float = 0.0) -> list[bytes]:
    """Return the messages that one connection hands over until the server closes it."""
    messages: list[bytes] = []

    async def listen() -> None:
        async with connected(speak) as socket:
            await asyncio.sleep(pause_s)
            with pytest.raises(ConnectionClosedOK):
                await socket.deliver(messages.append)

    asyncio.run(listen())
    return messages


def test_texts_bytes_and_fragments_come_whole_and_in_order() -> None:
    async def speak(ws: ServerConnection) -> None:
        await ws.send("one")
        await ws.send(["t", "w", "", "o"])
        await ws.ping()
        await ws.send(b"three \xff")
        await ws.send(["", "four"])
        await ws.send("")
        await ws.send([b"s", b"ix"])

    expected = [b"one", b"two", b"three \xff", b"four", b"", b"six"]
    assert heard(speak) == expected
    assert all(type(message) is bytes for message in heard(speak))


@pytest.mark.parametrize("pause_s", [0.0, 0.05])
def test_nothing_is_lost_between_the_handshake_and_the_receiver(pause_s: float) -> None:
    async def speak(ws: ServerConnection) -> None:
        for number in range(300):
            await ws.send(f"{number}")
            if number == 150:
                await asyncio.sleep(0.1)

    assert heard(speak, pause_s) == [b"%d" % number for number in range(300)]


@pytest.mark.parametrize("pause_s", [0.0, 0.05])
def test_what_the_receiver_raises_is_raised_once_and_ends_the_connection(pause_s: float) -> None:
    async def speak(ws: ServerConnection) -> None:
        for number in range(100):
            await ws.send(f"{number}")
        await ws.wait_closed()

    taken: list[bytes] = []

    def receive(message: bytes) -> None:
        taken.append(message)
        if message == b"7":
            raise ZeroDivisionError(message)

    async def listen() -> None:
        async with connected(speak) as socket:
            await asyncio.sleep(pause_s)
            with pytest.raises(ZeroDivisionError):
                await socket.deliver(receive)
            with pytest.raises(ConnectionClosed):
                await socket.recv()

    asyncio.run(listen())
    assert taken == [b"%d" % number for number in range(8)]
