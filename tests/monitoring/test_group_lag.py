"""How far a group is behind, on either bus, and while the bus is away."""

from __future__ import annotations

import time

import pytest

from buses import Bus, EmbeddedBus, KafkaBus, drain, numbered
from volspike.errors import UnavailableError
from volspike.monitoring.group_lag import GroupLag


@pytest.fixture(params=["embedded", "kafka"])
def bus(request: pytest.FixtureRequest, tmp_path):
    made: Bus
    if request.param == "embedded":
        made = EmbeddedBus(tmp_path / "log.db")
    else:
        made = KafkaBus(request.getfixturevalue("kafka_bootstrap"))
    yield made
    made.close()


def test_the_lag_is_what_is_not_committed_and_the_marks_of_transactions(bus: Bus) -> None:
    log, topic, group = bus.open(), bus.topic("a"), bus.name("g")
    marks = 1 if isinstance(bus, KafkaBus) else 0
    place = (topic, 0)
    log.append(numbered(topic, range(10)))
    log.append(numbered(topic, range(10, 30)))
    with GroupLag(bus.open, group, fresh_s=0.0, patience_s=10.0) as lag:
        assert settled(lag, place, 30 + 2 * marks) == {place: 30 + 2 * marks}
        consumer = log.consumer(group, [topic])
        assert len(drain(consumer, 12, limit=12)) == 12
        log.append([], consumer)
        assert settled(lag, place, 18 + marks) == {place: 18 + marks}
        drain(consumer, 18)
        log.append([], consumer)
        assert settled(lag, place, marks) == {place: marks}
        assert lag.newest([]) == {}
        consumer.close()


def settled(lag: GroupLag, place: tuple[str, int], expected: int) -> object:
    """Ask until the answer is the one expected: Kafka tells of a commit a moment later."""
    deadline = time.monotonic() + 30.0
    while (found := lag.newest([place])) != {place: expected} and time.monotonic() < deadline:
        time.sleep(0.02)
    return found


def test_nobody_waits_long_for_a_bus_that_is_away_and_it_is_asked_again() -> None:
    asked = []

    def away():
        asked.append(time.monotonic())
        raise UnavailableError("Kafka", "no answer", "start it")

    with GroupLag(away, "g", patience_s=0.2) as lag:
        for _ in range(2):
            began = time.monotonic()
            assert lag.newest([("ticks.raw", 0)]) == {}
            assert time.monotonic() - began < 2.0
    assert len(asked) == 2


def test_an_answer_is_good_for_a_while(tmp_path) -> None:
    bus = EmbeddedBus(tmp_path / "log.db")
    log, place = bus.open(), ("a", 0)
    log.append(numbered("a", range(3)))
    with GroupLag(bus.open, "g", fresh_s=60.0, patience_s=10.0) as lag:
        assert lag.newest([place]) == {place: 3}
        log.append(numbered("a", range(3)))
        assert lag.newest([place]) == {place: 3}
    bus.close()
