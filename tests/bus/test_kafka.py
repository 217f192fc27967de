"""What Kafka alone does: partitions, back-pressure, open transactions, retention by event time, errors."""

from __future__ import annotations

import time
from types import SimpleNamespace

import pytest
from confluent_kafka import Consumer, KafkaError, TopicPartition

from buses import drain, joined, numbered, read_all, values
from volspike.bus.kafka import KafkaLog
from volspike.bus.kafka_consumer import KafkaConsumer
from volspike.bus.kafka_errors import bus_error
from volspike.bus.local_broker import free_port
from volspike.bus.port import Log, Outgoing, Retention
from volspike.bus.topic_plan import TopicPlan, planned_topics
from volspike.clock import SystemClock
from volspike.errors import BusError, FencedError, UnavailableError, UndoneError

HOUR_NS = 3_600_000_000_000


def test_a_product_stays_in_one_partition_and_in_order(kafka) -> None:
    log, topic = kafka.open(), kafka.topic("a", 4)
    log.append([Outgoing(topic, f"P{n % 20}", str(n).encode(), n) for n in range(400)])
    assert log.partitions(topic) == 4
    records = drain(log.consumer(kafka.name("g"), [topic]), 400, limit=50)
    assert len(records) == 400
    assert {record.partition for record in records} == {0, 1, 2, 3}
    for product in range(20):
        mine = [record for record in records if record.key == f"P{product}"]
        assert len({record.partition for record in mine}) == 1
        assert values(mine) == list(range(product, 400, 20))


def test_a_full_queue_holds_append_back_and_loses_nothing(kafka) -> None:
    topic = kafka.topic("a")
    log = KafkaLog(kafka.bootstrap, options={"queue.buffering.max.messages": "50"})
    log.append(numbered(topic, range(3_000)))
    assert values(read_all(kafka.open(), topic, 3_000)) == list(range(3_000))
    log.close()


def test_nobody_sees_a_transaction_before_its_commit(kafka) -> None:
    topic, seen = kafka.topic("a"), []
    reader: Log = kafka.open()

    def look(step: str) -> None:
        if step == "bus.append.before_commit":
            seen.append(reader.read(topic, 0, 10))

    log = kafka.open(reached=look)
    log.append(numbered(topic, range(3)))
    assert seen == [[]]
    assert values(read_all(reader, topic, 3)) == [0, 1, 2]


def test_a_second_member_takes_over_half_and_nothing_is_read_twice(kafka) -> None:
    topic, group = kafka.topic("a", 4), kafka.name("g")
    logs = [kafka.open(), kafka.open()]
    feeder = kafka.open()
    members = [logs[0].consumer(group, [topic])]
    seen: list[int] = []
    for n in range(0, 2_000, 20):
        feeder.append([Outgoing(topic, f"P{n + i}", str(n + i).encode(), 1) for i in range(20)])
        if n == 600:
            members.append(logs[1].consumer(group, [topic]))
        seen += _poll_and_commit(members, logs)
    owned = [len({p.partition for p in member.pending()}) for member in members]
    for _ in range(300):
        seen += _poll_and_commit(members, logs)
        if len(seen) >= 2_000 and members[1].reads and len(members[0].standing()[0]) == 2:
            break
    assert owned == [0, 0]
    assert sorted(seen) == list(range(2_000))
    assert [len(member.standing()[0]) for member in members] == [2, 2]


def _poll_and_commit(members: list, logs: list[Log]) -> list[int]:
    seen: list[int] = []
    for member, log in zip(members, logs, strict=False):
        records = member.poll(500, 0.05)
        try:
            log.append((), member)
            seen += values(records)
        except UnavailableError:
            member.rewind()
    return seen


def test_one_that_takes_over_a_name_has_it_and_the_one_before_is_displaced(kafka) -> None:
    topic, group = kafka.topic("a"), kafka.name("g")
    first = kafka.open("w").consumer(group, [topic])
    joined(first)
    assert not first.is_displaced()
    first.rewind()
    second = kafka.open("w").consumer(group, [topic])
    joined(second)
    assert first.is_displaced()
    assert not second.is_displaced(), "the broker still tells the client id of the first"
    second.rewind()
    for use in (first.rewind, lambda: polled(first)):
        with pytest.raises(FencedError):
            use()
    assert not second.is_displaced()


def test_a_member_that_is_fenced_by_a_join_of_its_own_joins_anew(kafka) -> None:
    """As behind a broker's restart, where a join may be counted twice."""
    topic, group = kafka.topic("a"), kafka.name("g")
    log = kafka.open("w")
    member = log.consumer(group, [topic])
    joined(member)
    again = Consumer({name: value for name, value in member._made_of.items() if name != "error_cb"})
    again.subscribe([topic])
    deadline = time.monotonic() + 30.0
    while not again.assignment() and time.monotonic() < deadline:
        again.poll(0.1)
    with pytest.raises(UndoneError):
        polled(member)
    again.close()
    log.append(numbered(topic, range(3)))
    assert values(drain(member, 3)) == [0, 1, 2]


