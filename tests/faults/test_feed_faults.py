"""Rows 1 to 13 of the fault table on a live job: transport, subscription, order."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from faulty_runs import Run, assert_same_features, run_with

from volspike.pipeline.assembly import LiveJob
from volspike.records import Tick
from volspike.simulation.faults import parse_fault
from volspike.simulation.synthetic import SyntheticMarket
from whole_runs import ORIGIN_NS, PRODUCT, SEED, session

BOTH = pytest.mark.parametrize("dialect", ["exchange", "advanced"])
NS = 1_000_000_000


@BOTH
def test_fault_01_a_reset_costs_one_session_and_its_gap_has_both_ends(tmp_path: Path, dialect: str) -> None:
    run = run_with(tmp_path, dialect, "drop,at=20", "drop,at=60", ticks=400, speed=100.0)
    sessions = run.books["sessions"]
    assert [log["subscribes"] for log in sessions] == [2 if dialect == "advanced" else 1] * 3
    assert run.report["session_ends"]["reset"] == 2
    gaps = [gap for gap in run.gaps if gap.reason == "session"]
    assert len(gaps) == 2
    times = sorted(record.event_ns for record in run.records("ticks.raw"))  # type: ignore[union-attr]
    for gap in gaps:
        assert (gap.from_ns, gap.to_ns) in set(pairwise(times))


@dataclass
class Watched:
    """A job in the course of a fault: the states it showed, and how long its first session lasted."""

    states: list[str]
    seconds: float
    report: dict[str, Any]
    reasons: Counter[str]


async def watch(
    root: Path, dialect: str, fault: str, enough: Callable[[LiveJob], bool], **given: Any
) -> Watched:
    """Run a job until there is enough; note its states on the way."""
    states: list[str] = []
    market = SyntheticMarket(SEED, given.get("products", (PRODUCT,)), ORIGIN_NS)
    began, ended = time.monotonic(), [0.0]

    def observe(job: LiveJob) -> bool:
        status = job.client.status
        if not states or states[-1] != status.state:
            states.append(status.state)
        if status.sessions > 1 and not ended[0]:
            ended[0] = time.monotonic()
        return enough(job)

    plan = (parse_fault(fault),)
    async with session(root, market, plan=plan, speed=10.0, dialect=dialect, **given) as running:
        report = await running.run(observe, drain=False)
    return Watched(states, ended[0] - began, report, Counter(report["session_ends"]))


CASES: dict[str, tuple[str, str, str]] = {
    "silence": ("exchange", "silence,at=3", "silence"),
    "stall": ("exchange", "stall,at=3", "silence"),
    "freeze": ("advanced", "freeze,at=3", "silence"),
    "skip": ("advanced", "skip:900,at=3", "heartbeat_jump"),
    "noack": ("advanced", "noack", "no_ack"),
    "noack exchange": ("exchange", "noack", "no_ack"),
}


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Watched]:
    """Run the faults that take seconds to be noticed, all at once."""

    def is_back(job: LiveJob) -> bool:
        return job.client.status.sessions == 2 and job.client.status.state == "live"

    def is_judged(job: LiveJob) -> bool:
        return bool(job.client.status.reasons.get("partial_ack"))

    async def all_at_once() -> list[Watched]:
        jobs = [
            watch(tmp_path_factory.mktemp("watched"), dialect, fault, is_back)
            for dialect, fault, _ in CASES.values()
        ]
        two = (PRODUCT, "ETH-USD")
        partial = watch(tmp_path_factory.mktemp("part"), "exchange", "partial", is_judged, products=two)
        return await asyncio.gather(*jobs, partial)

    return dict(zip([*CASES, "partial"], asyncio.run(all_at_once()), strict=True))


@pytest.mark.parametrize("case", CASES)
def test_fault_02_05_07_a_feed_that_is_not_whole_is_left_within_ten_seconds(
    watched: dict[str, Watched], case: str
) -> None:
    run = watched[case]
    assert run.reasons[CASES[case][2]] == 1, run.reasons
    assert run.report["sessions"] == 2
    assert 0 < run.seconds < 10 + 5  # 5 s for the start and the fault, on a loaded machine
    assert run.states[-1] == "live"


@pytest.mark.parametrize("case", ["noack", "noack exchange"])
def test_fault_05_without_acknowledgement_it_is_never_live(watched: dict[str, Watched], case: str) -> None:
    states = watched[case].states
    assert "live" not in states[: states.index("waiting")]
    assert watched[case].report["ticks"] > 20


def test_fault_05_a_partial_acknowledgement_degrades_and_serves_the_rest(watched: dict[str, Watched]) -> None:
    run = watched["partial"]
    assert run.states[-1] == "degraded"
    assert "live" not in run.states
    assert run.report["sessions"] == 1
    assert run.report["ticks"] > 20


def test_fault_07_each_jump_of_the_heartbeat_counter_gives_one_gap(watched: dict[str, Watched]) -> None:
    assert watched["skip"].report["gaps"] == 1


def test_fault_04_refused_handshakes_are_tried_again(tmp_path: Path) -> None:
    faults = [f"http:{status},at=0" for status in (403, 429, 500, 503)]
    run = run_with(tmp_path, "advanced", *faults, "slow:50,at=0", ticks=200)
    assert run.books["refused"] == {"403": 1, "429": 1, "500": 1, "503": 1}
    assert {"http_403", "http_429", "http_500", "http_503"} <= set(run.report["session_ends"])
    assert (run.report["sessions"], run.report["reconnects"]) == (1, 0)


def test_fault_08_a_jump_of_the_frame_counter_is_one_gap(tmp_path: Path) -> None:
    run = run_with(tmp_path, "advanced", "gap:3,at=40")
    assert [gap.reason for gap in run.gaps] == ["sequence"]
    assert run.report["reconnects"] == 0
    assert run.books["withheld"] == {"gap": 3}


@BOTH
def test_fault_09_duplicates_change_no_feature(
    tmp_path: Path, dialect: str, clean: Callable[[str], Run]
) -> None:
    run = run_with(tmp_path, dialect, "duplicate:40,at=10", "duplicate:10,every=15", ticks=600)
    assert run.report["ignored"]["duplicate"] >= 50
    assert assert_same_features(run, clean(dialect)) > 500


@BOTH
def test_fault_10_disorder_is_dropped_counted_and_repeated_by_replay(tmp_path: Path, dialect: str) -> None:
    run = run_with(tmp_path, dialect, "disorder:10,at=10")
    reasons = {"exchange": ("late", "duplicate"), "advanced": ("out_of_order",)}[dialect]
    dropped = sum(run.report["ignored"].get(reason, 0) for reason in reasons)
    assert 1 <= dropped <= 60
    stamps = [tick.event_ns for tick in run.ticks]
    assert stamps == sorted(stamps)


@BOTH
def test_fault_11_the_first_stale_ticker_of_a_session_enters_no_window(tmp_path: Path, dialect: str) -> None:
    run = run_with(tmp_path, dialect, "close:1012,at=30", "close:1001,at=90", ticks=700)
    assert run.report["ignored"]["snapshot"] == run.report["sessions"] == 3
    assert min(tick.event_ns for tick in run.ticks) >= ORIGIN_NS
    table = run.table
    ticks = table.kind == 0
    starts = ticks & (table.event_ns == table.covered_since_ns)
    # The first row of a session has nothing before it: no return, and no volatility made of one.
    assert set(table.ticks[starts].tolist()) <= set(range(1, 40))
    assert not table.complete[starts].any()


def test_fault_12_ticks_of_one_stamp_are_all_kept(clean: Callable[[str], Run]) -> None:
    ticks = clean("exchange").ticks
    ids = [tick.trade_id for tick in ticks]
    assert len(ids) == max(ids) - min(ids) + 1
    assert Counter(tick.event_ns for tick in ticks).most_common(1)[0][1] > 1


def test_fault_13_a_jump_of_the_trade_id_is_flagged_and_breaks_nothing(tmp_path: Path) -> None:
    run = run_with(tmp_path, "exchange", "gap:3,at=40", ticks=300)
    assert run.report["gaps"] == 0
    suspects = [tick for tick in run.ticks if tick.suspect]
    assert len(suspects) == 1
    before: Tick = run.ticks[run.ticks.index(suspects[0]) - 1]
    assert suspects[0].trade_id == before.trade_id + 4
    assert suspects[0].covered_since_ns == before.covered_since_ns
