"""Ingest, featurize and score, a process each or one after the other, do what ``run`` does."""

from __future__ import annotations

import asyncio
import random
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from volspike.clock import SimulatedClock
from volspike.exchange.dialects import get_dialect
from volspike.exchange.products import PriceScales
from volspike.pipeline.archive_past import ArchivePast
from volspike.pipeline.ingest import Ingest
from volspike.pipeline.ingest_job import open_ingest
from volspike.pipeline.recorder import Recorder
from volspike.pipeline.session_header import header_maker
from volspike.pipeline.worker import open_worker
from volspike.recording.reader import Archive
from volspike.simulation.later import LaterMarket
from volspike.simulation.synthetic import SyntheticMarket
from whole_runs import (
    ORIGIN_NS,
    PRODUCT,
    START_NS,
    archived_frames,
    finished,
    live_run,
    logged,
    market_after_history,
    one_line_failure,
    session,
    settings_for,
    simulator_process,
    simulator_state,
    start,
    ticks_at_least,
    until,
    volspike,
    wait_until,
)

TOPICS = ("ticks.raw", "ticks.features", "ticks.predictions", "ticks.outcomes", "ticks.alerts", "ticks.gaps")
TWO = ("BTC-USD", "ETH-USD")


def unmeasured(records: list) -> list:
    return [
        msgspec.structs.replace(record, latency_ns=0) if hasattr(record, "latency_ns") else record
        for record in records
    ]


def work(stage: str, settings, count: int, **options) -> dict:
    """Run a worker until it has read ``count`` records."""
    worker = open_worker(stage, settings, None, SimulatedClock())
    try:
        worker.run(lambda: worker.as_dict()["records"] >= count, **options)
    finally:
        worker.close()
    return worker.as_dict()


def test_the_stages_make_of_the_same_frames_what_run_makes(trained: Callable[[], Path]) -> None:
    # Without a history: the stages know of the past what is on the topics.
    root, other = without_history(trained()), without_history(trained())
    options = {"alert_open": 0.02, "alert_close": 0.01}
    report, _ = live_run(root, market_after_history(), ticks_at_least(2_000), **options)
    (live,) = [info for info in Archive(root).sessions() if info.header.origin == "live"]

    settings = settings_for(other, **options)
    job = open_ingest(settings, "ingest", 50, SimulatedClock())
    recorder = Recorder(
        job.archive, ingest_of(job), job.publisher, header_maker(get_dialect("exchange"), (PRODUCT,))
    )
    recorder.begin(live.header.session)
    for frame in Archive(root).frames(live):
        recorder.frame(frame.session, frame.receive_ns, frame.raw, 0)
    recorder.end(live.header.session, "close_1000")
    job.close()
    assert job.failure is None
    ticks = len(logged(other, "ticks.raw"))
    assert work("featurize", settings, ticks)["records"] == ticks
    scored = work("score", settings, len(logged(other, "ticks.features")), is_over=True)
    assert scored["written"]["ticks.predictions"] == report["predictions"] > 500
    for topic in TOPICS:
        made, expected = unmeasured(logged(other, topic)), unmeasured(logged(root, topic))
        if topic in ("ticks.alerts", "ticks.outcomes"):
            # At the end ``run`` settles all products before it closes alerts; here there is one product.
            assert sorted(map(repr, made)) == sorted(map(repr, expected)), topic
        else:
            assert made == expected, topic
    assert logged(root, "ticks.alerts")


def without_history(root: Path) -> Path:
    for part in ("raw", "features"):
        shutil.rmtree(root / part)
    return root


def ingest_of(job):
    """Return an ingest of a fresh archive that counts where the job does."""
    made = Ingest(PriceScales())
    made.accounting = job.accounting
    return made


def ingest_run(root: Path, market, enough: Callable, **options) -> dict:
    async def run() -> dict:
        async with session(root, market, products=TWO, **options) as running:
            settings = running.settings.model_copy(
                update={"exchange_url": running.simulator.urls[running.settings.dialect]}
            )
            job = open_ingest(settings, "ingest", 1, SimulatedClock())
            stop = asyncio.Event()
            task = asyncio.create_task(job.run(stop))
            await until(lambda: enough(job) or task.done())
            stop.set()
            await task
            job.close()
            assert job.failure is None
            return job.as_dict()

    return asyncio.run(run())


