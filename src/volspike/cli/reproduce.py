"""``volspike reproduce``: the original system's figure, and what is left of it under the true label."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from volspike.cli.options import OnlyProduct
from volspike.cli.output import AsJson, console, emit_json, say, show_table
from volspike.cli.reproduction import PARTS, remarks_on, tables_of, title_of


def reproduce(
    files: Annotated[
        list[Path], typer.Argument(help="Recordings, as for import: NDJSON or CSV, plain, .gz or .zst.")
    ],
    tau: Annotated[
        str,
        typer.Option(
            help="Percentile of the stds (P90), or a std of tick returns: 0.000028, the same as 0.28bps."
        ),
    ] = "P90",
    product: OnlyProduct = None,
    tz: Annotated[
        str, typer.Option(help="Zone of times without one: an IANA name or an offset like -05:00.")
    ] = "UTC",
    html: Annotated[
        Path | None, typer.Option(help="Write the report as a page to this file too.", show_default=False)
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Run the protocol behind the published 0.9997 on recordings, and the true label beside it."""
    from volspike.cli.progress import counting
    from volspike.config import load_settings
    from volspike.evaluation.original.threshold import parse_threshold
    from volspike.exchange.products import PriceScales
    from volspike.pipeline.reproducing import reproduce as run
    from volspike.recording.sniff import ImportOptions

    try:
        threshold = parse_threshold(tau)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--tau") from None
    scales = PriceScales(load_settings({}).price_decimals)
    with counting("reading", "lines", hidden=as_json) as advance:
        report = run(files, ImportOptions(zone=tz), scales, threshold, product, advance)
    if html is not None:
        from volspike.cli.page import write_page
        from volspike.cli.reproduction_page import reproduction_page

        write_page(reproduction_page(report), html)
        say(f"page: {html}")
    if as_json:
        emit_json(report)
    else:
        show_reproduction(report)


def show_reproduction(report: dict[str, Any]) -> None:
    """Print the scores under both labels, what they rest on, and what they mean."""
    out = console()
    out.print(title_of(report), markup=False)
    for table in tables_of(report):
        show_table(f"\n{table.title}", ("", *PARTS.values()), table.rows)
    for line in remarks_on(report):
        out.print(line, markup=False)
    for paragraph in report["words"]:
        out.print(f"\n{paragraph}", markup=False)
