"""Invariant 1 on whole runs: rows made live over a real WebSocket equal those of replay, to the bit."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from volspike.features.store import read_features
from volspike.records import FeatureRow
from volspike.simulation.synthetic import SyntheticMarket
from whole_runs import (
    ORIGIN_NS,
    PRODUCT,
    archived_frames,
    assert_identical,
    live_run,
    logged,
    session,
    ticks_at_least,
    verified,
    volspike,
)


def market(*products: str) -> SyntheticMarket:
    return SyntheticMarket(7, products or (PRODUCT,), ORIGIN_NS)


@pytest.mark.parametrize("dialect", ["exchange", "advanced"])
def test_invariant_01_live_rows_equal_replayed_rows(tmp_path: Path, dialect: str) -> None:
    products = (PRODUCT, "ETH-USD")
    report, _ = live_run(
        tmp_path, market(*products), ticks_at_least(2_500), dialect=dialect, products=products
    )
    assert_identical(tmp_path)
    stored = [read_features(tmp_path / "features", product) for product in products]
    assert sum(int((table.kind == 0).sum()) for table in stored) == report["features"]
    # Windows that never filled would be identical in vain.
    assert all(table.complete.any() and table.ticks.max() > 60 for table in stored)


@pytest.mark.parametrize("batch_rows", [1, 7, 1_000])
def test_invariant_01_rows_do_not_depend_on_the_batch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, batch_rows: int
) -> None:
    live_run(tmp_path, market(), ticks_at_least(1_200))
    monkeypatch.setattr("volspike.pipeline.batch.BATCH_ROWS", batch_rows)
    assert_identical(tmp_path)


def test_invariant_01_a_job_stopped_in_mid_stream_and_followed_by_another_makes_the_same_rows(
    tmp_path: Path,
) -> None:
    async def run() -> list[dict[str, int]]:
        reports = []
        async with session(tmp_path, market()) as running:
            for drain in (False, False, True):
                reports.append(await running.run(ticks_at_least(700), drain))
        return reports

    reports = asyncio.run(run())
    rows = assert_identical(tmp_path)
    assert all(report["frames"] == report["archived"] for report in reports)
    assert rows >= sum(report["features"] for report in reports) >= 2_100
    assert len(archived_frames(tmp_path)) == sum(report["frames"] for report in reports)


def test_invariant_01_replay_stores_the_rows_that_ran_live(tmp_path: Path) -> None:
    live_run(tmp_path, market(), ticks_at_least(1_200))
    live = read_features(tmp_path / "features")
    replayed = volspike("replay", "--data-dir", tmp_path, "--json").report
    stored = read_features(tmp_path / "features")
    assert replayed["rows"] == len(live) == len(stored)
    assert live.values.tobytes() == stored.values.tobytes()
    assert live.seq.tolist() == stored.seq.tolist()


def test_invariant_01_the_log_carries_the_rows_that_are_stored(tmp_path: Path) -> None:
    live_run(tmp_path, market(), ticks_at_least(600))
    stored = read_features(tmp_path / "features")
    on_the_log = [row for row in logged(tmp_path, "ticks.features") if isinstance(row, FeatureRow)]
    kept = stored.values[stored.kind == 0].tolist()
    assert len(on_the_log) == len(kept) > 500
    for row, values in zip(on_the_log, kept, strict=True):
        assert [None if value is None else float(value) for value in row.values] == [
            None if value != value else value for value in values
        ]


def test_verify_counts_rows_of_an_archive_without_features_as_missing(tmp_path: Path) -> None:
    live_run(tmp_path, market(), ticks_at_least(100))
    rows = assert_identical(tmp_path)
    for path in (tmp_path / "features").iterdir():
        path.unlink()
    assert verified(tmp_path) | {"corrupt": 0} == {
        "rows": 0,
        "identical": 0,
        "different": 0,
        "missing": rows,
        "extra": 0,
        "corrupt": 0,
        "open": 0,
    }
