"""The pure engine against a plain recomputation of every window, in floats and fractions."""

from __future__ import annotations

import doctest
import math
import statistics
from fractions import Fraction
from itertools import pairwise

import pytest
from feature_streams import NS, START_NS, Kind, columns_of, rows_of, ticks_of
from hypothesis import given, settings
from hypothesis import strategies as st

from volspike.features import fixedpoint, memory, sets, window
from volspike.features.sets import get_feature_set
from volspike.features.window import PureWindowEngine, is_complete, is_ready

SIZED = get_feature_set("core-sized")
DECIMALS = 8

# Moves that admission lets through, and prices where a float keeps the half of a mid.
plain_kinds = st.builds(
    Kind,
    seed=st.integers(0, 2**32),
    ticks=st.integers(1, 150),
    price=st.sampled_from([10**6, 6 * 10**12]),
    gap_ns=st.sampled_from([10_000_000, 400_000_000, 8 * NS]),
    tie_frac=st.sampled_from([0.0, 0.5]),
    quiet_frac=st.sampled_from([0.0, 0.05]),
    move_frac=st.sampled_from([1e-5, 1e-3]),
)


def recomputed(rows: list[tuple[int, ...]], i: int) -> list[float]:
    """Return the values at row i from nothing but the definition."""
    now, covered = rows[i][:2]
    run = [row for row in rows[: i + 1] if row[1] == covered]
    inside = [row for row in run if now - 60 * NS < row[0] <= now]
    mids = [Fraction(row[2] + row[3], 2) for row in inside]
    returns = [math.log1p(float((b - a) / a)) for a, b in pairwise(mids)]
    spreads = [row[3] - row[2] for row in inside]
    sized = [row for row in inside if row[4] >= 0 and row[5] >= 0 and row[4] + row[5] > 0]
    return [
        statistics.fmean(returns) if returns else math.nan,
        statistics.stdev(returns) if len(returns) > 1 else math.nan,
        float(Fraction(sum(spreads), len(spreads) * 10**DECIMALS)),
        len(inside) / 60,
        float(sum(Fraction(d) / m for d, m in zip(spreads, mids, strict=True)) / len(inside)),
        realised(run, now),
        float(sum(Fraction(r[4] - r[5], r[4] + r[5]) for r in sized) / len(sized)) if sized else math.nan,
    ]


def realised(run: list[tuple[int, ...]], now: int) -> float:
    closed = -(-now // NS) - 1

    def mid_at(second: int) -> int | None:
        before = [row[2] + row[3] for row in run if row[0] <= second * NS]
        return before[-1] if before else None

    grid = [mid_at(second) for second in range(closed - 60, closed + 1)]
    steps = [*pairwise(grid), (grid[-1], run[-1][2] + run[-1][3])]
    squares = [math.log(b / a) ** 2 for a, b in steps if a is not None and b is not None]
    return math.sqrt(sum(squares)) * 1e4


@settings(max_examples=40, deadline=None)
@given(kind=plain_kinds)
def test_every_value_equals_its_definition(kind: Kind) -> None:
    rows = rows_of(ticks_of(kind))
    engine = PureWindowEngine(SIZED, DECIMALS)
    found = [engine.step(*row) for row in rows]
    for i in range(0, len(rows), 7):
        expected = recomputed(rows, i)
        assert found[i][:-1] == pytest.approx(expected, rel=1e-7, abs=1e-11, nan_ok=True)


def test_what_is_not_defined_is_nan() -> None:
    engine = PureWindowEngine(SIZED, 2)
    mean, std, spread, intensity, relative, rv, imbalance, ticks = engine.step(
        START_NS, START_NS, 99, 101, -1, 5
    )
    assert math.isnan(mean)
    assert math.isnan(std)
    assert math.isnan(imbalance)
    assert (spread, intensity, relative, rv, ticks) == (0.02, 1 / 60, 0.02, 0.0, 1.0)
    mean, std, *_ = engine.step(START_NS + 1, START_NS, 100, 102, -1, -1)
    assert mean == pytest.approx(math.log(101 / 100))
    assert math.isnan(std)
    assert engine.step(START_NS + 2, START_NS, 100, 102, 3, 1)[-2] == 0.5


def test_a_tick_60_s_old_is_out_and_takes_the_next_return_with_it() -> None:
    engine = PureWindowEngine(SIZED, 2)
    engine.step(START_NS, START_NS, 100, 100, -1, -1)
    engine.step(START_NS + NS, START_NS, 110, 110, -1, -1)
    just_inside = engine.step(START_NS + 60 * NS - 1, START_NS, 110, 110, -1, -1)
    assert (just_inside[-1], just_inside[0]) == (3.0, pytest.approx(math.log(1.1) / 2))
    out = engine.step(START_NS + 60 * NS, START_NS, 110, 110, -1, -1)
    assert (out[-1], out[0]) == (3.0, 0.0)


def test_a_tick_on_the_second_still_counts_into_it() -> None:
    rows = [
        (START_NS + 0, START_NS, 1000, 1000),
        (START_NS + NS, START_NS, 1010, 1010),
        (START_NS + NS, START_NS, 1020, 1020),  # a tie on the boundary: the later one is M(1)
        (START_NS + NS + 1, START_NS, 1020, 1020),
    ]
    engine = PureWindowEngine(SIZED, 2)
    rv = [engine.step(*row, -1, -1)[5] for row in rows]
    assert rv[1] == pytest.approx(math.log(1.01) * 1e4)
    assert rv[3] == pytest.approx(math.log(1.02) * 1e4)


def test_invariant_04_a_break_starts_an_empty_window() -> None:
    engine = PureWindowEngine(SIZED, 2)
    engine.step(START_NS, START_NS, 100, 102, -1, -1)
    engine.step(START_NS + NS, START_NS, 110, 112, -1, -1)
    row = engine.step(START_NS + 2 * NS, START_NS + 2 * NS, 500, 502, -1, -1)
    assert row[-1] == 1.0
    assert math.isnan(row[0])
    assert row[5] == 0.0


def test_ready_needs_60_s_of_cover_and_10_ticks() -> None:
    assert is_complete(START_NS + 60 * NS, START_NS)
    assert not is_complete(START_NS + 60 * NS - 1, START_NS)
    assert is_ready(START_NS + 60 * NS, START_NS, 10)
    assert not is_ready(START_NS + 60 * NS, START_NS, 9)
    assert not is_ready(START_NS, START_NS, 1000)


def test_an_empty_batch_has_the_columns_of_the_set() -> None:
    values, ticks = PureWindowEngine(SIZED, 2).batch(*columns_of([]))
    assert values.shape == (0, 7)
    assert ticks.shape == (0,)


@pytest.mark.parametrize("module", [fixedpoint, memory, sets, window])
def test_the_examples_in_the_docstrings_hold(module: object) -> None:
    result = doctest.testmod(module)  # type: ignore[arg-type]
    assert result.attempted > 0
    assert result.failed == 0
