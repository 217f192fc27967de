from __future__ import annotations

import gc
import sys
from itertools import pairwise

import numpy as np
import pytest
from feature_streams import (
    NS,
    START_NS,
    Columns,
    Kind,
    between,
    bits,
    calm,
    columns_of,
    kinds,
    rows_of,
    ticks_of,
)
from hypothesis import given, settings
from hypothesis import strategies as st

import volspike.features
from volspike.errors import FeatureError
from volspike.features import engine as engine_module
from volspike.features.engine import Engine, WindowEngine, make_engine
from volspike.features.memory import MASK, Words, grown, most_inside
from volspike.features.sets import get_feature_set
from volspike.features.window import PureWindowEngine, return_mean, return_std

SETS = ["core", "core-sized"]
CORE, SIZED = (get_feature_set(name) for name in SETS)


def batch_rows(engine: Engine, columns: Columns) -> np.ndarray:
    values, ticks = engine.batch(*columns)
    return bits(np.column_stack([values, ticks]))


def step_rows(engine: Engine, columns: Columns) -> np.ndarray:
    return bits([engine.step(*row) for row in rows_of(columns)])


@settings(max_examples=60, deadline=None)
@given(kind=kinds, name=st.sampled_from(SETS), decimals=st.sampled_from([0, 2, 8]))
def test_invariant_01_compiled_equals_pure_to_the_bit(kind: Kind, name: str, decimals: int) -> None:
    columns, feature_set = ticks_of(kind), get_feature_set(name)
    pure = batch_rows(PureWindowEngine(feature_set, decimals), columns)
    compiled = batch_rows(WindowEngine(feature_set, decimals), columns)
    np.testing.assert_array_equal(pure, compiled)


@settings(max_examples=30, deadline=None)
@given(kind=kinds, cuts=st.lists(st.integers(0, 500), max_size=12))
def test_invariant_01_step_micro_batch_and_batch_are_the_same(kind: Kind, cuts: list[int]) -> None:
    columns = ticks_of(kind)
    whole = batch_rows(WindowEngine(SIZED, 8), columns)
    np.testing.assert_array_equal(whole, step_rows(WindowEngine(SIZED, 8), columns))
    engine = WindowEngine(SIZED, 8)
    edges = sorted({0, kind.ticks, *(cut for cut in cuts if cut < kind.ticks)})
    parts = [
        step_rows(engine, between(columns, start, stop))
        if stop - start == 1
        else batch_rows(engine, between(columns, start, stop))
        for start, stop in pairwise(edges)
    ]
    np.testing.assert_array_equal(whole, np.concatenate(parts))


@settings(max_examples=30, deadline=None)
@given(kind=kinds, start_frac=st.floats(0.0, 1.0))
def test_invariant_01_a_start_in_mid_stream_gives_the_same_rows_after_61_s(
    kind: Kind, start_frac: float
) -> None:
    columns = ticks_of(kind)
    start = int(start_frac * (kind.ticks - 1))
    whole = batch_rows(WindowEngine(SIZED, 8), columns)[start:]
    late = batch_rows(WindowEngine(SIZED, 8), between(columns, start, kind.ticks))
    event_ns, covered_since_ns = columns[0][start:], columns[1][start:]
    warm = (event_ns - event_ns[0] >= 61 * NS) | (covered_since_ns > event_ns[0])
    np.testing.assert_array_equal(whole[warm], late[warm])


