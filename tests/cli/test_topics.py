"""``volspike topics`` on both buses."""

from __future__ import annotations

from pathlib import Path

import pytest

from volspike.bus.embedded import EmbeddedLog
from volspike.bus.kafka_cluster import KafkaCluster
from volspike.bus.port import Outgoing
from volspike.clock import SystemClock
from volspike.errors import BusError
from whole_runs import one_line_failure, volspike


@pytest.fixture
def broker(kafka_bootstrap: str, monkeypatch: pytest.MonkeyPatch) -> str:
    cluster = KafkaCluster(kafka_bootstrap)
    ours = [name for name in cluster.topics() if name.startswith(("ticks.", "volspike.state."))]
    if ours:
        cluster.delete(ours)
    monkeypatch.setenv("VOLSPIKE_KAFKA_BOOTSTRAP", kafka_bootstrap)
    return kafka_bootstrap


def by_name(report: dict) -> dict[str, dict]:
    return {topic["topic"]: topic for topic in report["topics"]}


def test_topics_are_created_once_and_listed(broker: str) -> None:
    asked = ("topics", "--bus", "kafka", "--partitions", "3", "--retention-hours", "5", "--json")
    assert {t["state"] for t in volspike(*asked[:3], "--list", "--json").report["topics"]} == {"absent"}
    made = by_name(volspike(*asked).report)
    assert {topic["state"] for topic in made.values()} == {"created"}
    assert {topic["partitions"] for topic in made.values()} == {3}
    assert made["ticks.raw"]["retention_hours"] == 5.0
    assert made["volspike.state.score"]["compacted"] is True
    assert made["volspike.state.score"]["retention_hours"] is None
    kept = by_name(volspike("topics", "--bus", "kafka", "--partitions", "3", "--keep", "--json").report)
    assert {topic["state"] for topic in kept.values()} == {"there"}
    assert kept["ticks.raw"]["retention_hours"] is None
    assert "volspike.state.featurize" in volspike("topics", "--bus", "kafka", "--list").out


def test_another_number_of_partitions_is_refused(broker: str) -> None:
    volspike("topics", "--bus", "kafka", "--partitions", "2", "--json")
    said = one_line_failure(volspike("topics", "--bus", "kafka", "--partitions", "5"))
    assert "has 2 partitions, not 5" in said


def test_topics_of_the_embedded_log(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    log = EmbeddedLog(tmp_path / "data" / "log.db", SystemClock())
    log.append([Outgoing("ticks.raw", "k", b"x", n) for n in range(3)])
    log.close()
    topics = by_name(volspike("topics", "--data-dir", tmp_path / "data", "--json").report)
    assert (topics["ticks.raw"]["state"], topics["ticks.raw"]["next_offsets"]) == ("there", [3])
    assert topics["ticks.alerts"]["state"] == "absent"


def test_keeping_all_and_by_age_contradict(tmp_path: Path) -> None:
    said = one_line_failure(volspike("topics", "--keep", "--retention-hours", "3"))
    assert "contradicts" in said


def test_a_broker_that_is_not_there_is_told_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("volspike.bus.kafka_cluster.REPLY_S", 0.5)
    with pytest.raises(BusError, match="check that the broker runs"):
        KafkaCluster("127.0.0.1:9")
