"""What a job serves: metrics as they are, health with its reason, and a port that is taken."""

from __future__ import annotations

import socket
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

from volspike.clock import SimulatedClock
from volspike.config import load_settings
from volspike.errors import ArchiveError, ConfigError, VolspikeError
from volspike.monitoring.endpoint import Endpoint
from volspike.monitoring.families import EDGES_S, counter, counters, histogram
from volspike.monitoring.ingest_metrics import IngestMetrics
from volspike.pipeline.ingest_job import open_ingest
from volspike.pipeline.latency import LatencyHistogram

DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class Counts(Collector):
    seen = 0

    def collect(self) -> Iterator[Metric]:
        yield counter("volspike_frames", "Frames.", self.seen)
        yield counters("volspike_dead_letters", "Letters.", "reason", {'odd "one"\n': 2, "jump": 3})


def get(url: str) -> tuple[int, str]:
    try:
        with DIRECT.open(url, timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def test_counts_are_those_of_the_moment_and_health_tells_its_reason() -> None:
    counts, trouble = Counts(), list[VolspikeError]()
    with Endpoint("127.0.0.1", 0, counts, lambda: trouble[0] if trouble else None) as endpoint:
        health = endpoint.url.replace("metrics", "healthz")
        counts.seen = 41
        assert "volspike_frames_total 41.0" in get(endpoint.url)[1]
        counts.seen += 1
        assert get(health) == (200, "ok\n")
        text = get(f"{endpoint.url}?name=any")[1]
        assert {"volspike_frames_total 42.0", "volspike_healthy 1.0"} <= set(text.splitlines())
        letters = next(f for f in text_string_to_metric_families(text) if f.name == "volspike_dead_letters")
        assert {s.labels["reason"]: s.value for s in letters.samples} == {'odd "one"\n': 2, "jump": 3}
        trouble.append(ArchiveError("raw", "no space left", "make room"))
        assert get(health) == (503, "raw: no space left; make room\n")
        assert "volspike_healthy 0.0" in get(endpoint.url)[1]
        assert get(endpoint.url.replace("metrics", "else"))[0] == 404
    with pytest.raises(urllib.error.URLError):
        get(health)


def test_a_port_that_is_taken_is_told_in_one_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match=rf"metrics_port: 127\.0\.0\.1:{port} can't be opened"):
            Endpoint("127.0.0.1", port, Counts(), lambda: None)


def test_a_histogram_adds_up_and_counts_none_as_shorter_than_it_was() -> None:
    latencies = LatencyHistogram()
    lengths_s = [0.000_05, 0.003, 0.003, 0.2, 30.0]
    for length_s in lengths_s:
        latencies.add(round(length_s * 1e9))
    (buckets, total, count) = parts(histogram("volspike_transaction_seconds", "Time.", latencies).samples)
    assert count == buckets["+Inf"] == 5
    assert sum(lengths_s) <= total <= sum(lengths_s) * (1 + 1 / 64)
    for edge in EDGES_S:
        exact = sum(length_s <= edge for length_s in lengths_s)
        surely = sum(length_s * (1 + 1 / 64) <= edge for length_s in lengths_s)
        assert surely <= buckets[repr(edge)] <= exact


def parts(samples) -> tuple[dict[str, float], float, float]:
    buckets = {each.labels["le"]: each.value for each in samples if each.name.endswith("_bucket")}
    (total,) = (each.value for each in samples if each.name.endswith("_sum"))
    (count,) = (each.value for each in samples if each.name.endswith("_count"))
    return buckets, total, count


def test_an_ingest_whose_archive_has_stopped_is_ill_and_says_why(tmp_path: Path) -> None:
    settings = load_settings({"data_dir": tmp_path / "data", "exchange_url": "ws://127.0.0.1:9"})
    job = open_ingest(settings, "ingest", 50, SimulatedClock())
    try:
        metrics = IngestMetrics(job)
        assert metrics.trouble() is None
        job.archive.failure = ArchiveError("raw", "no space left", "make room")
        assert "no space left" in str(metrics.trouble())
    finally:
        job.close()
