"""The demo of compose.yaml, every service of this project and its broker as processes on loopback."""

from __future__ import annotations

import json
import re
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from composed import ROOT, Container, Place, composed
from prometheus_client.parser import text_string_to_metric_families
from test_files import expressions

from volspike.bus.broker_jars import broker_jars, java_command
from volspike.bus.local_broker import free_port

LONGEST_S = 120.0
JAVA = ("-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")
DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@dataclass
class Shown:
    """What was seen of the services while they ran, and how each ended."""

    metrics: dict[str, str]
    ends: dict[str, int]
    files: set[str]
    registered: dict[str, Any]
    waiting: list[str]


class Broker:
    """The service ``kafka``: the same version, with the settings that the image makes of its environment."""

    def __init__(self, service: dict[str, Any], place: Place, cache: Path) -> None:
        path = place.directory / "server.properties"
        told = {name: value for name, value in service["environment"].items() if name.startswith("KAFKA_")}
        lines = [
            f"{name.removeprefix('KAFKA_').lower().replace('_', '.')}={place.mapped(value)}\n"
            for name, value in told.items()
        ]
        path.write_text("".join(lines))
        java = [java_command(), *JAVA, "-cp", f"{broker_jars(cache)}/*"]
        self._output = (place.directory / "broker.log").open("wb")
        said = {"stdout": self._output, "stderr": self._output}
        format_it = ["kafka.tools.StorageTool", "format", "-t", "dm9sc3Bpa2UtYnJva2VyIQ", "-c", str(path)]
        subprocess.run([*java, *format_it], check=True, **said)
        self._process = subprocess.Popen([*java, "kafka.Kafka", str(path)], **said)
        self._told = path.with_name("broker.log")

    def await_health(self) -> None:
        """Wait until it serves: services that depend on it start when it is healthy."""
        deadline = time.monotonic() + LONGEST_S
        while "Kafka Server started" not in self._told.read_text(errors="replace"):
            assert self._process.poll() is None, self._told.read_text(errors="replace")[-3_000:]
            assert time.monotonic() < deadline
            time.sleep(0.1)

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(30)
        self._output.close()


@pytest.fixture(scope="module")
def shown(kafka_cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shown]:
    with ExitStack() as ends:
        yield show(kafka_cache, tmp_path_factory.mktemp("demo"), ends)


def show(cache: Path, directory: Path, ends: ExitStack) -> Shown:
    services = composed()["services"]
    inner, host, controller, exchange, advanced, mlflow_port = (free_port() for _ in range(6))
    names = {
        "kafka:19092": f"127.0.0.1:{inner}",
        "SERVICES://:19092": f"SERVICES://127.0.0.1:{inner}",
        "HOST://:9092": f"HOST://127.0.0.1:{host}",
        "HOST://127.0.0.1:9092": f"HOST://127.0.0.1:{host}",
        "CONTROLLER://:29093": f"CONTROLLER://127.0.0.1:{controller}",
        "kafka:29093": f"127.0.0.1:{controller}",
        "/var/lib/kafka/data": str(directory / "kafka"),
        "simulator:8765": f"127.0.0.1:{exchange}",
        "8765": str(exchange),
        "8766": str(advanced),
        "mlflow:5000": f"127.0.0.1:{mlflow_port}",
        "5000": str(mlflow_port),
        "0.0.0.0": "127.0.0.1",
        "/data": str(directory / "data"),
        "/tracking": str(directory / "tracking"),
    }
    (directory / "data").mkdir()
    (directory / "tracking").mkdir()

    def container(name: str) -> Container:
        ports = {"9400": str(free_port())}
        made = Container(services[name], Place(directory, names | ports), ports["9400"])
        made.start()
        ends.callback(made.stop)
        return made

    mlflow = container("mlflow")
    mlflow.await_health(LONGEST_S)
    train, simulator = container("train"), container("simulator")
    broker = Broker(services["kafka"], Place(directory, names), cache)
    ends.callback(broker.stop)
    broker.await_health()
    topics = container("topics")
    codes = {"topics": topics.finish(LONGEST_S), "train": train.finish(LONGEST_S)}
    assert set(codes.values()) == {0}, topics.said() + train.said()
    replicas = range(services["featurize"]["deploy"]["replicas"])
    running = {f"featurize {n}": container("featurize") for n in replicas}
    running |= {name: container(name) for name in ("ingest-demo", "score")}
    running |= {"simulator": simulator, "mlflow": mlflow}
    for each in running.values():
        each.await_health(LONGEST_S)
    metrics = until_rows_are_scored({name: each for name, each in running.items() if name not in BESIDE})
    registered = asked(f"http://127.0.0.1:{mlflow_port}/api/2.0/mlflow/registered-models/search")
    again = container("train")
    codes["train again"] = again.finish(30)
    codes |= {name: each.stop() for name, each in running.items()}
    waiting = [path.name for path in (directory / "data" / "mlflow-outbox").glob("[0-9]*")]
    files = {path.name for path in (directory / "data").iterdir()}
    return Shown(metrics, codes, files, registered, waiting)


