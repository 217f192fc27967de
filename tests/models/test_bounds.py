"""A row beyond what the model was fitted on is flagged, in one row as in arrays; what is missing is not."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import numpy as np
import pytest

from volspike.errors import ModelError
from volspike.models.bounds import InputBounds, fit_bounds
from volspike.models.bundle import assemble
from volspike.models.inputs import input_matrix, raw_rows
from volspike.models.settings import KINDS


def test_bounds_are_the_outer_quantiles_moved_out_by_half_their_distance() -> None:
    known = np.linspace(0.0, 1.0, 10_001)
    holes = known.copy()
    holes[::2] = np.nan
    inputs = np.column_stack([known, 100.0 + 10.0 * known, holes, np.full(10_001, 7.0), known * np.nan])
    bounds = fit_bounds(inputs)
    assert bounds.low[:3] == pytest.approx([0.001 - 0.499, 100.01 - 4.99, 0.001 - 0.499], abs=1e-3)
    assert bounds.high[:3] == pytest.approx([0.999 + 0.499, 109.99 + 4.99, 0.999 + 0.499], abs=1e-3)
    assert bounds.low[3] < 7.0 < bounds.high[3]
    assert bounds.high[3] - bounds.low[3] < 1e-7
    assert (bounds.low[4], bounds.high[4]) == (-1e300, 1e300)


def test_bounds_that_cross_or_differ_in_number_are_refused() -> None:
    for low, high in (((1.0,), (0.0,)), ((1.0,), ()), ((float("nan"),), (1.0,))):
        with pytest.raises(ValueError, match="lowest"):
            InputBounds(low, high)


@pytest.mark.parametrize("kind", KINDS)
def test_the_rows_of_the_fit_slice_lie_within_and_each_input_far_out_is_counted(
    trained, dataset, split, kind: str
) -> None:
    predictor = trained.bundles[kind].predictor
    assert np.mean(predictor.predict_batch(dataset.rows(split.fit)).outside > 0.0) < 0.002
    few = dataset.rows(np.arange(0, 4_000, 40))
    wild = replace(few, rv_bps=few.rv_bps * 1e6)
    batch = predictor.predict_batch(wild).outside
    assert (batch >= 1.0).all()
    single = [predictor.predict(wild.features[i].tolist(), wild.context(i)).outside for i in range(len(wild))]
    assert single == batch.tolist()


@pytest.mark.parametrize("kind", ["logistic", "xgboost", "blend"])
def test_the_count_is_that_of_the_inputs_beyond_and_missing_ones_do_not_count(
    trained, dataset, split, kind: str
) -> None:
    bundle = trained.bundles[kind]
    manifest = bundle.manifest
    few = dataset.rows(np.arange(0, 4_000, 40))
    features = few.features.copy()
    features[::2, 3] *= 1e4
    features[1::3, 1] = np.nan
    features[::5, 2] = np.nan
    rows = replace(few, features=features)
    x = input_matrix(raw_rows(rows, 6), manifest.inputs)
    low, high = manifest.bounds.arrays()
    expected = ((x < low) | (x > high)).sum(axis=1)
    assert set(expected.tolist()) == {0, 1}
    assert bundle.predictor.predict_batch(rows).outside.tolist() == expected.tolist()
    assert fit_bounds(input_matrix(raw_rows(dataset.rows(split.fit), 6), manifest.inputs)) == manifest.bounds


def test_the_reference_and_a_bare_predictor_flag_nothing(trained, dataset) -> None:
    wild = replace(dataset.rows([5]), rv_bps=np.array([1e4]))
    assert trained.bundles["zscore"].reference.predict_batch(wild).outside.tolist() == [0.0]


def test_bounds_of_other_inputs_are_refused(trained) -> None:
    bundle = trained.bundles["logistic"]
    for bounds in (InputBounds(), InputBounds((0.0,), (1.0,))):
        with pytest.raises(ModelError, match="bounds are not those of its inputs"):
            assemble(msgspec.structs.replace(bundle.manifest, bounds=bounds), bundle.files, "model m")
