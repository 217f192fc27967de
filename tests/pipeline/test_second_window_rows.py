"""The sets of a second window through a whole job: live rows, a restart, replay and the proof."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from volspike.features.sets import get_feature_set
from volspike.features.store import read_features
from volspike.records import FeatureRow
from volspike.simulation.later import LaterMarket
from volspike.simulation.synthetic import SyntheticMarket
from whole_runs import (
    NS,
    ORIGIN_NS,
    PRODUCT,
    SEED,
    adds_up,
    assert_identical,
    live_run,
    logged,
    ticks_at_least,
    volspike,
)

CORE = get_feature_set("core")


@pytest.mark.parametrize("name", ["flow", "trade"])
def test_invariant_01_live_rows_equal_the_archive_across_a_restart(tmp_path: Path, name: str) -> None:
    features = get_feature_set(name)
    root, market = tmp_path / "data", SyntheticMarket(SEED, (PRODUCT,), ORIGIN_NS)
    first, _ = live_run(root, market, ticks_at_least(600), feature_set=name)
    later = LaterMarket(SyntheticMarket(SEED, (PRODUCT,), ORIGIN_NS), ORIGIN_NS + 600 * NS)
    second, _ = live_run(root, later, ticks_at_least(300), feature_set=name)
    for report in (first, second):
        adds_up(report)
    rows = assert_identical(root)
    live = read_features(root / "features")
    assert (live.feature_set, len(live)) == (name, rows)
    told = [record for record in logged(root, "ticks.features") if isinstance(record, FeatureRow)]
    assert len(told) == first["ticks"] + second["ticks"]
    assert {len(row.values) for row in told} == {len(features.columns)}
    ready = live.values[live.complete & (live.ticks >= 10), len(CORE.columns) :]
    assert len(ready) > 100
    assert not any(math.isinf(value) for value in ready.ravel())
    assert not np.isnan(ready).all(axis=0).any()

    assert volspike("replay", "--data-dir", root, "--feature-set", name, "--json").report["rows"] == rows
    assert_identical(root)
