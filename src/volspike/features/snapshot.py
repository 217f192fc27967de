"""The state of a window engine as bytes, the same for the pure and the compiled engine.

Only what can't be recomputed is kept: the ticks inside the window and the grid of seconds. Sums are rebuilt.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from volspike.errors import FeatureError
from volspike.features.columns import FeatureSet

NO_IMBALANCE = 2**62
EVENT_NS, RETURN, SPREAD, RELATIVE, SIZE_IMBALANCE = range(5)

_MAGIC = b"volspike-window-1"
_DIGEST_BYTES = 32
_HASH_BYTES = 32
_HEADER_WORDS = 6
_SECONDS = 60


@dataclass(frozen=True)
class WindowState:
    """What a window engine remembers.

    Attributes
    ----------
    covered_since_ns : int
        Coverage of the newest tick (ns).
    last_ns, last_mid_sum : int
        Time and bid + ask of the newest tick; a mid sum of 0 means that there was none.
    closed, closed_mid_sum : int
        The last closed epoch second and its bid + ask; 0 where no tick lies before it since the break.
    second_returns : ndarray of int64, shape (60,)
        Returns of the last 60 closed seconds at scale ``2**60``, oldest first.
    rows : ndarray of int64, shape (n, 5)
        The ticks inside the window, oldest first: event_ns, return from the tick before (0 in the first row),
        spread, relative spread, size imbalance (``NO_IMBALANCE`` where sizes are unknown).
    """

    covered_since_ns: int
    last_ns: int
    last_mid_sum: int
    closed: int
    closed_mid_sum: int
    second_returns: npt.NDArray[np.int64]
    rows: npt.NDArray[np.int64]

    @cached_property
    def sum_q(self) -> int:
        """Return the sum of the returns inside the window."""
        return sum(self.rows[:, RETURN].tolist())

    @cached_property
    def sum_qq(self) -> int:
        """Return the sum of the squared returns inside the window."""
        return sum(q * q for q in self.rows[:, RETURN].tolist())

    @cached_property
    def sum_spread(self) -> int:
        """Return the sum of the spreads."""
        return sum(self.rows[:, SPREAD].tolist())

    @cached_property
    def sum_relative(self) -> int:
        """Return the sum of the relative spreads."""
        return sum(self.rows[:, RELATIVE].tolist())

    @cached_property
    def imbalances(self) -> list[int]:
        """Return the size imbalances that are known."""
        return [value for value in self.rows[:, SIZE_IMBALANCE].tolist() if value != NO_IMBALANCE]

    @cached_property
    def sum_seconds(self) -> int:
        """Return the sum of the squared returns of the closed seconds."""
        return sum(q * q for q in self.second_returns.tolist())


def write_snapshot(state: WindowState, feature_set: FeatureSet, price_decimals: int) -> bytes:
    """Return the state as bytes, with a digest and the hash of its feature set."""
    header = (
        price_decimals,
        state.covered_since_ns,
        state.last_ns,
        state.last_mid_sum,
        state.closed,
        state.closed_mid_sum,
    )
    words = np.concatenate([np.array(header, np.int64), state.second_returns, state.rows.ravel()])
    body = bytes.fromhex(feature_set.hash) + words.astype("<i8").tobytes()
    return _MAGIC + hashlib.sha256(body).digest() + body


def read_snapshot(data: bytes, feature_set: FeatureSet, price_decimals: int) -> WindowState:
    """Return the state written by ``write_snapshot``.

    Raises
    ------
    FeatureError
        If the bytes are torn, or made for another feature set or price scale.
    """
    start = len(_MAGIC) + _DIGEST_BYTES
    body = data[start:]
    if data[:start] != _MAGIC + hashlib.sha256(body).digest():
        raise refused("is torn or of another format")
    if body[:_HASH_BYTES].hex() != feature_set.hash:
        raise refused(f"was made for another feature set than {feature_set.name!r}")
    words = np.frombuffer(body[_HASH_BYTES:], "<i8").astype(np.int64)
    decimals, covered_since_ns, last_ns, last_mid_sum, closed, closed_mid_sum = words[:_HEADER_WORDS].tolist()
    if decimals != price_decimals:
        raise refused(f"has {decimals} price decimals, not {price_decimals}")
    rows_from = _HEADER_WORDS + _SECONDS
    seconds = words[_HEADER_WORDS:rows_from]
    rows = words[rows_from:].reshape(-1, 5)
    return WindowState(covered_since_ns, last_ns, last_mid_sum, closed, closed_mid_sum, seconds, rows)


def refused(reason: str) -> FeatureError:
    """Return the error for a snapshot that can't be used."""
    remedy = "start with an empty window and replay the last two minutes"
    return FeatureError("window snapshot", reason, remedy)