def asked(url: str) -> Any:
    with DIRECT.open(url, timeout=10) as answer:
        return json.load(answer)


BESIDE = ("mlflow", "simulator")


def until_rows_are_scored(stages: dict[str, Container]) -> dict[str, str]:
    deadline = time.monotonic() + LONGEST_S
    while True:
        found = {}
        for name, stage in stages.items():
            with DIRECT.open(f"http://127.0.0.1:{stage.port}/metrics", timeout=10) as answer:
                found[name] = answer.read().decode()
        if value(found["score"], "volspike_records_total") > 0:
            return found
        assert time.monotonic() < deadline, found["score"] + stages["ingest-demo"].said()
        time.sleep(0.5)


def value(text: str, sample: str) -> float:
    return sum(
        each.value
        for family in text_string_to_metric_families(text)
        for each in family.samples
        if each.name == sample
    )


def test_every_service_of_the_demo_works_and_ends_in_order(shown: Shown) -> None:
    assert set(shown.ends.values()) == {0}, shown.ends
    mine = {name for name, each in composed()["services"].items() if each["image"].startswith("volspike:")}
    assert {name.split()[0] for name in shown.ends} == mine - {"ingest"}
    assert {"raw", "models", "mlflow-outbox"} <= shown.files


def test_the_models_that_were_trained_are_on_the_tracking_server(shown: Shown) -> None:
    models = {each["name"]: each for each in shown.registered["registered_models"]}
    assert {"zscore", "logistic"} <= models.keys()
    aliases = [each["alias"] for model in models.values() for each in model.get("aliases", ())]
    assert sorted(aliases) == ["champion", "champion-btc-usd-exchange"]
    assert shown.waiting == []


def test_ticks_become_rows_become_scored_and_the_metrics_say_so(shown: Shown) -> None:
    ingest, score = shown.metrics["ingest-demo"], shown.metrics["score"]
    featurize = [text for name, text in shown.metrics.items() if name.startswith("featurize")]
    assert value(ingest, "volspike_ticks_total") > 0
    assert value(ingest, "volspike_connections_live") == 1
    assert value(ingest, "volspike_frames_total") == value(ingest, "volspike_frames_archived_total")
    assert sum(value(text, "volspike_records_total") for text in featurize) > 0
    assert [value(text, "volspike_partitions_assigned") for text in featurize] == [2, 2]
    assert value(score, "volspike_partitions_assigned") == 4
    for text in (*featurize, score):
        lags = re.findall(r"^volspike_consumer_lag_offsets\{.*", text, re.MULTILINE)
        assert len(lags) == value(text, "volspike_partitions_assigned")
        assert value(text, "volspike_healthy") == 1
        # A worker whose partitions hold no product has nothing to commit.
        records = value(text, "volspike_records_total")
        assert records == 0 or value(text, "volspike_transaction_seconds_count") > 0


def test_rules_and_dashboard_ask_for_metrics_that_there_are(shown: Shown) -> None:
    told = {sample_name for text in shown.metrics.values() for sample_name in sample_names(text)}
    asked = {name for _, expression in expressions() for name in re.findall(r"volspike_\w+", expression)}
    assert len(asked) > 10
    assert asked <= told


def test_the_page_on_operations_names_every_metric(shown: Shown) -> None:
    page = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    families = {
        family.name
        for text in shown.metrics.values()
        for family in text_string_to_metric_families(text)
        if family.name.startswith("volspike_")
    }
    assert len(families) > 15
    assert [name for name in sorted(families) if not re.search(rf"`{name}(_total)?`", page)] == []


def sample_names(text: str) -> set[str]:
    """Return the names of the samples that there are or may be."""
    suffixes = {"counter": ["_total"], "gauge": [""], "histogram": ["_bucket", "_sum", "_count"]}
    return {
        family.name + suffix
        for family in text_string_to_metric_families(text)
        for suffix in suffixes[family.type]
    }
