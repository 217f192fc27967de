"""Compacted topics and the state store, on both buses."""

from __future__ import annotations

import random
import time

import pytest

from buses import Bus, KafkaBus
from volspike.bus.port import Log, Outgoing, Retention
from volspike.bus.state_store import PART_BYTES, StateOffset, StateStore
from volspike.bus.topic_plan import TopicPlan, is_compacted, planned_topics, state_topic
from volspike.errors import BusError

NOISE = random.Random(1).randbytes(3 * PART_BYTES)


def stage_of(bus: Bus, partitions: int = 1) -> str:
    """Return a stage name of this test's own, whose state topic exists."""
    stage = bus.name("test")
    if isinstance(bus, KafkaBus):
        bus.cluster.create([TopicPlan(state_topic(stage), partitions, -1, compacted=True)])
    return stage


def loaded(store: StateStore, key: str, value: bytes, partition: int = 0) -> dict[str, bytes]:
    """Load until a key has a value: Kafka tells readers a moment later."""
    deadline = time.monotonic() + 30
    while (state := store.load(partition)).get(key) != value and time.monotonic() < deadline:
        time.sleep(0.01)
    return state


def test_only_state_topics_are_compacted() -> None:
    assert [plan.name for plan in planned_topics(1, 1.0) if plan.compacted] == [
        "volspike.state.ingest",
        "volspike.state.featurize",
        "volspike.state.score",
        "volspike.state.deadletter",
    ]
    assert all(is_compacted(plan.name) == plan.compacted for plan in planned_topics(1, None))


def test_a_reader_sees_the_newest_value_of_each_key(bus) -> None:
    log, stage = bus.open(), stage_of(bus)
    topic = state_topic(stage)
    log.append([Outgoing(topic, f"k{n % 3}", str(n).encode(), 1) for n in range(10)])
    log.append(
        [Outgoing(topic, "k1", b"new", 1), Outgoing(topic, "k2", b"", 1), Outgoing(topic, "k1", b"x", 1)]
    )
    assert loaded(StateStore(log, stage), "k1", b"x") == {"k0": b"9", "k1": b"x"}


def test_the_embedded_log_keeps_one_record_a_key_and_retention_leaves_it_alone(tmp_path) -> None:
    from buses import EmbeddedBus

    bus = EmbeddedBus(tmp_path / "log.db")
    log, topic = bus.open(), state_topic("test")
    for n in range(600):
        log.append([Outgoing(topic, f"k{n % 3}", str(n).encode(), n), Outgoing(topic, "all", b"", n)])
    records = log.read(topic, 0, 1_000)
    assert [(r.offset, r.key, r.value) for r in records] == [
        (1194, "k0", b"597"),
        (1196, "k1", b"598"),
        (1198, "k2", b"599"),
        (1199, "all", b""),
    ]
    assert log.retain(topic, Retention(rows=1, before_event_ns=10**9)) == 0
    assert (log.read(topic, 0, 1_000), log.end_offset(topic)) == (records, 1200)
    bus.close()


def test_a_record_goes_to_the_partition_it_names_whatever_its_key(kafka) -> None:
    log, topic = kafka.open(), kafka.topic("a", 3)
    log.append([Outgoing(topic, "BTC-USD", str(n).encode(), 1, n) for n in range(3)])
    deadline = time.monotonic() + 30
    found: list[list[bytes]] = []
    while found != [[b"0"], [b"1"], [b"2"]] and time.monotonic() < deadline:
        found = [[record.value for record in log.read(topic, 0, 10, n)] for n in range(3)]
    assert found == [[b"0"], [b"1"], [b"2"]]


def write(log: Log, store: StateStore, blob: bytes, offset: int, partition: int = 0) -> bytes:
    place = store.offset_record(partition, StateOffset("ticks.raw", offset), 5)
    log.append([*store.pack(partition, "BTC-USD|exchange|window", blob, 5), place])
    return place.value


@pytest.mark.parametrize("size", [0, 10, 3 * PART_BYTES])
def test_a_blob_comes_back_with_its_source_offset(size: int, bus) -> None:
    log, stage = bus.open(), stage_of(bus)
    store = StateStore(log, stage)
    write(log, store, NOISE, 7)
    state = loaded(store, "offset", write(log, store, NOISE[:size], 9))
    assert list(store.names(state, "window")) == ["BTC-USD|exchange|window"]
    assert store.unpack(state, "BTC-USD|exchange|window") == NOISE[:size]
    assert store.offset(state) == StateOffset("ticks.raw", 9)
    assert store.offset({}) is None


def test_the_state_of_a_partition_lies_in_the_partition_of_its_number(kafka) -> None:
    log, stage = kafka.open(), stage_of(kafka, 2)
    store = StateStore(log, stage)
    values = [write(log, store, bytes([n]), n, n) for n in range(2)]
    for n, value in enumerate(values):
        state = loaded(store, "offset", value, n)
        assert store.offset(state) == StateOffset("ticks.raw", n)
        assert store.unpack(state, "BTC-USD|exchange|window") == bytes([n])


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda state: state.pop("a|b|c|0"), "its first part is missing"),
        (lambda state: state.pop("a|b|c|2"), "1 of 4 parts are missing"),
        (lambda state: state.update({"a|b|c|1": state["a|b|c|2"]}), "checksum|match|orrupt"),
    ],
)
def test_a_torn_blob_is_an_error_of_one_line(damage, reason: str, tmp_path) -> None:
    store = StateStore(None, "test")
    state = {record.key: record.value for record in store.pack(0, "a|b|c", NOISE, 1)}
    assert max(len(value) for value in state.values()) <= PART_BYTES + 4
    assert len(state) == 4
    damage(state)
    with pytest.raises(BusError, match=reason) as caught:
        store.unpack(state, "a|b|c")
    assert len(str(caught.value).splitlines()) == 1
    with pytest.raises(BusError, match=r"volspike\.state\.test, offset"):
        store.offset({"offset": b"{"})