def both_live(job) -> bool:
    return job.accounting.ticks >= 800 and all(each.state == "live" for each in job.connections.statuses)


@pytest.mark.parametrize("dialect", ["exchange", "advanced"])
def test_connections_at_the_same_time_read_back_to_the_record(tmp_path: Path, dialect: str) -> None:
    """Killed or not: from any frame on, the archive leads to the records that were published live."""
    market = SyntheticMarket(7, TWO, ORIGIN_NS)
    first = ingest_run(tmp_path, market, both_live, dialect=dialect)
    assert first["connections"] == 2 <= first["sessions"]
    newest_ns = max(record.event_ns for record in logged(tmp_path, "ticks.raw"))
    later = LaterMarket(SyntheticMarket(7, TWO, ORIGIN_NS), newest_ns + 60_000_000_000)
    second = ingest_run(tmp_path, later, both_live, dialect=dialect)
    assert second["read_back"] == 0
    published = {topic: logged(tmp_path, topic) for topic in ("ticks.raw", "ticks.gaps")}
    assert len(published["ticks.raw"]) == first["published"] + second["published"] - len(
        published["ticks.gaps"]
    )
    last_seq = archived_frames(tmp_path)[-1][0]
    rng = random.Random(5)
    for after in (0, *sorted(rng.randrange(last_seq) for _ in range(4))):
        past = ArchivePast(Archive(tmp_path), PriceScales(), after)
        again = [record for made in past.unpublished(1 << 60) for _, record in made.records]
        for topic, kind in (("ticks.raw", "archive_seq"), ("ticks.gaps", "gap_id")):
            live = [r for r in published[topic] if kind == "gap_id" or r.archive_seq > after]
            made = [r for r in again if hasattr(r, "gap_id") == (kind == "gap_id")]
            assert made == live[len(live) - len(made) :], (after, topic)
            assert kind == "gap_id" or len(made) == len(live)


def test_three_processes_on_one_data_directory(trained: Callable[[], Path], tmp_path: Path) -> None:
    root = trained()
    market = ("--product", PRODUCT, "--origin-ns", ORIGIN_NS, "--start-ns", START_NS, "--speed", 200)
    with simulator_process(tmp_path / "ready.json", *market) as told:
        workers = {stage: start(stage, "--data-dir", root, "--json") for stage in ("featurize", "score")}
        feed = start("ingest", "--data-dir", root, "--exchange-url", told["urls"]["exchange"], "--json")
        wait_until(lambda: simulator_state(told)["sent"]["total"] > 3_000)
        feed.send_signal(signal.SIGTERM)
        ingested = finished(feed)
        assert ingested.code == 0, ingested.err
        report = ingested.report
        assert report["frames"] == report["archived"]
        assert report["items"] == report["ticks"] + sum(report["ignored"].values()) + report["deadlettered"]
        wait_until(lambda: len(logged(root, "ticks.features")) == report["ticks"] + report["marks"])
        workers["featurize"].send_signal(signal.SIGTERM)
        featurized = finished(workers["featurize"])
        workers["score"].send_signal(signal.SIGTERM)
        scored = finished(workers["score"])
    assert (featurized.code, scored.code) == (0, 0), featurized.err + scored.err
    assert featurized.report["written"]["ticks.features"] == report["ticks"] + report["marks"]
    assert len(logged(root, "ticks.predictions")) > 0
    compared = volspike("verify", "--topics", "embedded", "--data-dir", root, "--json")
    assert compared.code == 0, compared.err
    assert compared.report["identical"] == report["ticks"] + report["marks"]
    refused = volspike("run", "--data-dir", root, "--exit-after", 1)
    assert "its log is written by volspike ingest, featurize and score" in one_line_failure(refused)


def test_the_stages_leave_the_log_of_run_alone(trained: Callable[[], Path]) -> None:
    root = trained()
    live_run(root, market_after_history(), ticks_at_least(50))
    for verb in ("ingest", "featurize", "score"):
        refused = volspike(verb, "--data-dir", root, "--exit-after", 1)
        assert "its log is written by volspike run" in one_line_failure(refused)
