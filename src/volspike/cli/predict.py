"""``volspike predict``: offline inference over stored rows."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from volspike.cli.options import (
    CandleSource,
    Model,
    Product,
    Source,
    above_zero,
    above_zero_list,
    check_source,
    numbers,
)
from volspike.cli.output import AsJson, DataDir, conclude, say

if TYPE_CHECKING:
    from volspike.pipeline.judging import Offline


def predict(
    data_dir: DataDir = None,
    model: Model = "",
    product: Product = None,
    feed: Source = None,
    source: CandleSource = None,
    above: Annotated[
        str,
        typer.Option(
            help="Add P(volatility >= BPS) for each of these, with commas.", callback=above_zero_list
        ),
    ] = "",
    range_above: Annotated[
        str,
        typer.Option(
            help="Add P(range of the minute >= BPS); for models of candles.", callback=above_zero_list
        ),
    ] = "",
    out: Annotated[Path | None, typer.Option(help="Parquet file to write.")] = None,
    max_latency_us: Annotated[
        float | None,
        typer.Option(help="Exit 1 if the p99 of one row takes longer (microseconds).", callback=above_zero),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Predict every stored second, or minute, with a bundle or an MLflow model; write Parquet."""
    import numpy as np

    from volspike.config import load_settings
    from volspike.errors import ModelError
    from volspike.models.mlflow_client import Server
    from volspike.pipeline.home import Home
    from volspike.pipeline.judging import open_model, predict_offline, write_predictions
    from volspike.pipeline.stored_data import stored_for

    check_source(source, feed)
    settings = load_settings({"data_dir": data_dir, "candle_source": source})
    home = Home(settings.data_dir)
    home.require()
    bundle = open_model(home, model, product, feed, Server.of(settings.mlflow_uri))
    manifest = bundle.manifest
    dataset = stored_for(
        home, manifest, settings.feature_set, product, feed, settings.candle_source, say
    ).dataset
    offline = predict_offline(bundle, dataset, numbers(above), numbers(range_above))
    path = out or home.predictions / f"{manifest.name}-{manifest.version}.parquet"
    write_predictions(offline, path)
    p50, p99 = (float(value) for value in np.quantile(offline.row_us, [0.5, 0.99]))
    p_above = {name: float(np.mean(column)) for name, column in offline.p_above.items()}
    report = {
        "rows": len(offline.dataset),
        "in_sample_rows": int(offline.in_sample.sum()),
        "out_of_distribution_frac": float(np.mean(offline.scored.outside > 0.0)),
        "p_above_mean": p_above,
        "seconds": offline.seconds,
        "microseconds_per_row": {"p50": p50, "p99": p99},
        "model": manifest.name,
        "version": manifest.version,
        "path": str(path),
    }
    slow = ModelError(
        manifest.name, f"one row takes {p99:.1f} us at p99, above {max_latency_us} us", "use a smaller model"
    )
    failure = slow if max_latency_us is not None and p99 > max_latency_us else None
    if as_json:
        conclude("Predictions", report, as_json, failure)
        return
    shown = {key: value for key, value in report.items() if key != "p_above_mean"}
    means = {name.replace("p_above", "mean p above"): value for name, value in p_above.items()}
    conclude("Predictions", {**shown, **means, "newest": _newest(offline)}, as_json, failure)


def _newest(offline: Offline) -> str:
    """Return the last prediction in words."""
    from volspike.exchange.decimals import format_time_ns

    if not len(offline.dataset):
        return "none"
    of, tau_bps = offline.scored, float(offline.dataset.tau_bps[-1])
    when = format_time_ns(int(offline.dataset.event_ns[-1]), 0)
    band = f"{of.sigma_low_bps[-1]:.2f} to {of.sigma_high_bps[-1]:.2f}"
    return (
        f"{when}: next minute {of.sigma_bps[-1]:.2f} bps (90 % band {band}), "
        f"p(spike) {of.p_spike[-1]:.3f} at tau {tau_bps:.2f} bps"
    )
