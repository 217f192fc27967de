"""Invariant 7 on the live pipeline: bad input and dead parts are counted, and the stream goes on."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from volspike.bus.embedded import EmbeddedLog
from volspike.clock import SimulatedClock
from volspike.errors import BusError, FeatureError
from volspike.features.store import FeatureWriter
from volspike.pipeline.assembly import LiveJob, open_live
from volspike.recording.archive import ArchiveWriter
from volspike.recording.file_system import OsFileSystem
from volspike.records import DeadLetter, FeatureRow
from volspike.simulation.scripted import exchange_frames
from whole_runs import (
    SEED,
    START_NS,
    adds_up,
    assert_identical,
    logged,
    market_after_history,
    settings_for,
    verified,
    volspike,
)

NS = 1_000_000_000


@pytest.fixture(scope="module")
def frames() -> list[tuple[int, bytes]]:
    """Return five minutes of frames that follow the trained history."""
    market = market_after_history()
    return list(exchange_frames(market, SEED, START_NS + 300 * NS))


def feed(job: LiveJob, frames: Sequence[tuple[int, bytes]], session: str = "one") -> None:
    job.pipeline.begin(session)
    for receive_ns, raw in frames:
        job.pipeline.frame(session, receive_ns, raw, 0)
    job.pipeline.end(session, "stop")
    job.pipeline.finish()


def run(
    root: Path,
    frames: Sequence[tuple[int, bytes]],
    prepare: Callable[[LiveJob], None] = lambda _job: None,
) -> dict[str, Any]:
    job = open_live(settings_for(root), SimulatedClock(), ())
    try:
        prepare(job)
        feed(job, frames)
    finally:
        job.close()
    return job.as_dict()


def without(report: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in report.items() if name not in ("latency_us", *names)}


def test_invariant_07_malformed_frames_change_no_feature_and_no_prediction(trained, frames) -> None:
    root = trained()
    spoiled: list[tuple[int, bytes]] = []
    for index, (receive_ns, raw) in enumerate(frames):
        spoiled.append((receive_ns, raw))
        if index % 50 == 0:
            spoiled.append((receive_ns, raw[: len(raw) // 2]))
    report = run(root, spoiled)
    adds_up(report)
    assert report["deadlettered"] == len(spoiled) - len(frames) > 10
    assert_identical(root)
    letters = [letter for letter in logged(root, "ticks.deadletter") if isinstance(letter, DeadLetter)]
    assert [letter.raw for letter in letters] == [raw for _, raw in spoiled if not raw.endswith(b"}")]
    clean = run(trained(), frames)
    assert clean["predictions"] == report["predictions"] > 500
    assert clean["scoreboard"] == report["scoreboard"]


def test_invariant_07_a_sink_that_fails_costs_neither_alerts_nor_predictions(trained, frames) -> None:
    class DeadSink:
        name = "dead"

        def deliver(self, alert: object) -> None:
            raise RuntimeError("no route")

        def close(self) -> None:
            return

    root = trained()
    settings = settings_for(root, alert_open=0.01, alert_close=0.0)
    job = open_live(settings, SimulatedClock(), (DeadSink(),))
    try:
        feed(job, frames)
    finally:
        job.close()
    report = job.as_dict()
    assert report["alerts"] > 0
    assert report["predictions"] > 500
    assert len((root / "alerts.ndjson").read_text().splitlines()) == 2 * report["alerts"]
    letters = [json.loads(line) for line in (root / "alerts-undelivered.ndjson").read_text().splitlines()]
    assert {letter["sink"] for letter in letters} == {"dead"}
    assert len(letters) == 2 * report["alerts"]


def test_invariant_07_a_dead_model_is_stood_in_for_by_the_reference(trained, frames) -> None:
    def kill(job: LiveJob) -> None:
        (bundle,) = job.bundles.values()

        def dead(*_: object) -> None:
            raise ZeroDivisionError("weights are gone")

        bundle.predictor.predict = dead  # type: ignore[method-assign, assignment]

    root = trained()
    report = run(root, frames, kill)
    adds_up(report)
    assert report["predictions"] > 500
    assert {p.model for p in logged(root, "ticks.predictions")} == {f"{report['model']}!fallback"}  # type: ignore[attr-defined]
    assert_identical(root)


class FailingDisk(OsFileSystem):
    """Refuses every write after so many."""

    def __init__(self, writes: int) -> None:
        self._left = writes

    def write(self, descriptor: int, data: Any) -> int:
        self._left -= 1
        if self._left < 0:
            raise OSError(28, "No space left on device")
        return super().write(descriptor, data)


def with_failing_disk(monkeypatch: pytest.MonkeyPatch, writes: int) -> None:
    monkeypatch.setattr(
        "volspike.pipeline.assembly.ArchiveWriter", partial(ArchiveWriter, file_system=FailingDisk(writes))
    )


def test_invariant_07_predictions_go_on_without_the_archive(
    trained, frames, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = run(trained(), frames)
    with_failing_disk(monkeypatch, 400)
    report = run(trained(), frames)
    assert report["frames"] == whole["frames"]
    assert 300 < report["archived"] < 400
    assert without(report, "archived", "failures") == without(whole, "archived", "failures")
    assert whole["failures"] == {}
    assert "No space left on device" in report["failures"]["archive"]


def test_invariant_07_after_the_archive_failed_the_next_start_agrees_with_it(
    trained, frames, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = trained()
    with monkeypatch.context() as failing:
        with_failing_disk(failing, 400)
        report = run(root, frames)
    assert report["archived"] < report["frames"]
    later = list(exchange_frames(market_after_history(), SEED, START_NS + 600 * NS))[len(frames) :]
    job = open_live(settings_for(root), SimulatedClock(), ())
    try:
        feed(job, later, "two")
    finally:
        job.close()
    assert job.as_dict()["features"] > 500
    assert_identical(root)


def test_invariant_07_a_failed_log_is_told_and_predictions_go_on(
    trained, frames, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: EmbeddedLog, records: object, consumer: object = None) -> None:
        raise BusError("log.db", "database or disk is full", "make room")

    root = trained()
    monkeypatch.setattr(EmbeddedLog, "append", refuse)
    report = run(root, frames)
    assert report["predictions"] > 500
    assert report["frames"] == report["archived"] == len(frames)
    assert "disk is full" in report["failures"]["log"]
    monkeypatch.undo()
    assert_identical(root)


def test_invariant_07_predictions_go_on_when_feature_rows_can_not_be_stored(
    trained, frames, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: FeatureWriter, row: FeatureRow) -> None:
        raise FeatureError("features", "it can't be written: No space left on device", "make room")

    root = trained()
    job = open_live(settings_for(root), SimulatedClock(), ())
    with monkeypatch.context() as failing:
        failing.setattr(FeatureWriter, "append_row", refuse)
        feed(job, frames)
        job.close()
    report = job.as_dict()
    assert report["predictions"] > 500
    assert "No space left" in report["failures"]["features"]
    assert verified(root)["missing"] > 500
    open_live(settings_for(root), SimulatedClock(), ()).close()
    assert_identical(root)


def test_verify_beside_a_running_job_compares_what_is_closed(trained, frames) -> None:
    root = trained()
    rows = assert_identical(root)
    job = open_live(settings_for(root), SimulatedClock(), ())
    try:
        feed(job, frames)
        beside = volspike("verify", "--data-dir", root, "--json")
    finally:
        job.close()
    assert beside.code == 0, beside.err
    made = job.pipeline.accounting.ticks + job.pipeline.accounting.marks
    assert (beside.report["identical"], beside.report["open"]) == (rows, made)
    assert made > 500
    assert beside.report["missing"] == 0
    counts = verified(root)
    assert (counts["identical"], counts["open"]) == (rows + made, 0)


def test_verify_without_a_running_job_counts_open_rows_as_missing(trained, frames) -> None:
    root = trained()
    run(root, frames)
    last = max((root / "features").glob("*.parquet"), key=lambda path: path.name)
    last.unlink()
    counts = verified(root)
    assert (counts["open"], counts["missing"] > 500) == (0, True)
