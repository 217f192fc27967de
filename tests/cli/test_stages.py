"""Workers on Kafka: one that can't start leaves nothing behind, and each says what is amiss."""

from __future__ import annotations

import secrets
import socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from volspike.bus.topic_plan import planned_topics
from whole_runs import one_line_failure, volspike


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
    assert place.cluster.static_members(f"featurize{place.suffix}") == {}
