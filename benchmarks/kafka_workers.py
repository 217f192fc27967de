"""A worker between topics, in a process of its own: ``KIND BOOTSTRAP SUFFIX NAME``.

``pass`` is what librdkafka needs for it, and nothing else: consume, produce the same value again, commit both
in one transaction. ``featurize`` is what ``volspike featurize --bus kafka`` runs.
"""

from __future__ import annotations

import sys
import tempfile

from confluent_kafka import Consumer, KafkaException, Producer

from benchmarks.samples import Samples
from volspike.bus.topics import FEATURES, TICKS
from volspike.bus.transactions import BATCH_ROWS
from volspike.clock import SystemClock
from volspike.config import load_settings
from volspike.pipeline.worker import open_worker

GROUP = "featurize"
_POLL_S = 0.1


def featurize(bootstrap: str, suffix: str, name: str) -> Samples:
    """Run our worker until nothing more comes."""
    samples = Samples()
    with tempfile.TemporaryDirectory() as home:
        given = {"data_dir": home, "bus": "kafka", "kafka_bootstrap": bootstrap, "topic_suffix": suffix}
        worker = open_worker("featurize", load_settings(given), name, SystemClock())

        def is_time_to_stop() -> bool:
            samples.take(worker.as_dict()["records"])
            return samples.ended

        worker.run(is_time_to_stop)
        worker.close()
    return samples


def pass_through(bootstrap: str, suffix: str, name: str) -> Samples:
    """Copy ticks until nothing more comes."""
    samples, processed = Samples(), 0
    producer = Producer(
        {
            "bootstrap.servers": bootstrap,
            "transactional.id": name + suffix,
            "log_level": 3,  # without a line each time that the broker asks for patience
            "compression.type": "zstd",
            "compression.level": 1,
            "queue.buffering.max.messages": 100_000,
            "queue.buffering.max.kbytes": 131_072,
        }
    )
    producer.init_transactions(60)
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": GROUP + suffix,
            "partition.assignment.strategy": "cooperative-sticky",
            "isolation.level": "read_committed",
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
            "queued.max.messages.kbytes": 16_384,
            "fetch.queue.backoff.ms": 10,
        }
    )
    consumer.subscribe([TICKS.name + suffix])
    target = FEATURES.name + suffix
    while not samples.ended:
        first = consumer.poll(_POLL_S)
        if first is None:
            continue
        messages = [first, *consumer.consume(BATCH_ROWS - 1, 0)]
        producer.begin_transaction()
        for message in messages:
            if (error := message.error()) is not None:
                raise KafkaException(error)
            producer.produce(target, message.value(), message.key())
        standing = consumer.position(consumer.assignment())
        producer.send_offsets_to_transaction(standing, consumer.consumer_group_metadata())
        producer.commit_transaction()
        processed += len(messages)
        samples.take(processed)
    consumer.close()
    return samples


if __name__ == "__main__":
    kind, *given = sys.argv[1:]
    {"pass": pass_through, "featurize": featurize}[kind](*given).tell()
