from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq
import pytest
from feature_streams import NS, START_NS, Kind, bits, ticks_of

from volspike.errors import FeatureError
from volspike.features import feature_file, sets, store
from volspike.features.columns import FeatureSet
from volspike.features.engine import WindowEngine
from volspike.features.feature_file import FeatureFiles
from volspike.features.sets import get_feature_set
from volspike.features.spans import damaged_files
from volspike.features.store import (
    FeatureTable,
    FeatureWriter,
    discard_open_files,
    read_features,
)
from volspike.features.table import ARRAYS, MARK, TICK
from volspike.records import FeatureRow, Mark

SIZED = get_feature_set("core-sized")


def table_of(count: int, first_seq: int = 7, feature_set: FeatureSet = SIZED) -> FeatureTable:
    columns = ticks_of(Kind(seed=count, ticks=count))
    values, ticks = WindowEngine(feature_set, 8).batch(*columns)
    rng = np.random.default_rng(count)
    return FeatureTable(
        product="BTC-USD",
        feed="exchange",
        feature_set=feature_set.name,
        price_decimals=8,
        event_time_source="exchange",
        kind=np.zeros(count, np.int8),
        seq=first_seq + np.arange(count),
        row=rng.integers(0, 3, count).astype(np.int32),
        event_ns=columns[0],
        covered_since_ns=columns[1],
        bid=columns[2],
        ask=columns[3],
        ticks=ticks,
        complete=columns[0] - columns[1] >= 60 * NS,
        suspect=rng.random(count) < 0.1,
        values=values,
    )


def writer(directory: Path, feature_set: FeatureSet = SIZED, **changes: object) -> FeatureWriter:
    settings = {
        "product": "BTC-USD",
        "feed": "exchange",
        "price_decimals": 8,
        "event_time_source": "exchange",
    }
    return FeatureWriter(directory, feature_set=feature_set, **{**settings, **changes})  # type: ignore[arg-type]


def settle(out: FeatureWriter) -> None:
    """Wait for what was handed to the thread."""
    while out._tasks:
        out._settle_oldest()


def write(directory: Path, table: FeatureTable, feature_set: FeatureSet = SIZED, **changes: object) -> Path:
    out = writer(directory, feature_set, **changes)
    out.append(table)
    out.close()
    return max(directory.glob("*.parquet"), key=lambda path: path.stat().st_mtime_ns)


def records_of(table: FeatureTable) -> list[FeatureRow]:
    return [
        FeatureRow(
            product=table.product,
            feed=table.feed,
            feature_set=table.feature_set,
            session="s",
            event_ns=int(table.event_ns[i]),
            covered_since_ns=int(table.covered_since_ns[i]),
            bid=int(table.bid[i]),
            ask=int(table.ask[i]),
            price_decimals=table.price_decimals,
            archive_seq=int(table.seq[i]),
            archive_row=int(table.row[i]),
            identity=str(i),
            ticks=int(table.ticks[i]),
            complete=bool(table.complete[i]),
            suspect=bool(table.suspect[i]),
            values=tuple(None if np.isnan(value) else float(value) for value in table.values[i]),
        )
        for i in range(len(table))
    ]


def assert_same(found: FeatureTable, expected: FeatureTable) -> None:
    for name in ("product", "feed", "feature_set", "price_decimals", "event_time_source"):
        assert getattr(found, name) == getattr(expected, name)
    for name in ARRAYS[:-1]:
        column = getattr(found, name)
        assert column.dtype == getattr(expected, name).dtype, name
        np.testing.assert_array_equal(column, getattr(expected, name))
    np.testing.assert_array_equal(bits(found.values), bits(expected.values))


def test_rows_come_back_as_they_were_written(tmp_path: Path) -> None:
    table = table_of(3000)
    path = write(tmp_path, table)
    assert path.name == "BTC-USD-exchange-000000000007.parquet"
    assert_same(read_features(tmp_path), table)


