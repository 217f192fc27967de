"""A Kafka cluster seen from outside: settings of its clients, which topics exist and how they are kept."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from typing import Any

from confluent_kafka import (
    ConsumerGroupTopicPartitions,
    IsolationLevel,
    KafkaError,
    KafkaException,
    TopicPartition,
)
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    BrokerMetadata,
    ConfigEntry,
    ConfigResource,
    NewTopic,
    OffsetSpec,
)

from volspike.bus.kafka_errors import kafka_errors, when_settled
from volspike.bus.reserved_options import RESERVED_OPTIONS
from volspike.bus.topic_plan import TopicPlan
from volspike.errors import BusError, UnavailableError

REPLY_S = 15.0
# A transaction that was open when its process died is ended by the broker after this time.
TRANSACTION_S = 15.0
_PAUSE_S = 0.02
_TRY_S = 5.0
_STABLE, _UNCOMMITTED = IsolationLevel.READ_COMMITTED, IsolationLevel.READ_UNCOMMITTED
# What matters comes back from calls; librdkafka's own lines on stderr would say it again, unasked.
_QUIET = logging.Logger("librdkafka")
_QUIET.addHandler(logging.NullHandler())


class KafkaCluster:
    """The cluster at ``bootstrap``.

    Parameters
    ----------
    bootstrap : str
        ``host:port``, with commas between several.
    options : mapping, optional
        librdkafka settings of every client, such as ``security.protocol`` and the credentials.

    Raises
    ------
    BusError
        No broker answers, or an option is unknown.
    """

    def __init__(self, bootstrap: str, options: Mapping[str, str] | None = None) -> None:
        self.bootstrap = bootstrap
        self._options = dict(options or {})
        self._partitions: dict[str, int] = {}
        with kafka_errors(f"Kafka at {bootstrap}"):
            self.admin = AdminClient(self.settings())
            self._asking = AdminClient(self.settings())
        self._retired: list[AdminClient] = []
        self._look()

    def settings(self, **more: object) -> dict[str, Any]:
        """Return the settings of a client; names in ``more`` have underscores for dots.

        The options given stand above them, but for those on which exactly-once rests.
        """
        own = {name.replace("_", "."): value for name, value in more.items()}
        return {
            # A broker that is back is found within a second, not ten.
            "reconnect.backoff.max.ms": 1_000,
            **own,
            **self._options,
            **{name: value for name, value in own.items() if name in RESERVED_OPTIONS},
            "bootstrap.servers": self.bootstrap,
            "logger": _QUIET,
        }

    def topics(self) -> list[str]:
        """Return the names of the topics that exist, sorted, without the broker's own."""
        self._look()
        return sorted(name for name in self._partitions if not name.startswith("__"))

    def partitions(self, topic: str) -> int:
        """Return the number of partitions, 0 if there is no such topic."""
        if topic not in self._partitions:
            self._look()
        return self._partitions.get(topic, 0)

    def require(self, topics: Iterable[str]) -> None:
        """Raise BusError unless all ``topics`` exist."""
        for topic in topics:
            if self.partitions(topic) == 0:
                remedy = "create the topics: volspike topics --bus kafka"
                raise BusError(topic, f"no such topic on {self.bootstrap}", remedy)

    def create(self, plans: Sequence[TopicPlan]) -> list[str]:
        """Create the topics that don't exist yet, with as many copies as the brokers make by default.

        Returns
        -------
        list of str
            The names of those created.
        """
        existing = set(self.topics())
        new = [plan for plan in plans if plan.name not in existing]
        for last in (False, False, True):
            try:
                existing = set(self.topics())
                self._request([plan for plan in new if plan.name not in existing])
                break
            except UnavailableError:
                # While the client gets to know a new cluster it lets go of the connection it asked on.
                if last:
                    raise
        self._await([plan.name for plan in new])
        return [plan.name for plan in new]

    def _request(self, plans: Sequence[TopicPlan]) -> None:
        requests = [NewTopic(plan.name, plan.partitions, config=plan.settings()) for plan in plans]
        if not requests:
            return
        asked = self.admin.create_topics(requests, operation_timeout=REPLY_S, request_timeout=REPLY_S)
        for future in asked.values():
            with kafka_errors(f"Kafka at {self.bootstrap}"):
                try:
                    future.result()
                except KafkaException as error:
                    if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                        raise

    def alter(self, plans: Sequence[TopicPlan]) -> None:
        """Give existing topics the retention and clean-up of their plans; partitions stay as they are."""
        resources = [
            ConfigResource(
                ConfigResource.Type.TOPIC,
                plan.name,
                incremental_configs=[
                    ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET)
                    for name, value in plan.settings().items()
                ],
            )
            for plan in plans
        ]
        if resources:
            self._done(self.admin.incremental_alter_configs(resources, request_timeout=REPLY_S))

    def plan(self, topic: str) -> TopicPlan:
        """Return how an existing topic is laid out and kept."""
        resource = ConfigResource(ConfigResource.Type.TOPIC, topic)
        (settings,) = self._answer(lambda: self.admin.describe_configs([resource], request_timeout=_TRY_S))
        compacted = "compact" in settings["cleanup.policy"].value
        by_append = settings["message.timestamp.type"].value == "LogAppendTime"
        retention_ms = -1 if compacted or by_append else int(settings["retention.ms"].value)
        return TopicPlan(topic, self.partitions(topic), retention_ms, compacted)

    def delete(self, topics: Sequence[str]) -> None:
        """Delete topics and what is in them."""
        self._done(self.admin.delete_topics(list(topics), operation_timeout=REPLY_S, request_timeout=REPLY_S))
        self._look()

    def group_offset(self, group: str, topic: str, partition: int) -> int | None:
        """Return what a group has committed in a partition, None if nothing."""
        return self.group_offsets(group, [(topic, partition)])[topic, partition]

    def group_offsets(
        self, group: str, partitions: Sequence[tuple[str, int]]
    ) -> dict[tuple[str, int], int | None]:
        """Return what a group has committed; waits for transactions that are about to move it."""

        places = [TopicPartition(*partition) for partition in partitions]
        return {
            (place.topic, place.partition): place.offset if place.offset >= 0 else None
            for place in self._committed(group, places)
        }

    def _committed(self, group: str, places: Sequence[TopicPartition]) -> list[TopicPartition]:
        with kafka_errors(f"group {group}"):
            return when_settled(lambda: self._ask_group(group, places), lambda: None, TRANSACTION_S + REPLY_S)

    def is_unsettled(self, topic: str, partition: int) -> bool:
        """Tell whether a transaction is open, or decided and not yet marked so, in a partition."""
        place = TopicPartition(topic, partition)

        def ask() -> bool:
            stable, newest = (self._end(place, level) for level in (_STABLE, _UNCOMMITTED))
            return stable < newest

        with kafka_errors(topic):
            return when_settled(ask, self._look, REPLY_S)

    def delete_before(self, topic: str, partition: int, offset: int) -> None:
        """Delete a partition's records in front of ``offset``."""
        place = TopicPartition(topic, partition, offset)
        self._answer(lambda: self.admin.delete_records([place], request_timeout=_TRY_S))

    def _end(self, place: TopicPartition, level: IsolationLevel) -> int:
        latest = OffsetSpec.latest()
        asked = self.admin.list_offsets({place: latest}, isolation_level=level, request_timeout=_TRY_S)
        return int(asked[place].result().offset)

    def _ask_group(self, group: str, places: Sequence[TopicPartition]) -> list[TopicPartition]:
        request = ConsumerGroupTopicPartitions(group, list(places))
        asked = self._asking.list_consumer_group_offsets(
            [request], require_stable=True, request_timeout=_TRY_S
        )
        try:
            found = list(asked[group].result().topic_partitions)
        except KafkaException:
            # One that lived through an outage may never be answered this question again. It is kept all the
            # same: to destroy a client beside its own thread may crash the process.
            self._retired.append(self._asking)
            self._asking = AdminClient(self.settings())
            raise
        for place in found:
            if place.error is not None:
                raise KafkaException(place.error)
        return found

    def _await(self, topics: Sequence[str]) -> None:
        """Wait until every broker knows the topics: any of them may be asked for one next."""
        deadline = time.monotonic() + REPLY_S
        while not set(topics) <= self._known_to_all():
            if time.monotonic() > deadline:
                raise UnavailableError(topics[0], "made, but not to be seen", "see the broker's log")
            time.sleep(_PAUSE_S)

    def _known_to_all(self) -> set[str]:
        brokers = self._look()
        known = set(self._partitions)
        if len(brokers) == 1:
            return known
        for broker in brokers:
            # A client that knows one broker only asks that one.
            one = AdminClient({**self.settings(), "bootstrap.servers": f"{broker.host}:{broker.port}"})
            with kafka_errors(f"Kafka at {broker.host}:{broker.port}"):
                known &= set(one.list_topics(timeout=REPLY_S).topics)
        return known

    def _look(self) -> list[BrokerMetadata]:
        with kafka_errors(f"Kafka at {self.bootstrap}"):
            found = self.admin.list_topics(timeout=REPLY_S)
        self._partitions = {name: len(topic.partitions) for name, topic in found.topics.items()}
        return list(found.brokers.values())

    def _answer(self, ask: Callable[[], Mapping[Any, Future[Any]]]) -> list[Any]:
        """Return the answers to what may be asked twice.

        A client goes on asking a leader or controller that has died until it looks who has taken its place.
        """
        with kafka_errors(f"Kafka at {self.bootstrap}"):
            return when_settled(lambda: [each.result() for each in ask().values()], self._look, REPLY_S)

    def _done(self, futures: Mapping[Any, Future[Any]]) -> list[Any]:
        with kafka_errors(f"Kafka at {self.bootstrap}"):
            return [future.result() for future in futures.values()]
