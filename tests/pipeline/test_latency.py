"""Latency quantiles."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from volspike.pipeline.latency import LatencyHistogram


@given(st.lists(st.integers(0, 10**12), min_size=1, max_size=200), st.sampled_from([0.5, 0.99, 0.999]))
def test_quantile_is_at_most_one_bin_above_the_true_one(latencies_ns: list[int], quantile: float) -> None:
    histogram = LatencyHistogram()
    for latency_ns in latencies_ns:
        histogram.add(latency_ns)
    true_ns = sorted(latencies_ns)[math.ceil(quantile * len(latencies_ns) - 1e-9) - 1]
    found_us = histogram.quantile_us(quantile)
    assert found_us is not None
    assert true_ns <= found_us * 1_000 * (1 + 1e-12) <= true_ns * (1 + 1 / 64) + 1


def test_empty_and_negative() -> None:
    histogram = LatencyHistogram()
    assert histogram.as_dict() == {"p50": None, "p99": None, "p999": None}
    histogram.add(-5)
    assert histogram.quantile_us(0.5) == 0
