"""Runs of a live job on a simulated exchange that misbehaves."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from volspike.features.store import read_features
from volspike.features.table import FeatureTable
from volspike.records import Gap, Record, Tick
from volspike.simulation.faults import parse_fault
from volspike.simulation.market import Market
from volspike.simulation.synthetic import SyntheticMarket
from whole_runs import ORIGIN_NS, PRODUCT, SEED, adds_up, assert_identical, live_run, logged, ticks_at_least


@dataclass(frozen=True)
class Run:
    """What is left of a run: its directory, its report and the simulator's books."""

    root: Path
    report: dict[str, Any]
    books: dict[str, Any]

    @property
    def table(self) -> FeatureTable:
        """The stored feature rows, marks included, of the one product."""
        return read_features(self.root / "features")

    @property
    def gaps(self) -> list[Gap]:
        """The gap records."""
        return [record for record in logged(self.root, "ticks.gaps") if isinstance(record, Gap)]

    @property
    def ticks(self) -> list[Tick]:
        """The ticks."""
        return [record for record in self.records("ticks.raw") if isinstance(record, Tick)]

    def records(self, topic: str) -> list[Record]:
        """Return every record of a topic."""
        return logged(self.root, topic)


def features_by_time(run: Run, start_ns: int = 0) -> dict[int, list[bytes]]:
    """Return the bits of every tick's features from a time on, by event time; ties stay in order."""
    table = run.table
    rows: dict[int, list[bytes]] = {}
    for index in np.flatnonzero((table.kind == 0) & (table.event_ns >= start_ns)).tolist():
        rows.setdefault(int(table.event_ns[index]), []).append(table.values[index].tobytes())
    return rows


def assert_same_features(run: Run, clean: Run, start_ns: int = 0) -> int:
    """Check that both runs made the same rows from a time on, as far as the shorter one goes; count them."""
    ours, theirs = features_by_time(run, start_ns), features_by_time(clean, start_ns)
    until_ns = min(max(ours), max(theirs))
    ours, theirs = ({at: bits for at, bits in rows.items() if at < until_ns} for rows in (ours, theirs))
    assert ours == theirs
    return sum(map(len, ours.values()))


def run_with(
    root: Path, dialect: str, *faults: str, ticks: int = 500, market: Market | None = None, **given: Any
) -> Run:
    """Run a live job on the simulator with these faults; check that nothing is lost and rows verify."""
    market = market or SyntheticMarket(SEED, (PRODUCT,), ORIGIN_NS)
    plan = [parse_fault(text) for text in faults]
    report, books = live_run(root, market, ticks_at_least(ticks), dialect=dialect, plan=plan, **given)
    adds_up(report)
    assert_identical(root)
    return Run(root, report, books)
