"""Metric families, made of counts as they are when they are asked for."""

from __future__ import annotations

from collections.abc import Mapping

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

from volspike.pipeline.latency import LatencyHistogram

# From the tenth of a millisecond of a prediction to the seconds of a transaction while a broker restarts.
EDGES_S = (
    *(0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05),
    *(0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0),
)


def counter(name: str, meaning: str, value: float) -> CounterMetricFamily:
    """Return a count that only grows; ``_total`` is put behind its name."""
    return CounterMetricFamily(name, meaning, value=value)


def counters(name: str, meaning: str, label: str, counts: Mapping[str, float]) -> CounterMetricFamily:
    """Return counts that only grow, told apart by a label."""
    family = CounterMetricFamily(name, meaning, labels=[label])
    for key, value in counts.items():
        family.add_metric([key], value)
    return family


def gauge(name: str, meaning: str, value: float) -> GaugeMetricFamily:
    """Return a number as it is now."""
    return GaugeMetricFamily(name, meaning, value=value)


def histogram(name: str, meaning: str, latencies: LatencyHistogram) -> HistogramMetricFamily:
    """Return latencies in seconds; each counts as at most 1.6 % longer than it was."""
    counts, total_ns = latencies.cumulative([round(edge * 1e9) for edge in EDGES_S])
    buckets = [(repr(edge), float(count)) for edge, count in zip(EDGES_S, counts[:-1], strict=True)]
    return HistogramMetricFamily(name, meaning, [*buckets, ("+Inf", float(counts[-1]))], total_ns / 1e9)
