"""The metrics of a live job: what its predictions are marked with is counted."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

from volspike.exchange.feed_status import FeedStatus
from volspike.monitoring.live_metrics import LiveMetrics
from volspike.pipeline.accounting import Accounting
from volspike.pipeline.latency import LatencyHistogram
from volspike.pipeline.live import LiveCounts


def test_marked_predictions_are_counted_by_their_mark() -> None:
    pipeline = SimpleNamespace(
        accounting=Accounting(),
        counts=LiveCounts(predictions=9, stale=4),
        out_of_distribution=2,
        latency=LatencyHistogram(),
    )
    job = SimpleNamespace(pipeline=pipeline, client=SimpleNamespace(status=FeedStatus()))
    families = {family.name: family for family in LiveMetrics(cast(Any, job)).collect()}
    samples = families["volspike_predictions_flagged"].samples
    assert {sample.labels["flag"]: sample.value for sample in samples} == {
        "out_of_distribution": 2.0,
        "stale": 4.0,
    }
