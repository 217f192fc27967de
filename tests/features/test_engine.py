from __future__ import annotations

import gc
import sys
from collections.abc import Callable
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
    inputs_of,
    inputs_of_row,
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
from volspike.features.flow import PureFlowEngine
from volspike.features.flow_engine import FlowEngine
from volspike.features.memory import MASK, Words, grown, most_inside
from volspike.features.sets import get_feature_set
from volspike.features.trade import PureTradeEngine
from volspike.features.trade_engine import TradeEngine
from volspike.features.window import PureWindowEngine, return_mean, return_std

SETS = ["core", "core-sized", "flow", "trade"]
PURE = {"flow": PureFlowEngine, "trade": PureTradeEngine}
CORE, SIZED, FLOW, TRADE = (get_feature_set(name) for name in SETS)

every_set = pytest.mark.parametrize("name", SETS)
any_set = st.sampled_from(SETS)


def compiled_engine(name: str, decimals: int = 8) -> Engine:
    engine = make_engine(get_feature_set(name), decimals)
    assert engine.compiled
    return engine


def pure_engine(name: str, decimals: int = 8) -> Engine:
    return PURE.get(name, PureWindowEngine)(get_feature_set(name), decimals)


Maker = Callable[..., Engine]
either_engine = pytest.mark.parametrize("make", [compiled_engine, pure_engine])


def take(engine: Engine, *tick: int) -> tuple[float, ...]:
    return engine.step(*inputs_of_row(engine.feature_set, tick))


def take_all(engine: Engine, columns: Columns) -> tuple[np.ndarray, np.ndarray]:
    return engine.batch(*inputs_of(engine.feature_set, columns))


def batch_rows(engine: Engine, columns: Columns) -> np.ndarray:
    values, ticks = take_all(engine, columns)
    return bits(np.column_stack([values, ticks]))


def step_rows(engine: Engine, columns: Columns) -> np.ndarray:
    return bits([engine.step(*row) for row in rows_of(inputs_of(engine.feature_set, columns))])


@settings(max_examples=60, deadline=None)
@given(kind=kinds, name=any_set, decimals=st.sampled_from([0, 2, 8]))
def test_invariant_01_compiled_equals_pure_to_the_bit(kind: Kind, name: str, decimals: int) -> None:
    columns = ticks_of(kind)
    pure = batch_rows(pure_engine(name, decimals), columns)
    compiled = batch_rows(compiled_engine(name, decimals), columns)
    np.testing.assert_array_equal(pure, compiled)


@settings(max_examples=30, deadline=None)
@given(kind=kinds, cuts=st.lists(st.integers(0, 500), max_size=12), name=any_set)
def test_invariant_01_step_micro_batch_and_batch_are_the_same(kind: Kind, cuts: list[int], name: str) -> None:
    columns = ticks_of(kind)
    whole = batch_rows(compiled_engine(name), columns)
    np.testing.assert_array_equal(whole, step_rows(compiled_engine(name), columns))
    engine = compiled_engine(name)
    edges = sorted({0, kind.ticks, *(cut for cut in cuts if cut < kind.ticks)})
    parts = [
        step_rows(engine, between(columns, start, stop))
        if stop - start == 1
        else batch_rows(engine, between(columns, start, stop))
        for start, stop in pairwise(edges)
    ]
    np.testing.assert_array_equal(whole, np.concatenate(parts))


@settings(max_examples=30, deadline=None)
@given(kind=kinds, start_frac=st.floats(0.0, 1.0), name=any_set)
def test_invariant_01_a_start_in_mid_stream_gives_the_same_rows_after_61_s(
    kind: Kind, start_frac: float, name: str
) -> None:
    columns = ticks_of(kind)
    start = int(start_frac * (kind.ticks - 1))
    whole = batch_rows(compiled_engine(name), columns)[start:]
    late = batch_rows(compiled_engine(name), between(columns, start, kind.ticks))
    event_ns, covered_since_ns = columns[0][start:], columns[1][start:]
    warm = (event_ns - event_ns[0] >= 61 * NS) | (covered_since_ns > event_ns[0])
    np.testing.assert_array_equal(whole[warm], late[warm])


