"""What both buses promise: order, groups, atomicity, fencing, look-up by time, retention."""

from __future__ import annotations

import random

import pytest

from buses import copies, drain, joined, numbered, read_all, values
from volspike.bus.port import Outgoing, Retention
from volspike.errors import FencedError
from volspike.testing.crash_point import CrashError, CrashPoint

# What every log keeps of an event time.
MS = 1_000_000


def test_records_come_back_in_order_with_growing_offsets(bus) -> None:
    log, a, b = bus.open(), bus.topic("a"), bus.topic("b")
    log.append(numbered(a, range(5)))
    log.append(numbered(a, range(5, 8)) + numbered(b, range(2)))
    records = read_all(log, a, 8)
    offsets = [record.offset for record in records]
    assert values(records) == list(range(8))
    assert offsets[0] == 0
    assert offsets == sorted(set(offsets))
    assert (records[3].key, records[3].event_ns) == ("BTC-USD", 3 * MS)
    assert values(log.read(a, offsets[6], 1)) == [6]
    assert values(log.read(a, offsets[5], 100)) == [5, 6, 7]
    assert log.start_offset(a) == 0
    assert log.end_offset(a) > offsets[7]
    assert log.read(a, log.end_offset(a), 10) == []
    assert values(read_all(log, b, 2)) == [0, 1]
    assert {a, b} <= set(log.topics())


def test_a_topic_nobody_wrote_to_is_empty(bus) -> None:
    log, none = bus.open(), bus.name("none")
    assert log.read(none, 0, 10) == []
    assert (log.end_offset(none), log.offset_at(none, 5), log.start_offset(none)) == (0, 0, 0)
    assert log.retain(none, Retention(rows=1)) == 0
    assert none not in log.topics()


def test_two_groups_have_independent_offsets_that_survive_reopening(bus) -> None:
    log, a = bus.open(), bus.topic("a")
    slow_name, fast_name = bus.name("slow"), bus.name("fast")
    log.append(numbered(a, range(10)))
    slow, fast = log.consumer(slow_name, [a]), log.consumer(fast_name, [a])
    assert values(drain(slow, 3)) == [0, 1, 2]
    assert values(drain(fast, 8)) == list(range(8))
    log.append((), slow)
    log.append((), fast)
    slow.close()
    again = bus.open()
    assert (again.group_offset(slow_name, a), again.group_offset(fast_name, a)) == (3, 8)
    assert values(drain(again.consumer(slow_name, [a]), 7)) == list(range(3, 10))
    assert again.group_offset(bus.name("other"), a) is None


def test_what_was_not_committed_is_read_again(bus) -> None:
    log, a, group = bus.open(), bus.topic("a"), bus.name("g")
    log.append(numbered(a, range(4)))
    consumer = log.consumer(group, [a])
    assert values(drain(consumer, 4)) == [0, 1, 2, 3]
    assert consumer.poll(10, 0.1) == []
    assert [(p.topic, p.first, p.next) for p in consumer.pending()] == [(a, None, 4)]
    consumer.rewind()
    assert consumer.pending() == ()
    assert values(drain(consumer, 4)) == [0, 1, 2, 3]
    consumer.close()
    assert values(drain(log.consumer(group, [a]), 4)) == [0, 1, 2, 3]


def test_a_new_group_can_start_at_the_end(bus) -> None:
    log, a, b = bus.open(), bus.topic("a"), bus.topic("b")
    log.append(numbered(a, range(4)))
    consumer = log.consumer(bus.name("tail"), [a, b], from_end=True)
    log.append(numbered(a, range(4, 6)) + numbered(b, range(1)))
    assert sorted(values(drain(consumer, 3))) == [0, 4, 5]
    assert consumer.poll(10, 0.1) == []


def test_a_follower_gets_records_as_they_come(bus) -> None:
    log, a = bus.open(), bus.topic("a")
    consumer = log.consumer(bus.name("g"), [a])
    joined(consumer)
    for n in range(20):
        log.append(numbered(a, range(n, n + 1)))
        assert values(drain(consumer, 1)) == [n]


@pytest.mark.parametrize("point", ["bus.append.begun", "bus.append.inserted", "bus.append.before_commit"])
def test_read_process_write_is_all_or_nothing(bus, point: str) -> None:
    log = bus.open(reached=CrashPoint(point, nth=2))
    source, target, group = bus.topic("in"), bus.topic("out"), bus.name("g")
    log.append(numbered(source, range(3)))
    consumer = log.consumer(group, [source])
    with pytest.raises(CrashError):
        log.append(copies(drain(consumer, 3), target), consumer)
    assert log.read(target, 0, 10) == []
    assert log.group_offset(group, source) is None
    consumer.rewind()
    log.append(copies(drain(consumer, 3), target), consumer)
    assert values(read_all(log, target, 3)) == [0, 1, 2]
    assert log.group_offset(group, source) == 3


def test_a_member_that_another_has_replaced_is_fenced(bus) -> None:
    log, source, target, group = bus.open(), bus.topic("in"), bus.topic("out"), bus.name("g")
    log.append(numbered(source, range(3)))
    zombie_log = bus.open("worker")
    zombie = zombie_log.consumer(group, [source])
    stale = drain(zombie, 3)
    successor_log = bus.open("worker")
    successor = successor_log.consumer(group, [source])
    successor_log.append(copies(drain(successor, 2), target), successor)
    for _ in range(2):
        with pytest.raises(FencedError, match=r"stop|one worker"):
            zombie_log.append(copies(stale, target), zombie)
    assert values(read_all(log, target, 2)) == [0, 1]
    assert log.group_offset(group, source) == 2
    successor_log.append(copies(drain(successor, 1), target), successor)
    assert values(read_all(log, target, 3)) == [0, 1, 2]


