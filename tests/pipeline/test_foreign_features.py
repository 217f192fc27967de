"""Somebody's file: what of it can't be used is left out and told, and nothing else changes for it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from volspike.evaluation.leaks.duplicates import duplicates
from volspike.evaluation.leaks.persistence import persistence
from volspike.evaluation.leaks.rows import AuditRows
from volspike.pipeline.foreign_features import read_foreign
from volspike.pipeline.foreign_roles import Told

COUNT = 3_000
Columns = dict[str, np.ndarray]


def columns() -> Columns:
    rng = np.random.default_rng(3)
    mid = np.round(60_000 * np.exp(np.cumsum(rng.normal(0, 1e-5, COUNT))), 2)
    return {
        "event_time": 1.75e9 + np.arange(COUNT, dtype=np.float64),
        "spread": rng.uniform(0.1, 1.0, COUNT),
        "mid": mid,
        "label": (rng.random(COUNT) < 0.1).astype(np.float64),
    }


def read(folder: Path, rows: Columns) -> AuditRows:
    pl.DataFrame(rows).write_parquet(folder / "rows.parquet")
    return read_foreign(folder / "rows.parquet", Told())


def test_infinite_values_count_as_missing_and_are_told(tmp_path: Path) -> None:
    rows = columns()
    rows["spread"][[3, 5]] = np.inf, -np.inf
    read_rows = read(tmp_path, rows)
    assert np.flatnonzero(np.isnan(read_rows.values[:, 0])).tolist() == [3, 5]
    assert any("2 infinite values of spread" in note for note in read_rows.notes)


@pytest.mark.parametrize("odd", [9e18, 4.1e9, 1.0])
def test_one_odd_time_does_not_change_the_unit_of_all(odd: float, tmp_path: Path) -> None:
    rows = columns()
    rows["event_time"][7] = odd
    found = read(tmp_path, rows)
    assert len(found) == COUNT - 1
    assert int(np.median(np.diff(found.time_ns))) == 10**9
    assert any("1 rows are left out for their odd event_time" in note for note in found.notes)


@pytest.mark.parametrize("price", [0.0, -5.0])
def test_prices_that_are_none_accuse_nobody(price: float, tmp_path: Path) -> None:
    rows = columns() | {"mid": np.full(COUNT, price)}
    found = read(tmp_path, rows)
    assert found.mid is None
    assert persistence(found, None).status == "can't tell"
    assert any("no price above 0" in note for note in found.notes)


@pytest.mark.parametrize(
    ("name", "differing"),
    [
        ("received_at", np.linspace(1.75e9, 1.75e9 + COUNT, COUNT + 60)),
        ("row", np.arange(COUNT + 60)),
        ("filename", np.array([f"{number % 2}.csv" for number in range(COUNT + 60)])),
    ],
)
def test_two_recorders_rows_are_the_same_whatever_is_the_recorders(
    name: str, differing: np.ndarray, tmp_path: Path
) -> None:
    twice = np.sort(np.concatenate((np.arange(COUNT), np.arange(0, COUNT, 50))))
    rows = {column: values[twice] for column, values in columns().items()} | {name: differing}
    assert duplicates(read(tmp_path, rows), None).status == "leak"


def test_rows_that_differ_in_a_feature_are_not_the_same(tmp_path: Path) -> None:
    assert duplicates(read(tmp_path, columns()), None).status == "clean"


def test_words_of_a_split_are_known_by_any_case_and_spaces(tmp_path: Path) -> None:
    words = np.array(["TRAIN ", " Test", "val", "holdout", "quux"])[np.arange(COUNT) % 5]
    found = read(tmp_path, columns() | {"split": words})
    assert found.in_test is not None
    assert found.in_test[:5].tolist() == [0, 1, -1, 1, -1]
    assert any(f"{COUNT // 5:,} rows have a word for their split" in note for note in found.notes)


def test_is_train_says_the_contrary_of_is_test(tmp_path: Path) -> None:
    early = np.arange(COUNT) < 2_000
    found = read(tmp_path, columns() | {"is_train": early})
    assert found.in_test is not None
    assert (found.in_test == np.where(early, 0, 1)).all()
