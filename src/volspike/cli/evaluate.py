"""``volspike evaluate``: the honest report of a model."""

from __future__ import annotations

from volspike.cli.options import All, Feed, Model, Product
from volspike.cli.output import AsJson, DataDir, emit_json


def evaluate(
    data_dir: DataDir = None,
    model: Model = "",
    product: Product = None,
    feed: Feed = None,
    all_: All = False,
    as_json: AsJson = False,
) -> None:
    """Score a model and its siblings on the stored rows, beside the reference, part by part."""
    from volspike.cli.scores import show_report
    from volspike.config import load_settings
    from volspike.pipeline.home import Home
    from volspike.pipeline.judging import evaluate_models

    settings = load_settings({"data_dir": data_dir})
    report = evaluate_models(Home(settings.data_dir), settings, model, product, feed)
    if as_json:
        emit_json(report)
    else:
        show_report(report, all_)
