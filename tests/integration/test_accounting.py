"""Invariants 3 and 4 on whole runs: nothing is lost silently, and every break leaves a record."""

from __future__ import annotations

import json
import math
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zstandard

from volspike.features.store import read_features
from volspike.features.table import FeatureTable
from volspike.records import DeadLetter, Gap, Mark, Tick
from volspike.simulation.faults import Fault
from volspike.simulation.synthetic import SyntheticMarket
from whole_runs import (
    ORIGIN_NS,
    PRODUCT,
    adds_up,
    assert_identical,
    live_run,
    logged,
    ticks_at_least,
)

WINDOW_NS = 60_000_000_000
MISCHIEF = (
    Fault("malformed", 0, 20.0),
    Fault("duplicate", 5, 40.0),
    Fault("disorder", 4, 70.0),
    Fault("close", 1012, 100.0),
    Fault("gap", 3, 200.0),
    Fault("malformed", 0, 230.0),
    Fault("close", 1001, 260.0),
)


def run(root: Path, dialect: str, plan: tuple[Fault, ...], ticks: int = 1_500) -> tuple[Any, Any]:
    market = SyntheticMarket(7, (PRODUCT,), ORIGIN_NS)
    return live_run(root, market, ticks_at_least(ticks), dialect=dialect, plan=plan)


def frames_on_disk(root: Path) -> int:
    """Count the frames of an archive with nothing but zstandard and json."""
    count = 0
    for path in sorted((root / "raw").rglob("*.ndjson*")):
        data = path.read_bytes()
        if path.suffix == ".zst":
            data = zstandard.ZstdDecompressor().stream_reader(data, read_across_frames=True).read()
        count += sum(
            '"seq"' in line and ("raw" in json.loads(line) or "raw_b64" in json.loads(line))
            for line in data.decode().splitlines()
        )
    return count


@pytest.mark.parametrize("dialect", ["exchange", "advanced"])
def test_invariant_03_what_was_sent_is_archived_and_every_item_is_accounted_for(
    tmp_path: Path, dialect: str
) -> None:
    report, books = run(tmp_path, dialect, MISCHIEF)
    adds_up(report)
    assert books["sent"]["total"] == report["frames"] == frames_on_disk(tmp_path)
    assert books["faults"] == Counter(fault.kind for fault in MISCHIEF)
    assert report["reconnects"] == 2
    assert report["deadlettered"] == 2
    assert report["ignored"]["duplicate"] >= 5
    assert report["ignored"]["heartbeat"] > 100
    assert_identical(tmp_path)


def test_invariant_03_the_log_holds_as_many_records_as_were_counted(tmp_path: Path) -> None:
    report, _ = run(tmp_path, "exchange", MISCHIEF)
    raw, rows = logged(tmp_path, "ticks.raw"), logged(tmp_path, "ticks.features")
    assert sum(isinstance(record, Tick) for record in raw) == report["ticks"]
    assert len(rows) == len(raw) > report["ticks"]
    letters = logged(tmp_path, "ticks.deadletter")
    assert len(letters) == report["deadlettered"]
    assert {letter.raw for letter in letters if isinstance(letter, DeadLetter)} == {
        b'{"channel":"ticker","events":[{"type":"upd'
    }
    assert len(logged(tmp_path, "ticks.gaps")) == report["gaps"]


def test_invariant_03_a_connection_cut_in_mid_frame_loses_no_frame_that_arrived(tmp_path: Path) -> None:
    plan = (Fault("drop", 0, 60.0), Fault("drop", 0, 130.0))
    report, books = run(tmp_path, "advanced", plan)
    adds_up(report)
    assert report["frames"] == frames_on_disk(tmp_path) <= books["sent"]["total"]
    assert report["reconnects"] == 2
    assert_identical(tmp_path)


@pytest.mark.parametrize("dialect", ["exchange", "advanced"])
def test_invariant_04_every_break_has_a_record_and_no_window_spans_it(tmp_path: Path, dialect: str) -> None:
    report, _ = run(tmp_path, dialect, (*MISCHIEF, Fault("drop", 0, 300.0)))
    table = read_features(tmp_path / "features")
    ticks = table.kind == 0
    starts = np.flatnonzero(np.diff(table.covered_since_ns[ticks])) + 1
    gaps = [gap for gap in logged(tmp_path, "ticks.gaps") if isinstance(gap, Gap)]
    assert len(gaps) == report["gaps"] == len(starts)
    assert [gap.to_ns for gap in gaps] == table.covered_since_ns[ticks][starts].tolist()
    assert all(gap.from_ns <= gap.to_ns for gap in gaps)
    reasons = Counter(gap.reason for gap in gaps)
    # A connection that was cut before its first tick breaks nothing of its own.
    sessions = {tick.session for tick in logged(tmp_path, "ticks.raw") if isinstance(tick, Tick)}
    assert reasons["session"] == len(sessions) - 1 >= 2
    # Frames that the exchange held back show in Advanced Trade's frame counter; Exchange has none.
    assert reasons["sequence"] >= (dialect == "advanced")
    assert_windows_within_coverage(table)


def test_invariant_04_every_mark_and_tick_carries_its_coverage(tmp_path: Path) -> None:
    run(tmp_path, "advanced", MISCHIEF)
    for record in logged(tmp_path, "ticks.raw"):
        assert isinstance(record, Tick | Mark)
        assert 0 < record.covered_since_ns <= record.event_ns


def test_invariant_04_a_stalled_heartbeat_is_a_break(tmp_path: Path) -> None:
    report, _ = run(tmp_path, "exchange", (Fault("stall", 0, 90.0),), 1_000)
    gaps = [gap for gap in logged(tmp_path, "ticks.gaps") if isinstance(gap, Gap)]
    assert gaps
    assert gaps[0].reason == "heartbeats"
    adds_up(report)
    assert_identical(tmp_path)


def assert_windows_within_coverage(table: FeatureTable) -> None:
    """Check each row's tick count and mean return against the ticks of its own covered stretch alone."""
    keep = table.kind == 0
    event_ns, since_ns = table.event_ns[keep], table.covered_since_ns[keep]
    mids = (table.bid[keep] + table.ask[keep]).astype(float)
    first = np.maximum(
        np.searchsorted(event_ns, event_ns - WINDOW_NS, "right"), np.searchsorted(since_ns, since_ns, "left")
    )
    counts = np.arange(len(event_ns)) - first + 1
    assert table.ticks[keep].tolist() == counts.tolist()
    means = table.values[keep][:, 0]
    for row in range(len(event_ns)):
        expected = math.log(mids[row] / mids[first[row]]) / (counts[row] - 1) if counts[row] > 1 else math.nan
        assert means[row] == pytest.approx(expected, rel=1e-6, abs=1e-14, nan_ok=True), row
