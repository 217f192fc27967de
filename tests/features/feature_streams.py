"""Streams of ticks for the window tests, and the comparison of floats by their bits."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from hypothesis import strategies as st

from volspike.features.columns import FeatureSet
from volspike.features.engine import Engine
from volspike.records import UNKNOWN

NS = 1_000_000_000
START_NS = 1_700_000_000 * NS

Columns = tuple[np.ndarray, ...]  # event_ns, covered_since_ns, bid, ask, bid_size, ask_size


@dataclass(frozen=True)
class Kind:
    """What a stream is like."""

    seed: int = 0
    ticks: int = 400
    price: int = 6_000_000_000_000  # price units
    gap_ns: int = 200_000_000
    tie_frac: float = 0.2
    whole_second_frac: float = 0.05
    quiet_frac: float = 0.005
    break_frac: float = 0.005
    level_shift_frac: float = 0.002
    move_frac: float = 1e-4
    violent_frac: float = 0.0
    wide_frac: float = 0.05
    unknown_frac: float = 0.2


def ticks_of(kind: Kind) -> Columns:
    """Return event_ns, covered_since_ns, bid, ask, bid_size, ask_size of one seeded stream."""
    rng = np.random.default_rng(kind.seed)
    now, covered, mid = START_NS, START_NS, kind.price
    rows = []
    for _ in range(kind.ticks):
        now = _next_ns(rng, now, kind)
        shift = rng.random() < kind.level_shift_frac
        if shift or rng.random() < kind.break_frac:
            covered = now
        mid = _next_mid(rng, mid, kind, shift)
        half = _half_spread(rng, mid, kind)
        rows.append(
            (now, covered, max(1, mid - half), mid + half + int(rng.integers(0, 2)), *_sizes(rng, kind))
        )
    return columns_of(rows)


def columns_of(rows: list[tuple[int, ...]]) -> Columns:
    table = np.array(rows, np.int64).reshape(-1, 6)
    return tuple(np.ascontiguousarray(column) for column in table.T)


def inputs_of(feature_set: FeatureSet, columns: Columns) -> Columns:
    """Return ticks as a set takes them; where that is with a trade, each makes one of its own numbers."""
    if not feature_set.needs_trades:
        return columns
    event_ns, _, bid, ask, bid_size, _ = (column.astype(np.uint64) for column in columns)
    odd = np.uint64(0x9E3779B97F4A7C15)
    mixed = ((event_ns * odd ^ bid) * odd ^ bid_size) * odd ^ ask
    draws = [
        ((mixed >> np.uint64(shift)) & np.uint64(0xFFF)).astype(np.int64) for shift in (4, 16, 28, 40, 52)
    ]
    price = columns[2] + (columns[3] - columns[2]) * (draws[0] % 9 - 2) // 4 + draws[0] % 3 - 1
    size = 10 ** (draws[1] % 18) * (draws[2] % 9 + 1) + draws[2]
    volume_24h = draws[3] * 10 ** (draws[4] % 15) + draws[4]
    rare = [each % 16 for each in (*draws[1:], draws[0])]
    price = np.where(rare[0] == 0, UNKNOWN, np.where(rare[0] == 1, 2**61, price))
    return (
        *columns,
        price,
        np.where(rare[1] == 0, UNKNOWN, np.where(rare[1] == 1, 0, size)),
        np.where(rare[2] == 0, UNKNOWN, volume_24h),
    )


def inputs_of_row(feature_set: FeatureSet, row: tuple[int, ...]) -> tuple[int, ...]:
    """Return the same of one tick."""
    return rows_of(inputs_of(feature_set, columns_of([row])))[0]


def _next_ns(rng: np.random.Generator, now: int, kind: Kind) -> int:
    draw = rng.random()
    if draw < kind.tie_frac:
        return now
    if draw < kind.tie_frac + kind.quiet_frac:
        return now + int(rng.integers(30 * NS, 200 * NS))
    now += int(rng.exponential(kind.gap_ns)) + 1
    if rng.random() < kind.whole_second_frac:
        now = -(-now // NS) * NS
    return now


def _next_mid(rng: np.random.Generator, mid: int, kind: Kind, shift: bool) -> int:
    if shift:
        factor = rng.choice([0.1, 0.3, 3.0, 20.0])
    elif rng.random() < kind.violent_frac:
        factor = rng.choice([0.2, 0.505, 0.7, 0.97, 1.03, 1.4, 1.98, 5.0])
    else:
        factor = 1.0 + kind.move_frac * rng.standard_normal()
    return min(max(int(mid * factor), 2), 10**17)


def _half_spread(rng: np.random.Generator, mid: int, kind: Kind) -> int:
    if rng.random() < kind.wide_frac:
        return int(mid * rng.random())
    return int(mid * 1e-5 * rng.random())


def _sizes(rng: np.random.Generator, kind: Kind) -> tuple[int, int]:
    if rng.random() < kind.unknown_frac:
        return ((-1, -1), (-1, 5), (7, -1), (0, 0))[int(rng.integers(0, 4))]
    return int(rng.integers(0, 10**12)), int(rng.integers(0, 10 ** int(rng.integers(1, 18))))


kinds = st.builds(
    Kind,
    seed=st.integers(0, 2**32),
    ticks=st.integers(1, 500),
    price=st.sampled_from([2, 3, 1_000, 10**8, 6 * 10**12, 2**53 - 1, 2**53 + 1, 10**17]),
    gap_ns=st.sampled_from([1_000, 10_000_000, 300_000_000, 5 * NS, 40 * NS]),
    tie_frac=st.sampled_from([0.0, 0.3, 0.7]),
    quiet_frac=st.sampled_from([0.0, 0.02, 0.2]),
    break_frac=st.sampled_from([0.0, 0.02]),
    level_shift_frac=st.sampled_from([0.0, 0.01]),
    move_frac=st.sampled_from([0.0, 1e-9, 1e-4, 1e-2]),
    violent_frac=st.sampled_from([0.0, 0.3, 1.0]),
    wide_frac=st.sampled_from([0.0, 0.5]),
    unknown_frac=st.sampled_from([0.0, 0.3, 1.0]),
)


# Moves that admission lets through, and prices where a float keeps the half of a mid.
plain_kinds = st.builds(
    Kind,
    seed=st.integers(0, 2**32),
    ticks=st.integers(1, 150),
    price=st.sampled_from([10**6, 6 * 10**12]),
    gap_ns=st.sampled_from([10_000_000, 400_000_000, 3 * NS, 8 * NS]),
    tie_frac=st.sampled_from([0.0, 0.5]),
    quiet_frac=st.sampled_from([0.0, 0.05]),
    move_frac=st.sampled_from([0.0, 1e-5, 1e-3]),
    unknown_frac=st.sampled_from([0.0, 0.2, 1.0]),
)


def calm(kind: Kind) -> Kind:
    """Return the kind without breaks, so that coverage begins at its first tick."""
    return replace(kind, break_frac=0.0, level_shift_frac=0.0)


def between(columns: Columns, start: int, stop: int) -> Columns:
    return tuple(column[start:stop] for column in columns)


def rows_of(columns: Columns) -> list[tuple[int, ...]]:
    return list(zip(*(column.tolist() for column in columns), strict=True))


def values_at_last(engine: Engine, rows: list[tuple[int, ...]], names: list[str]) -> dict[str, float]:
    """Return the columns of these names at the last of some ticks, which the engine takes."""
    for row in rows:
        values = engine.step(*row)
    found = dict(zip(engine.feature_set.names, values[:-1], strict=True))
    return {name: found[name] for name in names}


def assert_in_ranges(
    feature_set: FeatureSet, values: np.ndarray, ranges: list[tuple[str, float, float]]
) -> None:
    """Assert that no value of a batch is infinite, and that those of named columns lie in their ranges."""
    assert not np.isinf(values).any()
    column = dict(zip(feature_set.names, values.T, strict=True))
    for name, low, high in ranges:
        known = column[name][~np.isnan(column[name])]
        assert ((known >= low) & (known <= high)).all(), name


def bits(values: np.ndarray | list[tuple[float, ...]]) -> np.ndarray:
    """Return floats as integers, so that NaN equals NaN and 0.0 differs from -0.0."""
    return np.ascontiguousarray(values, np.float64).view(np.int64)
