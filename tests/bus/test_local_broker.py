"""The broker without containers: data survive its death, three survive the loss of one, plain errors."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from buses import copies, drain, numbered, read_all, values
from volspike.bus.broker_jars import broker_jars, java_command
from volspike.bus.kafka import KafkaLog
from volspike.bus.local_broker import LocalBrokers, free_port
from volspike.bus.topic_plan import TopicPlan, planned_topics
from volspike.errors import BusError, UnavailableError


@pytest.mark.slow
def test_a_broker_that_is_away_undoes_a_batch_and_nothing_is_lost_or_repeated(
    kafka_cache: Path, tmp_path: Path
) -> None:
    with LocalBrokers(tmp_path, kafka_cache) as brokers:
        log = KafkaLog(brokers.bootstrap, name="copy")
        log.cluster.create([TopicPlan("in", 1, -1), TopicPlan("out", 1, -1)])
        log.append(numbered("in", range(40)))
        consumer = log.consumer("copy", ["in"])
        log.append(copies(drain(consumer, 10), "out"), consumer)
        held = drain(consumer, 10)
        log.patience_s = 1.0
        brokers.kill_broker(0)
        began = time.monotonic()
        with pytest.raises(UnavailableError, match=r"check that the broker runs|read again"):
            log.append(copies(held, "out"), consumer)
        assert time.monotonic() - began < 30
        brokers.start_broker(0)
        log.patience_s = 60.0
        consumer.rewind()
        log.append(copies(drain(consumer, 30), "out"), consumer)
        assert values(read_all(log, "out", 40)) == list(range(40))
        assert log.group_offset("copy", "in") == 40
        log.close()


def test_missing_java_and_maven_are_told_with_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("JAVA_HOME", raising=False)
    with pytest.raises(BusError, match=r"java: not found; install Java 17 .*openjdk-17-jre-headless"):
        java_command()
    with pytest.raises(BusError, match=r"mvn: not found; install Maven .*apt-get install maven"):
        broker_jars(tmp_path / "cache")


def test_an_old_java_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    java = tmp_path / "bin" / "java"
    java.parent.mkdir()
    java.write_text("#!/bin/sh\necho 'openjdk version \"11.0.2\" 2019-01-15' >&2\n")
    java.chmod(0o755)
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    with pytest.raises(BusError, match=r"is not Java 17: .*11\.0\.2"):
        java_command()


def test_a_cache_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(BusError, match="VOLSPIKE_KAFKA_CACHE"):
        broker_jars(tmp_path / "file" / "cache")


def test_a_broker_that_does_not_start_names_its_log(kafka_cache: Path, tmp_path: Path) -> None:
    brokers = LocalBrokers(tmp_path, kafka_cache, settings={"num.network.threads": "none"})
    with pytest.raises(BusError, match=rf"Kafka broker 1: .*; read {tmp_path}{os.sep}broker-1") as caught:
        brokers.start()
    assert "\n" not in str(caught.value)


@pytest.mark.slow
def test_a_broker_alone_serves_at_its_port_until_ctrl_c_and_keeps_its_topics(
    kafka_cache: Path, tmp_path: Path
) -> None:
    port, directory, plans = free_port(), tmp_path / "kafka", planned_topics(1, None)
    for created in (len(plans), 0):
        with alone(kafka_cache, port, directory) as process:
            assert process.stderr is not None
            assert f"Kafka at 127.0.0.1:{port}" in process.stderr.readline()
            log = KafkaLog(f"127.0.0.1:{port}")
            assert len(log.cluster.create(plans)) == created
            log.close()
            process.send_signal(signal.SIGINT)
            assert process.wait(60) == 0
        assert not (directory / "broker-1" / "broker.pid").exists()


@pytest.mark.slow
def test_a_port_that_is_taken_ends_the_broker_with_one_line(kafka_cache: Path, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        process = alone(kafka_cache, taken.getsockname()[1], tmp_path)
        _, said = process.communicate(timeout=90)
    assert process.returncode == 1
    assert said.startswith("volspike: Kafka broker 1: has ended while starting")
    assert len(said.splitlines()) == 1


def alone(cache: Path, port: int, directory: Path) -> subprocess.Popen[str]:
    command = ["-m", "volspike.bus.local_broker", "--port", str(port), "--directory", str(directory)]
    return subprocess.Popen(
        [sys.executable, *command],
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"VOLSPIKE_KAFKA_CACHE": str(cache)},
    )
