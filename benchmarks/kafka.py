"""An exactly-once worker on a real broker, beside a bare pass-through and Quix Streams on the same broker.

Broker, workers and what feeds them share the machine, so ticks a second depend on how many cores it has; the
processor time is that of the worker's process alone, with librdkafka's threads. A worker starts on a topic
that seems empty, and a transaction of all ticks is committed when it is ready. Trials are interleaved, and
medians shown. Our worker and the pass-through take batches of the same size and compress alike.
"""

from __future__ import annotations

import statistics
import tempfile
from pathlib import Path

from benchmarks.figures import Figure, at_least, at_most
from benchmarks.kafka_latency import latencies
from benchmarks.kafka_peer import peers
from benchmarks.kafka_streams import market
from benchmarks.kafka_trials import Pace, trial
from volspike.bus.local_broker import LocalBrokers
from volspike.config import load_settings

TITLE = "exactly once on Kafka, 4 partitions"
PER_SECOND = 250


def run(quick: bool) -> list[Figure]:
    """Start a broker, measure, and stop it."""
    cache = load_settings({}).kafka_cache.expanduser()
    with (
        tempfile.TemporaryDirectory(prefix="volspike-bench-") as name,
        LocalBrokers(Path(name), cache) as brokers,
    ):
        own = [*paces(brokers.bootstrap, quick), *delays(brokers.bootstrap, quick)]
        # Its packages are fetched from a registry, which a smoke run had better not need.
        return own if quick else [*own, *peers(brokers.bootstrap, cache)]


def paces(bootstrap: str, quick: bool) -> list[Figure]:
    """Measure one worker and two on a stream that is there already."""
    ticks = market(PER_SECOND, 5_000 if quick else 400_000)
    taken: dict[tuple[str, int], list[Pace]] = {("pass", 1): [], ("featurize", 1): [], ("featurize", 2): []}
    for _ in range(1 if quick else 5):
        for (kind, workers), found in taken.items():
            found.append(trial(bootstrap, kind, ticks, workers))
    plain, one, two = (Pace(*map(statistics.median, zip(*found, strict=True))) for found in taken.values())
    return [
        Figure("pass-through", plain.per_s, "ticks/s"),
        Figure("pass-through, processor", plain.cpu_us, "us a tick"),
        at_least("featurize", one.per_s, "ticks/s", 100_000),
        Figure("featurize, processor", one.cpu_us, "us a tick"),
        at_most("featurize / pass-through, processor", one.cpu_us / plain.cpu_us, "x", 2.0),
        Figure("featurize, two workers", two.per_s, "ticks/s"),
        Figure("two workers / one, ticks a second", two.per_s / one.per_s, "x"),
        at_most("two workers / one, processor", two.cpu_us / one.cpu_us, "x", 1.1),
    ]


def delays(bootstrap: str, quick: bool) -> list[Figure]:
    """Measure how long a tick takes at a steady rate."""
    per_second, length_s = (200, 2.0) if quick else (2_000, 20.0)
    taken: dict[str, list[tuple[float, float]]] = {"pass": [], "featurize": []}
    for _ in range(1 if quick else 3):
        for kind, found in taken.items():
            found.append(latencies(bootstrap, kind, per_second, length_s))
    plain, own = (tuple(map(statistics.median, zip(*found, strict=True))) for found in taken.values())
    figures = []
    for name, theirs, ours in zip(("p50", "p99"), plain, own, strict=True):
        what = f"at {per_second:,} ticks/s, produce call to reader, {name}"
        figures += [
            Figure(f"{what}: pass-through", theirs, "ms"),
            Figure(f"{what}: featurize", ours, "ms"),
            at_most(f"{what}: featurize / pass-through", ours / theirs, "x", 1.3),
        ]
    return figures
