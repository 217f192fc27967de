"""The faults in force on one connection, and what becomes of its frames."""

from __future__ import annotations

import re
import socket
import struct
from collections import deque
from itertools import repeat

from volspike.simulation import wire
from volspike.simulation.faults import Fault
from volspike.simulation.spoilers import SPOILERS
from volspike.simulation.voice import Outgoing

_MALFORMED: Outgoing = ("malformed", b'{"channel":"ticker","events":[{"type":"upd')
# A text frame that announces 256 bytes and brings 8.
_HALF_FRAME = b'\x81\x7e\x01\x00{"type":'
_COUNTER = re.compile(rb'(?<="heartbeat_counter":)\d+')


class FaultState:
    """The faults in force on one connection."""

    def __init__(self) -> None:
        self.muted = False
        self.stalled = False
        self._duplicates = 0
        self._gaps = 0
        self._swaps = 0
        self._held: Outgoing | None = None
        self._to_spoil: deque[str] = deque()
        self._skipped = 0
        self._freezing = False
        self._frozen_at: bytes | None = None

    @property
    def holding(self) -> bool:
        """Return whether a frame is held back for a swap."""
        return self._held is not None

    def begin(self, fault: Fault) -> list[Outgoing]:
        """Put a fault in force; return frames to be sent at once."""
        match fault.kind:
            case "malformed":
                return [_MALFORMED]
            case "error":
                return [("error", wire.error(*fault.text.split(": ", 1)))]
            case "silence":
                self.muted = True
            case "stall":
                self.stalled = True
            case "freeze":
                self._freezing = True
            case "skip":
                self._skipped += fault.argument
            case "duplicate":
                self._duplicates += fault.argument
            case "gap":
                self._gaps += fault.argument
            case "disorder":
                self._swaps += fault.argument
            case kind if kind in SPOILERS:
                self._to_spoil.extend(repeat(kind, fault.argument))
        return []

    def ticker(self, frame: Outgoing) -> list[Outgoing]:
        """Return what becomes of a ticker frame: none, itself, spoiled, twice, or with the one held back."""
        if self._gaps:
            self._gaps -= 1
            return []
        if self._to_spoil:
            kind = self._to_spoil.popleft()
            frame = (kind, SPOILERS[kind](frame[1]))
        if self._swaps and self._held is None:
            self._held = frame
            return []
        frames = [frame, *self.release()]
        if self._duplicates:
            self._duplicates -= 1
            frames.insert(0, frame)
        return frames

    def heartbeat(self, frames: list[Outgoing]) -> list[Outgoing]:
        """Return what becomes of the heartbeats of one second."""
        if not (self._skipped or self._freezing):
            return frames
        return [(kind, _COUNTER.sub(self._count, frame)) for kind, frame in frames]

    def release(self) -> list[Outgoing]:
        """Return the frame held back for a swap, if any."""
        held, self._held = self._held, None
        if held is None:
            return []
        self._swaps -= 1
        return [held]

    def _count(self, counter: re.Match[bytes]) -> bytes:
        shown = b"%d" % (int(counter[0]) + self._skipped)
        if not self._freezing:
            return shown
        self._frozen_at = self._frozen_at or shown
        return self._frozen_at


def half_frame() -> bytes:
    """Return the beginning of a frame whose end never comes."""
    return _HALF_FRAME


def reset_on_close(raw_socket: socket.socket) -> None:
    """Make closing the socket send a TCP reset instead of an orderly end."""
    raw_socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
