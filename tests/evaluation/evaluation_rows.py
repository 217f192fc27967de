"""Hand-made datasets and graded rows for the evaluation tests."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from volspike.evaluation.episodes import GradedSeconds
from volspike.labels.dataset import Dataset
from volspike.labels.tau import TauSpec

NS = 1_000_000_000


def graded(spike: Sequence[int], start: int = 1, run: Sequence[int] | None = None) -> GradedSeconds:
    """Return consecutive seconds from ``start`` on."""
    n = len(spike)
    second = np.arange(start, start + n, dtype=np.int64)
    runs = np.zeros(n, np.int32) if run is None else np.array(run, np.int32)
    return GradedSeconds(second, runs, np.array(spike, np.int8))


def dataset(spike: Sequence[int], sigma_future_bps: Sequence[float] | None = None) -> Dataset:
    """Return one row a second with the given labels; a spike is 8 bps, tau 4 bps, the mid 100."""
    labels = np.array(spike, np.int8)
    n = len(labels)
    sigma = np.where(labels == 1, 8.0, np.where(labels == 0, 2.0, np.nan))
    if sigma_future_bps is not None:
        sigma = np.array(sigma_future_bps, np.float64)
    return Dataset(
        product="BTC-USD",
        feed="exchange",
        feature_set="core",
        event_time_source="exchange",
        target="rv",
        tau=TauSpec(),
        fixed_tau_bps=4.0,
        increment=0.01,
        columns=(),
        step_s=1,
        event_ns=np.arange(1, n + 1, dtype=np.int64) * NS,
        run=np.zeros(n, np.int32),
        features=np.zeros((n, 0)),
        rv_bps=np.full(n, 2.0),
        mid=np.full(n, 100.0),
        har_bps=np.full((n, 4), 2.0),
        z=np.zeros(n),
        tau_bps=np.full(n, 4.0),
        tau_adaptive=np.zeros(n, np.bool_),
        sigma_future_bps=sigma,
        spike=labels,
        unlabelled=(labels < 0).astype(np.uint8),
        sha256="",
    )
