"""Settings are searched inside fit and tune alone, and the same seed finds the same."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from model_rows import market

from volspike.errors import NotEnoughDataError
from volspike.labels.splits import chronological_split
from volspike.models.settings import TrainSettings
from volspike.models.tuning import tune_settings

QUICK = TrainSettings(seed=3, models=("zscore", "logistic"), rounds=20)


def test_the_search_reads_nothing_of_calibrate_and_test_and_repeats_itself() -> None:
    rows = market(hours=5.0, seed=4)
    split = chronological_split(rows)
    found = tune_settings(rows, split, QUICK, 4, lambda _words: None)
    assert 5.0 <= found.l2 <= 500.0
    later = np.concatenate((split.calibrate, split.test))
    spoiled = replace(rows, features=rows.features.copy(), spike=rows.spike.copy())
    spoiled.features[later] *= 3.0
    spoiled.spike[later] = 1 - spoiled.spike[later]
    assert tune_settings(spoiled, split, QUICK, 4, lambda _words: None) == found


def test_what_was_given_is_tried_first_so_that_no_search_makes_it_worse() -> None:
    rows = market(hours=5.0, seed=4)
    said: list[str] = []
    alone = tune_settings(rows, chronological_split(rows), QUICK, 1, said.append)
    assert alone == QUICK
    assert "1 trials" in said[0]


def test_folds_of_one_class_are_not_enough_data() -> None:
    rows = market(hours=5.0, seed=4)
    still = replace(
        rows, sigma_future_bps=np.full(len(rows), 3.0), tau_adaptive=np.zeros(len(rows), np.bool_)
    )
    with pytest.raises(NotEnoughDataError, match="no spike"):
        tune_settings(still, chronological_split(still), QUICK, 2, lambda _words: None)
