"""A start remembers what is stored and logged as if it had read it frame by frame."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from volspike.bus.embedded import EmbeddedLog
from volspike.clock import SimulatedClock
from volspike.exchange.products import PriceScales
from volspike.features.sets import get_feature_set
from volspike.labels.tau import TauSpec
from volspike.labels.trailing import TrailingState
from volspike.pipeline import recovery
from volspike.pipeline.assembly import open_live
from volspike.pipeline.catch_up import CatchUp
from volspike.pipeline.home import Home
from volspike.pipeline.recovery import recover
from volspike.pipeline.stage import FeatureStages
from volspike.pipeline.stored_rows import StoredRows
from volspike.recording.reader import Archive
from volspike.records import Record
from volspike.simulation.scripted import exchange_frames
from volspike.simulation.synthetic import SyntheticMarket
from whole_runs import ORIGIN_NS, PRODUCT, SEED, settings_for

HOUR_NS = 3_600 * 1_000_000_000
HOURS = 3


def recorded(root: Path) -> Home:
    """Return the directory of a job that has watched a market for some hours and was stopped."""
    market = SyntheticMarket(SEED, (PRODUCT,), ORIGIN_NS)
    job = open_live(settings_for(root), SimulatedClock(), ())
    try:
        job.pipeline.begin("one")
        for receive_ns, raw in exchange_frames(market, SEED, ORIGIN_NS + HOURS * HOUR_NS):
            job.pipeline.frame("one", receive_ns, raw, 0)
        job.pipeline.end("one", "stop")
        job.pipeline.finish()
    finally:
        job.close()
    return Home(root)


class Start:
    """What a start makes of a data directory."""

    def __init__(self, home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
        self.put: list[tuple[str, Record]] = []
        self.read_singly = 0
        self.engine: Any = None
        trailing = TrailingState(TauSpec(), 4.0, 8)

        class Watched(FeatureStages):
            def __init__(stages, *arguments: Any) -> None:  # noqa: N805 - ``self`` is the start
                super().__init__(*arguments)
                self.engine = arguments[2].get((PRODUCT, "exchange"))

        def make_again(*arguments: Any) -> None:
            self.read_singly += len(arguments[1].paths)
            singly(*arguments)

        singly = recovery._make_again
        monkeypatch.setattr(recovery, "FeatureStages", Watched)
        monkeypatch.setattr(recovery, "_make_again", make_again)
        with closing(EmbeddedLog(home.log, SimulatedClock())) as log:
            catch_up = CatchUp(log, home.alerts, lambda topic, record: self.put.append((topic.name, record)))
            stored = StoredRows(home, Archive(home.root))
            scales = PriceScales()
            ingest = recover(home, stored, get_feature_set("core"), scales, {PRODUCT: trailing}, catch_up)
            catch_up.finish()
        monkeypatch.undo()
        self.trailing = trailing.export_state(), trailing.context(5.0, 70_000.0)
        known = ingest.admission.known(PRODUCT)
        assert known is not None
        self.admission = {name: getattr(known, name) for name in known.__slots__ if name != "coverage"}
        self.coverage = {name: getattr(known.coverage, name) for name in known.coverage.__slots__}


def test_what_is_finished_is_remembered_as_if_read_frame_by_frame(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = recorded(tmp_path)
    rows = {path.name: path.read_bytes() for path in home.features.iterdir()}
    monkeypatch.setattr(StoredRows, "has_all", lambda *_: False)
    singly = Start(home, monkeypatch)
    quickly = Start(home, monkeypatch)
    # The end of the last hour is a heartbeat, of which no row can tell that it was seen.
    assert (singly.read_singly, quickly.read_singly) == (HOURS + 1, 2)
    assert quickly.trailing == singly.trailing
    assert quickly.admission == singly.admission
    assert quickly.coverage == singly.coverage
    assert quickly.put == singly.put == []
    assert {path.name: path.read_bytes() for path in home.features.iterdir()} == rows


def test_rows_of_a_product_that_no_file_holds_are_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = recorded(tmp_path)
    newest = max(home.features.iterdir())
    rows = newest.read_bytes()
    newest.unlink()
    start = Start(home, monkeypatch)
    assert 0 < start.read_singly < HOURS + 1
    assert start.engine is not None
    assert newest.read_bytes() == rows
