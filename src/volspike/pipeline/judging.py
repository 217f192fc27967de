"""Models put to stored rows: scores on data with its training span known, and offline predictions."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from volspike.config import Settings
from volspike.errors import ModelError
from volspike.evaluation.report import evaluate
from volspike.features.store import FeatureTable, stored_kinds
from volspike.labels.dataset import Dataset, build_dataset
from volspike.labels.splits import PURGE_S, Split, chronological_split
from volspike.labels.targets import HORIZON_S
from volspike.models.adaptive_band import adapted_parts
from volspike.models.bundle import Bundle, check_fits, load_bundle
from volspike.models.calibration import ScoredRows
from volspike.models.exceedance import p_above_columns
from volspike.models.manifest import Manifest
from volspike.models.predictor import Predictor
from volspike.models.registry import resolve_model
from volspike.models.shelf import bundle_paths
from volspike.pipeline.home import Home
from volspike.pipeline.stored_data import stored_table

NS = 1_000_000_000
TIMED_ROWS = 20_000


def open_model(home: Home, model: str, product: str | None = None, feed: str | None = None) -> Bundle:
    """Load a model: a bundle directory, ``models:/NAME@ALIAS``, or nothing for the champion.

    Parameters
    ----------
    product, feed : str, optional
        Whose champion; needed where there are several.
    """
    return load_bundle(resolve_model(model or "champion", home.root, product, feed))


def dataset_for(bundle: Bundle, table: FeatureTable) -> Dataset:
    """Label rows the way a model was trained: its target, its tau, its fixed tau.

    Raises
    ------
    ModelError
        If the model was made for another feed or feature set.
    """
    manifest = bundle.manifest
    check_fits(manifest, table.feed, table.product, table.feature_set)
    tau = manifest.tau
    return build_dataset([table], manifest.target, tau.spec(), tau.fixed_bps, manifest.increment)


def split_for(dataset: Dataset, manifest: Manifest) -> Split:
    """Return the training split for the rows of the training run; for others, in-sample rows and the rest.

    In the second case ``fit`` is what lies inside the training span, and ``test`` what lies after it by the
    purge distance; rows before the span belong to neither.
    """
    if dataset.sha256 == manifest.provenance.dataset_sha256:
        return chronological_split(dataset)
    end_ns = manifest.training.last_ns
    inside = np.flatnonzero((dataset.event_ns >= manifest.training.first_ns) & (dataset.event_ns <= end_ns))
    after = np.flatnonzero(dataset.event_ns > end_ns + (HORIZON_S + 1 + PURGE_S) * NS)
    none = np.empty(0, np.int64)
    purged = len(dataset) - len(inside) - len(after)
    return Split(fit=inside, tune=none, calibrate=none, test=after, purged=purged)


def evaluate_models(
    home: Home, settings: Settings, model: str, product: str | None, feed: str | None
) -> dict[str, Any]:
    """Score a model, and those trained on the same rows beside it, on the stored rows."""
    home.require()
    chosen = open_model(home, model, product, feed)
    dataset = dataset_for(chosen, rows_for(home, settings, chosen.manifest, product, feed))
    split = split_for(dataset, chosen.manifest)
    evaluation = evaluate(_siblings(home, chosen), dataset, split, chosen.manifest.name, home.reports)
    same = dataset.sha256 == chosen.manifest.provenance.dataset_sha256
    return {
        **evaluation.as_dict(),
        "split": split.counts(),
        "rows": len(dataset),
        "dataset_sha256": dataset.sha256,
        "same_rows_as_training": same,
    }


def rows_for(
    home: Home, settings: Settings, manifest: Manifest, product: str | None, feed: str | None
) -> FeatureTable:
    """Return the stored rows a model is put to: of the product and feed asked for, else of its own.

    A model that serves either feed takes the other one where its own is not stored.
    """
    product = product or manifest.product
    has_own = any(kind[:2] == (product, manifest.feed) for kind in stored_kinds(home.features))
    return stored_table(home, manifest.feature_set, product, feed or (manifest.feed if has_own else None))


def _siblings(home: Home, chosen: Bundle) -> dict[str, Bundle]:
    """Return the chosen model and the others that were trained on the same rows, with the same settings."""
    family = {chosen.manifest.name: chosen}
    for path in bundle_paths(home.models):
        try:
            bundle = load_bundle(path)
        except ModelError:
            continue  # a damaged neighbour is `volspike models`' business
        if bundle.manifest.training == chosen.manifest.training:
            family.setdefault(bundle.manifest.name, bundle)
    return family


@dataclass(frozen=True)
class Offline:
    """Offline predictions.

    Attributes
    ----------
    dataset : Dataset
        The rows.
    scored : ScoredRows
        The predictions, with the band as served: beginning at the model's own, in the training span and
        after it.
    log_stretch : float64[n]
        Of the band at each row.
    p_above : dict of str to float64[n]
        Probabilities of other thresholds, by column.
    in_sample : bool[n]
        Whether the row lies in the model's training span.
    seconds : float
        Wall time of predicting all rows at once.
    row_us : float64[m]
        Wall time of predicting one row, microseconds.
    """

    dataset: Dataset
    scored: ScoredRows
    log_stretch: npt.NDArray[np.float64]
    p_above: dict[str, npt.NDArray[np.float64]]
    in_sample: npt.NDArray[np.bool_]
    seconds: float
    row_us: npt.NDArray[np.float64]


def predict_offline(
    bundle: Bundle,
    table: FeatureTable,
    above_bps: Sequence[float] = (),
    range_above_bps: Sequence[float] = (),
) -> Offline:
    """Predict every stored second, at once for the answers and one by one for the time it takes.

    Parameters
    ----------
    above_bps, range_above_bps : sequence of float
        Thresholds of volatility, and of the range of the minute, to give the probability of; basis points.

    Raises
    ------
    ModelError
        If the model says nothing about ranges, and one was asked for.
    """
    dataset = dataset_for(bundle, table)
    started_ns = time.perf_counter_ns()
    scored = bundle.predictor.predict_batch(dataset)
    seconds = (time.perf_counter_ns() - started_ns) / NS
    training = bundle.manifest.training
    in_sample = (dataset.event_ns >= training.first_ns) & (dataset.event_ns <= training.last_ns)
    spans = np.split(np.arange(len(dataset)), np.flatnonzero(np.diff(in_sample)) + 1)
    served = adapted_parts(scored, dataset, spans)
    p_above = p_above_columns(bundle.predictor, dataset, above_bps, range_above_bps, served.log_stretch)
    row_us = _row_times_us(bundle.predictor, dataset)
    return Offline(dataset, served.scored, served.log_stretch, p_above, in_sample, seconds, row_us)


def _row_times_us(predictor: Predictor, dataset: Dataset) -> npt.NDArray[np.float64]:
    rows = min(len(dataset), TIMED_ROWS)
    calls = [(dataset.features[i].tolist(), dataset.context(i)) for i in range(rows)]
    times_ns = np.empty(rows, np.int64)
    for i, (values, context) in enumerate(calls):
        started_ns = time.perf_counter_ns()
        predictor.predict(values, context)
        times_ns[i] = time.perf_counter_ns() - started_ns
    return times_ns / 1_000.0


def write_predictions(offline: Offline, path: Path) -> None:
    """Write offline predictions to Parquet: whole or not at all.

    Raises
    ------
    ModelError
        If the file can't be written.
    """
    import polars as pl

    if path.is_dir():
        raise ModelError(str(path), "is a directory", "name a file with --out")
    data = offline.dataset
    frame = pl.DataFrame(
        {
            "event_ns": data.event_ns,
            **{name: getattr(offline.scored, name) for name in ScoredRows._fields if name != "outside"},
            "out_of_distribution": offline.scored.outside > 0.0,
            "band_log_stretch": offline.log_stretch,
            **offline.p_above,
            "tau_bps": data.tau_bps,
            "tau_adaptive": data.tau_adaptive,
            "sigma_now_bps": data.rv_bps,
            "sigma_future_bps": data.sigma_future_bps,
            "spike": data.spike,
            "in_sample": offline.in_sample,
        }
    )
    temporary = path.with_suffix(path.suffix + ".tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            frame.write_parquet(file)
        temporary.replace(path)
    except (OSError, pl.exceptions.ComputeError) as error:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        reason = error.strerror if isinstance(error, OSError) else str(error).rpartition(": ")[2]
        raise ModelError(str(path), f"can't be written ({reason})", "name another with --out") from None
