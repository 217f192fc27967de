"""The verbs around a real broker: the demonstration, an ingest that is killed, one whose broker goes."""

from __future__ import annotations

import random
import signal
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import numpy as np
import pytest

from volspike.bus.topic_plan import planned_topics
from volspike.bus.topics import FEATURES, TICKS
from volspike.exchange.products import PriceScales
from volspike.features.sets import get_feature_set
from volspike.features.table import TICK
from volspike.pipeline.archive_past import ArchivePast
from volspike.pipeline.ingest import Ingest
from volspike.pipeline.replay import replay_tables
from volspike.pipeline.stage_report import topic_records
from volspike.recording.reader import Archive
from volspike.records import FeatureRow
from whole_runs import (
    ORIGIN_NS,
    PRODUCT,
    START_NS,
    finished,
    simulator_process,
    simulator_state,
    start,
    volspike,
    wait_until,
)

LIFE_S = (0.6, 2.5)  # of an ingest that is killed
LIVES = 3


@pytest.mark.slow
def test_demo_on_kafka_counts_as_on_the_embedded_log_and_its_rows_are_those_of_replay(
    trained: Callable[[], Path], kafka_bootstrap: str, tmp_path: Path
) -> None:
    from volspike.bus.kafka import KafkaLog

    (bundle,) = (trained() / "models" / "logistic").glob("*/manifest.json")
    root = tmp_path / "demo"
    where = ("--bus", "kafka", "--kafka-bootstrap", kafka_bootstrap, "--data-dir", root)
    market = ("--history-hours", 0.1, "--speed", 60, "--model", bundle.parent)
    ran = finished(start("demo", *where, *market, "--exit-after", 35, "--json"), 110)
    assert ran.code == 0, ran.err
    report = ran.report
    assert report["sent"] == report["frames"] == report["archived"] > 1_000
    assert report["items"] == report["ticks"] + sum(report["ignored"].values()) + report["deadlettered"]
    assert report["features"] == report["ticks"]
    assert report["predictions"] == report["outcomes"] > 500
    assert report["rows"]["identical"] == report["rows"]["rows"] == report["ticks"] + report["marks"]
    assert len(report["workers"]["featurize"]) == 2
    topic = FEATURES.name + report["topic_suffix"]
    with closing(KafkaLog(kafka_bootstrap)) as bus:
        events = [FEATURES.decode(record.value) for record in topic_records(bus, topic)]
    rows = {(row.archive_seq, row.archive_row): row for row in events if isinstance(row, FeatureRow)}
    assert len(rows) == report["features"]
    found = 0
    for table in replay_tables(
        Archive(root), Ingest(PriceScales(), scanning=False), get_feature_set("core"), lambda _frames: None
    ):
        for index in np.flatnonzero(table.kind == TICK).tolist():
            row = rows.get((int(table.seq[index]), int(table.row[index])))
            if row is not None:  # else it is of the history
                found += 1
                assert np.array_equal(np.array(row.values, float), table.values[index], equal_nan=True)
                assert (row.bid, row.ask, row.ticks) == (
                    table.bid[index],
                    table.ask[index],
                    table.ticks[index],
                )
    assert found == len(rows)


@contextmanager
def topics(bootstrap: str, suffix: str) -> Iterator[object]:
    from volspike.bus.kafka import KafkaLog

    with closing(KafkaLog(bootstrap)) as bus:
        bus.cluster.create(planned_topics(3, None, suffix))
        yield bus


def published(bus, suffix: str) -> dict[str, list[bytes]]:
    found: dict[str, list[bytes]] = defaultdict(list)
    for record in topic_records(bus, TICKS.name + suffix):
        found[record.key].append(record.value)
    return found


def archived(root: Path) -> dict[str, list[bytes]]:
    """Return what the archive leads to, by product."""
    found: dict[str, list[bytes]] = defaultdict(list)
    for made in ArchivePast(Archive(root), PriceScales(), 0).unpublished(1 << 60):
        for topic, record in made.records:
            if topic is TICKS:
                found[record.product].append(TICKS.encode(record))
    return found


def ingest(root: Path, told: dict, bootstrap: str, suffix: str):
    feed = ("--exchange-url", told["urls"]["exchange"], "--products-per-connection", 1)
    bus = ("--bus", "kafka", "--kafka-bootstrap", bootstrap)
    products = [word for name in (PRODUCT, "ETH-USD") for word in ("--product", name)]
    return start("ingest", "--data-dir", root, *feed, *bus, *products, "--json", VOLSPIKE_TOPIC_SUFFIX=suffix)


def simulated(ready: Path, speed: float):
    return simulator_process(ready, "--origin-ns", ORIGIN_NS, "--start-ns", START_NS, "--speed", speed)


@pytest.mark.slow
def test_an_ingest_that_is_killed_neither_loses_nor_repeats_a_tick(
    kafka_bootstrap: str, tmp_path: Path
) -> None:
    rng, suffix, root = random.Random(3), f"-killed-{time.time_ns()}", tmp_path / "data"
    with topics(kafka_bootstrap, suffix) as bus, simulated(tmp_path / "ready.json", 20) as told:
        for life in range(LIVES):
            process = ingest(root, told, kafka_bootstrap, suffix)
            sent = simulator_state(told)["sent"]["total"]
            wait_until(lambda sent=sent: simulator_state(told)["sent"]["total"] > sent + 50)
            time.sleep(rng.uniform(*LIFE_S))
            process.send_signal(signal.SIGKILL if life < LIVES - 1 else signal.SIGTERM)
            ran = finished(process)
        assert ran.code == 0, ran.err
        assert ran.report["published_to"] == ran.report["archived_to"]
        expected = archived(root)
        assert sum(map(len, expected.values())) > 100
        assert published(bus, suffix) == expected


@pytest.mark.slow
def test_a_broker_that_goes_and_comes_back_gets_what_was_archived_meanwhile(
    kafka_cache: Path, tmp_path: Path
) -> None:
    from volspike.bus.local_broker import LocalBrokers

    root = tmp_path / "data"
    with (
        LocalBrokers(tmp_path / "kafka", kafka_cache) as brokers,
        topics(brokers.bootstrap, "") as bus,
        simulated(tmp_path / "ready.json", 20) as told,
    ):
        process = ingest(root, told, brokers.bootstrap, "")
        wait_until(lambda: simulator_state(told)["sent"]["total"] > 300)
        brokers.kill_broker(0)
        sent = simulator_state(told)["sent"]["total"]
        wait_until(lambda: simulator_state(told)["sent"]["total"] > sent + 600)
        assert process.poll() is None
        brokers.start_broker(0)
        sent = simulator_state(told)["sent"]["total"]
        wait_until(lambda: simulator_state(told)["sent"]["total"] > sent + 300)
        process.send_signal(signal.SIGTERM)
        ran = finished(process)
        assert ran.code == 0, ran.err
        assert ran.report["published_to"] == ran.report["archived_to"]
        assert published(bus, "") == archived(root)


def test_a_stage_without_its_topics_is_told_how_to_make_them(
    kafka_bootstrap: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VOLSPIKE_TOPIC_SUFFIX", ".never-made")
    where = ("--bus", "kafka", "--kafka-bootstrap", kafka_bootstrap, "--data-dir", tmp_path / "data")
    ran = volspike("featurize", *where, "--exit-after", 5)
    assert ran.code == 1
    assert "volspike topics --bus kafka" in ran.err