def test_partitions_given_while_the_broker_is_away_are_read_from_where_the_group_stands(
    kafka, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Asking where to start fails inside librdkafka's callback; what it raises must not meet the next one."""
    topic, group = kafka.topic("a"), kafka.name("g")
    log = kafka.open()
    log.append(numbered(topic, range(6)))
    before = log.consumer(group, [topic])
    assert values(drain(before, 3, limit=3)) == [0, 1, 2]
    log.append((), before)
    before.close()

    def away(*_: object) -> None:
        raise UnavailableError("broker", "is away", "start it")

    other = kafka.open()
    with monkeypatch.context() as patch:
        patch.setattr(other.cluster, "group_offsets", away)
        member = other.consumer(group, [topic])
        with pytest.raises(UnavailableError):
            polled(member)
        member._kept(member._on_assign)(member._consumer, [TopicPartition(topic, 0)])
        with pytest.raises(UnavailableError):
            member.poll(1, 0.1)
    member.rewind()
    assert values(drain(member, 3)) == [3, 4, 5]


def test_a_topic_that_a_broker_does_not_know_yet_is_waited_for(kafka) -> None:
    topic = kafka.topic("a")
    member = kafka.open().consumer(kafka.name("g"), [topic])
    unknown = KafkaError(KafkaError.UNKNOWN_TOPIC_OR_PART)
    member._handle(unknown, SimpleNamespace(topic=lambda: topic))
    with pytest.raises(BusError, match="create the topics"):
        member._handle(unknown, SimpleNamespace(topic=lambda: kafka.name("missing")))


@pytest.mark.parametrize(
    ("reason", "kind"),
    [
        ("Unable to produce message: Local: Fatal error", FencedError),
        ("Failed to remove subscription: Local: Fatal error", FencedError),
        ("Producer fenced by newer epoch", FencedError),
        ("Broker: Cluster authorization failed", BusError),
    ],
)
def test_a_client_at_its_end_was_fenced_unless_it_gives_another_reason(
    reason: str, kind: type[BusError]
) -> None:
    assert type(bus_error(KafkaError(KafkaError._FATAL, reason), "w")) is kind


def polled(member: KafkaConsumer) -> None:
    """Poll until something is raised."""
    deadline = time.monotonic() + 30.0
    while time.monotonic() < deadline:
        member.poll(1, 0.1)


def test_a_topic_that_goes_by_age_refuses_records_of_long_ago(kafka) -> None:
    name, now_ns = kafka.name("live"), SystemClock().market_ns()
    kafka.cluster.create([TopicPlan(name, 1, 3_600_000)])
    log = kafka.open()
    log.append([Outgoing(name, "k", b"1", now_ns - HOUR_NS // 2)])
    with pytest.raises(BusError, match=r"keeps 1 h by event time .* volspike topics --bus kafka --keep"):
        log.append([Outgoing(name, "k", b"2", now_ns - 2 * HOUR_NS)])
    kafka.cluster.alter([TopicPlan(name, 1, -1)])
    patient = kafka.open()
    patient.append([Outgoing(name, "k", b"3", now_ns - 2 * HOUR_NS)])
    # A simulated market may run ahead of the broker's clock.
    patient.append([Outgoing(name, "k", b"4", now_ns + 1_000 * HOUR_NS)])
    assert values(read_all(log, name, 3)) == [1, 3, 4]


def test_a_plan_comes_back_from_the_broker_as_it_was_given(kafka) -> None:
    for plan in planned_topics(3, 2.5):
        named = TopicPlan(kafka.name(plan.name), plan.partitions, plan.retention_ms, plan.compacted)
        assert kafka.cluster.create([named]) == [named.name]
        assert kafka.cluster.create([named]) == []
        assert kafka.cluster.plan(named.name) == named


def test_what_is_missing_or_wrong_is_said_in_one_line(kafka) -> None:
    log, absent = kafka.open(), kafka.name("absent")
    for attempt in (
        lambda: log.append(numbered(absent, range(1))),
        lambda: log.consumer(kafka.name("g"), [absent]),
    ):
        with pytest.raises(BusError, match=r"no such topic on .*; create the topics") as caught:
            attempt()
        assert "\n" not in str(caught.value)
    with pytest.raises(BusError, match=r"retention\.ms"):
        log.retain(kafka.topic("a"), Retention(appended_before_ns=1))
    with pytest.raises(BusError, match=r"No such configuration property.*correct VOLSPIKE_KAFKA_OPTIONS"):
        KafkaLog(kafka.bootstrap, options={"no.such": "x"})


def test_no_broker_is_said_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("volspike.bus.kafka_cluster.REPLY_S", 0.5)
    with pytest.raises(UnavailableError, match="check that the broker runs") as caught:
        KafkaLog(f"127.0.0.1:{free_port()}")
    assert "\n" not in str(caught.value)


def test_options_do_not_override_what_exactly_once_rests_on(kafka) -> None:
    topic = kafka.topic("held")
    reserved = {"group.id": "other", "isolation.level": "read_uncommitted", "enable.auto.commit": "true"}
    log = KafkaLog(kafka.bootstrap, options={**reserved, "bootstrap.servers": "127.0.0.1:9"})
    settings = log.cluster.settings(group_id="mine", isolation_level="read_committed", acks="all")
    assert (settings["group.id"], settings["isolation.level"]) == ("mine", "read_committed")
    log.append(numbered(topic, range(5)))
    consumer = log.consumer(kafka.name("mine"), [topic])
    assert values(drain(consumer, 5)) == list(range(5))
    log.append([], consumer)
    assert log.group_offset(kafka.name("mine"), topic) == 5
    log.close()
