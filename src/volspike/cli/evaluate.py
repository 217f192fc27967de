"""``volspike evaluate``: the honest report of a model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from volspike.cli.options import All, CandleSource, Model, Product, Source, above_zero, check_source
from volspike.cli.output import AsJson, DataDir, emit_json, say
from volspike.cli.times import minute_given

MINUTE_NS = 60_000_000_000
DAYS_BETWEEN = 1.0


def evaluate(
    data_dir: DataDir = None,
    model: Model = "",
    product: Product = None,
    feed: Source = None,
    source: CandleSource = None,
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
        float | None,
        typer.Option(
            help="Of a walk-forward: days between two trainings. (default: 1)",
            callback=above_zero,
            show_default=False,
        ),
    ] = None,
    allow_leaks: Annotated[
        bool | None,
        typer.Option("--allow-leaks", help="Of a walk-forward: score even where the audit finds a leak."),
    ] = None,
    all_: All = False,
    as_json: AsJson = False,
) -> None:
    """Score a model and its siblings on the stored rows, beside the reference, part by part."""
    from volspike.cli.scores import show_judgement, show_report, show_rules
    from volspike.clock import SystemClock
    from volspike.config import load_settings
    from volspike.pipeline.home import Home

    check_source(source, feed)
    settings = load_settings({"data_dir": data_dir, "allow_leaks": allow_leaks, "candle_source": source})
    home, clock = Home(settings.data_dir), SystemClock()
    if walk_forward:
        from volspike.pipeline.walking import WalkRequest, walk_models

        if model:
            raise typer.BadParameter("a walk-forward trains its own models", param_hint="--model")
        span = (_ns(test_from, "--test-from"), _ns(test_until, "--test-until"))
        walk = WalkRequest(product, feed, *span, every_days or DAYS_BETWEEN, html, looks, final)
        report = walk_models(home, settings, walk, clock, say)
    else:
        from volspike.pipeline.judging import Request, evaluate_models

        given = {
            "--test-from": test_from,
            "--test-until": test_until,
            "--every-days": every_days,
            "--allow-leaks": allow_leaks,
        }
        if alone := [name for name, value in given.items() if value]:
            raise typer.BadParameter("it goes with --walk-forward", param_hint=", ".join(alone))
        request = Request(model, product, feed, html, looks, final)
        report = evaluate_models(home, settings, request, clock, say)
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