@every_set
def test_invariant_01_the_restart_test_reaches_warm_rows(name: str) -> None:
    columns = ticks_of(calm(Kind(seed=5, ticks=3000, gap_ns=NS // 4)))
    whole = batch_rows(compiled_engine(name), columns)[1000:]
    late = batch_rows(compiled_engine(name), between(columns, 1000, 3000))
    warm = columns[0][1000:] - columns[0][1000] >= 61 * NS
    assert warm.sum() > 500
    np.testing.assert_array_equal(whole[warm], late[warm])
    assert not np.array_equal(whole[~warm], late[~warm])


@settings(max_examples=30, deadline=None)
@given(first=kinds, second=kinds, cut_frac=st.floats(0.0, 1.0), name=any_set)
def test_invariant_02_rows_do_not_depend_on_later_ticks(
    first: Kind, second: Kind, cut_frac: float, name: str
) -> None:
    columns = ticks_of(first)
    cut = int(cut_frac * first.ticks)
    whole = batch_rows(compiled_engine(name), columns)[:cut]
    np.testing.assert_array_equal(whole, batch_rows(compiled_engine(name), between(columns, 0, cut)))
    tail = list(ticks_of(second))
    shift = int(columns[0][max(cut - 1, 0)]) - START_NS
    tail[0], tail[1] = tail[0] + shift, tail[1] + shift
    mutated = tuple(np.concatenate([a[:cut], b]) for a, b in zip(columns, tail, strict=True))
    np.testing.assert_array_equal(whole, batch_rows(compiled_engine(name), mutated)[:cut])


@every_set
def test_invariant_02_of_equal_stamps_a_row_sees_only_those_before_it(name: str) -> None:
    rows = [(START_NS, START_NS, 100 + i, 102 + i, 1, 1) for i in range(4)]
    values, ticks = take_all(compiled_engine(name, 0), columns_of(rows))
    assert ticks.tolist() == [1, 2, 3, 4]
    for i in range(4):
        alone, _ = take_all(compiled_engine(name, 0), columns_of(rows[: i + 1]))
        np.testing.assert_array_equal(bits(values[i]), bits(alone[-1]))


@every_set
def test_invariant_04_nothing_spans_a_break(name: str) -> None:
    columns = ticks_of(Kind(seed=3, ticks=600, break_frac=0.03))
    whole = batch_rows(compiled_engine(name), columns)
    firsts = [0, *(np.flatnonzero(np.diff(columns[1])) + 1).tolist(), 600]
    assert len(firsts) > 5
    for start, stop in pairwise(firsts):
        alone = batch_rows(compiled_engine(name), between(columns, start, stop))
        np.testing.assert_array_equal(whole[start:stop], alone)


@every_set
def test_invariant_10_the_same_ticks_give_the_same_bytes(name: str) -> None:
    columns = ticks_of(Kind(seed=11, ticks=800))
    first, second = (compiled_engine(name) for _ in range(2))
    assert take_all(first, columns)[0].tobytes() == take_all(second, columns)[0].tobytes()
    assert first.snapshot() == second.snapshot()


@pytest.mark.parametrize(("name", "count"), [("core-sized", 300_000), ("flow", 60_000), ("trade", 60_000)])
def test_a_burst_grows_the_ring(name: str, count: int) -> None:
    tail = 2_000
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
    whole = batch_rows(compiled_engine(name), columns)
    assert whole[-1, -1] == bits(np.array([float(count)]))[0]

    chunked, compiled, pure = compiled_engine(name), compiled_engine(name), pure_engine(name)
    edges = [0, count // 60, count // 4, count // 4 + 1, count - tail, count]
    parts = [batch_rows(chunked, between(columns, a, b)) for a, b in pairwise(edges)]
    np.testing.assert_array_equal(whole, np.concatenate(parts))

    take_all(compiled, between(columns, 0, count - tail))
    pure.restore(compiled.snapshot())
    np.testing.assert_array_equal(whole[-tail:], batch_rows(pure, between(columns, count - tail, count)))
    # The window drains again: eviction undoes exactly what entry did.
    drained = columns_of(
        [(START_NS + second * NS, START_NS, 10**12, 10**12 + 2, 3, 4) for second in range(80, 240)]
    )
    np.testing.assert_array_equal(batch_rows(pure, drained), batch_rows(chunked, drained))


@every_set
def test_the_ring_grows_on_single_steps(name: str) -> None:
    rows = [(START_NS + i, START_NS, 10_000 + i % 7, 10_010 + i % 5, -1, -1) for i in range(9000)]
    stepped = step_rows(compiled_engine(name), columns_of(rows))
    np.testing.assert_array_equal(stepped, batch_rows(pure_engine(name), columns_of(rows)))


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


@every_set
def test_a_step_outlives_its_engine_and_refuses_what_is_no_tick(name: str) -> None:
    step = compiled_engine(name, 2).step
    gc.collect()
    rows = rows_of(inputs_of(get_feature_set(name), ticks_of(Kind(seed=6, ticks=600))))
    pure = pure_engine(name, 2)
    assert bits([step(*row) for row in rows]).tolist() == bits([pure.step(*row) for row in rows]).tolist()
    tick = list(rows[-1])
    ticks = step(*tick[:2], np.int64(tick[2]), *tick[3:])[-1]
    for wrong in ([], tick[:5], [*tick, 1], [float(tick[0]), *tick[1:]], [None, *tick[1:]]):
        with pytest.raises(TypeError):
            step(*wrong)
    with pytest.raises(OverflowError):
        step(2**70, *tick[1:])
    assert step(*tick)[-1] == ticks + 1.0


@every_set
def test_sums_beyond_64_and_128_bits_stay_exact(name: str) -> None:
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
    pure = batch_rows(pure_engine(name), columns_of(rows))
    np.testing.assert_array_equal(pure, batch_rows(compiled_engine(name), columns_of(rows)))


@every_set
def test_a_bad_value_leaves_no_residue(name: str) -> None:
    clean = ticks_of(calm(Kind(seed=8, ticks=2500, violent_frac=0.0, wide_frac=0.0, quiet_frac=0.0)))
    bad = tuple(column.copy() for column in clean)
    bad[2][700], bad[3][700] = bad[2][700] * 19 // 10, bad[3][700] * 2
    after = clean[0] > clean[0][700] + 61 * NS
    assert after.sum() > 500
    first, second = (batch_rows(compiled_engine(name), columns) for columns in (clean, bad))
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


@every_set
@either_engine
def test_what_is_no_quote_or_late_is_refused_and_changes_nothing(make: Maker, name: str) -> None:
    engine, untouched = make(name, 2), make(name, 2)
    for each in (engine, untouched):
        take(each, START_NS, START_NS, 100, 102, -1, -1)
        take(each, START_NS + NS, START_NS, 101, 103, -1, -1)
    later = START_NS + 300 * NS
    for bid, ask in [(0, 2), (-5, 2), (103, 102), (5, 2**61)]:
        with pytest.raises(FeatureError, match="no quote"):
            take(engine, later, START_NS, bid, ask, -1, -1)
    with pytest.raises(FeatureError, match="older"):
        take(engine, START_NS, START_NS, 100, 102, -1, -1)
    with pytest.raises(FeatureError, match="older"):
        take_all(engine, columns_of([(START_NS, START_NS, 100, 102, -1, -1)]))
    assert engine.snapshot() == untouched.snapshot()


@every_set
def test_a_batch_takes_the_ticks_before_a_bad_one(name: str) -> None:
    columns = ticks_of(Kind(seed=2, ticks=700))
    bad = tuple(column.copy() for column in columns)
    bad[2][600] = 0
    engine, prefix = compiled_engine(name), compiled_engine(name)
    with pytest.raises(FeatureError, match="no quote"):
        take_all(engine, bad)
    take_all(prefix, between(columns, 0, 600))
    assert engine.snapshot() == prefix.snapshot()


@every_set
def test_a_batch_takes_read_only_strided_and_empty_arrays_but_no_ragged_ones(name: str) -> None:
    columns = ticks_of(Kind(seed=4, ticks=100))
    columns = inputs_of(get_feature_set(name), columns)
    table = np.stack(columns, axis=1)
    table.flags.writeable = False
    (whole, _), (strided, _) = (compiled_engine(name).batch(*each) for each in (columns, table.T))
    np.testing.assert_array_equal(bits(whole), bits(strided))
    values, ticks = compiled_engine(name).batch(*between(columns, 0, 0))
    assert values.shape == (0, len(get_feature_set(name).columns))
    assert ticks.shape == (0,)
    with pytest.raises(ValueError, match="length"):
        compiled_engine(name).batch(columns[0][:5], *columns[1:])
    with pytest.raises(TypeError, match="a tick of the set"):
        compiled_engine(name).batch(*columns[1:])


@settings(max_examples=25, deadline=None)
@given(kind=kinds, cut_frac=st.floats(0.0, 1.0), name=any_set)
def test_invariant_01_either_engine_continues_a_snapshot_of_the_other(
    kind: Kind, cut_frac: float, name: str
) -> None:
    columns, cut = ticks_of(kind), int(cut_frac * kind.ticks)
    whole = batch_rows(compiled_engine(name), columns)[cut:]
    compiled, pure = compiled_engine(name), pure_engine(name)
    for engine in (compiled, pure):
        take_all(engine, between(columns, 0, cut))
    assert compiled.snapshot() == pure.snapshot()
    data = compiled.snapshot()
    for fresh in (compiled_engine(name), pure_engine(name)):
        fresh.restore(data)
        assert fresh.snapshot() == data
        np.testing.assert_array_equal(whole, batch_rows(fresh, between(columns, cut, kind.ticks)))


@every_set
@either_engine
def test_a_foreign_or_torn_snapshot_is_refused(make: Maker, name: str) -> None:
    engine = make(name)
    take(engine, START_NS, START_NS, 100, 102, -1, -1)
    data = engine.snapshot()
    for torn in (b"", data[:-1], data[:-1] + bytes([data[-1] ^ 1]), b"x" + data):
        with pytest.raises(FeatureError, match="torn"):
            make(name).restore(torn)
    other = next(each for each in SETS if each != name)
    with pytest.raises(
        FeatureError, match="torn or of another format" if name in PURE else "another feature set"
    ):
        make(other).restore(data)
    with pytest.raises(FeatureError, match="price decimals"):
        make(name, 2).restore(data)


def test_an_engine_refuses_a_set_it_does_not_compute() -> None:
    with pytest.raises(ValueError, match="WindowEngine does not compute the set 'flow'"):
        WindowEngine(FLOW, 8)
    with pytest.raises(ValueError, match="FlowEngine does not compute the set 'core'"):
        FlowEngine(CORE, 8)
    with pytest.raises(ValueError, match="TradeEngine does not compute the set 'flow'"):
        TradeEngine(FLOW, 8)


def test_without_numba_the_pure_engine_steps_in(monkeypatch: pytest.MonkeyPatch) -> None:
    assert make_engine(CORE, 8).compiled
    monkeypatch.delattr(volspike.features, "kernel")
    monkeypatch.delitem(sys.modules, "volspike.features.kernel")
    monkeypatch.setitem(sys.modules, "numba", None)
    assert type(make_engine(CORE, 8)) is PureWindowEngine
    assert type(make_engine(FLOW, 8)) is PureFlowEngine
    assert type(make_engine(TRADE, 8)) is PureTradeEngine
