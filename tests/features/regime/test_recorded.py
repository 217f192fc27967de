"""The regime values of recorded markets against what numpy makes of the logs of their mids."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from feature_streams import bits
from label_streams import as_closed
from regime_streams import named, state_of

from volspike.features.grid import second_grid
from volspike.features.regime.history import regime_features


@pytest.mark.shared
@pytest.mark.parametrize("product", ["BTC-USD", "ETH-USD"])
def test_values_of_a_recording_are_those_of_its_mids(shared: Path, product: str) -> None:
    path = shared / "data" / "ticks" / "apr-2026-04T0319-derived.parquet"
    recorded = pl.read_parquet(path).filter(pl.col("product_id") == product)
    event_ns = recorded["timestamp"].cast(pl.Int64).to_numpy()
    mid_sum = np.rint(recorded["midprice"].to_numpy() * 200).astype(np.int64)
    covered = np.full(len(event_ns), event_ns[0])
    grid = second_grid(event_ns, covered, mid_sum, np.ones(len(event_ns), np.bool_))
    asked = np.arange(1_000, len(grid.second), 331)
    found = regime_features(grid, grid.second[asked])
    for i, values in zip(asked.tolist(), found.tolist(), strict=True):
        value = named(values)
        logs = np.log(grid.mid_sum[i - 900 : i + 1].astype(np.float64))
        r = np.diff(logs)
        assert value["rv_900s_bps"] == pytest.approx(1e4 * math.sqrt((r @ r) / 15), rel=1e-9)
        reach = 1e4 * np.ptp(logs) / math.sqrt(15 * 4 * math.log(2))
        assert value["parkinson_900s_bps"] == pytest.approx(reach, rel=1e-8)
        short = r[-300:]
        assert value["down_300s_frac"] == pytest.approx(
            (short[short < 0] ** 2).sum() / (short @ short), rel=1e-9
        )
        assert value["moved_300s_frac"] == pytest.approx(np.count_nonzero(short) / 300)
    closed = as_closed(grid)
    online = [state_of(closed[: i + 1]).values(int(grid.second[i])) for i in asked.tolist()]
    assert np.array_equal(bits(online), bits(found))
