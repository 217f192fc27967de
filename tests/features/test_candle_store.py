"""Candles on disk: written whole or not at all, the same whatever the order they came in."""

from __future__ import annotations

import errno
import os
import random
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from volspike.errors import ArchiveError, FeatureError
from volspike.exchange.candles import Candle, CandleTable
from volspike.features.candle_store import Added, CandleStore, read_candles, spans_without, united
from volspike.recording.file_system import OsFileSystem

STEPS = ("open", "write", "fsync", "rename", "fsync_directory")


def made(minutes: Sequence[int], shift: float = 0.0, product: str = "BTC-USD") -> CandleTable:
    """Return candles that follow from their minutes."""
    rows = []
    for minute in sorted(minutes):
        rng = random.Random(minute)
        low = rng.uniform(100, 200)
        rows.append(Candle(minute, high=low + 2, low=low, close=low + 1 + shift, volume=rng.random()))
    return CandleTable.of(product, "coinbase", rows)


def stored(directory: Path, *tables: CandleTable) -> bytes:
    """Add tables one after the other, each in a store opened anew; return the file."""
    for table in tables:
        store = CandleStore(directory, table.product, table.source)
        store.add(table, [(int(table.minute[0]), int(table.minute[-1]) + 1)] if len(table) else ())
        store.save()
    return store.path.read_bytes()


def test_what_is_read_is_what_was_added(tmp_path: Path) -> None:
    table = made(range(50, 90))
    stored(tmp_path, table)
    found = read_candles(tmp_path, "BTC-USD")
    assert (found.product, found.source) == ("BTC-USD", "coinbase")
    assert found.minute.tolist() == table.minute.tolist()
    assert np.array_equal(found.figures, table.figures, equal_nan=True)


def test_adding_again_changes_nothing(tmp_path: Path) -> None:
    table = made(range(30))
    before = stored(tmp_path, table)
    store = CandleStore(tmp_path, "BTC-USD", "coinbase")
    written = store.path.stat().st_mtime_ns
    assert store.add(table) == Added(added=0, unchanged=30, conflicting=0)
    store.save()
    assert store.path.read_bytes() == before
    assert store.path.stat().st_mtime_ns == written


def test_of_a_minute_with_other_figures_the_earlier_stay(tmp_path: Path) -> None:
    stored(tmp_path, made(range(10)))
    store = CandleStore(tmp_path, "BTC-USD", "coinbase")
    assert store.add(made(range(5, 15), shift=0.5)) == Added(added=5, unchanged=0, conflicting=5)
    store.save()
    found = read_candles(tmp_path, None)
    assert found.minute.tolist() == list(range(15))
    assert found.close[:10].tolist() == made(range(10)).close.tolist()


@settings(max_examples=30, deadline=None)
@given(
    parts=st.lists(st.sets(st.integers(0, 40), min_size=1, max_size=15), min_size=1, max_size=5),
    order=st.randoms(use_true_random=False),
)
def test_invariant_10_the_order_and_overlap_of_parts_leave_no_trace(
    tmp_path_factory: pytest.TempPathFactory, parts: list[set[int]], order: random.Random
) -> None:
    tables = [made(sorted(part)) for part in parts]
    spans = united((min(part), max(part) + 1) for part in parts)
    directories = [tmp_path_factory.mktemp("store") for _ in range(3)]
    first = stored(directories[0], *tables)
    shuffled = order.sample(tables, len(tables))
    assert stored(directories[1], *shuffled, *tables) == first
    whole = CandleStore(directories[2], "BTC-USD", "coinbase")
    whole.add(made(sorted(set().union(*parts))), spans)
    whole.save()
    assert whole.path.read_bytes() == first


