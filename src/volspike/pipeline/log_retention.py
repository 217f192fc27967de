"""What an embedded log forgets when a job starts; on Kafka the brokers do it."""

from __future__ import annotations

from volspike.bus.embedded import EmbeddedLog
from volspike.bus.port import Retention
from volspike.bus.topics import TOPICS
from volspike.clock import Clock
from volspike.config import Settings

HOUR_NS = 3_600_000_000_000


def forget_old(log: EmbeddedLog, clock: Clock, settings: Settings) -> None:
    """Delete what was appended longer ago than the settings keep it."""
    kept_ns = int(settings.log_retention_hours * HOUR_NS)
    for topic in TOPICS:
        log.retain(topic + settings.topic_suffix, Retention(appended_before_ns=clock.market_ns() - kept_ns))
