"""Rows 14 to 24 of the fault table on a live job: time, content, load, names."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from faulty_runs import Run, assert_same_features, run_with

from volspike.clock import SimulatedClock
from volspike.exchange.products import PriceScales
from volspike.features.sets import get_feature_set
from volspike.pipeline.assembly import open_live
from volspike.pipeline.home import Home
from volspike.pipeline.replay import replay_features
from volspike.recording.reader import Archive
from volspike.records import DeadLetter
from volspike.simulation.faults import parse_fault
from volspike.simulation.market import MarketBreak, MarketTick
from volspike.simulation.scripted import exchange_frames
from volspike.simulation.spoilers import SPOILERS
from volspike.simulation.synthetic import SyntheticMarket
from whole_runs import (
    ORIGIN_NS,
    PRODUCT,
    SEED,
    adds_up,
    assert_identical,
    live_run,
    settings_for,
    ticks_at_least,
)

BOTH = pytest.mark.parametrize("dialect", ["exchange", "advanced"])
NS = 1_000_000_000
COLUMNS = [column.name for column in get_feature_set("core").columns]
YEAR_END_NS = 1_893_455_970 * NS  # 2029-12-31T23:59:30Z


@pytest.mark.parametrize("dialect", ["exchange", "advanced"])
def test_fault_14_an_exchange_clock_that_steps_is_survived(tmp_path: Path, dialect: str) -> None:
    run = run_with(tmp_path, dialect, "clock:5,at=30", "clock:-10,at=60", "clock:5,at=90", ticks=600)
    assert run.report["reconnects"] == 0
    late = run.report["ignored"]["late"]
    assert 5 < late < 100  # until the exchange has caught up with what it said before
    stamps = [record.event_ns for record in run.records("ticks.raw")]  # type: ignore[union-attr]
    assert stamps == sorted(stamps)
    assert all(gap.from_ns <= gap.to_ns for gap in run.gaps)


def fed(root: Path, start_ns: int, our_clock_ns: Callable[[int], int]) -> tuple[dict[str, Any], Run]:
    """Feed two minutes of frames to a live job whose own clock shows what it likes."""
    market = SyntheticMarket(SEED, (PRODUCT,), start_ns)
    job = open_live(settings_for(root), SimulatedClock(), ())
    try:
        job.pipeline.begin("one")
        for receive_ns, raw in exchange_frames(market, SEED, start_ns + 120 * NS):
            job.pipeline.frame("one", our_clock_ns(receive_ns), raw, 0)
        job.pipeline.end("one", "stop")
        job.pipeline.finish()
    finally:
        job.close()
    report = job.as_dict()
    adds_up(report)
    assert_identical(root)
    return report, Run(root, report, {})


def test_fault_14_our_own_clock_decides_nothing(tmp_path: Path) -> None:
    middle_ns = YEAR_END_NS + 60 * NS
    right, straight = fed(tmp_path / "right", YEAR_END_NS, lambda ns: ns)
    _, slow = fed(tmp_path / "slow", YEAR_END_NS, lambda ns: ns - 5 * NS)
    _, fast = fed(tmp_path / "fast", YEAR_END_NS, lambda ns: ns + 5 * NS)
    _, stepped = fed(tmp_path / "step", YEAR_END_NS, lambda ns: ns - 5 * NS if ns > middle_ns else ns)
    assert right["ticks"] > 200
    assert min(tick.event_ns for tick in straight.ticks) < ORIGIN_NS < straight.ticks[-1].event_ns
    for other in (slow, fast, stepped):
        assert assert_same_features(other, straight) > 200


# What becomes of one spoiled frame of each kind, by dialect: its reason, "tick" where it is believed.
DEAD, IGNORED, TICK = "dead", "ignored", "tick"
FATES: dict[str, tuple[str, str]] = {
    "nan": (DEAD, DEAD),
    "infinite": (DEAD, DEAD),
    "exponent": (DEAD, DEAD),
    "negative": (DEAD, DEAD),
    "zero": (DEAD, DEAD),
    "empty": (DEAD, IGNORED),
    "zerosize": (TICK, TICK),
    "crossed": (DEAD, DEAD),
    "locked": (TICK, TICK),
    "wide": (TICK, TICK),
    "outlier": (TICK, TICK),
    "past": (DEAD, DEAD),
    "future": (DEAD, DEAD),
    "undated": (DEAD, DEAD),
    "missing": (DEAD, DEAD),
    "stranger": (IGNORED, IGNORED),
    "extra": (TICK, TICK),
    "unknown": (IGNORED, IGNORED),
    "nested": (DEAD, DEAD),
    "utf8": (DEAD, DEAD),
    "binary": (DEAD, DEAD),
    "huge": (DEAD, DEAD),
}


def test_every_way_to_spoil_a_frame_has_a_fate() -> None:
    assert set(FATES) == set(SPOILERS)


@BOTH
def test_fault_15_16_17_19_20_spoiled_frames_are_told_apart_and_cost_only_themselves(
    tmp_path: Path, dialect: str
) -> None:
    faults = [f"{kind},at={3 * index}" for index, kind in enumerate(FATES, 1)]
    run = run_with(tmp_path, dialect, *faults, ticks=600)
    assert run.report["reconnects"] == 0
    assert run.books["sent"]["total"] == run.report["frames"]
    assert {kind: run.books["sent_by_type"][kind] for kind in FATES} == dict.fromkeys(FATES, 1)
    fates = Counter(pair[dialect == "advanced"] for pair in FATES.values())
    letters = [letter for letter in run.records("ticks.deadletter") if isinstance(letter, DeadLetter)]
    assert len(letters) == run.report["deadlettered"] == fates[DEAD]
    assert len({letter.reason for letter in letters}) >= 8
    expected = {"heartbeat", "subscriptions", "snapshot", "unsubscribed"}
    expected |= {"unknown_type"} if dialect == "exchange" else {"unknown_channel", "no_quote"}
    assert set(run.report["ignored"]) == expected


@BOTH
def test_fault_19_20_no_bad_number_reaches_a_feature(tmp_path: Path, dialect: str) -> None:
    kinds = ("nan", "infinite", "negative", "zero", "crossed", "locked", "wide", "past", "future")
    run = run_with(tmp_path, dialect, *(f"{kind}:2,p=0.05" for kind in kinds), ticks=500)
    table = run.table
    ticks = table.kind == 0
    assert run.report["deadlettered"] > 10
    assert (table.bid[ticks] > 0).all()
    assert (table.ask[ticks] >= table.bid[ticks]).all()
    spread = table.values[ticks, COLUMNS.index("relative_spread")]
    assert (spread[~np.isnan(spread)] >= 0).all()
    assert not np.isinf(table.values[ticks]).any()
    # A value is missing only where the window has too few ticks to have one.
    assert not np.isnan(table.values[ticks & (table.ticks >= 10)]).any()


@BOTH
def test_fault_17_more_fields_than_described_change_no_feature(
    tmp_path: Path, dialect: str, clean: Callable[[str], Run]
) -> None:
    run = run_with(tmp_path, dialect, "extra:50,at=5", ticks=300)
    assert run.books["sent_by_type"]["extra"] == 50
    assert assert_same_features(run, clean(dialect)) > 250


@BOTH
def test_fault_21_a_fat_finger_counts_while_it_is_in_the_window_and_leaves_no_trace(
    tmp_path: Path, dialect: str, clean: Callable[[str], Run]
) -> None:
    run = run_with(tmp_path, dialect, "outlier,at=20", ticks=800)
    table = run.table
    seconds = (table.event_ns - ORIGIN_NS) / NS
    inside = (table.kind == 0) & (seconds > 25) & (seconds < 75)
    assert (
        np.nanmin(table.values[inside, COLUMNS.index("rv_60s")]) > 1_000
    )  # a move of a fifth, and back, in basis points
    assert assert_same_features(run, clean(dialect), ORIGIN_NS + 85 * NS) > 100


@BOTH
def test_fault_22_a_quiet_market_is_insufficient_and_not_still(tmp_path: Path, dialect: str) -> None:
    run = run_with(tmp_path, dialect, "quiet:90,at=100", ticks=700)
    table = run.table
    seconds = (table.event_ns - ORIGIN_NS) / NS
    after = (table.kind == 0) & (seconds > 190)
    first = int(np.flatnonzero(after)[0])
    assert table.ticks[first] < 10
    assert table.complete[first]  # heartbeats went on: nothing is missing
    assert run.report["gaps"] == 0
    marks = (table.kind == 1) & (seconds > 101) & (seconds < 188)
    assert marks.sum() > 80
    assert run.report["predictions"] == run.report["alerts"] == 0


class Burst:
    """A market with 10,000 trades in a second, calm before and after."""

    products = (PRODUCT,)
    dialects = ("advanced", "exchange")
    one_frame_per_sweep = False
    truth = None

    def events(self) -> Any:
        """Yield the events."""
        times = [i * NS // 10 for i in range(20)]
        times += [2 * NS + i * NS // 10_000 for i in range(10_000)]
        times += [3 * NS + i * NS // 10 for i in range(600)]
        yield MarketBreak("start", ORIGIN_NS, (self._tick(0, -9 * NS),))
        yield from (self._tick(i + 1, at) for i, at in enumerate(times))

    def _tick(self, number: int, at_ns: int) -> MarketTick:
        bid = 6_180_430 + number % 7
        return MarketTick(
            PRODUCT, ORIGIN_NS + at_ns, bid, bid + 7, bid + 7, 2, "buy", 10**7, 10**8, 10**8, 100 + number
        )


def test_fault_23_a_burst_is_taken_whole_and_caught_up_with(tmp_path: Path) -> None:
    def has_caught_up(job: Any) -> bool:
        return job.pipeline.accounting.ticks >= 10_050

    report, books = live_run(tmp_path, Burst(), has_caught_up, speed=1.0, dialect="exchange")
    adds_up(report)
    assert report["frames"] == books["sent"]["total"]
    ticks = Run(tmp_path, report, books).ticks
    ids = [tick.trade_id for tick in ticks]
    assert ids == list(range(ids[0], ids[0] + len(ids)))
    lags = [(tick.receive_ns - tick.event_ns) / NS for tick in ticks]
    assert min(lags[-50:]) < 0.5, (max(lags), lags[-1])


def test_fault_23_a_disconnect_for_slow_reading_is_survived(tmp_path: Path) -> None:
    run = run_with(tmp_path, "exchange", "error:ErrSlowConsume,at=20", "close:1008,at=20", ticks=300)
    assert run.report["session_ends"]["close_1008"] == run.report["session_ends"]["error_capacity"] == 1
    assert (run.report["reconnects"], run.report["gaps"]) == (1, 1)
    assert b"ErrSlowConsume" in b"".join(
        frame.raw for info in Archive(tmp_path).sessions() for frame in Archive(tmp_path).frames(info)
    )


def test_fault_24_an_alias_is_mapped_back_live_and_in_replay(tmp_path: Path) -> None:
    run = run_with(tmp_path, "advanced", "nan,at=20", "close,at=30", ticks=300, products=("BTC-USDC",))
    assert {tick.product for tick in run.ticks} == {"BTC-USDC"}
    assert run.report["ignored"].get("unsubscribed", 0) == 0
    assert run.report["deadlettered"] == 1
    (letter,) = run.records("ticks.deadletter")
    assert isinstance(letter, DeadLetter)
    assert letter.product == "BTC-USDC"
    headers = [info.header for info in Archive(tmp_path).sessions()]
    assert {header.products for header in headers} == {("BTC-USDC",)}
    assert [header.aliases for header in headers] == [{"BTC-USD": "BTC-USDC"}] * 2
    archive = Archive(tmp_path)
    rows = [frame.raw for info in archive.sessions() for frame in archive.frames(info)]
    named = [json.loads(raw) for raw in rows if b'"tickers"' in raw]
    assert {row["product_id"] for f in named for e in f["events"] for row in e["tickers"]} == {"BTC-USD"}
    before = run.table
    for path in (tmp_path / "features").iterdir():
        path.unlink()
    replay_features(Home(tmp_path), get_feature_set("core"), PriceScales(), lambda _frames: None)
    after = run.table
    assert after.product == "BTC-USDC"
    assert after.values.tobytes() == before.values.tobytes()


def test_fault_24_where_both_names_are_asked_for_the_feeds_own_is_kept(tmp_path: Path) -> None:
    run = run_with(tmp_path, "advanced", ticks=100, products=("BTC-USDC", "BTC-USD"))
    assert {tick.product for tick in run.ticks} == {"BTC-USD"}
    assert run.report["ticks"] == run.report["features"]


def test_fault_24_a_product_delisted_in_mid_stream_does_not_cost_the_others(tmp_path: Path) -> None:
    two = (PRODUCT, "ETH-USD")
    market = SyntheticMarket(SEED, two, ORIGIN_NS)
    faults = ("delist,at=20", "close,at=40")
    plan = [parse_fault(text) for text in faults]
    report, books = live_run(
        tmp_path, market, ticks_at_least(800), dialect="exchange", plan=plan, products=two
    )
    adds_up(report)
    assert report["sessions"] == 2
    assert report["session_ends"]["error_configuration"] == 1
    newest = {tick.product: tick.event_ns for tick in Run(tmp_path, report, books).ticks}
    assert newest["ETH-USD"] < ORIGIN_NS + 21 * NS < ORIGIN_NS + 60 * NS < newest[PRODUCT]
