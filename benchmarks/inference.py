"""One row through each kind of bundle, beside the usual ``predict_proba`` on one row."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import xgboost as xgb

from benchmarks.figures import Figure, at_most
from benchmarks.trained import train_models
from volspike.labels.dataset import Dataset
from volspike.models.boosted import CLASSIFIER_FILE
from volspike.models.bundle import Bundle
from volspike.models.inputs import input_matrix, raw_rows

TITLE = "one row through a model"
F8 = npt.NDArray[np.float64]


def run(quick: bool) -> list[Figure]:
    """Measure every bundle kind and the peers, on different rows one after the other."""
    with tempfile.TemporaryDirectory(prefix="volspike-bench-") as name:
        dataset, bundles = train_models(Path(name), 0.5 if quick else 6.0)
    count = min(len(dataset), 50 if quick else 20_000)
    calls = [(tuple(dataset.features[i].tolist()), dataset.context(i)) for i in range(count)]
    figures, p50_us = [], {}
    for kind, bundle in bundles.items():
        taken_us = times_us(bundle.predictor.predict, calls)
        p50_us[kind] = float(np.median(taken_us))
        figures.append(Figure(f"{kind}, p50", p50_us[kind], "us"))
        figures.append(at_most(f"{kind}, p99", float(np.percentile(taken_us, 99)), "us", 10.0))
    if "xgboost" in bundles:
        figures += peers(dataset, bundles["xgboost"], p50_us["xgboost"], min(count, 30 if quick else 1_000))
    return figures


def peers(dataset: Dataset, bundle: Bundle, own_us: float, count: int) -> list[Figure]:
    """Measure the same classifier through XGBClassifier; the inputs are made beforehand, as a gift."""
    spec = bundle.manifest.inputs
    assert spec is not None
    inputs = input_matrix(raw_rows(dataset.rows(np.arange(count)), spec.width), spec)
    model = xgb.XGBClassifier(n_jobs=1)
    model.load_model(bytearray(bundle.files[CLASSIFIER_FILE]))
    margins, _ = bundle.predictor.heads_batch(dataset.rows(np.arange(count)))
    expected = model.predict_proba(inputs)[:, 1]
    np.testing.assert_allclose(1.0 / (1.0 + np.exp(-margins)), expected, rtol=1e-5)
    arrays = [inputs[i : i + 1] for i in range(count)]
    frames = [pd.DataFrame(row, columns=list(spec.names)) for row in arrays]
    model.get_booster().feature_names = list(spec.names)
    frame_us = float(np.median(times_us(model.predict_proba, [(frame,) for frame in frames])))
    model.get_booster().feature_names = None
    array_us = float(np.median(times_us(model.predict_proba, [(array,) for array in arrays])))
    return [
        Figure("XGBClassifier.predict_proba, one-row DataFrame / volspike", frame_us / own_us, "x"),
        Figure("XGBClassifier.predict_proba, one-row array / volspike", array_us / own_us, "x"),
    ]


def times_us(call: Callable[..., Any], arguments: Sequence[tuple[Any, ...]]) -> F8:
    """Return the microseconds of each call, after a warm-up."""
    call(*arguments[0])
    taken = np.empty(len(arguments))
    for i, each in enumerate(arguments):
        started_ns = time.perf_counter_ns()
        call(*each)
        taken[i] = (time.perf_counter_ns() - started_ns) / 1e3
    return taken
