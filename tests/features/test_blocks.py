"""A batch takes plain blocks of ticks together and all others one by one: both ways, and every way across."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from feature_streams import NS, START_NS, bits, columns_of
from hypothesis import given, settings
from hypothesis import strategies as st

from volspike.features.engine import WindowEngine
from volspike.features.kernel_block import BLOCK
from volspike.features.sets import get_feature_set
from volspike.features.window import PureWindowEngine

CORE, SIZED = get_feature_set("core"), get_feature_set("core-sized")
PRICE = 2 * 10**17

Row = tuple[int, int, int, int, int, int]
Segment = tuple[str, int]


def rows_of(segments: list[Segment]) -> Iterator[Row]:
    now = covered = START_NS
    for number, (kind, ticks) in enumerate(segments):
        if kind == "break":
            covered = now
        elif kind == "quiet":
            now += 61 * NS
        elif kind == "pause":
            now += 30 * NS
        for i in range(ticks):
            now += {"dense": 10**6, "tied": 0}.get(kind, 40_000_000)
            mid = PRICE + (i * 7919 + number) % 1000 * 10**11
            if kind == "violent" and i % 2:
                mid = mid * 19 // 10
            half = {"wide": PRICE // 2, "loose": PRICE // 20}.get(kind, 10**12)
            yield now, covered, mid - half, mid + half, (i * 31) % 7 - 1, (i * 17) % 11


def assert_equal_to_pure(rows: list[Row], sized: bool = True) -> None:
    feature_set, columns = SIZED if sized else CORE, columns_of(rows)
    pure, compiled = PureWindowEngine(feature_set, 8), WindowEngine(feature_set, 8)
    for expected, found in zip(pure.batch(*columns), compiled.batch(*columns), strict=True):
        np.testing.assert_array_equal(bits(expected), bits(found))
    assert pure.snapshot() == compiled.snapshot()


KINDS = ["calm", "violent", "wide", "loose", "dense", "tied", "quiet", "pause", "break"]


@settings(max_examples=40, deadline=None)
@given(
    segments=st.lists(st.tuples(st.sampled_from(KINDS), st.integers(1, 700)), min_size=1, max_size=6),
    sized=st.booleans(),
)
def test_invariant_01_blocks_of_every_kind_equal_the_pure_engine(
    segments: list[Segment], sized: bool
) -> None:
    assert_equal_to_pure(list(rows_of(segments)), sized)


@pytest.mark.parametrize(
    ("kind", "limit"),
    [("violent", "dispersion"), ("wide", "spread"), ("loose", "relative")],
)
def test_sums_cross_the_limit_of_a_block_and_come_back(kind: str, limit: str) -> None:
    rows = list(rows_of([("calm", 6 * BLOCK), (kind, 4 * BLOCK), ("calm", 20 * BLOCK)]))
    pure = PureWindowEngine(CORE, 8)
    beyond = []
    for row in rows:
        ticks = int(pure.step(*row)[-1])
        sums = {
            "dispersion": ticks * pure._sum_qq >= 2**126,
            "spread": pure._sum_spread >= 2**64,
            "relative": pure._sum_relative >= 2**64,
        }
        beyond.append(sums[limit])
    # Whole blocks lie on either side, so both ways are taken.
    assert not any(beyond[: 6 * BLOCK])
    assert all(beyond[8 * BLOCK : 10 * BLOCK])
    assert not any(beyond[-4 * BLOCK :])
    assert_equal_to_pure(rows)


@pytest.mark.parametrize("leaving", [1, 15, 16, 17, 33, 4000])
def test_any_number_of_ticks_can_leave_at_once(leaving: int) -> None:
    rows = list(rows_of([("calm", 100), ("tied", leaving), ("calm", 2 * BLOCK), ("pause", 2 * BLOCK)]))
    later = list(rows_of([("calm", 2 * BLOCK)]))
    shift = rows[-1][0] + 50 * NS - START_NS
    assert_equal_to_pure(rows + [(row[0] + shift, *row[1:]) for row in later])


@pytest.mark.parametrize("at", [0, 1, BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK - 1])
def test_a_break_at_any_place_in_a_block(at: int) -> None:
    rows = list(rows_of([("calm", BLOCK + at), ("break", 3 * BLOCK)]))
    assert_equal_to_pure(rows)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_windows_slide_over_the_end_of_the_ring(seed: int) -> None:
    rng = np.random.default_rng(seed)
    # About 2,000 ticks a window, most of them in bursts, in a ring of 4,096: they pass its end five times.
    gaps = rng.exponential(200_000_000, 20_000) * (rng.random(20_000) < 0.15)
    now = START_NS + np.cumsum(gaps.astype(np.int64))
    mid = PRICE + np.cumsum(rng.integers(-(10**12), 10**12, 20_000))
    rows = [
        (int(t), START_NS, int(m) - 10**11, int(m) + 10**11, i % 5 - 1, 3)
        for i, (t, m) in enumerate(zip(now, mid, strict=True))
    ]
    columns = columns_of(rows)
    expected, ticks = PureWindowEngine(SIZED, 8).batch(*columns)
    assert 1_500 < ticks[-1] < 3_500
    engine, done = WindowEngine(SIZED, 8), 0
    while done < len(rows):
        size = int(rng.choice([1, 3, 127, 128, 129, 1000]))
        found, _ = engine.batch(*(column[done : done + size] for column in columns))
        np.testing.assert_array_equal(bits(expected[done : done + size]), bits(found))
        done += size
        if done < len(rows):
            np.testing.assert_array_equal(bits(expected[done]), bits([engine.step(*rows[done])[:-1]])[0])
            done += 1