def test_invariant_01_the_restart_test_reaches_warm_rows() -> None:
    columns = ticks_of(calm(Kind(seed=5, ticks=3000, gap_ns=NS // 4)))
    whole = batch_rows(WindowEngine(CORE, 8), columns)[1000:]
    late = batch_rows(WindowEngine(CORE, 8), between(columns, 1000, 3000))
    warm = columns[0][1000:] - columns[0][1000] >= 61 * NS
    assert warm.sum() > 500
    np.testing.assert_array_equal(whole[warm], late[warm])
    assert not np.array_equal(whole[~warm], late[~warm])


@settings(max_examples=30, deadline=None)
@given(first=kinds, second=kinds, cut_frac=st.floats(0.0, 1.0))
def test_invariant_02_rows_do_not_depend_on_later_ticks(first: Kind, second: Kind, cut_frac: float) -> None:
    columns = ticks_of(first)
    cut = int(cut_frac * first.ticks)
    whole = batch_rows(WindowEngine(SIZED, 8), columns)[:cut]
    np.testing.assert_array_equal(whole, batch_rows(WindowEngine(SIZED, 8), between(columns, 0, cut)))
    tail = list(ticks_of(second))
    shift = int(columns[0][max(cut - 1, 0)]) - START_NS
    tail[0], tail[1] = tail[0] + shift, tail[1] + shift
    mutated = tuple(np.concatenate([a[:cut], b]) for a, b in zip(columns, tail, strict=True))
    np.testing.assert_array_equal(whole, batch_rows(WindowEngine(SIZED, 8), mutated)[:cut])


def test_invariant_02_of_equal_stamps_a_row_sees_only_those_before_it() -> None:
    rows = [(START_NS, START_NS, 100 + i, 102 + i, 1, 1) for i in range(4)]
    _, ticks = WindowEngine(CORE, 0).batch(*columns_of(rows))
    assert ticks.tolist() == [1, 2, 3, 4]


def test_invariant_04_nothing_spans_a_break() -> None:
    columns = ticks_of(Kind(seed=3, ticks=600, break_frac=0.03))
    whole = batch_rows(WindowEngine(SIZED, 8), columns)
    firsts = [0, *(np.flatnonzero(np.diff(columns[1])) + 1).tolist(), 600]
    assert len(firsts) > 5
    for start, stop in pairwise(firsts):
        alone = batch_rows(WindowEngine(SIZED, 8), between(columns, start, stop))
        np.testing.assert_array_equal(whole[start:stop], alone)


def test_invariant_10_the_same_ticks_give_the_same_bytes() -> None:
    columns = ticks_of(Kind(seed=11, ticks=800))
    first, second = (WindowEngine(SIZED, 8) for _ in range(2))
    assert first.batch(*columns)[0].tobytes() == second.batch(*columns)[0].tobytes()
    assert first.snapshot() == second.snapshot()


def test_a_burst_of_300_000_ticks_grows_the_ring() -> None:
    count, tail = 300_000, 2_000
    rng = np.random.default_rng(1)
    event_ns = START_NS + np.sort(rng.integers(0, 50 * NS, count))
    mid = 6_000_000_000_000 + np.cumsum(rng.integers(-(10**6), 10**6 + 1, count))
    columns = (
        event_ns,
        np.full(count, START_NS),
        mid - 500_000,
        mid + 500_000,
        *rng.integers(-1, 50, (2, count)),
    )
    whole = batch_rows(WindowEngine(SIZED, 8), columns)
    assert whole[-1, -1] == bits(np.array([float(count)]))[0]

    chunked, compiled, pure = WindowEngine(SIZED, 8), WindowEngine(SIZED, 8), PureWindowEngine(SIZED, 8)
    edges = [0, 5_000, 70_000, 70_001, count - tail, count]
    parts = [batch_rows(chunked, between(columns, a, b)) for a, b in pairwise(edges)]
    np.testing.assert_array_equal(whole, np.concatenate(parts))

    compiled.batch(*between(columns, 0, count - tail))
    pure.restore(compiled.snapshot())
    np.testing.assert_array_equal(whole[-tail:], batch_rows(pure, between(columns, count - tail, count)))
    # The window drains again: eviction undoes exactly what entry did.
    drained = columns_of(
        [(START_NS + second * NS, START_NS, 10**12, 10**12 + 2, 3, 4) for second in range(80, 240)]
    )
    np.testing.assert_array_equal(batch_rows(pure, drained), batch_rows(chunked, drained))


def test_the_ring_grows_on_single_steps() -> None:
    rows = [(START_NS + i, START_NS, 10_000 + i % 7, 10_010 + i % 5, -1, -1) for i in range(9000)]
    stepped = step_rows(WindowEngine(CORE, 2), columns_of(rows))
    np.testing.assert_array_equal(stepped, batch_rows(PureWindowEngine(CORE, 2), columns_of(rows)))


def test_a_batch_grows_the_ring_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    capacities = []

    def counted(memory: Words, room: int) -> Words:
        larger = grown(memory, room)
        capacities.append(int(larger[MASK]) + 1)
        return larger

    monkeypatch.setattr(engine_module, "grown", counted)
    rows = [(START_NS + i * NS // 500, START_NS, 10_000 + i % 7, 10_010, -1, -1) for i in range(60_000)]
    WindowEngine(CORE, 2).batch(*columns_of(rows))
    assert capacities == [32_768]
    late_first = np.array([START_NS + 90 * NS, *range(START_NS, START_NS + 3000)])
    assert 1024 < most_inside(late_first) <= 1024 + len(late_first)


def test_a_step_outlives_its_engine_and_refuses_what_is_no_tick() -> None:
    step = WindowEngine(CORE, 2).step
    gc.collect()
    rows = rows_of(ticks_of(Kind(seed=6, ticks=600)))
    pure = PureWindowEngine(CORE, 2)
    assert bits([step(*row) for row in rows]).tolist() == bits([pure.step(*row) for row in rows]).tolist()
    tick = list(rows[-1])
    ticks = step(*tick[:2], np.int64(tick[2]), *tick[3:])[-1]
    for wrong in ([], tick[:5], [*tick, 1], [float(tick[0]), *tick[1:]], [None, *tick[1:]]):
        with pytest.raises(TypeError):
            step(*wrong)
    with pytest.raises(OverflowError):
        step(2**70, *tick[1:])
    assert step(*tick)[-1] == ticks + 1.0


def test_sums_beyond_64_and_128_bits_stay_exact() -> None:
    # 3000 moves by a factor of 1.9 within the window: the sum of squares passes 2**128 at scale 2**120.
    rows = [
        (
            START_NS + i * NS // 100,
            START_NS,
            *((10**17, 10**17 + 2) if i % 2 else (19 * 10**16, 2 * 10**17)),
            -1,
            -1,
        )
        for i in range(3000)
    ]
    pure = batch_rows(PureWindowEngine(CORE, 8), columns_of(rows))
    np.testing.assert_array_equal(pure, batch_rows(WindowEngine(CORE, 8), columns_of(rows)))


def test_a_bad_value_leaves_no_residue() -> None:
    clean = ticks_of(calm(Kind(seed=8, ticks=2500, violent_frac=0.0, wide_frac=0.0, quiet_frac=0.0)))
    bad = tuple(column.copy() for column in clean)
    bad[2][700], bad[3][700] = bad[2][700] * 19 // 10, bad[3][700] * 2
    after = clean[0] > clean[0][700] + 61 * NS
    assert after.sum() > 500
    first, second = (batch_rows(WindowEngine(SIZED, 8), columns) for columns in (clean, bad))
    np.testing.assert_array_equal(first[after], second[after])
    assert not np.array_equal(first[701], second[701])


def test_steady_drift_does_not_cancel() -> None:
    # Returns of 1e-3 that differ by 1e-12: the float form of the variance loses them, the exact one does not.
    returns = [2**50 + (i % 3) for i in range(1000)]
    total, squares, k = sum(returns), sum(q * q for q in returns), len(returns)
    deviations = [q - total / k for q in returns]
    exact = np.sqrt(sum(d * d for d in deviations) / (k - 1)) / 2.0**60
    assert return_std(total, squares, k) == pytest.approx(exact, rel=1e-9)
    assert return_mean(total, k) == pytest.approx(2.0**-10)


@pytest.mark.parametrize("make", [WindowEngine, PureWindowEngine])
def test_what_is_no_quote_or_late_is_refused_and_changes_nothing(make: type[WindowEngine]) -> None:
    engine, untouched = make(CORE, 2), make(CORE, 2)
    for each in (engine, untouched):
        each.step(START_NS, START_NS, 100, 102, -1, -1)
        each.step(START_NS + NS, START_NS, 101, 103, -1, -1)
    later = START_NS + 300 * NS
    for bid, ask in [(0, 2), (-5, 2), (103, 102), (5, 2**61)]:
        with pytest.raises(FeatureError, match="no quote"):
            engine.step(later, START_NS, bid, ask, -1, -1)
    with pytest.raises(FeatureError, match="older"):
        engine.step(START_NS, START_NS, 100, 102, -1, -1)
    with pytest.raises(FeatureError, match="older"):
        engine.batch(*columns_of([(START_NS, START_NS, 100, 102, -1, -1)]))
    assert engine.snapshot() == untouched.snapshot()


def test_a_batch_takes_the_ticks_before_a_bad_one() -> None:
    columns = ticks_of(Kind(seed=2, ticks=700))
    bad = tuple(column.copy() for column in columns)
    bad[2][600] = 0
    engine, prefix = WindowEngine(SIZED, 8), WindowEngine(SIZED, 8)
    with pytest.raises(FeatureError, match="no quote"):
        engine.batch(*bad)
    prefix.batch(*between(columns, 0, 600))
    assert engine.snapshot() == prefix.snapshot()


def test_a_batch_takes_read_only_strided_and_empty_arrays_but_no_ragged_ones() -> None:
    columns = ticks_of(Kind(seed=4, ticks=100))
    table = np.stack(columns, axis=1)
    table.flags.writeable = False
    np.testing.assert_array_equal(
        batch_rows(WindowEngine(CORE, 8), columns), batch_rows(WindowEngine(CORE, 8), tuple(table.T))
    )
    values, ticks = WindowEngine(SIZED, 8).batch(*between(columns, 0, 0))
    assert values.shape == (0, 7)
    assert ticks.shape == (0,)
    with pytest.raises(ValueError, match="length"):
        WindowEngine(CORE, 8).batch(columns[0][:5], *columns[1:])


@settings(max_examples=25, deadline=None)
@given(kind=kinds, cut_frac=st.floats(0.0, 1.0), name=st.sampled_from(SETS))
def test_invariant_01_either_engine_continues_a_snapshot_of_the_other(
    kind: Kind, cut_frac: float, name: str
) -> None:
    columns, feature_set = ticks_of(kind), get_feature_set(name)
    cut = int(cut_frac * kind.ticks)
    whole = batch_rows(WindowEngine(feature_set, 8), columns)[cut:]
    compiled, pure = WindowEngine(feature_set, 8), PureWindowEngine(feature_set, 8)
    for engine in (compiled, pure):
        engine.batch(*between(columns, 0, cut))
    assert compiled.snapshot() == pure.snapshot()
    data = compiled.snapshot()
    for fresh in (WindowEngine(feature_set, 8), PureWindowEngine(feature_set, 8)):
        fresh.restore(data)
        assert fresh.snapshot() == data
        np.testing.assert_array_equal(whole, batch_rows(fresh, between(columns, cut, kind.ticks)))


@pytest.mark.parametrize("make", [WindowEngine, PureWindowEngine])
def test_a_foreign_or_torn_snapshot_is_refused(make: type[WindowEngine]) -> None:
    engine = make(CORE, 8)
    engine.step(START_NS, START_NS, 100, 102, -1, -1)
    data = engine.snapshot()
    for torn in (b"", data[:-1], data[:-1] + bytes([data[-1] ^ 1]), b"x" + data):
        with pytest.raises(FeatureError, match="torn"):
            make(CORE, 8).restore(torn)
    with pytest.raises(FeatureError, match="another feature set"):
        make(SIZED, 8).restore(data)
    with pytest.raises(FeatureError, match="price decimals"):
        make(CORE, 2).restore(data)


def test_without_numba_the_pure_engine_steps_in(monkeypatch: pytest.MonkeyPatch) -> None:
    assert make_engine(CORE, 8).compiled
    monkeypatch.delattr(volspike.features, "kernel")
    monkeypatch.delitem(sys.modules, "volspike.features.kernel")
    monkeypatch.setitem(sys.modules, "numba", None)
    assert isinstance(make_engine(CORE, 8), PureWindowEngine)
