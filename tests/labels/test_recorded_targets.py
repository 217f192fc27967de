"""The ``std`` target against the forward labels that another system computed on the same ticks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from volspike.features.grid import second_grid
from volspike.labels.targets import HORIZON_NS, LABELLED, TickArrays, future_std


@pytest.mark.shared
@pytest.mark.parametrize("product", ["BTC-USD", "ETH-USD"])
def test_std_reproduces_recorded_forward_labels(shared: Path, product: str) -> None:
    path = shared / "data" / "ticks" / "apr-2026-04T0319-derived.parquet"
    recorded = pl.read_parquet(path).filter(pl.col("product_id") == product)
    event_ns = recorded["timestamp"].cast(pl.Int64).to_numpy()
    mid_sum = np.rint(recorded["midprice"].to_numpy() * 200).astype(np.int64)
    covered = np.full(len(event_ns), event_ns[0])
    grid = second_grid(event_ns, covered, mid_sum, np.ones(len(event_ns), np.bool_))
    labels = future_std(grid, TickArrays(event_ns, grid.event_run, mid_sum), event_ns, grid.event_run)
    labelled = np.flatnonzero(labels.unlabelled == LABELLED)
    assert len(labelled) > 0.98 * len(event_ns)
    # The recorded label counts one return more: the one from the row itself to the first tick after it. Ours
    # is widened by that return, from its own sums: S1 telescopes, S2 follows from the deviation.
    first = np.searchsorted(event_ns, event_ns[labelled], side="right")
    last = np.searchsorted(event_ns, event_ns[labelled] + HORIZON_NS, side="right") - 1
    k = (last - first).astype(float)
    s1 = np.log(mid_sum[last] / mid_sum[first])
    s2 = (labels.sigma_future_bps[labelled] * 1e-4) ** 2 * (k - 1) + s1**2 / k
    extra = np.log(mid_sum[first] / mid_sum[first - 1])
    widened = np.sqrt(np.maximum(s2 + extra**2 - (s1 + extra) ** 2 / (k + 1), 0.0) / k)
    assert widened == pytest.approx(recorded["sigma_future"].to_numpy()[labelled], rel=1e-5, abs=1e-11)
