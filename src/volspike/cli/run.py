"""``volspike run``: the live job in one process."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from volspike.cli.output import AsJson, DataDir, configure_logging, emit_json, say, show_counts

if TYPE_CHECKING:
    from volspike.alerts.sinks import AlertSink


def run(
    data_dir: DataDir = None,
    product: Annotated[
        list[str] | None, typer.Option(help="Product to watch; may be given several times.")
    ] = None,
    dialect: Annotated[
        Literal["auto", "exchange", "advanced"] | None,
        typer.Option(help="Which feed.  [default: the model's]"),
    ] = None,
    exchange_url: Annotated[
        str | None, typer.Option(help="Another address than the production feed.")
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="Bundle or models:/NAME@ALIAS.  [default: champion]")
    ] = None,
    alert_open: Annotated[
        float | None, typer.Option(help="Alert at this p(spike).  [default: the model's]")
    ] = None,
    alert_close: Annotated[float | None, typer.Option(help="Alert ends below this p(spike).")] = None,
    exit_after: Annotated[float | None, typer.Option(help="Stop after so many seconds.")] = None,
    as_json: AsJson = False,
) -> None:
    """Watch the live feed: archive, predict, grade, alert. Ctrl-C ends in order."""
    from volspike.cli.live import drive
    from volspike.clock import SimulatedClock
    from volspike.config import load_settings
    from volspike.pipeline.assembly import open_live

    flags = {"data_dir": data_dir, "products": tuple(product) if product else None, "dialect": dialect}
    alerts = {"alert_open": alert_open, "alert_close": alert_close}
    settings = load_settings({**flags, **alerts, "exchange_url": exchange_url, "model": model})
    configure_logging(settings.log_level)
    clock = SimulatedClock()  # follows UTC, or a simulator that states its clock
    job = open_live(settings, clock, _sinks(as_json))
    if job.bundle is None:
        say("no model yet: recording and computing features; then volspike replay and volspike train")
    try:
        drive(job, f"volspike {', '.join(settings.products)}", exit_after, as_json)
    finally:
        job.close()
    report = job.as_dict()
    emit_json(report) if as_json else show_counts("Run", report)


def _sinks(as_json: bool) -> list[AlertSink]:
    import sys

    from volspike.alerts.sinks import ConsoleSink

    return [ConsoleSink(sys.stderr)] if as_json or not sys.stderr.isatty() else []