def test_single_rows_and_batches_give_the_same_file(tmp_path: Path) -> None:
    table = table_of(5000)
    out = writer(tmp_path / "mixed")
    for record in records_of(table.slice(0, 4500)):
        out.append_row(record)
    out.append(table.slice(4500, 4800))
    for record in records_of(table.slice(4800, 5000)):
        out.append_row(record)
    out.close()
    assert_same(read_features(tmp_path / "mixed"), table)


def test_a_mark_has_no_values(tmp_path: Path) -> None:
    out = writer(tmp_path)
    out.append_row(records_of(table_of(1))[0])
    out.append_mark(
        Mark(
            product="BTC-USD",
            feed="exchange",
            session="s",
            event_ns=START_NS + NS,
            covered_since_ns=START_NS,
            archive_seq=9,
            archive_row=0,
        )
    )
    out.close()
    table = read_features(tmp_path)
    assert table.kind.tolist() == [TICK, MARK]
    assert (table.seq[1], table.event_ns[1], table.covered_since_ns[1]) == (9, START_NS + NS, START_NS)
    assert (table.bid[1], table.ask[1], table.ticks[1], table.complete[1]) == (0, 0, 0, False)
    assert np.isnan(table.values[1]).all()


def test_files_are_read_in_the_order_of_their_positions(tmp_path: Path) -> None:
    table = table_of(1000)
    write(tmp_path, table.slice(400, 1000))
    write(tmp_path, table.slice(0, 400))
    assert_same(read_features(tmp_path), table)


def test_rotation_begins_a_new_file_at_the_next_row(tmp_path: Path) -> None:
    table = table_of(600)
    out = writer(tmp_path)
    out.rotate()
    out.append(table.slice(0, 250))
    out.rotate()
    out.rotate()
    out.append(table.slice(250, 600))
    out.close()
    out.close()
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["BTC-USD-exchange-000000000007.parquet", "BTC-USD-exchange-000000000257.parquet"]
    assert_same(read_features(tmp_path), table)


def test_row_groups_are_filled_across_appends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feature_file, "ROW_GROUP_ROWS", 1000)
    table = table_of(5300)
    out = writer(tmp_path)
    for start, stop in [(0, 10), (10, 700), (700, 1300), (1300, 4900), (4900, 5300)]:
        out.append(table.slice(start, stop))
    out.close()
    metadata = pq.ParquetFile(next(tmp_path.iterdir())).metadata
    sizes = [metadata.row_group(i).num_rows for i in range(metadata.num_row_groups)]
    assert sizes == [1000, 1000, 1000, 1000, 1000, 300]
    assert_same(read_features(tmp_path), table)


def test_the_settings_are_really_applied(tmp_path: Path) -> None:
    file = pq.ParquetFile(write(tmp_path, table_of(3000)))
    group = file.metadata.row_group(0)
    columns = {group.column(i).path_in_schema: group.column(i) for i in range(group.num_columns)}
    for name, column in columns.items():
        assert column.dictionary_page_offset is None
        assert "RLE_DICTIONARY" not in column.encodings
        if name in ("seq", "event_ns"):
            assert "DELTA_BINARY_PACKED" in column.encodings
            assert column.compression == "UNCOMPRESSED"
        elif name not in ("complete", "suspect"):
            assert "BYTE_STREAM_SPLIT" in column.encodings
            assert column.compression == "SNAPPY"
    assert columns["seq"].statistics.min == 7
    assert columns["event_ns"].statistics.has_min_max


def test_a_file_says_what_it_holds(tmp_path: Path) -> None:
    metadata = pq.read_schema(write(tmp_path, table_of(5))).metadata
    found = {key.decode(): value.decode() for key, value in metadata.items()}
    assert found == {
        "volspike.schema_version": "1",
        "volspike.product": "BTC-USD",
        "volspike.feed": "exchange",
        "volspike.feature_set": "core-sized",
        "volspike.feature_set_version": str(SIZED.version),
        "volspike.feature_set_hash": SIZED.hash,
        "volspike.price_decimals": "8",
        "volspike.event_time_source": "exchange",
    }


