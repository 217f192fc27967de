"""Dead letters on both buses: read, and put back once whatever happens."""

from __future__ import annotations

import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from buses import Bus
from volspike.bus import requeue
from volspike.bus.dead_letters import STAGE, UNREADABLE, Chosen, DeadLetters
from volspike.bus.port import LogRecord, Outgoing
from volspike.bus.requeue import BEFORE, FROM_FEED, NO_TOPIC, REQUEUER, TOO_OLD, Requeue
from volspike.bus.topic_plan import TopicPlan, state_topic
from volspike.bus.topics import DEADLETTER, TICKS
from volspike.clock import SystemClock
from volspike.errors import BusError
from volspike.records import UNKNOWN, DeadLetter
from volspike.testing.crash_point import CrashError, CrashPoint

NS = 1_000_000_000
# What every log keeps of an event time.
NOW_NS = SystemClock().market_ns() // 1_000_000 * 1_000_000
WORKER = Path(__file__).with_name("requeue_worker.py")
POINTS = (
    "bus.append.begun",
    "requeue.claimed",
    "requeue.joined",
    "requeue.read",
    "bus.append.inserted",
    "bus.append.before_commit",
    "bus.append.committed",
    "requeue.sent",
)
ALL = Chosen()


def from_topic(topic: str, offset: int, product: str = "BTC-USD", partition: int = 0) -> DeadLetter:
    return DeadLetter(
        reason="bad record",
        detail="no JSON",
        feed="",
        session="",
        archive_seq=UNKNOWN,
        archive_row=UNKNOWN,
        raw=b"\xff%d" % offset,
        product=product,
        error="ProtocolError",
        topic=topic,
        partition=partition,
        offset=offset,
    )


FEED = DeadLetter(
    reason="schema",
    detail="",
    feed="exchange",
    session="s",
    archive_seq=7,
    archive_row=1,
    raw=b"{}",
    product="ETH-USD",
)


class Post:
    """The topics of a test, and what lies in them."""

    def __init__(self, bus: Bus, partitions: int = 1) -> None:
        self.bus = bus
        self.suffix = bus.name("")
        self.ticks = bus.topic(TICKS.name, partitions)
        self.letters = bus.topic(DEADLETTER.name, partitions)
        bus.topic(state_topic(STAGE), partitions)
        self.log = bus.open()
        self.log.append([Outgoing(self.ticks, "", b"before", NOW_NS, 0)])

    def write(self, letters: list[DeadLetter], partition: int = 0, first_ns: int = NOW_NS) -> None:
        self.log.append(
            [
                Outgoing(self.letters, each.product, DEADLETTER.encode(each), first_ns + n * NS, partition)
                for n, each in enumerate(letters)
            ]
        )
        self.log.settle(self.letters, partition)

    def read(self) -> DeadLetters:
        return DeadLetters(self.bus.open(), self.suffix)

    def requeue(self, reached=None) -> Requeue:
        log = self.bus.open(REQUEUER, reached)
        return Requeue(log, SystemClock(), self.suffix, reached=reached)

    def put_back(self, partition: int = 0) -> list[LogRecord]:
        self.log.settle(self.ticks, partition)
        return [r for r in self.log.read(self.ticks, 0, 10_000, partition) if r.value != b"before"]


def all_of(letters: DeadLetters):
    return letters.all(ALL)


