"""Metrics of one worker of a stage."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from volspike.monitoring.families import counter, counters, gauge, histogram
from volspike.monitoring.group_lag import GroupLag
from volspike.pipeline.product_stage import BAD_RECORD
from volspike.pipeline.worker import Worker


class WorkerMetrics(Collector):
    """Reads the counts of a worker, and the lag of the partitions that it has.

    Parameters
    ----------
    worker : Worker
        Whose.
    lag : GroupLag
        Of its group.
    """

    def __init__(self, worker: Worker, lag: GroupLag) -> None:
        self._worker = worker
        self._lag = lag

    def collect(self) -> Iterator[Metric]:
        """Yield all metrics; waits a moment for the lag, and leaves it out while the bus doesn't answer."""
        counts = self._worker.as_dict()
        partitions = counts["partitions"]
        yield counter("volspike_records", "Records read whose results are committed.", counts["records"])
        yield counters("volspike_records_written", "Records committed, by topic.", "topic", counts["written"])
        # From 0 on: of a series that begins with its first letter, no rate is seen.
        dead = {BAD_RECORD: 0, **self._worker.dead_letters}
        yield counters("volspike_dead_letters", "Records that could not be used, by reason.", "reason", dead)
        yield counter("volspike_rebalances", "Times that partitions came or went.", counts["rebalances"])
        yield counter(
            "volspike_transactions_undone", "Batches that were undone and read again.", counts["undone"]
        )
        yield histogram(
            "volspike_transaction_seconds", "Time of each transaction.", self._worker.transactions
        )
        yield gauge("volspike_partitions_assigned", "Partitions that this worker has.", len(partitions))
        yield self._lags(partitions)

    def _lags(self, partitions: list[tuple[str, int]]) -> Metric:
        family = GaugeMetricFamily(
            "volspike_consumer_lag_offsets",
            "Offsets from the group's to the end; on Kafka the marks of transactions count, the last always.",
            labels=["topic", "partition"],
        )
        for (topic, partition), lag in self._lag.newest(partitions).items():
            family.add_metric([topic, str(partition)], lag)
        return family
