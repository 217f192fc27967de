"""``volspike evaluate``: the honest report of a model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from volspike.cli.options import All, Model, Product, Source, above_zero
from volspike.cli.output import AsJson, DataDir, emit_json, say
from volspike.cli.times import minute_given

MINUTE_NS = 60_000_000_000


def evaluate(
    data_dir: DataDir = None,
    model: Model = "",
    product: Product = None,
    feed: Source = None,
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
    walk_forward: Annotated[
        bool,
        typer.Option(
            "--walk-forward",
            help="Train on the past, predict the next stretch, move on: all is out of sample.",
        ),
    ] = False,
    test_from: Annotated[
        str,
        typer.Option(help="Of a walk-forward: first minute or date, UTC. (default: after 30 % of rows)"),
    ] = "",
    test_until: Annotated[
        str, typer.Option(help="Of a walk-forward: the minute after its last. (default: the end)")
    ] = "",
    every_days: Annotated[
        float, typer.Option(help="Of a walk-forward: days between two trainings.", callback=above_zero)
    ] = 1.0,
    all_: All = False,
    as_json: AsJson = False,
) -> None:
    """Score a model and its siblings on the stored rows, beside the reference, part by part."""
    from volspike.cli.scores import show_judgement, show_report, show_rules
    from volspike.clock import SystemClock
    from volspike.config import load_settings
    from volspike.pipeline.home import Home

    settings = load_settings({"data_dir": data_dir})
    home, clock = Home(settings.data_dir), SystemClock()
    if walk_forward:
        from volspike.pipeline.walking import WalkRequest, walk_models

        if model:
            raise typer.BadParameter("a walk-forward trains its own models", param_hint="--model")
        span = (_ns(test_from, "--test-from"), _ns(test_until, "--test-until"))
        walk = WalkRequest(product, feed, *span, every_days, html, looks, final)
        report = walk_models(home, settings, walk, clock, say)
    else:
        from volspike.pipeline.judging import Request, evaluate_models

        if test_from or test_until:
            raise typer.BadParameter("it goes with --walk-forward", param_hint="--test-from, --test-until")
        report = evaluate_models(home, settings, Request(model, product, feed, html, looks, final), clock)
    if as_json:
        emit_json(report)
        return
    show_report(report, all_)
    show_judgement(report)
    if walk_forward:
        from volspike.cli.lives import show_lives

        show_rules(report)
        show_lives(report)


def _ns(text: str, option: str) -> int | None:
    return minute_given(text, option) * MINUTE_NS if text else None
