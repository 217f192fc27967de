"""Rows beside an ingest: what is archived and not stored is made, to the bit, while the archive grows."""

from __future__ import annotations

import os
from contextlib import closing
from pathlib import Path

import pytest

from made_records import TICK
from volspike.bus.embedded import EmbeddedLog
from volspike.bus.port import Outgoing
from volspike.bus.topic_plan import state_topic
from volspike.bus.topics import TICKS
from volspike.clock import SystemClock
from volspike.errors import ArchiveError
from volspike.monitoring.journal import RETRAIN_FAILED, RETRAIN_STARTED, read_journal
from volspike.pipeline.home import Home
from volspike.pipeline.log_owner import owner_of
from volspike.pipeline.missing_rows import store_missing_rows
from volspike.pipeline.replay import writing_rows
from volspike.pipeline.retraining import Request, retrain
from volspike.recording.archive import ArchiveWriter
from volspike.recording.frame import SegmentHeader
from volspike.simulation.scripted import exchange_frames
from volspike.simulation.synthetic import SyntheticMarket
from whole_runs import ORIGIN_NS, PRODUCT, SEED, assert_identical, finished, settings_for, start, volspike

MINUTE_NS = 60 * 10**9
HEADER = SegmentHeader(
    feed="exchange", dialect="exchange", session="one", products=(PRODUCT,), heartbeats=True, origin="live"
)
REQUEST = Request(PRODUCT, "exchange", "schedule", ORIGIN_NS + 60 * MINUTE_NS)


def test_rows_are_stored_while_the_archive_grows_and_are_those_of_a_replay(tmp_path: Path) -> None:
    home, settings = Home(tmp_path), settings_for(tmp_path)
    market = SyntheticMarket(SEED, (PRODUCT,), ORIGIN_NS + 54 * MINUTE_NS)
    frames = list(exchange_frames(market, SEED, ORIGIN_NS + 63 * MINUTE_NS))
    writer = ArchiveWriter(tmp_path, SystemClock())
    rows = [0]
    try:
        writer.begin(HEADER)
        for part in range(3):  # the third is in the next hour, so in another segment
            for receive_ns, raw in frames[part * len(frames) // 3 : (part + 1) * len(frames) // 3]:
                writer.append("one", receive_ns, raw)
            store_missing_rows(home, settings)
            rows.append(assert_identical(tmp_path))
        store_missing_rows(home, settings)
        assert assert_identical(tmp_path) == rows[-1]
        writer.end("one")
    finally:
        writer.close()
    assert rows == sorted(set(rows))
    ran = volspike("replay", "--data-dir", tmp_path, "--json")
    assert ran.report["rows"] == rows[-1]


def test_whose_log_it_is_tells_whether_anybody_stores_rows(tmp_path: Path) -> None:
    tick = TICKS.encode(TICK)
    for topic, owner in ((None, None), (TICKS.name, "run"), (state_topic("ingest"), "the stages")):
        with closing(EmbeddedLog(tmp_path / "log.db", SystemClock())) as log:
            if topic is not None:
                log.append([Outgoing(topic, PRODUCT, tick, TICK.event_ns)])
            assert owner_of(log) == owner


def test_who_stores_rows_is_not_disturbed(tmp_path: Path) -> None:
    ArchiveWriter(tmp_path, SystemClock()).close()
    with (
        writing_rows(Home(tmp_path)),
        pytest.raises(ArchiveError, match="is being written by process"),
    ):
        store_missing_rows(Home(tmp_path), settings_for(tmp_path))


def test_a_retraining_that_has_no_rows_and_no_archive_says_so_in_the_journal(tmp_path: Path) -> None:
    home = Home(tmp_path)
    with pytest.raises(ArchiveError, match="holds no archive"):
        retrain(home, settings_for(tmp_path), REQUEST, SystemClock(), lambda _words: None, replay=True)
    journal = read_journal(home.journal)
    assert [each.event for each in journal] == [RETRAIN_STARTED, RETRAIN_FAILED]
    assert "holds no archive" in journal[-1].reason


def test_a_retraining_whose_rows_can_not_be_read_says_so_in_the_journal(tmp_path: Path) -> None:
    named = ("--product", PRODUCT, "--feed", "exchange", "--market-ns", REQUEST.market_ns)
    ran = finished(start("retrain", "--data-dir", tmp_path, *named, "--with-parent", os.getpid(), "--json"))
    assert ran.code == 1
    journal = read_journal(Home(tmp_path).journal)
    assert [each.event for each in journal] == [RETRAIN_STARTED, RETRAIN_FAILED]
    assert "there are no features of BTC-USD exchange" in journal[-1].reason
