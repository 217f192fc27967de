"""A WebSocket connection without a queue between the socket and the reader.

It stands between the WebSocket library and ``session``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from websockets.asyncio.client import ClientConnection
from websockets.frames import DATA_OPCODES, Frame
from websockets.protocol import Event


class DirectConnection(ClientConnection):
    """Hands over each message as soon as its last frame is parsed.

    In the library a message waits in a queue until the event loop has woken the task that reads it. That
    costs as much as half of what is then done with a quote, and leaves the caches cold for it.

    Attributes
    ----------
    failure : Exception or None
        What the receiver raised; the connection is then aborted, and nothing more is handed over.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.failure: Exception | None = None
        self._fragments = bytearray()
        self._early: list[bytes] = []
        self._receive: Callable[[bytes], None] = self._early.append

    async def deliver(self, receive: Callable[[bytes], None]) -> None:
        """Hand over what came before this call, then every message until the connection is closed.

        Raises
        ------
        ConnectionClosed
            Always; it says how the connection ended.
        Exception
            What ``receive`` raised.
        """
        self._receive = receive
        for message in self._early:
            self._hand_over(message)
        self._early.clear()
        try:
            await self.recv()  # no message gets there, so it waits for the end
        finally:
            if self.failure is not None:
                raise self.failure

    def process_event(self, event: Event) -> None:
        """Take a parsed frame."""
        if not isinstance(event, Frame) or event.opcode not in DATA_OPCODES:
            super().process_event(event)
        elif not event.fin:
            self._fragments += event.data
        elif self._fragments:
            self._hand_over(bytes(self._fragments + event.data))
            self._fragments.clear()
        else:
            self._hand_over(bytes(event.data))

    def _hand_over(self, message: bytes) -> None:
        if self.failure is None:
            try:
                self._receive(message)
            except Exception as error:  # noqa: BLE001 - raised again by ``deliver``, in the reader's task
                self.failure = error
                self.transport.abort()
