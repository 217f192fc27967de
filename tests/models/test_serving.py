"""Models are served one row at a time, side by side, at any width, and refuse what is no row."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from volspike.errors import ModelError
from volspike.features.sets import get_feature_set
from volspike.models.boosted import BoostedHeads
from volspike.models.calibration import Calibration, SigmaBand
from volspike.models.inputs import input_spec
from volspike.models.linear import LinearHeads, LinearWeights
from volspike.models.predictor import CalibratedPredictor
from volspike.models.trees import FlatTrees

KINDS = ("zscore", "logistic", "xgboost", "blend")


def test_models_served_in_turn_do_not_disturb_each_other(trained, dataset) -> None:
    predictors = [trained.bundles[kind].predictor for kind in KINDS]
    expected = [
        np.column_stack(predictor.predict_batch(dataset.rows(np.arange(20)))) for predictor in predictors
    ]
    for row in range(20):
        for predictor, rows in zip(predictors, expected, strict=True):
            served = predictor.predict(tuple(dataset.features[row]), dataset.context(row))
            assert served == tuple(rows[row])


@pytest.mark.parametrize("kind", ["logistic", "xgboost", "blend"])
def test_values_of_another_set_are_refused(trained, dataset, kind: str) -> None:
    predictor = trained.bundles[kind].predictor
    for values in ((1.0,) * 5, (1.0,) * 7, (1.0, None, 1.0, 1.0, 1.0, 1.0)):
        with pytest.raises(ModelError, match="takes 6 numbers"):
            predictor.predict(values, dataset.context(9))


def test_ensembles_without_a_tree_are_served_their_base(dataset) -> None:
    spec = input_spec(get_feature_set("core"), 0.01, har=True)
    none = np.zeros(0, np.float32)
    empty = FlatTrees(len(spec.names), 4, np.float32(0.0), np.zeros(0, np.int32), none, none)
    heads = BoostedHeads(empty, empty, spec)
    predictor = CalibratedPredictor("m", "1", "core", "rv", heads, Calibration(), SigmaBand())
    scored = predictor.predict(tuple(dataset.features[0]), dataset.context(0))
    assert scored == (0.5, 1.0, 1.0, 1.0, 0.0)
    assert scored == tuple(np.column_stack(predictor.predict_batch(dataset.rows([0])))[0])


def test_a_set_of_another_width_is_served(dataset) -> None:
    spec = input_spec(get_feature_set("core-sized"), 0.01, har=True)
    weights = np.linspace(-1.0, 1.0, len(spec.names)).tolist()
    bounds = tuple([-1e3] * len(weights)), tuple([1e3] * len(weights))
    heads = LinearHeads(
        LinearWeights(tuple(weights), tuple(weights), 0.1, 0.2, tuple(weights), *bounds), spec
    )
    wide = replace(dataset.rows(np.arange(50)), features=np.random.default_rng(1).uniform(0.1, 2.0, (50, 7)))
    predictor = CalibratedPredictor("m", "1", "core-sized", "rv", heads, Calibration(), SigmaBand())
    served = [predictor.predict(wide.features[i].tolist(), wide.context(i)) for i in range(50)]
    assert np.array(served).tobytes() == np.column_stack(predictor.predict_batch(wide)).tobytes()
