"""The feature set ``flow`` through a whole job: live rows, a restart, replay and the proof."""

from __future__ import annotations

import math
from pathlib import Path

from volspike.features.sets import FLOW, get_feature_set
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

SET = get_feature_set("flow")


def test_invariant_01_live_rows_of_flow_equal_the_archive_across_a_restart(tmp_path: Path) -> None:
    root, market = tmp_path / "data", SyntheticMarket(SEED, (PRODUCT,), ORIGIN_NS)
    first, _ = live_run(root, market, ticks_at_least(600), feature_set="flow")
    later = LaterMarket(SyntheticMarket(SEED, (PRODUCT,), ORIGIN_NS), ORIGIN_NS + 600 * NS)
    second, _ = live_run(root, later, ticks_at_least(300), feature_set="flow")
    for report in (first, second):
        adds_up(report)
    rows = assert_identical(root)
    live = read_features(root / "features")
    assert (live.feature_set, len(live)) == ("flow", rows)
    told = [record for record in logged(root, "ticks.features") if isinstance(record, FeatureRow)]
    assert len(told) == first["ticks"] + second["ticks"]
    assert {len(row.values) for row in told} == {len(SET.columns)}
    ready = live.values[live.complete & (live.ticks >= 10), -len(FLOW) :]
    assert len(ready) > 100
    assert not any(math.isinf(value) for value in ready.ravel())

    assert volspike("replay", "--data-dir", root, "--feature-set", "flow", "--json").report["rows"] == rows
    assert_identical(root)
