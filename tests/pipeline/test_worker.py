"""What a worker shows of itself: dead letters, predictions, products without a model."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from stage_runs import market, write

from volspike.bus.embedded import EmbeddedLog
from volspike.bus.port import Outgoing
from volspike.bus.state_store import StateStore
from volspike.bus.topics import FEATURES, TICKS
from volspike.clock import SystemClock
from volspike.monitoring.group_lag import GroupLag
from volspike.monitoring.worker_metrics import WorkerMetrics
from volspike.pipeline.home import Home
from volspike.pipeline.worker import Worker, open_worker
from whole_runs import PRODUCT, settings_for

ROWS = 300


def log_of(root: Path) -> EmbeddedLog:
    return EmbeddedLog(Home(root).log, SystemClock())


def ticks_of(root: Path, *more: Outgoing) -> None:
    with closing(log_of(root)) as log:
        # As ingest writes it: else the log is one of run.
        log.append([StateStore(log, "ingest").record(0, "ingest", b'{"seq":0}', 0)])
        write(log, market()[:ROWS])
        log.append(more)


def worked(stage: str, root: Path, count: int, **given: object) -> Worker:
    worker = open_worker(stage, settings_for(root, **given), None, SystemClock())
    try:
        worker.run(lambda: worker.as_dict()["records"] >= count)
    finally:
        worker.close()
    return worker


def test_dead_letters_of_a_worker_are_counted_shown_and_in_the_metrics(tmp_path: Path) -> None:
    ticks_of(tmp_path, *(Outgoing(TICKS.name, PRODUCT, junk, 1) for junk in (b"junk", b"{}")))
    worker = worked("featurize", tmp_path, ROWS + 2)
    assert worker.as_dict()["deadlettered"] == 2
    assert f"{ROWS + 2} records, 2 dead-lettered, partition 0, " in worker.line()
    assert 'volspike_dead_letters_total{reason="bad record"} 2.0' in told(worker, tmp_path)


def test_the_metric_of_dead_letters_is_there_before_the_first(tmp_path: Path) -> None:
    log_of(tmp_path).close()
    with closing(open_worker("featurize", settings_for(tmp_path), None, SystemClock())) as worker:
        assert 'volspike_dead_letters_total{reason="bad record"} 0.0' in told(worker, tmp_path)
        assert "dead-lettered" not in worker.line()


def told(worker: Worker, root: Path) -> str:
    registry = CollectorRegistry()
    with GroupLag(lambda: log_of(root), "featurize") as lag:
        registry.register(WorkerMetrics(worker, lag))
        return generate_latest(registry).decode()


def test_a_score_without_a_model_says_of_which_products_nothing_is_predicted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ticks_of(tmp_path)
    rows = worked("featurize", tmp_path, ROWS).written[FEATURES.name]
    assert capsys.readouterr().err == ""
    products = {"products": (PRODUCT, "ETH-USD"), "default_model": False}
    without = worked("score", tmp_path, rows, **products)
    said = capsys.readouterr().err
    assert "no model: rows are read, and nothing is predicted" in said
    assert f"{PRODUCT}, ETH-USD" in said
    assert f"{rows} records, 0 predictions, partition 0, " in without.line()


def test_a_score_names_only_the_products_without_a_model(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log_of(tmp_path).close()
    both = settings_for(tmp_path, products=(PRODUCT, "ETH-USD"), default_model=True)
    open_worker("score", both, None, SystemClock()).close()
    assert "products=ETH-USD" in capsys.readouterr().err
    served = settings_for(tmp_path, products=(PRODUCT,), default_model=True)
    open_worker("score", served, None, SystemClock()).close()
    assert capsys.readouterr().err == ""
