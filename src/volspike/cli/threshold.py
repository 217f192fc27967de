"""``volspike threshold``: which volatility makes a spike, and what hangs on it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from volspike.cli.options import CandleSource, Product, check_source
from volspike.cli.output import AsJson, DataDir, console, emit_json, say, show_table
from volspike.cli.threshold_tables import LEGEND, tables_of, title_of

if TYPE_CHECKING:
    from volspike.evaluation.threshold.analysis import ThresholdAnalysis


def threshold(
    data_dir: DataDir = None,
    product: Product = None,
    feed: Annotated[
        Literal["exchange", "advanced", "candles"] | None,
        typer.Option(help="Feed; needed where a product is stored from both. candles: of backfill."),
    ] = None,
    source: CandleSource = None,
    html: Annotated[
        Path | None,
        typer.Option(help="Write the report as a page with pictures to this file too.", show_default=False),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Compare thresholds on the stored rows: what each calls a spike, and which scores depend on it."""
    from volspike.cli.progress import counting
    from volspike.config import load_settings
    from volspike.pipeline.home import Home
    from volspike.pipeline.thresholds import compare_thresholds

    check_source(source, feed)
    settings = load_settings({"data_dir": data_dir, "candle_source": source})
    with counting("comparing", "thresholds", hidden=as_json) as advance:
        analysis = compare_thresholds(Home(settings.data_dir), settings, product, feed, advance, say)
    if html is not None:
        from volspike.cli.page import write_page
        from volspike.cli.threshold_page import threshold_page

        write_page(threshold_page(analysis), html)
        say(f"page: {html}")
    if as_json:
        from volspike.evaluation.threshold.words import in_words

        emit_json({**analysis.as_dict(), "words": in_words(analysis)})
    else:
        show_analysis(analysis)


def show_analysis(analysis: ThresholdAnalysis) -> None:
    """Print the tables, and what they say."""
    from volspike.evaluation.threshold.words import in_words

    out = console()
    out.print(title_of(analysis), markup=False)
    for table in tables_of(analysis):
        show_table(f"\n{table.title}", table.columns, table.rows, table.words)
    out.print(LEGEND, markup=False)
    for paragraph in in_words(analysis):
        out.print(f"\n{paragraph}", markup=False)
