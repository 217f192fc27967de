"""A mark on the name of a static member, by which it is told from another process of that name.

A static member's client id won't do: the broker keeps that of the first who had the name. The mark is the
metadata of an offset, in a group that nobody ever joins. Read and written by a consumer, not by librdkafka's
admin client: that one may abort the process where it waits for a coordinator in vain.
"""

from __future__ import annotations

import secrets

from confluent_kafka import Consumer, TopicPartition

from volspike.bus.kafka_cluster import REPLY_S, KafkaCluster
from volspike.bus.kafka_errors import kafka_errors, when_settled


class MarkedName:
    """Puts a mark of this process on a name, over that of whoever bore it before.

    Parameters
    ----------
    cluster : KafkaCluster
        Where the group is.
    group, name : str
        The member's.
    topic : str
        One that exists: offsets are of a topic.

    Raises
    ------
    BusError
        The mark can't be written.
    """

    def __init__(self, cluster: KafkaCluster, group: str, name: str, topic: str) -> None:
        self._claim = f"{group}.{name}"
        self._topic = topic
        self._token = secrets.token_hex(8)
        self._offsets = Consumer(cluster.settings(group_id=self._claim, enable_auto_commit=False))
        place = TopicPartition(topic, 0, 0, self._token)
        with kafka_errors(f"group {self._claim}"):
            when_settled(
                lambda: self._offsets.commit(offsets=[place], asynchronous=False), lambda: None, REPLY_S
            )

    def is_taken(self) -> bool:
        """Tell whether another process has put its mark there since; one that has expired is nobody's."""
        with kafka_errors(f"group {self._claim}"):
            (place,) = when_settled(
                lambda: self._offsets.committed([TopicPartition(self._topic, 0)], REPLY_S),
                lambda: None,
                REPLY_S,
            )
        return place.metadata not in (self._token, None, "")

    def close(self) -> None:
        """Disconnect; the mark stays."""
        with kafka_errors(f"group {self._claim}"):
            self._offsets.close()
