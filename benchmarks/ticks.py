"""Synthetic ticks: self-exciting arrivals, a random walk in cents, spreads of one to nine cents."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from volspike.simulation.arrivals import HawkesArrivals

I8 = npt.NDArray[np.int64]
NS = 1_000_000_000
PRICE_DECIMALS = 2


class Ticks(NamedTuple):
    """The columns that a window engine takes, int64[n]; prices in cents."""

    event_ns: I8
    covered_since_ns: I8
    bid: I8
    ask: I8
    bid_size: I8
    ask_size: I8


def make_ticks(per_second: int, count: int, seed: int = 7) -> Ticks:
    """Return ``count`` ticks at a mean rate; their stamps differ, so that peers agree on what a window is."""
    rng = np.random.default_rng([seed, per_second])
    length_s = int(1.5 * count / per_second) + 60
    arrivals_s = HawkesArrivals().block(np.full(length_s, float(per_second)), rng)[:count]
    event_ns = 1_900_000_000 * NS + (arrivals_s * NS).astype(np.int64)
    event_ns = np.maximum.accumulate(event_ns - np.arange(len(event_ns))) + np.arange(len(event_ns))
    n = len(event_ns)
    bid = 8_000_000 + np.cumsum(rng.integers(-30, 31, n) * (rng.random(n) < 0.4))
    ask = bid + rng.integers(1, 10, n)
    sizes = rng.integers(1, 10**9, (2, n))
    return Ticks(event_ns, np.full(n, event_ns[0]), bid, ask, sizes[0], sizes[1])


def complete(ticks: Ticks) -> npt.NDArray[np.bool_]:
    """Mark the ticks whose window lies inside the stream."""
    covered: npt.NDArray[np.bool_] = ticks.event_ns - ticks.event_ns[0] >= 60 * NS
    return covered
