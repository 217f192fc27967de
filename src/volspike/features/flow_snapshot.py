"""The state of a flow engine as bytes: a window's snapshot, and the quotes inside the window.

All flow columns are functions of the ticks inside, so taking those again is restoring.
"""

from __future__ import annotations

import hashlib

import numpy as np
import numpy.typing as npt

from volspike.features.snapshot import refused

# int64[n, 5]: event_ns, bid, ask, bid_size, ask_size, oldest first.
Quotes = npt.NDArray[np.int64]

_MAGIC = b"volspike-flow-1"
_DIGEST_BYTES = 32
_LENGTH_BYTES = 8


def write_flow_snapshot(window: bytes, quotes: Quotes) -> bytes:
    """Return a window's snapshot and its quotes as bytes, with a digest."""
    body = len(window).to_bytes(_LENGTH_BYTES, "little") + window + quotes.astype("<i8").tobytes()
    return _MAGIC + hashlib.sha256(body).digest() + body


def split_snapshot(data: bytes) -> tuple[bytes, Quotes]:
    """Return the window's snapshot and the quotes written by ``write_flow_snapshot``.

    Raises
    ------
    FeatureError
        If the bytes are torn, or of another format.
    """
    start = len(_MAGIC) + _DIGEST_BYTES
    body = data[start:]
    if data[:start] != _MAGIC + hashlib.sha256(body).digest():
        raise refused("is torn or of another format")
    quotes_from = _LENGTH_BYTES + int.from_bytes(body[:_LENGTH_BYTES], "little")
    quotes = np.frombuffer(body[quotes_from:], "<i8").astype(np.int64).reshape(-1, 5)
    return body[_LENGTH_BYTES:quotes_from], quotes
