from __future__ import annotations

from types import SimpleNamespace

import numpy as np
from benchmarks.tick_ablation import known_inputs

from volspike.features.sets import get_feature_set


def test_columns_that_no_model_takes_and_those_missing_throughout_are_passed_over() -> None:
    names = get_feature_set("trade").names
    features = np.ones((4, len(names)))
    features[:, names.index("volume_60s")] = np.nan
    features[:3, names.index("volume_5s")] = np.nan
    rows = SimpleNamespace(feature_set="trade", features=features)
    left_out = {"bid_ask_spread", "notional_60s", "volume_60s"}
    assert known_inputs(rows) == [name for name in names if name not in left_out]  # type: ignore[arg-type]
