"""Invariant 6 for the embedded path: kill -9 loses nothing archived; and SIGTERM ends in order."""

from __future__ import annotations

import random
import signal
from pathlib import Path

import pytest

from volspike.clock import SimulatedClock
from volspike.pipeline.assembly import open_live
from whole_logs import check_whole
from whole_runs import (
    ORIGIN_NS,
    PRODUCT,
    SEED,
    START_NS,
    Ran,
    adds_up,
    archived_frames,
    assert_identical,
    finished,
    settings_for,
    simulator_process,
    simulator_state,
    start,
    verified,
    volspike,
    wait_until,
)

MARKET = ("--product", PRODUCT, "--speed", 300, "--origin-ns", ORIGIN_NS, "--start-ns", START_NS)

KILLS = 2


def sent(told: dict[str, str]) -> int:
    return int(simulator_state(told)["sent"]["total"])


@pytest.mark.slow
def test_invariant_06_kill_9_of_a_live_run_loses_nothing_and_the_next_start_repairs_all(
    trained, tmp_path: Path
) -> None:
    root = trained()
    with simulator_process(tmp_path / "ready.json", *MARKET) as told:
        run = ("run", "--data-dir", root, "--dialect", "exchange", "--exchange-url", told["urls"]["exchange"])
        before, kept = sent(told), archived_frames(root)
        process = start(*run, "--json")
        wait_until(lambda: sent(told) > before + 900)
        # What was sent may still be on its way, on a busy machine hundreds of frames.
        wait_until(lambda: len(archived_frames(root)) >= len(kept) + 800)
        process.kill()
        finished(process)
        seen = archived_frames(root)
        assert seen[: len(kept)] == kept
        # What the dead run had not finished storing is missing, and nothing is wrong.
        counts = verified(root)
        assert (counts["different"], counts["extra"], counts["corrupt"]) == (0, 0, 0)
        assert counts["missing"] > 0
        for more in random.Random(SEED).sample(range(100, 1_500), KILLS):
            seen_by_then = sent(told)
            process = start(*run, "--json")
            wait_until(lambda enough=seen_by_then + more: sent(told) > enough)
            process.kill()
            finished(process)
            assert archived_frames(root)[: len(seen)] == seen
            seen = archived_frames(root)
        kept = seen
        seen_by_then = sent(told)
        process = start(*run, "--json")
        wait_until(lambda: sent(told) > seen_by_then + 900)
        process.send_signal(signal.SIGTERM)
        ran = finished(process)
    assert ran.code == 0, ran.err
    adds_up(ran.report)
    assert ran.report["predictions"] > 0
    assert archived_frames(root)[: len(kept)] == kept
    assert len(archived_frames(root)) == len(kept) + ran.report["frames"]
    assert_identical(root)
    check_whole(root)


@pytest.mark.slow
def test_sigterm_ends_a_run_in_order_with_a_whole_report(tmp_path: Path) -> None:
    with simulator_process(tmp_path / "ready.json", "--product", PRODUCT, "--speed", 1000) as told:
        root, url = tmp_path / "data", told["urls"]["advanced"]
        process = start(
            "run",
            "--data-dir",
            root,
            "--dialect",
            "advanced",
            "--exchange-url",
            url,
            "--json",
        )
        wait_until(lambda: sent(told) > 2_000)
        process.send_signal(signal.SIGTERM)
        ran = finished(process)
    check_ended_well(ran, root)
    assert ran.report["session_ends"] == {"stop": 1}


def check_ended_well(ran: Ran, root: Path) -> None:
    assert ran.code == 0, ran.err
    adds_up(ran.report)
    assert ran.report["frames"] > 500
    assert not list((root / "features").glob("*.tmp"))
    assert not list((root / "raw").rglob("*.ndjson")), "a closed archive is compressed"
    assert volspike("verify", "--data-dir", root, "--json").code == 0
    assert_identical(root)


def test_a_second_job_on_the_same_directory_is_refused(tmp_path: Path) -> None:
    from volspike.clock import SystemClock
    from volspike.recording.archive import ArchiveWriter

    writer = ArchiveWriter(tmp_path, SystemClock())
    try:
        ran = volspike("run", "--exit-after", 1, "--data-dir", tmp_path, "--json")
    finally:
        writer.close()
    assert ran.code == 1
    assert "being written by process" in ran.report["error"]


def test_while_a_job_stores_rows_a_replay_is_refused(tmp_path: Path) -> None:
    job = open_live(settings_for(tmp_path), SimulatedClock(), ())
    try:
        ran = volspike("replay", "--data-dir", tmp_path, "--json")
    finally:
        job.close()
    assert ran.code == 1
    assert "being written by process" in ran.report["error"]
