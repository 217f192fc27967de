"""``volspike train``: models from stored feature rows."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import typer

from volspike.cli.options import All, CandleSource, Product, Seed, Source, check_source
from volspike.cli.output import AsJson, DataDir, console, emit_json, say


def train(
    data_dir: DataDir = None,
    product: Product = None,
    feed: Source = None,
    source: CandleSource = None,
    target: Annotated[
        Literal["rv", "std", "next-row"] | None, typer.Option(help="What a label measures.")
    ] = None,
    tau_mode: Annotated[
        Literal["adaptive", "fixed"] | None, typer.Option("--tau", help="How tau is set.")
    ] = None,
    class_weight: Annotated[
        Literal["none", "balanced"] | None, typer.Option(help="Weight of spikes.")
    ] = None,
    seed: Seed = None,
    feature_set: Annotated[str | None, typer.Option(help="Feature set of the stored rows.")] = None,
    inputs: Annotated[
        Literal["rows", "regime"] | None,
        typer.Option(help="What models see: the rows, or regime columns, which serve either feed."),
    ] = None,
    tune_trials: Annotated[
        int | None,
        typer.Option(help="Try so many settings by walking forward inside fit and tune.", min=0, max=1_000),
    ] = None,
    allow_leaks: Annotated[
        bool | None, typer.Option("--allow-leaks", help="Keep the models even where the audit finds a leak.")
    ] = None,
    all_: All = False,
    as_json: AsJson = False,
) -> None:
    """Train, calibrate, score and register the models; the best on the tune slice becomes champion."""
    from volspike.clock import SystemClock
    from volspike.config import load_settings
    from volspike.pipeline.home import Home
    from volspike.pipeline.training import train_models

    check_source(source, feed)
    if feed == "candles":
        of_ticks = {"--target": target, "--feature-set": feature_set, "--inputs": inputs}
        if given := [name for name, value in of_ticks.items() if value is not None]:
            words = "candles have one target, the range, and one set of features"
            raise typer.BadParameter(words, param_hint=", ".join(given))
    settings = load_settings(
        {
            "data_dir": data_dir,
            "candle_source": source,
            "target": target,
            "tau_mode": tau_mode,
            "class_weight": class_weight,
            "seed": seed,
            "feature_set": feature_set,
            "inputs": inputs,
            "tune_trials": tune_trials,
            "allow_leaks": allow_leaks,
        }
    )
    trained = train_models(Home(settings.data_dir), settings, product, feed, say, clock=SystemClock())
    report = trained.as_dict()
    if as_json:
        emit_json(report)
        return
    show_trained(report, all_)


def show_trained(report: dict[str, Any], everything: bool) -> None:
    """Print the scores of what was trained, who serves from now on, and where the best model is."""
    from volspike.cli.scores import show_report

    show_report(report, everything)
    champion = report["champion"]
    console().print(f"\n{report['succession']}", markup=False)
    if report["looks"] is not None:
        console().print(f"test part: {report['looks']} looks before this one", markup=False)
    console().print(f"bundle: {report['bundles'][champion]}", markup=False, soft_wrap=True)
    console().print(f"MLflow: {report['mlflow'][champion] or 'not told yet'}", markup=False)
