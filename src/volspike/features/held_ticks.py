"""The state of an engine with a second window as bytes: the window's snapshot, and the ticks inside.

All columns of a second window are functions of the ticks inside, so taking those again is restoring.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from volspike.features.snapshot import refused
from volspike.records import UNKNOWN

# int64[n, words]: one row a tick, oldest first.
Ticks = npt.NDArray[np.int64]

_DIGEST_BYTES = 32
_LENGTH_BYTES = 8


@dataclass(frozen=True)
class HeldTicks:
    """What a second window holds of each tick inside.

    Attributes
    ----------
    magic : bytes
        What its snapshots begin with.
    names : tuple of str
        The numbers of a tick that it holds, by their names among a set's ``inputs``.
    """

    magic: bytes
    names: tuple[str, ...]

    def write(self, window: bytes, ticks: Ticks) -> bytes:
        """Return a window's snapshot and the ticks inside as bytes, with a digest."""
        body = len(window).to_bytes(_LENGTH_BYTES, "little") + window + ticks.astype("<i8").tobytes()
        return self.magic + hashlib.sha256(body).digest() + body

    def split(self, data: bytes) -> tuple[bytes, Ticks]:
        """Return the window's snapshot and the ticks inside, as given to ``write``.

        Raises
        ------
        FeatureError
            If the bytes are torn, or of another format.
        """
        start = len(self.magic) + _DIGEST_BYTES
        body = data[start:]
        if data[:start] != self.magic + hashlib.sha256(body).digest():
            raise refused("is torn or of another format")
        ticks_from = _LENGTH_BYTES + int.from_bytes(body[:_LENGTH_BYTES], "little")
        ticks = np.frombuffer(body[ticks_from:], "<i8").astype(np.int64).reshape(-1, len(self.names))
        return body[_LENGTH_BYTES:ticks_from], ticks

    def columns(
        self, ticks: Ticks, covered_since_ns: int, inputs: Sequence[str]
    ) -> tuple[npt.NDArray[np.int64], ...]:
        """Return held ticks as the ``inputs`` of a set, to be taken again; what is not held is unknown."""
        held = dict(zip(self.names, np.ascontiguousarray(ticks.T), strict=True))
        held["covered_since_ns"] = np.full(len(ticks), covered_since_ns, np.int64)
        unknown = np.full(len(ticks), UNKNOWN, np.int64)
        return tuple(held.get(name, unknown) for name in inputs)


FLOW_TICKS = HeldTicks(b"volspike-flow-1", ("event_ns", "bid", "ask", "bid_size", "ask_size"))
TRADE_TICKS = HeldTicks(b"volspike-trade-1", ("event_ns", "bid", "ask", "price", "size", "volume_24h"))
