"""Metrics of an ingest."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from volspike.errors import VolspikeError
from volspike.monitoring.families import counter, gauge
from volspike.monitoring.feed_metrics import accounting_families, feed_families
from volspike.pipeline.ingest_job import IngestJob


class IngestMetrics(Collector):
    """Reads the counts of an ingest.

    Parameters
    ----------
    job : IngestJob
        Whose.
    """

    def __init__(self, job: IngestJob) -> None:
        self._job = job

    def collect(self) -> Iterator[Metric]:
        """Yield all metrics."""
        publisher = self._job.publisher
        yield from accounting_families(self._job.accounting)
        yield from feed_families(self._job.connections.statuses)
        yield counter("volspike_records_published", "Records committed on the bus.", publisher.published)
        yield counter("volspike_records_read_back", "Of these, read from the archive.", publisher.read_back)
        yield counter("volspike_bus_outages", "Times the bus was away, tries included.", publisher.outages)
        if publisher.seq >= 0:  # else the bus has never told
            behind = max(0, self._job.archive.last_seq - publisher.seq)
            yield gauge("volspike_frames_behind", "Frames that are archived and not yet published.", behind)

    def trouble(self) -> VolspikeError | None:
        """Return what has stopped the archive or the publishing."""
        return self._job.archive.failure or self._job.publisher.failure
