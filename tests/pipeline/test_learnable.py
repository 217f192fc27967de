"""Of too few minutes, or of one kind alone, no model is made."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from drift_rows import market_of_ticks
from volspike.errors import NotEnoughDataError
from volspike.labels.splits import Split
from volspike.pipeline.learnable import check_learnable


@pytest.mark.parametrize(
    ("minutes", "spikes", "labels", "words"),
    [
        (29, 1, 1, "fit has 29 separate labelled minutes and 1 rows of spikes"),
        (30, 0, 1, "30 separate labelled minutes and 0 rows of spikes"),
        (30, 1, 0, "tune and calibrate 0 labelled rows"),
        (30, 1, 1, ""),
    ],
)
def test_of_too_little_nothing_is_learned(minutes: int, spikes: int, labels: int, words: str) -> None:
    rows = market_of_ticks(0.6)
    fit, rest = np.arange(minutes * 60), np.arange(minutes * 60, minutes * 60 + 2)
    spike = np.zeros(len(rows), np.int8)
    spike[:spikes], spike[rest] = 1, 0 if labels else -1
    dataset = replace(rows, spike=spike)
    split = Split(fit, rest[:1], rest[1:], np.empty(0, np.int64))
    if words:
        with pytest.raises(NotEnoughDataError, match=words):
            check_learnable(dataset, split)
    else:
        check_learnable(dataset, split)
