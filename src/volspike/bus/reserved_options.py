"""The librdkafka settings on which exactly-once rests: volspike sets them, and nobody else may."""

from __future__ import annotations

RESERVED_OPTIONS = frozenset(
    {
        # Where everything is.
        "bootstrap.servers",
        "metadata.broker.list",
        # Who reads, and how partitions are dealt.
        "group.id",
        "group.instance.id",
        "group.protocol",
        "group.protocol.type",
        "group.remote.assignor",
        "partition.assignment.strategy",
        # What is read, and from where.
        "isolation.level",
        "auto.offset.reset",
        "enable.auto.commit",
        "auto.commit.enable",
        "enable.auto.offset.store",
        "offset.store.method",
        "enable.partition.eof",
        # Who writes, and what counts as written.
        "transactional.id",
        "transaction.timeout.ms",
        "enable.idempotence",
        "acks",
        "request.required.acks",
        # Products keep their partitions.
        "partitioner",
    }
)