def test_invariant_10_the_same_rows_give_the_same_bytes(tmp_path: Path) -> None:
    table = table_of(2000)
    first, second = write(tmp_path / "a", table), write(tmp_path / "b", table)
    assert first.read_bytes() == second.read_bytes()


def test_an_open_file_is_not_read_and_can_be_discarded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = table_of(600)
    write(tmp_path, table.slice(0, 300))
    monkeypatch.setattr(feature_file, "ROW_GROUP_ROWS", 100)
    torn = writer(tmp_path)
    torn.append(table.slice(300, 600))
    settle(torn)
    opened = [path for path in tmp_path.iterdir() if path.name.endswith(".tmp")]
    assert [path.name for path in opened] == ["BTC-USD-exchange-000000000307.parquet.tmp"]
    assert_same(read_features(tmp_path), table.slice(0, 300))
    assert discard_open_files(tmp_path) == opened
    assert discard_open_files(tmp_path) == []
    write(tmp_path, table.slice(300, 600))
    assert_same(read_features(tmp_path), table)


def test_nothing_written_leaves_no_file(tmp_path: Path) -> None:
    out = writer(tmp_path)
    out.append(table_of(5).slice(0, 0))
    out.close()
    assert list(tmp_path.iterdir()) == []


def test_invariant_08_another_feature_set_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, table_of(5))
    with pytest.raises(FeatureError, match="holds the feature set 'core-sized', not 'core'"):
        read_features(tmp_path, feature_set="core")
    changed = replace(SIZED, columns=(replace(SIZED.columns[0], formula="another"), *SIZED.columns[1:]))
    monkeypatch.setitem(sets._SETS, "core-sized", changed)
    with pytest.raises(FeatureError, match="run volspike replay") as caught:
        read_features(tmp_path)
    assert "\n" not in str(caught.value)


def test_several_products_or_feeds_must_be_chosen_from(tmp_path: Path) -> None:
    btc = table_of(50)
    write(tmp_path, btc)
    write(tmp_path, btc, product="ETH-USD")
    with pytest.raises(FeatureError, match="BTC-USD, ETH-USD; choose one with --product"):
        read_features(tmp_path)
    assert_same(read_features(tmp_path, product="ETH-USD"), replace(btc, product="ETH-USD"))
    write(tmp_path, btc, feed="advanced")
    with pytest.raises(FeatureError, match="advanced, exchange; choose one with --feed"):
        read_features(tmp_path, product="BTC-USD")
    assert_same(read_features(tmp_path, "BTC-USD", "advanced"), replace(btc, feed="advanced"))
    with pytest.raises(FeatureError, match="no features of SOL-USD"):
        read_features(tmp_path, "SOL-USD")


def test_missing_corrupt_and_foreign_files_are_told_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(FeatureError, match="run volspike replay first"):
        read_features(tmp_path / "none")
    table = table_of(3000)
    path = write(tmp_path, table)
    whole = path.read_bytes()
    path.write_bytes(whole[:-20])
    with pytest.raises(FeatureError, match="no readable Parquet file"):
        read_features(tmp_path)
    pq.write_table(pq.read_table(write(tmp_path / "b", table)).replace_schema_metadata(None), path)
    with pytest.raises(FeatureError, match="no feature file of this version"):
        read_features(tmp_path)


def test_overlapping_files_are_refused(tmp_path: Path) -> None:
    table = table_of(1000)
    write(tmp_path, table)
    write(tmp_path, table.slice(500, 1000))
    with pytest.raises(FeatureError, match="overlap"):
        read_features(tmp_path)


def test_of_files_set_aside_only_ours_are_told(tmp_path: Path) -> None:
    ours = tmp_path / "BTC-USD-exchange-000000000007.parquet.damaged"
    for path in (ours, tmp_path / "notes.parquet.damaged"):
        path.touch()
    assert damaged_files(tmp_path) == {ours: (("BTC-USD", "exchange"), 7)}