def test_letters_of_all_partitions_are_listed_by_time_and_counted(bus) -> None:
    post = Post(bus, partitions=3)
    single = post.log.partitions(post.letters) == 1
    for partition in (0, 0, 0) if single else (2, 0, 1):
        post.write([from_topic(post.ticks, 5), FEED], partition, NOW_NS + partition * NS // 2)
    overview = post.read().overview(ALL, 4)
    assert (overview.total, overview.requeued) == (6, 0)
    assert overview.reasons == {"bad record": 3, "schema": 3}
    times = [letter.event_ns for letter in overview.newest]
    assert len(times) == 4
    assert times == sorted(times)
    assert [letter.letter.reason for letter in overview.newest][-2:] == ["schema", "schema"]
    if not single:
        assert [letter.partition for letter in overview.newest] == [0, 2, 1, 2]
    chosen = list(post.read().all(Chosen("schema", "ETH-USD")))
    assert [letter.source for letter in chosen] == ["archive 7/1"] * 3
    assert not list(post.read().all(Chosen("schema", "BTC-USD")))
    assert post.read().at(chosen[0].place).letter == FEED


def test_a_bus_without_the_topic_has_no_letters(bus) -> None:
    letters = DeadLetters(bus.open(), "-of-nobody")
    assert letters.overview(ALL, 20) == ([], 0, 0, {})
    with pytest.raises(BusError, match="there is none in"):
        letters.at("0:0")


def test_a_letter_that_is_not_there_and_one_without_its_partition_are_told(bus) -> None:
    post = Post(bus, partitions=2)
    post.write([FEED])
    with pytest.raises(BusError, match="dead letter 0:77: there is none"):
        post.read().at("0:77")
    with pytest.raises(BusError, match="dead letter 9:0: there is none"):
        post.read().at("9:0")
    if post.log.partitions(post.letters) == 1:
        assert post.read().at("0").letter == FEED
    else:
        with pytest.raises(BusError, match="has 2 partitions; name one: PARTITION:OFFSET, such as 0:0"):
            post.read().at("0")


def test_a_record_goes_back_byte_for_byte_with_its_key_to_its_partition_once(bus) -> None:
    post = Post(bus, partitions=3)
    partition = post.log.partitions(post.ticks) - 1
    post.write([from_topic(post.ticks, n, f"P{n}", partition) for n in range(4)])
    first, *_ = list(post.read().all(Chosen(product="P2")))
    requeue_ = post.requeue()
    planned = requeue_.plan(requeue_.named([first.place]))
    assert planned.requeued == {f"{post.ticks} {partition}": [first.place]}
    assert post.put_back(partition) == []
    assert requeue_.run(requeue_.named([first.place])) == planned
    report = post.requeue().run(all_of)
    assert report.left == {BEFORE: [first.place]}
    assert sum(map(len, report.requeued.values())) == 3
    records = post.put_back(partition)
    assert [(r.key, r.value) for r in records] == [(f"P{n}", b"\xff%d" % n) for n in (2, 0, 1, 3)]
    assert [r.event_ns for r in records] == [NOW_NS + n * NS for n in (2, 0, 1, 3)]
    overview = post.read().overview(ALL, 20)
    assert overview.requeued == overview.total == 4
    assert all(abs(letter.requeued_ns - NOW_NS) < 3600 * NS for letter in overview.newest)


def test_what_can_not_go_back_is_left_with_the_reason(bus) -> None:
    post = Post(bus)
    gone = bus.name("no.such.topic")
    post.write([from_topic(post.ticks, 1), FEED, from_topic(gone, 1)])
    post.log.append([Outgoing(post.letters, "", b"\x00 no letter", NOW_NS + 9 * NS, 0)])
    post.log.settle(post.letters)
    places = [letter.place for letter in post.read().overview(ALL, 9).newest]
    report = post.requeue().run(all_of)
    assert report.requeued == {f"{post.ticks} 0": places[:1]}
    assert report.left == {FROM_FEED: [places[1]], NO_TOPIC: [places[2]], UNREADABLE: [places[3]]}
    assert gone not in post.log.topics()
    assert post.read().at(places[3]).letter.raw == b"\x00 no letter"
    requeue_ = post.requeue()
    with pytest.raises(BusError, match="its frame is in the archive: volspike replay"):
        requeue_.run(requeue_.named(places[:2]))


def test_a_named_letter_that_can_not_go_keeps_the_others_from_going(bus) -> None:
    post = Post(bus)
    post.write([from_topic(post.ticks, 1), FEED])
    places = [letter.place for letter in post.read().overview(ALL, 9).newest]
    requeue_ = post.requeue()
    with pytest.raises(BusError, match=f"dead letter {places[1]}: came from the feed"):
        requeue_.run(requeue_.named(places))
    assert post.put_back() == []


def test_a_mark_of_former_topics_says_nothing_about_another_letter_at_its_place(bus) -> None:
    post = Post(bus)
    post.write([from_topic(post.ticks, 1)])
    (letter,) = post.read().all(ALL)
    mark = b'{"digest":"of another","requeued_ns":1}'
    post.log.append([Outgoing(bus.name(state_topic(STAGE)), letter.place, mark, NOW_NS, 0)])
    assert not post.read().at(letter.place).is_requeued


def test_letters_that_come_meanwhile_are_left_for_the_next_time(bus, monkeypatch) -> None:
    """A record that is refused again makes a letter at once: --all must come to an end."""
    monkeypatch.setattr(requeue, "BATCH_ROWS", 1)
    monkeypatch.setattr("volspike.bus.dead_letters._READ_ROWS", 1)
    post = Post(bus)
    post.write([from_topic(post.ticks, 1), from_topic(post.ticks, 2)])

    def refuse_again(step: str) -> None:
        if step == "requeue.sent":
            post.write([from_topic(post.ticks, 3)])

    report = post.requeue(refuse_again).run(all_of)
    assert sum(map(len, report.requeued.values())) == 2
    assert len(list(post.read().all(ALL))) == 4


@pytest.mark.parametrize("point", POINTS)
def test_invariant_06_killed_at_each_step_every_letter_goes_back_once(
    bus, point: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(requeue, "BATCH_ROWS", 2)
    post = Post(bus)
    post.write([from_topic(post.ticks, n) for n in range(7)])
    once = point in ("requeue.claimed", "requeue.joined", "requeue.read")
    with pytest.raises(CrashError):
        post.requeue(CrashPoint(point, nth=1 if once else 2)).run(all_of)
    post.requeue().run(all_of)
    assert Counter(r.value for r in post.put_back()) == Counter(b"\xff%d" % n for n in range(7))


def start(bus: Bus, suffix: str, point: str = "never", nth: int = 1) -> subprocess.Popen[str]:
    command = [sys.executable, str(WORKER), bus.where, suffix, point, str(nth)]
    pipe = subprocess.PIPE
    worker = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True)
    assert worker.stdout is not None
    assert worker.stdout.readline() == "ready\n"
    return worker


def test_invariant_06_a_process_killed_in_the_middle_leaves_whole_batches(bus) -> None:
    post = Post(bus)
    post.write([from_topic(post.ticks, n) for n in range(7)])
    for point, nth in (("bus.append.before_commit", 3), ("bus.append.committed", 2)):
        worker = start(bus, post.suffix, point, nth)
        worker.communicate("go\n", timeout=100)
        assert worker.returncode == -9
    out, err = start(bus, post.suffix).communicate("go\n", timeout=100)
    assert int(out) > 0, err
    assert Counter(r.value for r in post.put_back()) == Counter(b"\xff%d" % n for n in range(7))


def test_invariant_06_of_two_at_once_each_letter_goes_back_once(bus) -> None:
    post = Post(bus)
    post.write([from_topic(post.ticks, n) for n in range(40)])
    workers = [start(bus, post.suffix) for _ in range(2)]
    for worker in workers:
        assert worker.stdin is not None
        worker.stdin.write("go\n")
        worker.stdin.flush()
    ended = [worker.communicate(timeout=100) for worker in workers]
    for worker, (_, err) in zip(workers, ended, strict=True):
        assert worker.returncode == 0 or "another requeue began meanwhile" in err, err
    if bus.where.endswith("log.db"):  # on Kafka each may drive out the other
        assert 0 in [worker.returncode for worker in workers]
    post.requeue().run(all_of)
    assert Counter(r.value for r in post.put_back()) == Counter(b"\xff%d" % n for n in range(40))


@pytest.mark.parametrize("before", ["requeue.claimed", "requeue.read", "requeue.sent"])
def test_invariant_06_one_that_is_overtaken_at_any_step_writes_nothing_more(
    bus, before: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(requeue, "BATCH_ROWS", 2)
    post = Post(bus)
    post.write([from_topic(post.ticks, n) for n in range(5)])
    done = []

    def overtake(step: str) -> None:
        if step == before and not done:
            done.append(step)
            post.requeue().run(all_of)

    overtaken = post.requeue(overtake)
    if before == "requeue.claimed":
        # It reads behind what the other has done, and finds nothing left.
        assert overtaken.run(all_of).requeued == {}
    else:
        with pytest.raises(BusError, match="run it again: no letter goes twice"):
            overtaken.run(all_of)
    assert done == [before]
    assert Counter(r.value for r in post.put_back()) == Counter(b"\xff%d" % n for n in range(5))


def test_a_topic_for_marks_that_is_missing_is_told_with_the_remedy(kafka) -> None:
    post = Post(kafka)
    post.write([from_topic(post.ticks, 1)])
    kafka.cluster.delete([kafka.name(state_topic(STAGE))])
    deadline = time.monotonic() + 10
    while kafka.name(state_topic(STAGE)) in kafka.cluster.topics() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert post.read().overview(ALL, 9).total == 1
    with pytest.raises(BusError, match="create the topics: volspike topics --bus kafka"):
        post.requeue().run(all_of)


def test_what_a_topic_would_delete_at_once_is_left(kafka) -> None:
    post = Post(kafka)
    kept = kafka.name("kept")
    kafka.cluster.create([TopicPlan(kept, 1, 3_600_000)])
    post.write([from_topic(kept, 1)], first_ns=NOW_NS - 2 * 3600 * NS)
    post.write([from_topic(kept, 2)])
    places = [letter.place for letter in post.read().overview(ALL, 9).newest]
    report = post.requeue().run(all_of)
    assert report.left == {TOO_OLD: places[:1]}
    assert report.requeued == {f"{kept} 0": places[1:]}
