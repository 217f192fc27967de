"""``volspike evaluate``: the honest report of a model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from volspike.cli.options import All, Feed, Model, Product
from volspike.cli.output import AsJson, DataDir, emit_json


def evaluate(
    data_dir: DataDir = None,
    model: Model = "",
    product: Product = None,
    feed: Feed = None,
    html: Annotated[
        Path | None,
        typer.Option(help="HTML page to write. (default: reports/evaluate-PRODUCT-MODEL.html)"),
    ] = None,
    final: Annotated[
        bool, typer.Option("--final", help="Log this look at the test part: a part looked at twice is spent.")
    ] = False,
    looks: Annotated[
        Path | None, typer.Option(help="Log of looks. (default: looks.ndjson in the data directory)")
    ] = None,
    all_: All = False,
    as_json: AsJson = False,
) -> None:
    """Score a model and its siblings on the stored rows, beside the reference, part by part."""
    from volspike.cli.scores import show_judgement, show_report
    from volspike.clock import SystemClock
    from volspike.config import load_settings
    from volspike.pipeline.home import Home
    from volspike.pipeline.judging import Request, evaluate_models

    settings = load_settings({"data_dir": data_dir})
    request = Request(model, product, feed, html, looks, final)
    report = evaluate_models(Home(settings.data_dir), settings, request, SystemClock())
    if as_json:
        emit_json(report)
    else:
        show_report(report, all_)
        show_judgement(report)
