"""Faults that can be asked of a connection, each affecting only what its name says.

| kind            | effect                                                                        |
|-----------------|-------------------------------------------------------------------------------|
| ``drop``        | the TCP connection is reset in the middle of a frame                          |
| ``silence``     | nothing is sent or read any more, the socket stays open                       |
| ``close:CODE``  | the connection is closed with that code                                       |
| ``malformed``   | one extra frame of broken JSON                                                |
| ``duplicate:N`` | the next N ticker frames are sent twice                                       |
| ``gap:N``       | the next N ticker frames are not sent; their sequence numbers are used up      |
| ``stall``       | heartbeats end, data goes on                                                  |
| ``disorder:N``  | N times, two neighbouring ticker frames change places                         |
"""

from __future__ import annotations

import socket
import struct

import msgspec

from volspike.errors import ConfigError
from volspike.simulation.voice import Outgoing

KINDS = ("drop", "silence", "close", "malformed", "duplicate", "gap", "stall", "disorder")
_COUNTED = ("duplicate", "gap", "disorder")
_MALFORMED: Outgoing = ("malformed", b'{"channel":"ticker","events":[{"type":"upd')
# A text frame that announces 256 bytes and brings 8.
_HALF_FRAME = b'\x81\x7e\x01\x00{"type":'


class Fault(msgspec.Struct, frozen=True):
    """A fault to inject; ``after_s`` is market time after the first event, for a planned one."""

    kind: str
    argument: int = 0
    after_s: float = 0.0


def parse_fault(text: str, after_s: float = 0.0) -> Fault:
    """Read ``kind`` or ``kind:number``.

    Raises
    ------
    ConfigError
        If the kind is unknown, the number is none, or the close code can't be sent.
    """
    kind, _, argument = text.partition(":")
    number = argument or ("1012" if kind == "close" else "1" if kind in _COUNTED else "0")
    if kind not in KINDS or not number.isdecimal():
        raise ConfigError(f"fault {text!r}", "no such fault", f"use one of {', '.join(KINDS)}")
    if kind == "close" and not _sendable(int(number)):
        raise ConfigError(f"fault {text!r}", "no peer may send this code", "use drop for an abnormal close")
    return Fault(kind, int(number), after_s)


def _sendable(code: int) -> bool:
    return code in (1000, 1001, 1002, 1003, *range(1007, 1015)) or 3000 <= code < 5000


class FaultState:
    """The faults in force on one connection."""

    def __init__(self) -> None:
        self.muted = False
        self.stalled = False
        self._duplicates = 0
        self._gaps = 0
        self._swaps = 0
        self._held: Outgoing | None = None

    @property
    def holding(self) -> bool:
        """Return whether a frame is held back for a swap."""
        return self._held is not None

    def begin(self, fault: Fault) -> list[Outgoing]:
        """Put a fault in force; return frames to be sent at once."""
        self.muted |= fault.kind == "silence"
        self.stalled |= fault.kind == "stall"
        self._duplicates += fault.argument if fault.kind == "duplicate" else 0
        self._gaps += fault.argument if fault.kind == "gap" else 0
        self._swaps += fault.argument if fault.kind == "disorder" else 0
        return [_MALFORMED] if fault.kind == "malformed" else []

    def ticker(self, frame: Outgoing) -> list[Outgoing]:
        """Return what becomes of one ticker frame: none, itself, twice, or with the one held back."""
        if self._gaps:
            self._gaps -= 1
            return []
        if self._swaps and self._held is None:
            self._held = frame
            return []
        frames = [frame, *self.release()]
        if self._duplicates:
            self._duplicates -= 1
            frames.insert(0, frame)
        return frames

    def release(self) -> list[Outgoing]:
        """Return the frame held back for a swap, if any."""
        held, self._held = self._held, None
        if held is None:
            return []
        self._swaps -= 1
        return [held]


def half_frame() -> bytes:
    """Return the beginning of a frame whose end never comes."""
    return _HALF_FRAME


def reset_on_close(raw_socket: socket.socket) -> None:
    """Make closing the socket send a TCP reset instead of an orderly end."""
    raw_socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
