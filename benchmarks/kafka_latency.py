"""How long a tick takes through a worker: from the produce call to a read-committed reader that has its row.

Feeder, worker and reader are processes of their own: ``feed|read BOOTSTRAP SUFFIX PER_SECOND COUNT``.
"""

from __future__ import annotations

import json
import secrets
import sys
import time

import msgspec
import numpy as np
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaException, Producer, TopicPartition

from benchmarks.kafka_streams import PARTITIONS, await_members, market, outgoing, topics
from benchmarks.kafka_trials import answer, started
from benchmarks.kafka_workers import GROUP
from volspike.bus.kafka_cluster import KafkaCluster
from volspike.bus.kafka_reader import stamp_ms
from volspike.bus.topics import FEATURES, TICKS

# Until connections are made and the window code is loaded.
_SKIPPED = 0.1


class _Sequence(msgspec.Struct):
    archive_seq: int


def latencies(bootstrap: str, kind: str, per_second: int, length_s: float) -> tuple[float, float]:
    """Return p50 and p99 in milliseconds of a steady stream through one worker of a kind."""
    suffix, count = f"-{secrets.token_hex(4)}", int(per_second * length_s)
    cluster = KafkaCluster(bootstrap)
    worker = ["benchmarks.kafka_workers", kind, bootstrap, suffix, "w"]
    reader, feeder = (
        ["benchmarks.kafka_latency", part, bootstrap, suffix, str(per_second), str(count)]
        for part in ("read", "feed")
    )
    with topics(cluster, suffix), started([worker, reader]) as processes:
        await_members(cluster, GROUP + suffix, TICKS.name + suffix, 1)
        with started([feeder]) as (feeding,):
            produced_ns = np.array(json.loads(answer(feeding)))
            read_ns = np.array(json.loads(answer(processes[1])))
        answer(processes[0])
    taken_ms = (read_ns - produced_ns)[int(count * _SKIPPED) :] / 1e6
    p50, p99 = np.percentile(taken_ms, (50, 99))
    return float(p50), float(p99)


def feed(bootstrap: str, suffix: str, per_second: int, count: int) -> list[int]:
    """Produce ticks at a steady rate; return when each was."""
    ticks = [msgspec.structs.replace(tick, archive_seq=i) for i, tick in enumerate(market(per_second, count))]
    records = outgoing(ticks, suffix)
    producer = Producer({"bootstrap.servers": bootstrap, "enable.idempotence": True})
    producer.list_topics(timeout=30)
    produced_ns = []
    step_ns = 1_000_000_000 // per_second
    due_ns = time.monotonic_ns()
    for record in records:
        due_ns += step_ns
        if (ahead_ns := due_ns - time.monotonic_ns()) > 0:
            time.sleep(ahead_ns / 1e9)
        produced_ns.append(time.monotonic_ns())
        producer.produce(
            record.topic,
            record.value,
            record.key,
            -1 if record.partition is None else record.partition,
            timestamp=stamp_ms(record.event_ns),
        )
        producer.poll(0)
    producer.flush(30)
    return produced_ns


def read(bootstrap: str, suffix: str, _per_second: int, count: int) -> list[int]:
    """Read as many rows; return when each came, in the order of their ticks."""
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": f"reader{suffix}",
            "isolation.level": "read_committed",
            "enable.auto.commit": False,
        }
    )
    topic = FEATURES.name + suffix
    consumer.assign([TopicPartition(topic, n, OFFSET_BEGINNING) for n in range(PARTITIONS)])
    read_ns = [0] * count
    left = count
    while left:
        message = consumer.poll(1.0)
        if message is None:
            continue
        if (error := message.error()) is not None:
            raise KafkaException(error)
        now_ns = time.monotonic_ns()
        read_ns[msgspec.json.decode(message.value() or b"", type=_Sequence).archive_seq] = now_ns
        left -= 1
    consumer.close()
    assert all(read_ns)
    return read_ns


if __name__ == "__main__":
    part, bootstrap, suffix, per_second, count = sys.argv[1:]
    print(json.dumps({"feed": feed, "read": read}[part](bootstrap, suffix, int(per_second), int(count))))
