"""Metrics of the live job in one process."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from volspike.errors import VolspikeError
from volspike.monitoring.families import counters, histogram
from volspike.monitoring.feed_metrics import accounting_families, feed_families
from volspike.pipeline.assembly import LiveJob


class LiveMetrics(Collector):
    """Reads the counts of a live job.

    Parameters
    ----------
    job : LiveJob
        Whose.
    """

    def __init__(self, job: LiveJob) -> None:
        self._job = job

    def collect(self) -> Iterator[Metric]:
        """Yield all metrics."""
        pipeline = self._job.pipeline
        counts = pipeline.counts
        yield from accounting_families(pipeline.accounting)
        yield from feed_families([self._job.client.status])
        made = {
            "feature_row": counts.features,
            "prediction": counts.predictions,
            "outcome": counts.outcomes,
            "alert": counts.alerts,
        }
        yield counters("volspike_records_made", "Records made; alerts count when they open.", "kind", made)
        flagged = {"out_of_distribution": pipeline.out_of_distribution, "stale": counts.stale}
        yield counters(
            "volspike_predictions_flagged",
            "Predictions of rows unlike those of training, and of a model past its expiry.",
            "flag",
            flagged,
        )
        unlabelled = dict(counts.unlabelled)
        yield counters("volspike_outcomes_unlabelled", "Outcomes without a grade.", "reason", unlabelled)
        yield histogram(
            "volspike_prediction_seconds", "From a frame's receipt to its prediction.", pipeline.latency
        )

    def trouble(self) -> VolspikeError | None:
        """Return what has stopped the archive or the log."""
        return self._job.pipeline.failure
