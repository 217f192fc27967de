"""Workers on Kafka: one that can't start leaves nothing behind, and each says what is amiss."""

from __future__ import annotations

import secrets
import socket
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import msgspec
import pytest

from volspike.bus.topic_plan import planned_topics
from volspike.clock import SystemClock
from volspike.pipeline.worker import open_worker
from whole_runs import one_line_failure, settings_for, volspike, wait_until


class Place:
    """Topics of a test's own on a broker, and the settings that name them."""

    def __init__(self, bootstrap: str, suffix: str, data_dir: Path) -> None:
        from volspike.bus.kafka import KafkaLog

        self.suffix = suffix
        self.flags = ("--bus", "kafka", "--kafka-bootstrap", bootstrap, "--data-dir", data_dir)
        self.log = KafkaLog(bootstrap)
        self.cluster = self.log.cluster
        self.plans = {plan.name.removesuffix(suffix): plan for plan in planned_topics(2, None, suffix)}


@pytest.fixture
def place(kafka_bootstrap: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    suffix = f"-{secrets.token_hex(4)}"
    monkeypatch.setenv("VOLSPIKE_TOPIC_SUFFIX", suffix)
    made = Place(kafka_bootstrap, suffix, tmp_path / "data")
    with closing(made.log):
        yield made


def test_a_worker_whose_metrics_port_is_taken_has_not_joined_its_group(place: Place) -> None:
    place.cluster.create(list(place.plans.values()))
    # One without a name leaves its group in order.
    ran = volspike("featurize", *place.flags, "--exit-after", 4, "--json")
    assert ran.report["partitions"] == [[f"ticks.raw{place.suffix}", n] for n in range(2)]
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        refused = volspike("featurize", *place.flags, "--name", "1", "--metrics-port", port)
    assert f"metrics_port: 127.0.0.1:{port} can't be opened" in one_line_failure(refused)
    group = f"featurize{place.suffix}"
    described = place.cluster.admin.describe_consumer_groups([group])[group].result()
    assert not any(member.group_instance_id for member in described.members)


@pytest.mark.parametrize("verb", ["ingest", "featurize", "score"])
def test_a_stage_without_its_topics_is_told_how_to_make_them(verb: str, place: Place) -> None:
    refused = volspike(verb, *place.flags, "--exit-after", 5)
    told = one_line_failure(refused)
    assert "no such topic" in told
    assert told.endswith("create the topics: volspike topics --bus kafka")


@pytest.mark.parametrize(
    ("verb", "topic"),
    [("ingest", "ticks.gaps"), ("featurize", "ticks.features"), ("score", "volspike.state.score")],
)
def test_a_stage_whose_topics_differ_in_partitions_is_refused(verb: str, topic: str, place: Place) -> None:
    place.plans[topic] = msgspec.structs.replace(place.plans[topic], partitions=3)
    place.cluster.create(list(place.plans.values()))
    refused = volspike(verb, *place.flags, "--exit-after", 5)
    assert f"{topic}{place.suffix}: has 3 partitions, not 2" in one_line_failure(refused)


@pytest.mark.parametrize("verb", ["ingest", "featurize", "score"])
def test_a_stage_whose_state_would_go_by_age_is_refused(verb: str, place: Place) -> None:
    state = f"volspike.state.{verb}"
    place.plans[state] = msgspec.structs.replace(place.plans[state], compacted=False)
    place.cluster.create(list(place.plans.values()))
    refused = volspike(verb, *place.flags, "--exit-after", 5)
    assert f"{state}{place.suffix}: is not compacted" in one_line_failure(refused)
    volspike("topics", *place.flags, "--partitions", 2, "--keep")
    assert place.cluster.plan(state + place.suffix).compacted


def test_partitions_are_shown_in_words(tmp_path: Path) -> None:
    ran = volspike("featurize", "--data-dir", tmp_path / "data", "--exit-after", 1)
    assert ran.code == 0, ran.err
    (line,) = [line for line in ran.out.splitlines() if "partitions" in line]
    assert line.split() == ["partitions", "ticks.raw", "0"]


@pytest.mark.slow
def test_a_worker_says_once_that_the_broker_is_away_and_that_it_is_back(
    kafka_cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from volspike.bus.local_broker import LocalBrokers

    with LocalBrokers(tmp_path / "kafka", kafka_cache) as brokers:
        place = Place(brokers.bootstrap, "", tmp_path / "data")
        place.cluster.create(list(place.plans.values()))
        place.log.close()
        where = {"bus": "kafka", "kafka_bootstrap": brokers.bootstrap}
        worker = open_worker("featurize", settings_for(tmp_path / "data", **where), "1", SystemClock())
        stop = threading.Event()
        working = threading.Thread(target=worker.run, args=(stop.is_set,))
        working.start()
        try:
            wait_until(lambda: len(worker.as_dict()["partitions"]) == 2)
            brokers.kill_broker(0)
            wait_until(lambda: "the bus is away" in worker.line())
            brokers.start_broker(0)
            wait_until(lambda: "the bus is away" not in worker.line())
        finally:
            stop.set()
            working.join()
            worker.close()
    said = capsys.readouterr().err
    assert said.count("the bus is away; waiting") == said.count("the bus is back") == 1
