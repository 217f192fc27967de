"""Whether the topics of a stage are laid out as it needs them, told before it reads or writes anything."""

from __future__ import annotations

from collections.abc import Iterable

from volspike.bus.embedded import EmbeddedLog
from volspike.bus.port import Log
from volspike.bus.topic_plan import state_topic
from volspike.errors import BusError


def check_partitions(topic: str, there: int, wanted: int) -> None:
    """Refuse a topic with another number of partitions: products would change theirs.

    Raises
    ------
    BusError
        If it has.
    """
    if there != wanted:
        reason = f"has {there} partitions, not {wanted}"
        raise BusError(topic, reason, f"use --partitions {there}, or delete the topics and replay")


def check_layout(log: Log, stage: str, source: str, written: Iterable[str], suffix: str = "") -> None:
    """Check the topics of a stage on Kafka; the embedded log makes its own.

    Parameters
    ----------
    log : Log
        Where they are.
    stage : str
        Whose state has a topic.
    source : str
        Topic that the others must have as many partitions as: a product has the same number in each.
    written : iterable of str
        Topics that the stage writes.
    suffix : str
        Ends the name of every topic.

    Raises
    ------
    BusError
        A topic is missing, has another number of partitions, or is one of states and not compacted.
    """
    if isinstance(log, EmbeddedLog):
        return
    from volspike.bus.kafka import KafkaLog

    if not isinstance(log, KafkaLog):
        raise TypeError(f"{type(log).__name__} has no topics to check")
    state = state_topic(stage + suffix)
    topics = [*(name + suffix for name in (source, *written)), state]
    log.cluster.require(topics)
    for topic in topics:
        check_partitions(topic, log.partitions(topic), log.partitions(source + suffix))
    if not log.cluster.plan(state).compacted:
        remedy = "lay it out anew: volspike topics --bus kafka with --retention-hours or --keep"
        raise BusError(state, "is not compacted, and keeps no state for long", remedy)
