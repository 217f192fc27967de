"""Serving a job's metrics beside it, for the verbs that run for long."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from volspike.cli.output import say

if TYPE_CHECKING:
    from prometheus_client.registry import Collector

    from volspike.config import Settings
    from volspike.errors import VolspikeError
    from volspike.pipeline.assembly import LiveJob
    from volspike.pipeline.ingest_job import IngestJob
    from volspike.pipeline.worker import Worker


@contextmanager
def ingest_metrics(settings: Settings, job: IngestJob) -> Iterator[None]:
    """Serve the metrics of an ingest, where the settings name a port."""
    with ExitStack() as serving:
        if settings.metrics_port is not None:
            from volspike.monitoring.ingest_metrics import IngestMetrics

            metrics = IngestMetrics(job)
            _serve(serving, settings, settings.metrics_port, metrics, metrics.trouble)
        yield


@contextmanager
def live_metrics(settings: Settings, job: LiveJob) -> Iterator[None]:
    """Serve the metrics of a live job, where the settings name a port."""
    with ExitStack() as serving:
        if settings.metrics_port is not None:
            from volspike.monitoring.live_metrics import LiveMetrics

            metrics = LiveMetrics(job)
            _serve(serving, settings, settings.metrics_port, metrics, metrics.trouble)
        yield


@contextmanager
def worker_metrics(
    settings: Settings, stage: str, worker: Worker, trouble: Callable[[], VolspikeError | None]
) -> Iterator[None]:
    """Serve the metrics of a worker, where the settings name a port."""
    with ExitStack() as serving:
        if settings.metrics_port is not None:
            from volspike.bus.opening import open_log
            from volspike.clock import SystemClock
            from volspike.monitoring.group_lag import GroupLag
            from volspike.monitoring.worker_metrics import WorkerMetrics
            from volspike.pipeline.home import Home

            path = Home(settings.data_dir).log
            group = stage + settings.topic_suffix
            lag = serving.enter_context(GroupLag(lambda: open_log(settings, path, SystemClock()), group))
            _serve(serving, settings, settings.metrics_port, WorkerMetrics(worker, lag), trouble)
        yield


def _serve(
    serving: ExitStack,
    settings: Settings,
    port: int,
    collector: Collector,
    trouble: Callable[[], VolspikeError | None],
) -> None:
    from volspike.monitoring.endpoint import Endpoint

    endpoint = serving.enter_context(Endpoint(settings.metrics_host, port, collector, trouble))
    say(f"metrics: {endpoint.url}")
