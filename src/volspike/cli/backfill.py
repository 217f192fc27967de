"""``volspike backfill``: minute candles from CSV files or the exchange."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from volspike.cli.output import AsJson, DataDir, conclude, say
from volspike.cli.times import minute_given

if TYPE_CHECKING:
    from collections.abc import Sequence

    from volspike.config import Settings
    from volspike.errors import VolspikeError
    from volspike.features.candle_store import Span
    from volspike.pipeline.backfill import BackfillReport, ExchangeBackfill
    from volspike.pipeline.home import Home

DEFAULT_DAYS = 30
MINUTES_A_DAY = 1_440


def backfill(
    files: Annotated[
        list[Path] | None,
        typer.Argument(
            help="CSV files or directories, plain, .gz or .zst; without any, the exchange is asked.",
            show_default=False,
        ),
    ] = None,
    data_dir: DataDir = None,
    product: Annotated[
        list[str] | None,
        typer.Option(help="Product to ask for, several times for several; of a file that names none."),
    ] = None,
    days: Annotated[
        int | None,
        typer.Option(
            help=f"Ask for so many days before the end. (default: {DEFAULT_DAYS})",
            min=1,
            max=10_000,
            show_default=False,
        ),
    ] = None,
    start: Annotated[str, typer.Option(help="First minute: an ISO time or date, UTC without a zone.")] = "",
    end: Annotated[str, typer.Option(help="Minute after the last. (default: now)", show_default=False)] = "",
    candles_url: Annotated[
        str | None, typer.Option(help="Another address than the exchange's REST interface.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Bring in minute candles: a first history, before any tick was recorded.

    The exchange is asked only for minutes that are not stored yet; stopped by Ctrl-C, it keeps what it has.
    """
    from volspike.config import load_settings
    from volspike.pipeline.home import Home

    settings = load_settings(
        {
            "data_dir": data_dir,
            "products": tuple(product) if product else None,
            "candles_url": candles_url,
        }
    )
    home = Home(settings.data_dir)
    if files:
        if days or start or end or candles_url or len(product or ()) > 1:
            raise typer.BadParameter("files go with --data-dir, --json and one --product alone")
        report = _from_files(home, files, settings.products[0] if product else "", as_json)
        failure = None
    else:
        span = _span(days, start, end)
        report, failure = _from_exchange(home, settings, span, as_json)
    import msgspec

    for note in report.notes:
        say(f"WARNING: {note}")
    fields = msgspec.to_builtins(report)
    if not as_json:
        del fields["notes"]  # told above
    conclude(f"Candles in {home.root}", fields, as_json, failure)


def _from_files(home: Home, files: Sequence[Path], product: str, hidden: bool) -> BackfillReport:
    from volspike.cli.progress import counting
    from volspike.clock import SystemClock
    from volspike.exchange.candles import MINUTE_NS
    from volspike.pipeline.backfill import backfill_files

    now = SystemClock().market_ns() // MINUTE_NS
    with counting("reading", "candles", hidden) as advance:
        return backfill_files(home, files, product, now, advance)


def _from_exchange(
    home: Home, settings: Settings, span: Span, hidden: bool
) -> tuple[BackfillReport, VolspikeError | None]:
    import asyncio
    from functools import partial
    from random import Random

    from volspike.cli.driving import drive, show_lines
    from volspike.cli.output import console
    from volspike.cli.progress import counting
    from volspike.clock import SimulatedClock
    from volspike.exchange.candle_client import CandleClient
    from volspike.pipeline.backfill import open_backfill

    client = CandleClient(settings.candles_url, SimulatedClock(), Random(settings.seed))
    with (
        open_backfill(home, client, settings.products, span) as job,
        counting("asking for", "minutes", hidden, job.minutes) as advance,
    ):
        lines = partial(show_lines, partial(_line, job))
        is_seen = console(stderr=True).is_terminal and not hidden
        drive(partial(job.run, progress=advance), asyncio.Event().wait if is_seen else lines, None)
        return job.report, job.failure


def _line(job: ExchangeBackfill) -> str:
    report = job.report
    return (
        f"{report.requests:,} requests, {report.added:,} candles added, the last of {report.last or 'none'}"
    )


def _span(days: int | None, start: str, end: str) -> Span:
    """Return the minutes to ask for."""
    from volspike.clock import SystemClock
    from volspike.exchange.candles import MINUTE_NS

    if days and start:
        raise typer.BadParameter("--days and --start can't both be given", param_hint="--days")
    stop = minute_given(end, "--end") if end else SystemClock().market_ns() // MINUTE_NS
    first = minute_given(start, "--start") if start else max(0, stop - (days or DEFAULT_DAYS) * MINUTES_A_DAY)
    if first >= stop:
        raise typer.BadParameter("it is not before the end", param_hint="--start")
    return first, stop
