"""Hand-made and random streams of ticks and marks for the label tests."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from hypothesis import strategies as st

from volspike.features.grid import ClosedSecond, SecondArrays, second_grid
from volspike.features.sets import get_feature_set
from volspike.features.table import FeatureTable
from volspike.features.window import PureWindowEngine

NS = 1_000_000_000
START_S = 1_000_000


@dataclass(frozen=True)
class Event:
    """A tick, or a mark where ``mid_sum`` is None."""

    event_ns: int
    covered_since_ns: int
    mid_sum: int | None


def at(seconds: float) -> int:
    return START_S * NS + round(seconds * NS)


def tick(seconds: float, mid_sum: int, covered_since_s: float) -> Event:
    return Event(at(seconds), at(covered_since_s), mid_sum)


def mark(seconds: float, covered_since_s: float) -> Event:
    return Event(at(seconds), at(covered_since_s), None)


def batch_grid(events: Sequence[Event]) -> SecondArrays:
    return second_grid(*columns(events))


def columns(events: Sequence[Event]) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return event_ns, covered_since_ns, mid_sum, is_tick."""
    return (
        np.array([e.event_ns for e in events], np.int64),
        np.array([e.covered_since_ns for e in events], np.int64),
        np.array([e.mid_sum or 0 for e in events], np.int64),
        np.array([e.mid_sum is not None for e in events], np.bool_),
    )


def as_closed(grid: SecondArrays) -> list[ClosedSecond]:
    rows = zip(
        grid.second.tolist(),
        grid.q.tolist(),
        grid.has_q.tolist(),
        grid.run.tolist(),
        grid.mid_sum.tolist(),
        strict=True,
    )
    return [ClosedSecond(s, q if has_q else None, run, mid) for s, q, has_q, run, mid in rows]


def random_events(
    seed: int, count: int, *, break_rate: float = 0.01, long_gap_s: float = 20.0, mark_rate: float = 0.1
) -> list[Event]:
    """Return a stream with ties, ticks on second boundaries, quiet stretches and breaks."""
    rng = random.Random(seed)
    now, covered, mid_sum = at(0.0), at(0.0), 20_000_000
    events = [Event(now, covered, mid_sum)]
    while len(events) < count:
        now += _gap_ns(rng, now, long_gap_s)
        mid_sum = max(1000, mid_sum + rng.choice((0, 0, 1, -1, 2, -2, 500, -500, 40_000, -40_000)))
        if rng.random() < break_rate and now > covered:
            covered = now
            events.append(Event(now, covered, mid_sum))
        else:
            events.append(Event(now, covered, None if rng.random() < mark_rate else mid_sum))
    return events


def _gap_ns(rng: random.Random, now: int, long_gap_s: float) -> int:
    kind = rng.random()
    if kind < 0.2:
        return 0
    if kind < 0.4:
        return -now % NS  # onto the boundary
    if kind < 0.97:
        return rng.randrange(1, NS)
    return rng.randrange(1, round(long_gap_s * NS))


streams = st.builds(
    random_events, st.integers(0, 10**9), st.integers(1, 300), break_rate=st.sampled_from((0, 0.05))
)


def mutate_after(events: Sequence[Event], event_ns: int) -> list[Event]:
    """Return the stream with the price of every later tick changed."""
    return [
        replace(e, mid_sum=e.mid_sum + 7777) if e.mid_sum is not None and e.event_ns > event_ns else e
        for e in events
    ]


def ticks_of(events: Sequence[Event]) -> Iterator[tuple[int, Event]]:
    return ((i, e) for i, e in enumerate(events) if e.mid_sum is not None)


def feature_table(events: Sequence[Event], **changes: object) -> FeatureTable:
    """Return the feature table (set core, prices with two decimals, a spread of one cent) of a stream."""
    event_ns, covered, mid_sum, is_tick = columns(events)
    engine = PureWindowEngine(get_feature_set("core"), 2)
    bid = np.where(is_tick, mid_sum // 2, 0)
    ask = mid_sum - bid
    values = np.full((len(events), len(CORE)), np.nan)
    ticks = np.zeros(len(events), np.int32)
    unsized = np.full(int(is_tick.sum()), -1, np.int64)
    values[is_tick], ticks[is_tick] = engine.batch(
        *(column[is_tick] for column in (event_ns, covered, bid, ask)), unsized, unsized
    )
    table = FeatureTable(
        product="BTC-USD",
        feed="exchange",
        feature_set="core",
        price_decimals=2,
        event_time_source="exchange",
        kind=np.where(is_tick, 0, 1).astype(np.int8),
        seq=np.arange(len(events)),
        row=np.zeros(len(events), np.int32),
        event_ns=event_ns,
        covered_since_ns=covered,
        bid=bid,
        ask=ask,
        ticks=ticks,
        complete=is_tick & (event_ns - covered >= 60 * NS),
        suspect=np.zeros(len(events), np.bool_),
        values=values,
    )
    return replace(table, **changes)


CORE = get_feature_set("core").names
