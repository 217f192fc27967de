"""``volspike run``: the live job in one process."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from volspike.cli.options import ExitAfter, MetricsPort
from volspike.cli.output import AsJson, DataDir, configure_logging, emit_json, failure_fields, say, tell

if TYPE_CHECKING:
    from volspike.alerts.sinks import AlertSink


def run(
    data_dir: DataDir = None,
    product: Annotated[
        list[str] | None, typer.Option(help="Product to watch; may be given several times.")
    ] = None,
    dialect: Annotated[
        Literal["auto", "exchange", "advanced"] | None,
        typer.Option(help="Which feed. (default: the model's)"),
    ] = None,
    exchange_url: Annotated[
        str | None, typer.Option(help="Another address than the production feed.")
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="Bundle or models:/NAME@ALIAS. (default: champions)")
    ] = None,
    alert_open: Annotated[
        float | None, typer.Option(help="Alert at this p(spike). (default: the model's)")
    ] = None,
    alert_close: Annotated[float | None, typer.Option(help="Alert ends below this p(spike).")] = None,
    metrics_port: MetricsPort = None,
    exit_after: ExitAfter = None,
    as_json: AsJson = False,
) -> None:
    """Watch the live feed: archive, predict, grade, alert. Ctrl-C ends in order."""
    from functools import partial

    from volspike.cli.driving import drive
    from volspike.cli.live import show_live, unheard
    from volspike.cli.metrics import live_metrics
    from volspike.cli.summary import show_summary
    from volspike.cli.view_market import first_model_words
    from volspike.clock import SimulatedClock
    from volspike.config import load_settings
    from volspike.models.defaults import is_default
    from volspike.pipeline.assembly import open_live

    flags = {"data_dir": data_dir, "products": tuple(product) if product else None, "dialect": dialect}
    alerts = {"alert_open": alert_open, "alert_close": alert_close}
    served = {"exchange_url": exchange_url, "metrics_port": metrics_port}
    settings = load_settings({**flags, **alerts, **served, "model": model})
    configure_logging(settings.log_level)
    clock = SimulatedClock()  # follows UTC, or a simulator that states its clock
    job = open_live(settings, clock, _sinks(as_json), tend=True)
    unserved = ", ".join(product for product in settings.products if product not in job.bundles)
    if unserved:
        say(f"no model of {unserved} yet: recording; {first_model_words(job)}")
    bundled = ", ".join(name for name, bundle in job.bundles.items() if is_default(bundle.manifest.name))
    if bundled:
        say(f"{bundled}: the model that comes with volspike, experimental; train one on your own ticks")
    try:
        title = f"volspike {', '.join(settings.products)}"
        with live_metrics(settings, job):
            drive(job.run, partial(show_live, job, title, as_json), exit_after)
    finally:
        job.close()
    failure = job.pipeline.failure
    if failure is None and not job.pipeline.accounting.frames:
        failure = unheard(job.dialect.name, job.client.status.last_error)
    if as_json:
        emit_json(job.as_dict() | ({} if failure is None else failure_fields(failure)))
    else:
        show_summary("Run", job)
    if failure is not None:
        tell(failure)
        raise SystemExit(1)


def _sinks(as_json: bool) -> list[AlertSink]:
    import sys

    from volspike.alerts.sinks import ConsoleSink

    return [ConsoleSink(sys.stderr)] if as_json or not sys.stderr.isatty() else []
