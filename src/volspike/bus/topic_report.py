"""Which topics a bus has, and making those that it lacks."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from volspike.bus.kafka import KafkaLog
from volspike.bus.port import Log
from volspike.bus.topic_layout import check_partitions
from volspike.bus.topic_plan import TopicPlan

_HOUR_MS = 3_600_000


class TopicReport(msgspec.Struct, frozen=True):
    """One topic as it is.

    Parameters
    ----------
    topic : str
        The name.
    state : str
        ``created`` just now, ``there``, or ``absent``.
    partitions : int
        Number of partitions.
    retention_hours : float or None
        Age by event time at which records may go; None keeps them.
    compacted : bool
        Whether only the newest record of each key is kept.
    first_offsets, next_offsets : list of int
        Per partition, the oldest offset and the one behind the newest record.
    """

    topic: str
    state: str
    partitions: int
    retention_hours: float | None
    compacted: bool
    first_offsets: list[int]
    next_offsets: list[int]


def create_topics(log: KafkaLog, plans: Sequence[TopicPlan], *, alter: bool) -> list[str]:
    """Create the topics that are missing; with ``alter``, keep the others as their plans say.

    Returns
    -------
    list of str
        The names of those created.

    Raises
    ------
    BusError
        A topic exists with another number of partitions: products would change theirs.
    """
    for plan in plans:
        there = log.partitions(plan.name)
        if there:
            check_partitions(plan.name, there, plan.partitions)
    created = log.cluster.create(plans)
    if alter:
        log.cluster.alter([plan for plan in plans if plan.name not in created])
    return created


def report_topics(log: Log, plans: Sequence[TopicPlan], created: Sequence[str] = ()) -> list[TopicReport]:
    """Describe each planned topic as it is on ``log``."""
    existing = set(log.topics())
    return [_report(log, plan, existing, created) for plan in plans]


def _report(log: Log, plan: TopicPlan, existing: set[str], created: Sequence[str]) -> TopicReport:
    there = plan.name in existing
    kept = log.cluster.plan(plan.name) if there and isinstance(log, KafkaLog) else plan
    partitions = range(log.partitions(plan.name) if there else 0)
    return TopicReport(
        plan.name,
        "created" if plan.name in created else "there" if there else "absent",
        len(partitions),
        None if kept.retention_ms < 0 else kept.retention_ms / _HOUR_MS,
        kept.compacted,
        [log.start_offset(plan.name, n) for n in partitions],
        [log.end_offset(plan.name, n) for n in partitions],
    )
