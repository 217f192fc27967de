"""The proof must be able to fail: whatever differs between the stored rows and the archive is found."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from volspike.features.sets import get_feature_set
from volspike.features.store import FeatureWriter, read_features
from volspike.features.table import ARRAYS, FeatureTable
from whole_runs import NS, assert_identical, make_history, one_line_failure, volspike

ROWS = 400


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_history(tmp_path_factory.mktemp("verify") / "data", 180 * NS).root


def changed(table: FeatureTable, name: str, row: int, value: object) -> FeatureTable:
    column = getattr(table, name).copy()
    column[row] = value
    return replace(table, **{name: column})


def one_bit(table: FeatureTable) -> FeatureTable:
    values = table.values.copy()
    values.view(np.int64)[ROWS // 2, 1] ^= 1
    return replace(table, values=values)


def without_row(table: FeatureTable, row: int) -> FeatureTable:
    return replace(table, **{name: np.delete(getattr(table, name), row, axis=0) for name in ARRAYS})


def with_row(table: FeatureTable) -> FeatureTable:
    added = FeatureTable.concat([table.slice(0, ROWS), table.slice(ROWS - 1, len(table))])
    return changed(added, "row", ROWS, 1)


def first_ready(table: FeatureTable) -> int:
    return int(np.flatnonzero(table.kind == 0)[50])


SPOILED: dict[str, tuple[Callable[[FeatureTable], FeatureTable], dict[str, int]]] = {
    "one bit of a value": (one_bit, {"different": 1}),
    "a price": (lambda t: changed(t, "bid", first_ready(t), 1), {"different": 1}),
    "an event time": (lambda t: changed(t, "event_ns", 100, t.event_ns[100] + 1), {"different": 1}),
    "a coverage": (lambda t: changed(t, "covered_since_ns", 100, 5), {"different": 1}),
    "a flag": (lambda t: changed(t, "suspect", 100, not t.suspect[100]), {"different": 1}),
    "a dropped row": (lambda t: without_row(t, ROWS), {"missing": 1}),
    "the last row dropped": (lambda t: without_row(t, len(t) - 1), {"missing": 1}),
    "an added row": (with_row, {"extra": 1}),
}


def store(root: Path, table: FeatureTable) -> None:
    shutil.rmtree(root / "features")
    writer = FeatureWriter(
        root / "features",
        table.product,
        table.feed,
        get_feature_set(table.feature_set),
        table.price_decimals,
        table.event_time_source,
    )
    writer.append(table)
    writer.close()


@pytest.mark.parametrize("name", SPOILED)
def test_verify_finds_what_was_changed(name: str, stored: Path, tmp_path: Path) -> None:
    spoil, wrong = SPOILED[name]
    root = Path(shutil.copytree(stored, tmp_path / "data"))
    table = read_features(root / "features")
    store(root, spoil(table))
    ran = volspike("verify", "--data-dir", root, "--json")
    line = one_line_failure(ran)
    assert "1 rows do not equal the archive" in line
    counts = {key: ran.report[key] for key in ("different", "missing", "extra")}
    assert counts == {"different": 0, "missing": 0, "extra": 0} | wrong
    assert ran.report["identical"] == ran.report["rows"] - wrong.get("different", 0) - wrong.get("extra", 0)
    assert one_line_failure(volspike("verify", "--data-dir", root)) == line


def test_verify_passes_the_same_rows_written_again(stored: Path, tmp_path: Path) -> None:
    root = Path(shutil.copytree(stored, tmp_path / "data"))
    store(root, read_features(root / "features"))
    assert_identical(root)


def test_replay_mends_what_verify_found(stored: Path, tmp_path: Path) -> None:
    root = Path(shutil.copytree(stored, tmp_path / "data"))
    store(root, one_bit(read_features(root / "features")))
    assert volspike("verify", "--data-dir", root, "--json").code == 1
    assert volspike("replay", "--data-dir", root, "--json").code == 0
    assert_identical(root)


def test_verify_tells_of_a_damaged_archive(stored: Path, tmp_path: Path) -> None:
    root = Path(shutil.copytree(stored, tmp_path / "data"))
    segment = next((root / "raw").rglob("*.zst"))
    content = bytearray(segment.read_bytes())
    content[len(content) // 2] ^= 0xFF
    segment.write_bytes(content)
    ran = volspike("verify", "--data-dir", root, "--json")
    assert ran.code == 1
    one_line_failure(ran)