def test_a_member_is_told_where_it_starts_and_that_it_went_back(bus) -> None:
    log, a = bus.open(), bus.topic("a")
    log.append(numbered(a, range(6)))
    consumer = log.consumer(bus.name("g"), [a])
    drain(consumer, 2)
    changes = consumer.take_changes()
    assert changes.lost == ()
    assert [(p.topic, p.partition, p.offset) for p in changes.gained] == [(a, 0, 0)]
    log.append((), consumer)
    drain(consumer, 3)
    assert consumer.take_changes().gained == ()
    consumer.rewind()
    changes = consumer.take_changes()
    assert changes.lost == ((a, 0),)
    assert [p.offset for p in changes.gained] == [2]
    assert values(drain(consumer, 4)) == [2, 3, 4, 5]


def test_offset_at_equals_a_linear_search_over_out_of_order_times(bus) -> None:
    log, a = bus.open(), bus.topic("a")
    rng = random.Random(7)
    times = [(n * 10 + rng.randrange(100, 500)) * MS for n in range(2_000)]
    start = 0
    while start < len(times):
        batch = times[start : start + rng.randrange(1, 400)]
        log.append([Outgoing(a, "k", b"x", t) for t in batch])
        start += len(batch)
    kept = read_all(log, a, len(times))
    assert [record.event_ns for record in kept] == times
    drawn = [t * MS for t in rng.sample(range(20_800), 12)]
    for rows in (2_000, 1_111, 3):
        log.retain(a, Retention(rows=rows))
        for wanted in [*drawn, -(10**15), 10**15, times[0], times[7] + MS, max(times), max(times) + MS]:
            found = (record.offset for record in kept[-rows:] if record.event_ns >= wanted)
            assert log.offset_at(a, wanted) == next(found, log.end_offset(a)), wanted


def test_offset_at_finds_the_first_of_many_equal_times(bus) -> None:
    log, a = bus.open(), bus.topic("a")
    for _ in range(10):
        log.append([Outgoing(a, "k", b"x", 5 * MS)] * 100)
    log.append([Outgoing(a, "k", b"x", 6 * MS)] * 100)
    offsets = [record.offset for record in read_all(log, a, 1_100)]
    assert [log.offset_at(a, t * MS) for t in (4, 5, 6, 7)] == [0, 0, offsets[1_000], log.end_offset(a)]


def test_offset_at_leaves_out_nothing_within_a_millisecond_or_before_1970(bus) -> None:
    log, a = bus.open(), bus.topic("a")
    times = [-5 * MS, -1, 0, 1, MS + 1, 3 * MS + 7, 3 * MS + 8, 3 * MS + 9, 5 * MS, 5 * MS + 1]
    log.append([Outgoing(a, "k", b"x", t) for t in times])
    kept = read_all(log, a, len(times))
    assert all(record.event_ns <= max(t, 0) for record, t in zip(kept, times, strict=True))
    for place, wanted in enumerate(times):
        found = log.offset_at(a, wanted)
        assert found <= kept[place].offset
        assert kept[found].event_ns > wanted - 2 * MS


def test_retention_by_rows_keeps_the_newest(bus) -> None:
    log, a, b = bus.open(), bus.topic("a"), bus.topic("b")
    log.append(numbered(a, range(4_993)) + numbered(b, range(3)))
    for n in range(4_993, 5_000):
        log.append(numbered(a, range(n, n + 1)))
    read_all(log, a, 5_000)
    assert log.retain(a, Retention(rows=10)) == 4_990
    assert values(log.read(a, 0, 100)) == list(range(4_990, 5_000))
    assert (log.start_offset(a), log.start_offset(b)) == (4_990, 0)
    assert log.retain(a, Retention(rows=10)) == 0
    end = log.end_offset(a)
    log.append(numbered(a, range(5_000, 5_001)))
    assert values(read_all(log, a, 11)) == list(range(4_990, 5_001))
    assert log.read(a, end, 1)[0].offset == end


def test_retention_by_event_time_and_look_up_after_it(bus) -> None:
    log, a = bus.open(), bus.topic("a")
    for start in range(0, 3_000, 300):
        log.append([Outgoing(a, "k", str(n).encode(), n * MS) for n in range(start, start + 300)])
    offsets = {int(record.value): record.offset for record in read_all(log, a, 3_000)}
    assert log.retain(a, Retention(before_event_ns=1_234 * MS)) == offsets[1_234]
    assert values(log.read(a, 0, 1)) == [1_234]
    assert [log.offset_at(a, t * MS) for t in (0, 1_234, 2_000, 5_000)] == [
        offsets[1_234],
        offsets[1_234],
        offsets[2_000],
        log.end_offset(a),
    ]


def test_a_group_that_retention_overtook_is_told_which_offsets_it_lost(bus) -> None:
    log, a, group = bus.open(), bus.topic("a"), bus.name("g")
    log.append(numbered(a, range(10)))
    consumer = log.consumer(group, [a])
    drain(consumer, 2)
    log.append((), consumer)
    consumer.close()
    log.retain(a, Retention(rows=4))
    late = bus.open().consumer(group, [a])
    assert values(drain(late, 4)) == [6, 7, 8, 9]
    (gap,) = late.take_gaps()
    assert (gap.topic, gap.expected, gap.resumed) == (a, 2, 6)
    assert late.take_gaps() == []
