"""``volspike ingest``: the feed to the archive and the topics."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from volspike.cli.options import Bootstrap, Bus, ExitAfter, MetricsPort, WorkerName
from volspike.cli.output import AsJson, DataDir, conclude, configure_logging

if TYPE_CHECKING:
    from volspike.pipeline.ingest_job import IngestJob


def ingest(
    data_dir: DataDir = None,
    product: Annotated[
        list[str] | None, typer.Option(help="Product to watch; may be given several times.")
    ] = None,
    dialect: Annotated[
        Literal["exchange", "advanced"] | None, typer.Option(help="Which feed. (default: exchange)")
    ] = None,
    exchange_url: Annotated[
        str | None, typer.Option(help="Another address than the production feed.")
    ] = None,
    bus: Bus = None,
    kafka_bootstrap: Bootstrap = None,
    name: WorkerName = None,
    products_per_connection: Annotated[int, typer.Option(min=1, help="Most products on a connection.")] = 50,
    metrics_port: MetricsPort = None,
    exit_after: ExitAfter = None,
    as_json: AsJson = False,
) -> None:
    """Archive the live feed and put its ticks, marks, gaps and dead letters on the topics.

    While Kafka is away the archive goes on; what was missed is published when it is back, in order, once.
    """
    from functools import partial

    from volspike.cli.driving import drive, show_lines
    from volspike.cli.live import unheard
    from volspike.cli.metrics import ingest_metrics
    from volspike.clock import SimulatedClock
    from volspike.config import load_settings
    from volspike.pipeline.ingest_job import open_ingest

    settings = load_settings(
        {
            "data_dir": data_dir,
            "products": tuple(product) if product else None,
            "dialect": dialect,
            "exchange_url": exchange_url,
            "bus": bus,
            "kafka_bootstrap": kafka_bootstrap,
            "metrics_port": metrics_port,
        }
    )
    configure_logging(settings.log_level)
    job = open_ingest(settings, name or "ingest", products_per_connection, SimulatedClock())
    try:
        with ingest_metrics(settings, job):
            drive(job.run, partial(show_lines, partial(_line, job)), exit_after)
    finally:
        job.close()
    failure = job.failure
    if failure is None and not job.accounting.frames:
        failure = unheard(job.feed, job.connections.last_error)
    conclude("Ingest", job.as_dict(), as_json, failure)


def _line(job: IngestJob) -> str:
    statuses = job.connections.statuses
    live = sum(status.state == "live" for status in statuses)
    behind = job.archive.last_seq - job.publisher.seq
    return (
        f"{live} of {len(statuses)} connections live: {job.accounting.frames:,} frames,"
        f" {job.accounting.ticks:,} ticks, {job.publisher.published:,} records published"
        + (f", {behind:,} frames behind" if behind > 1_000 else "")
    )