class FailingFileSystem(OsFileSystem):
    """Fails at one step, as a disk that is full does."""

    def __init__(self, step: str) -> None:
        self.step = step

    def __getattribute__(self, name: str) -> object:
        if name in STEPS and name == object.__getattribute__(self, "step"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return object.__getattribute__(self, name)


@pytest.mark.parametrize("step", STEPS[:4])
def test_invariant_06_a_write_that_fails_leaves_the_file_before(step: str, tmp_path: Path) -> None:
    before = stored(tmp_path, made(range(10)))
    store = CandleStore(tmp_path, "BTC-USD", "coinbase", FailingFileSystem(step))
    store.add(made(range(10, 20)))
    with pytest.raises(ArchiveError, match="can't be written"):
        store.save()
    assert store.path.read_bytes() == before
    again = CandleStore(tmp_path, "BTC-USD", "coinbase")  # what was left half written is in nobody's way
    again.add(made(range(10, 20)))
    again.save()
    assert read_candles(tmp_path, None).minute.tolist() == list(range(20))
    assert [path.name for path in tmp_path.iterdir()] == ["BTC-USD-coinbase.parquet"]


def test_answered_minutes_are_known_with_or_without_a_candle(tmp_path: Path) -> None:
    store = CandleStore(tmp_path, "BTC-USD", "coinbase")
    store.add(made([12, 30]), [(10, 20)])
    store.save()
    assert CandleStore(tmp_path, "BTC-USD", "coinbase").known == ((10, 20), (30, 31))
    store.add(made([]), [(20, 25)])  # an answer without a candle is worth remembering too
    store.save()
    assert CandleStore(tmp_path, "BTC-USD", "coinbase").known == ((10, 25), (30, 31))
    store.add(made(range(25, 30)))
    assert store.known == ((10, 31),)


@given(
    wanted=st.tuples(st.integers(0, 30), st.integers(0, 30)),
    known=st.lists(st.tuples(st.integers(0, 30), st.integers(1, 6)), max_size=6),
)
def test_spans_without_the_known_are_the_minutes_that_lack(
    wanted: tuple[int, int], known: list[tuple[int, int]]
) -> None:
    spans = [(first, first + length) for first, length in known]
    covered = {minute for first, end in spans for minute in range(first, end)}
    joined = united(spans)
    assert {minute for first, end in joined for minute in range(first, end)} == covered
    assert all(before[1] < after[0] for before, after in pairwise(joined))
    missing = spans_without(wanted, joined)
    found = [minute for first, end in missing for minute in range(first, end)]
    assert found == sorted(set(range(*wanted)) - covered)


def test_several_products_or_sources_have_to_be_chosen_from(tmp_path: Path) -> None:
    stored(tmp_path, made([1]), made([2], product="ETH-USD"))
    with pytest.raises(FeatureError, match="several products: BTC-USD, ETH-USD"):
        read_candles(tmp_path, None)
    other = CandleStore(tmp_path, "BTC-USD", "recorder")
    other.add(CandleTable.of("BTC-USD", "recorder", [Candle(5, high=2.0, low=1.0, close=1.0)]))
    other.save()
    with pytest.raises(FeatureError, match="several sources: coinbase, recorder"):
        read_candles(tmp_path, "BTC-USD")
    assert read_candles(tmp_path, "BTC-USD", "recorder").minute.tolist() == [5]
    with pytest.raises(FeatureError, match="no candles of SOL-USD; run volspike backfill first"):
        read_candles(tmp_path, "SOL-USD")


@pytest.mark.parametrize("damage", [lambda data: data[:-7], lambda data: b"", lambda data: data[::-1]])
def test_a_damaged_file_is_told(damage, tmp_path: Path) -> None:
    data = stored(tmp_path, made(range(10)))
    (tmp_path / "BTC-USD-coinbase.parquet").write_bytes(damage(data))
    with pytest.raises(FeatureError, match="no readable Parquet file; remove it and run volspike backfill"):
        read_candles(tmp_path, None)


def test_a_table_of_something_else_is_told(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"minute": [1, 2]}), tmp_path / "BTC-USD-csv.parquet")
    with pytest.raises(FeatureError, match="no candles of this version"):
        read_candles(tmp_path, None)


def test_a_product_that_can_name_no_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FeatureError, match="can't name a file"):
        CandleStore(tmp_path, "../up", "csv")
