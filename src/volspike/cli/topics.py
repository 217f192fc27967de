"""``volspike topics``: create what is missing, and show what is there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from volspike.cli.output import AsJson, DataDir, emit_json, show_table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from volspike.bus.topic_plan import TopicPlan
    from volspike.bus.topic_report import TopicReport
    from volspike.config import Settings


def topics(
    bus: Annotated[str | None, typer.Option(help="embedded or kafka.")] = None,
    kafka_bootstrap: Annotated[str | None, typer.Option(help="Brokers, host:port with commas.")] = None,
    partitions: Annotated[
        int | None, typer.Option(min=1, help="Partitions of each topic; existing topics must agree.")
    ] = None,
    retention_hours: Annotated[
        float | None, typer.Option(min=0.001, help="Age by event time at which records may go.")
    ] = None,
    keep: Annotated[
        bool, typer.Option("--keep", help="Never by age: for recordings, whose event times are long ago.")
    ] = False,
    only_list: Annotated[bool, typer.Option("--list", help="Create and change nothing.")] = False,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Create the topics that are missing and list all, with partitions, retention and offsets."""
    from volspike.bus.topic_plan import planned_topics
    from volspike.config import load_settings
    from volspike.errors import ConfigError

    if keep and retention_hours is not None:
        raise ConfigError("--keep", "contradicts --retention-hours", "give one of them")
    settings = load_settings(
        {
            "bus": bus,
            "kafka_bootstrap": kafka_bootstrap,
            "kafka_partitions": partitions,
            "log_retention_hours": retention_hours,
            "data_dir": data_dir,
        }
    )
    kept_hours = None if keep else settings.log_retention_hours
    plans = planned_topics(settings.kafka_partitions, kept_hours, settings.topic_suffix)
    alter = keep or retention_hours is not None
    if settings.bus == "kafka":
        reports = _on_kafka(settings, plans, only_list, alter)
    else:
        reports = _on_embedded(settings, plans)
    _show(settings, reports, as_json)


def _on_kafka(
    settings: Settings, plans: Sequence[TopicPlan], only_list: bool, alter: bool
) -> list[TopicReport]:
    from volspike.bus.kafka import KafkaLog
    from volspike.bus.topic_report import create_topics, report_topics

    log = KafkaLog(settings.kafka_bootstrap, options=settings.kafka_options)
    try:
        created = [] if only_list else create_topics(log, plans, alter=alter)
        return report_topics(log, plans, created)
    finally:
        log.close()


def _on_embedded(settings: Settings, plans: Sequence[TopicPlan]) -> list[TopicReport]:
    from volspike.bus.embedded import EmbeddedLog
    from volspike.bus.topic_report import report_topics
    from volspike.clock import SystemClock
    from volspike.pipeline.home import Home

    home = Home(settings.data_dir)
    home.require()
    log = EmbeddedLog(home.log, SystemClock())
    try:
        # The first record makes a topic of the embedded log; there is nothing to create or lay out.
        return report_topics(log, plans)
    finally:
        log.close()


def _show(settings: Settings, reports: Sequence[TopicReport], as_json: bool) -> None:
    if as_json:
        import msgspec

        emit_json({"bus": settings.bus, "topics": msgspec.to_builtins(reports)})
        return
    where = settings.kafka_bootstrap if settings.bus == "kafka" else str(settings.data_dir)
    rows = [
        (
            report.topic,
            report.state,
            "newest of each key" if report.compacted else _kept(report.retention_hours),
            report.partitions,
            sum(report.next_offsets) - sum(report.first_offsets),
        )
        for report in reports
    ]
    columns = ("topic", "state", "kept", "partitions", "offsets")
    show_table(f"Topics of {where}", columns, rows, words=3)


def _kept(hours: float | None) -> str:
    return "all" if hours is None else f"{hours:g} h"
