"""How the topics are to be laid out on a broker: partitions, retention, compaction."""

from __future__ import annotations

import msgspec

from volspike.bus.topics import TOPICS

STATE_STAGES = ("ingest", "featurize", "score", "deadletter")
_HOUR_MS = 3_600_000
_STATE_PREFIX = "volspike.state."
_SEGMENT_BYTES = 64 << 20
_STATE_BYTES = 16 << 20
_NO_LIMIT = (1 << 63) - 1


class TopicPlan(msgspec.Struct, frozen=True):
    """One topic of a cluster.

    Parameters
    ----------
    name : str
        The topic.
    partitions : int
        Number of partitions, the same for all topics: a product has the same partition number in each.
    retention_ms : int
        Records whose event time is older than this may go; -1 keeps them for ever.
    compacted : bool
        Keep the newest record of each key instead of going by age.
    """

    name: str
    partitions: int
    retention_ms: int
    compacted: bool = False

    def settings(self) -> dict[str, str]:
        """Return the broker's settings of this topic."""
        if self.compacted:
            return {
                "cleanup.policy": "compact",
                "message.timestamp.after.max.ms": str(_NO_LIMIT),
                "max.message.bytes": str(_STATE_BYTES),
                # A reader of the state loads what compaction has left: keep that short.
                "min.cleanable.dirty.ratio": "0.1",
                "segment.ms": "600000",
                "segment.bytes": str(_SEGMENT_BYTES),
            }
        return {
            "cleanup.policy": "delete",
            "retention.ms": str(self.retention_ms),
            # The stamp of a record is its event time, which look-up by time needs ...
            "message.timestamp.type": "CreateTime",
            # ... and which a simulated market may have ahead of the broker's clock.
            "message.timestamp.after.max.ms": str(_NO_LIMIT),
        }


def state_topic(stage: str) -> str:
    """Return the name of the topic that holds a stage's state."""
    return f"{_STATE_PREFIX}{stage}"


def is_compacted(topic: str) -> bool:
    """Tell whether a topic keeps the newest record of each key, as states do, instead of going by age."""
    return topic.startswith(_STATE_PREFIX)


def planned_topics(partitions: int, retention_hours: float | None, suffix: str = "") -> list[TopicPlan]:
    """Return the plan of every topic.

    Parameters
    ----------
    partitions : int
        Number of partitions of each topic.
    retention_hours : float or None
        Age, by event time, at which records may go. None keeps them for ever: recordings that are replayed
        carry event times of long ago, and would be deleted as soon as they are written.
    suffix : str
        Ends the name of every topic.
    """
    retention_ms = -1 if retention_hours is None else int(retention_hours * _HOUR_MS)
    streams = [TopicPlan(name + suffix, partitions, retention_ms) for name in TOPICS]
    states = [state_topic(stage + suffix) for stage in STATE_STAGES]
    return streams + [TopicPlan(name, partitions, -1, is_compacted(name)) for name in states]
