"""Models put to stored rows: scores on data with its training span known, and offline predictions."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from volspike.clock import Clock
from volspike.config import Settings
from volspike.errors import ModelError
from volspike.evaluation.looks import append_look, check_appendable, look_at, looks_at, read_looks
from volspike.evaluation.page import About, check_page, render_page, write_page
from volspike.evaluation.report import evaluate
from volspike.labels.dataset import Dataset
from volspike.labels.splits import PURGE_S, Split, chronological_split
from volspike.labels.targets import HORIZON_S
from volspike.models.adaptive_band import adapted_parts
from volspike.models.bundle import Bundle, load_bundle
from volspike.models.calibration import ScoredRows
from volspike.models.exceedance import p_above_columns
from volspike.models.manifest import Manifest
from volspike.models.mlflow_client import Server
from volspike.models.predictor import Predictor
from volspike.models.resolving import resolve_model
from volspike.models.settings import KINDS
from volspike.models.shelf import bundle_paths
from volspike.pipeline.home import Home
from volspike.pipeline.stored_candles import silent
from volspike.pipeline.stored_data import stored_for

NS = 1_000_000_000
TIMED_ROWS = 20_000


def open_model(
    home: Home,
    model: str,
    product: str | None = None,
    feed: str | None = None,
    server: Server | None = None,
) -> Bundle:
    """Load a model: a bundle directory, ``models:/NAME@ALIAS``, or nothing for the champion.

    Parameters
    ----------
    product, feed : str, optional
        Whose champion; needed where there are several.
    server : Server, optional
        Where MLflow is; None: in the data directory.
    """
    return load_bundle(resolve_model(model or "champion", home.root, product, feed, server))


def split_for(dataset: Dataset, manifest: Manifest) -> Split:
    """Return the training split for the rows of the training run; for others, in-sample rows and the rest.

    In the second case ``calibrate`` is the end of the training span with as many labelled rows as training
    calibrated on, ``fit`` what lies before it, and ``test`` what lies after the span by the purge distance;
    rows before the span belong to none.
    """
    if dataset.sha256 == manifest.provenance.dataset_sha256:
        return chronological_split(dataset)
    training = manifest.training
    inside = np.flatnonzero((dataset.event_ns >= training.first_ns) & (dataset.event_ns <= training.last_ns))
    after = np.flatnonzero(dataset.event_ns > training.last_ns + (HORIZON_S + 1 + PURGE_S) * NS)
    labelled = inside[dataset.spike[inside] >= 0]
    has_calibrate = 0 < training.calibrate_rows < len(labelled)
    cut = int(labelled[-training.calibrate_rows]) if has_calibrate else len(dataset)
    return Split(
        fit=inside[inside < cut],
        tune=np.empty(0, np.int64),
        calibrate=inside[inside >= cut],
        test=after,
        purged=len(dataset) - len(inside) - len(after),
    )


@dataclass(frozen=True)
class Request:
    """What is to be evaluated, and where the results go.

    Attributes
    ----------
    model : str
        Bundle directory or ``models:/NAME@ALIAS``; empty for the champion.
    product, feed : str or None
        Whose champion and rows.
    page : Path or None
        The HTML file; None: below the reports of the data directory.
    looks : Path or None
        The log of looks; None: that of the data directory.
    final : bool
        Whether this look at the test part is logged.
    """

    model: str = ""
    product: str | None = None
    feed: str | None = None
    page: Path | None = None
    looks: Path | None = None
    final: bool = False


def evaluate_models(
    home: Home,
    settings: Settings,
    request: Request,
    clock: Clock,
    say: Callable[[str], None] = silent,
) -> dict[str, Any]:
    """Score a model, and those trained on the same rows beside it, on the stored rows.

    Parameters
    ----------
    clock : Clock
        Dates a look.
    say : callable
        Told which candles are taken where there is a choice.

    Returns
    -------
    dict
        The report under the names of the command line. A final look is on disk before this returns.
    """
    home.require()
    chosen = open_model(home, request.model, request.product, request.feed, Server.of(settings.mlflow_uri))
    manifest = chosen.manifest
    log = request.looks or home.looks
    page = request.page or home.reports / f"evaluate-{manifest.product}-{manifest.name}.html"
    before = read_looks(log)
    check_page(page)
    if request.final:
        check_appendable(log)
    rows = (settings.feature_set, request.product, request.feed, settings.candle_source)
    dataset = stored_for(home, manifest, *rows, say).dataset
    split = split_for(dataset, manifest)
    family = _siblings(home, chosen)
    evaluation = evaluate(family, dataset, split, manifest.name, home.reports)
    test, versions = dataset.rows(split.test), {name: b.manifest.version for name, b in family.items()}
    look = None
    if request.final and evaluation.reference_scores["test"].rows:
        look = look_at(evaluation, dataset, test, versions, clock.market_ns())
        append_look(log, look)
    same = dataset.sha256 == manifest.provenance.dataset_sha256
    about = About(versions, same, looks_at(before, test))
    return {
        **evaluation.as_dict(),
        "split": split.counts(),
        "rows": len(dataset),
        "dataset_sha256": dataset.sha256,
        "same_rows_as_training": same,
        "page": str(write_page(page, render_page(evaluation, dataset, split, about))),
        "looks": about.looks,
        "looks_log": str(log),
        "look": None if look is None else msgspec.to_builtins(look),
    }


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
    return {name: family[name] for name in sorted(family, key=_place)}


def _place(name: str) -> tuple[int, str]:
    """Return where a model stands in a report: in the order of training, then by name."""
    return (KINDS.index(name) if name in KINDS else len(KINDS)), name


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
    dataset: Dataset,
    above_bps: Sequence[float] = (),
    range_above_bps: Sequence[float] = (),
) -> Offline:
    """Predict every row, at once for the answers and one by one for the time it takes.

    Parameters
    ----------
    above_bps, range_above_bps : sequence of float
        Thresholds of volatility, and of the range of the minute, to give the probability of; basis points.

    Raises
    ------
    ModelError
        If the model says nothing about ranges, and one was asked for.
    """
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
