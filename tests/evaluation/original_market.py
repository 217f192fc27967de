"""Hand-made and random recordings for the tests of the original's protocol."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from volspike.evaluation.original.columns import TICK, Recorded

NS = 1_000_000_000
START_S = 1_800_000_000
DECIMALS = 2


def recorded(
    seconds: Sequence[float],
    bid: Sequence[int],
    ask: Sequence[int],
    *,
    cover: Sequence[float] | None = None,
    kind: Sequence[int] | None = None,
    latency_s: float = 0.0,
) -> Recorded:
    """Return tickers at seconds after the start, prices in cents; covered since the first by default."""
    event_ns = START_S * NS + np.rint(np.array(seconds) * NS).astype(np.int64)
    since = np.full(len(seconds), seconds[0]) if cover is None else np.array(cover)
    return Recorded(
        product="BTC-USD",
        price_decimals=DECIMALS,
        kind=np.full(len(seconds), TICK, np.int8) if kind is None else np.array(kind, np.int8),
        receive_ns=event_ns + round(latency_s * NS),
        event_ns=event_ns,
        covered_since_ns=START_S * NS + np.rint(since * NS).astype(np.int64),
        bid=np.array(bid, np.int64),
        ask=np.array(ask, np.int64),
    )


def of_mids(seconds: Sequence[float], mid: Sequence[int], **more: Sequence[float]) -> Recorded:
    """Return tickers with a spread of two cents."""
    return recorded(seconds, np.array(mid) - 1, np.array(mid) + 1, **more)


def random_market(seed: int, count: int, *, break_rate: float = 0.01, longest_s: float = 8.0) -> Recorded:
    """Return tickers at uneven times with breaks between them."""
    rng = np.random.default_rng(seed)
    gaps_s = rng.choice((0.0, 0.25, 1.0, longest_s), count, p=(0.2, 0.4, 0.3, 0.1)) * rng.random(count)
    seconds = np.round(np.cumsum(gaps_s), 6)
    mid = 1_000_000 + np.cumsum(rng.integers(-300, 301, count))
    begins = rng.random(count) < break_rate
    begins[0] = True
    cover = np.maximum.accumulate(np.where(begins, seconds + np.arange(count) * 1e-8, -1.0))
    return of_mids(seconds, mid, cover=cover)


def unpredictable_market(seed: int, count: int, every_s: float) -> Recorded:
    """Return tickers whose returns are independent and equally distributed: the past says nothing."""
    rng = np.random.default_rng(seed)
    mid = np.rint(10_000_000_000 * np.exp(np.cumsum(rng.normal(0.0, 1e-4, count)))).astype(np.int64)
    return of_mids(np.arange(count) * every_s, mid)


def with_prices(market: Recorded, changed: np.ndarray, seed: int = 1) -> Recorded:
    """Return the market with other prices where ``changed``."""
    rng = np.random.default_rng(seed)
    shift = np.where(changed, rng.integers(1_000, 50_000, len(changed)), 0)
    return replace(market, bid=market.bid + shift, ask=market.ask + shift)