def test_a_finished_file_is_never_replaced(tmp_path: Path) -> None:
    table = table_of(20)
    path = write(tmp_path, table)
    before = path.read_bytes()
    with pytest.raises(FeatureError, match="there already"):
        write(tmp_path, table)
    assert path.read_bytes() == before


@pytest.mark.parametrize("product", ["", "../BTC", "a/b", ".hidden", "BTC USD"])
def test_a_product_that_is_no_file_name_is_refused(tmp_path: Path, product: str) -> None:
    with pytest.raises(FeatureError, match="can't name a file"):
        writer(tmp_path, product=product)


def test_a_directory_that_cannot_be_made_is_told_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    out = writer(tmp_path / "file" / "features")
    out.append(table_of(5))
    with pytest.raises(FeatureError, match="can't be written"):
        out.close()


def test_tables_of_one_kind_are_joined(tmp_path: Path) -> None:
    table = table_of(100)
    joined = FeatureTable.concat([table.slice(0, 30), table.slice(30, 100)])
    assert_same(joined, table)
    received = replace(table.slice(30, 100), event_time_source="receive")
    assert FeatureTable.concat([table.slice(0, 30), received]).event_time_source == "receive"
    with pytest.raises(FeatureError, match="differ in product: BTC-USD, ETH-USD"):
        FeatureTable.concat([table, replace(table, product="ETH-USD")])


def test_memory_stays_flat_while_writing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feature_file, "ROW_GROUP_ROWS", 500)
    out, table = writer(tmp_path), table_of(4000)
    held = []
    for start in range(0, 4000, 130):
        out.append(table.slice(start, min(start + 130, 4000)))
        settle(out)
        held.append(out._files._pending_rows)
    assert max(held) < 500
    assert os.path.getsize(next(tmp_path.iterdir())) > 0
    out.close()


class SlowFiles(FeatureFiles):
    """Writes when it is let."""

    def __init__(self, out: FeatureWriter) -> None:
        self.__dict__ = out._files.__dict__
        self.gate, self.threads = threading.Event(), set[int]()
        out._files = self

    def add(self, columns: Sequence[npt.NDArray[Any]]) -> None:
        assert self.gate.wait(30)
        self.threads.add(threading.get_ident())
        super().add(columns)


def test_rows_are_taken_while_a_row_group_is_written(tmp_path: Path) -> None:
    out, table = writer(tmp_path), table_of(9000)
    slow = SlowFiles(out)
    for record in records_of(table.slice(0, 8500)):
        out.append_row(record)
    out.append(table.slice(8500, 9000))
    out.rotate()
    assert not slow.threads
    assert not list(tmp_path.iterdir())
    slow.gate.set()
    out.close()
    assert len(slow.threads) == 1
    assert threading.get_ident() not in slow.threads
    assert_same(read_features(tmp_path), table)


def test_who_is_two_row_groups_ahead_of_the_disk_waits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "ROW_GROUP_ROWS", 100)
    out, table = writer(tmp_path), table_of(900)
    slow = SlowFiles(out)
    threading.Timer(0.2, slow.gate.set).start()
    for start in range(0, 900, 100):
        assert slow.gate.is_set() or start <= 300
        out.append(table.slice(start, start + 100))
    out.close()
    assert_same(read_features(tmp_path), table)


def test_what_fails_behind_is_told_by_the_next_call_and_leaves_no_finished_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feature_file, "ROW_GROUP_ROWS", 100)
    out, table = writer(tmp_path), table_of(900)
    out.append(table.slice(0, 250))
    settle(out)
    broken = pq.ParquetWriter.write_table

    def fails(*arguments: object, **options: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pq.ParquetWriter, "write_table", fails)
    out.append(table.slice(250, 500))
    out.rotate()
    with pytest.raises(FeatureError, match="No space left on device"):
        settle(out)
    monkeypatch.setattr(pq.ParquetWriter, "write_table", broken)
    for again in (lambda: out.append(table.slice(500, 900)), out.rotate, out.close):
        with pytest.raises(FeatureError, match="No space left on device"):
            again()
    assert [path.suffix for path in tmp_path.iterdir()] == [".tmp"]
