"""Metrics of what comes from the exchange: frames, what they led to, and the connections."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from prometheus_client.metrics_core import Metric

from volspike.exchange.feed_status import FeedStatus
from volspike.monitoring.families import counter, counters, gauge
from volspike.pipeline.accounting import Accounting


def accounting_families(accounting: Accounting) -> Iterator[Metric]:
    """Yield what became of frames and of the items in them."""
    yield counter("volspike_frames", "Frames received from the exchange.", accounting.frames)
    yield counter("volspike_frames_archived", "Frames in the archive.", accounting.archived)
    yield counter("volspike_ticks", "Items that became ticks.", accounting.ticks)
    yield counter("volspike_marks", "Marks: the feed was whole so far, without a tick.", accounting.marks)
    yield counter("volspike_gaps", "Breaks of the feed, each with a record.", accounting.gaps)
    ignored, dead = dict(accounting.ignored), dict(accounting.dead)
    yield counters("volspike_items_ignored", "Items that were no news, by reason.", "reason", ignored)
    yield counters("volspike_dead_letters", "Items that could not be used, by reason.", "reason", dead)


def feed_families(statuses: Sequence[FeedStatus]) -> Iterator[Metric]:
    """Yield the state of the connections."""
    ends: Counter[str] = Counter()
    for status in statuses:
        ends.update(dict(status.reasons))
    live = sum(status.state == "live" for status in statuses)
    yield gauge("volspike_connections", "Connections to the exchange that there should be.", len(statuses))
    yield gauge("volspike_connections_live", "Connections with every product and the heartbeats.", live)
    yield counter(
        "volspike_reconnects", "Connections opened again.", sum(status.reconnects for status in statuses)
    )
    yield counters(
        "volspike_session_ends", "Why connections ended or could not be opened.", "reason", dict(ends)
    )
