"""Ticks on a broker: made, laid out, and shown to waiting workers all at once."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
from confluent_kafka import KafkaException

from benchmarks.ticks import PRICE_DECIMALS, make_ticks
from volspike.bus.kafka import KafkaLog
from volspike.bus.kafka_cluster import KafkaCluster
from volspike.bus.port import Outgoing
from volspike.bus.topic_plan import planned_topics
from volspike.bus.topics import TICKS
from volspike.records import Tick

PARTITIONS = 4
PRODUCTS = tuple(f"{name}-USD" for name in ("BTC", "ETH", "SOL", "XRP", "ADA", "DOT", "LTC", "UNI"))
_JOIN_S = 60.0
_US = 1_000


def market(per_second: int, count: int) -> list[Tick]:
    """Return ``count`` ticks of eight products in order of time, each at ``per_second`` on average."""
    each = -(-count // len(PRODUCTS)) + 1
    ticks = [
        tick for seed, product in enumerate(PRODUCTS) for tick in _of_product(product, per_second, each, seed)
    ]
    ticks.sort(key=lambda tick: tick.event_ns)
    return ticks[:count]


def _of_product(product: str, per_second: int, count: int, seed: int) -> Iterator[Tick]:
    columns = make_ticks(per_second, count, seed)
    # Stamps of exchanges end in whole microseconds.
    event_ns = np.maximum.accumulate(columns.event_ns // _US * _US).tolist()
    rows = zip(*(column.tolist() for column in columns[2:]), strict=True)
    for i, (bid, ask, bid_size, ask_size) in enumerate(rows):
        yield Tick(
            product=product,
            feed="exchange",
            session="20260101T000000Z-bench",
            event_ns=event_ns[i],
            covered_since_ns=event_ns[0],
            bid=bid,
            ask=ask,
            price_decimals=PRICE_DECIMALS,
            archive_seq=i,
            archive_row=0,
            identity=f"{product}/{700_000_000 + i}",
            bid_size=bid_size,
            ask_size=ask_size,
            price=bid,
            size=bid_size // 2,
            trade_id=700_000_000 + i,
            receive_ns=event_ns[i] + 3_000_000,
        )


def outgoing(ticks: Sequence[Tick], suffix: str) -> list[Outgoing]:
    """Return ticks as records of ``ticks.raw``, the products dealt evenly to the partitions."""
    partition = {product: i % PARTITIONS for i, product in enumerate(PRODUCTS)}
    topic = TICKS.name + suffix
    return [
        Outgoing(topic, tick.product, TICKS.encode(tick), tick.event_ns, partition[tick.product])
        for tick in ticks
    ]


@contextmanager
def topics(cluster: KafkaCluster, suffix: str) -> Iterator[None]:
    """Lay out the topics of a pipeline, and delete them afterwards."""
    plans = planned_topics(PARTITIONS, None, suffix)
    cluster.create(plans)
    try:
        yield
    finally:
        cluster.delete([plan.name for plan in plans])


def show_at_once(bootstrap: str, records: Sequence[Outgoing], group: str, members: int) -> None:
    """Write records that readers see only when a group's members have taken their places.

    All of them are one transaction, which is committed then: loading takes nothing from what is measured.
    """

    def reached(step: str) -> None:
        if step == "bus.append.before_commit":
            await_members(log.cluster, group, records[0].topic, members)

    patient = {"transaction.timeout.ms": "300000"}
    log = KafkaLog(bootstrap, options=patient, reached=reached)
    try:
        log.append(records)
    finally:
        log.close()


def await_members(cluster: KafkaCluster, group: str, topic: str, members: int) -> None:
    """Wait until a group has so many members and a topic's partitions are dealt evenly to them.

    Raises
    ------
    TimeoutError
        If that does not happen.
    """
    deadline_s = time.monotonic() + _JOIN_S
    while time.monotonic() < deadline_s:
        if _dealt(cluster, group, topic) == [PARTITIONS // members] * members:
            time.sleep(0.5)  # the members are told a moment later
            return
        time.sleep(0.1)
    raise TimeoutError(f"group {group} has not its {members} members after {_JOIN_S:.0f} s")


def _dealt(cluster: KafkaCluster, group: str, topic: str) -> list[int]:
    """Return how many partitions of a topic each member has; nothing while the group has no coordinator."""
    (asked,) = cluster.admin.describe_consumer_groups([group]).values()
    try:
        held = [member.assignment.topic_partitions for member in asked.result().members]
    except KafkaException:
        return []
    return [sum(place.topic == topic for place in places) for places in held]
