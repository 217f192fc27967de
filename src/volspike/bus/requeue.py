"""Putting dead letters back into the topics that they came from, each exactly once.

A record goes out in one atomic ``append`` with its mark (``dead_letters.py``), so neither is there without
the other. Against another process that does the same at the same time:

1. *claim*: a record on the topic of the marks. On Kafka it is written under a fixed name, which ends what a
   former process of that name has left open, and fences it should it still run.
2. *join* the group that reads that topic. The claim is behind what the group has committed, or a later mark
   is: there is an offset to move.
3. *read* the marks, and choose.
4. *append* records, marks and the group's offset. It is refused if anybody has done so since 2: on the
   embedded log because the group's offset is another, on Kafka because the name is taken. More than
   ``BATCH_ROWS`` letters go in several rounds; the marks of one move the offset in the next.

A death in 1 to 3 leaves a claim, which means nothing. In 4 a batch is there as a whole with its marks, or not
at all, and whoever requeues next does the rest.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator

import msgspec

from volspike.bus.dead_letters import STAGE, UNREADABLE, DeadLetters, Letter, Requeued
from volspike.bus.kafka import KafkaLog
from volspike.bus.port import Consumer, Log, Outgoing
from volspike.bus.state_store import StateStore
from volspike.clock import Clock
from volspike.errors import BusError, FencedError, UnavailableError

REQUEUER = "deadletter"
BATCH_ROWS = 500
BEFORE = "requeued before"
FROM_FEED = "came from the feed, is no record"
NO_TOPIC = "the topic it came from is gone"
TOO_OLD = "older than its topic keeps"
REMEDIES = {
    BEFORE: "a letter goes once; if its record was refused again, that made a new letter",
    FROM_FEED: "its frame is in the archive: volspike replay uses it once the decoder can read it",
    UNREADABLE: "a volspike that can read the letter can put it back",
    NO_TOPIC: "create it with as many partitions as before: volspike topics",
    TOO_OLD: "have the topic keep it: volspike topics --bus kafka --retention-hours, or --keep",
}
_CLAIM = "claim"
_AGAIN = "run it again: no letter goes twice"
_NS_PER_MS = 1_000_000
_POLL_S = 0.2
_POLLS = 300

Wanted = Callable[[DeadLetters], Iterable[Letter]]


class Report(msgspec.Struct, frozen=True):
    """What became of the letters wanted, by their places.

    Attributes
    ----------
    requeued : dict of str to list of str
        Those put back, by topic and partition.
    left : dict of str to list of str
        The others, by reason.
    """

    requeued: dict[str, list[str]]
    left: dict[str, list[str]]


class Requeue:
    """Puts letters back.

    Parameters
    ----------
    log : Log
        Read and written. On Kafka it is opened under the name ``REQUEUER`` + suffix, for ``run``.
    clock : Clock
        Stamps the marks, in UTC.
    suffix : str
        Ends the name of every topic, the group and the name.
    reached : callable, optional
        Called with the name of each step: where tests make a process die.
    """

    def __init__(
        self, log: Log, clock: Clock, suffix: str = "", *, reached: Callable[[str], None] | None = None
    ) -> None:
        self._log = log
        self._clock = clock
        self._suffix = suffix
        self._reached = reached
        self._store = StateStore(log, STAGE + suffix)
        self._partitions: dict[str, int] = {}
        self._kept_since_ns: dict[str, int | None] = {}

    def named(self, places: Iterable[str]) -> Wanted:
        """Return the letters at these places; one that can't be put back raises BusError, before any goes."""

        def wanted(letters: DeadLetters) -> list[Letter]:
            found = {letter[1:3]: letter for letter in map(letters.at, places)}
            for letter in found.values():
                obstacle = self._obstacle(letter)
                if obstacle not in (None, BEFORE):
                    raise BusError(f"dead letter {letter.place}", obstacle, REMEDIES[obstacle])
            return [found[place] for place in sorted(found)]

        return wanted

    def plan(self, wanted: Wanted) -> Report:
        """Return what ``run`` would do, and write nothing."""
        report = Report(defaultdict(list), defaultdict(list))
        for letter in self._sorted_out(wanted(DeadLetters(self._log, self._suffix)), report):
            report.requeued[_target(letter)].append(letter.place)
        return report

    def run(self, wanted: Wanted) -> Report:
        """Put back those of the letters wanted that came from a topic and were not put back before.

        Raises
        ------
        BusError
            The bus can't be used, or another process requeues: what this one had not done is not done.
        """
        try:
            return self._run(wanted)
        except FencedError as error:
            reason = "another requeue began meanwhile, and this one has stopped"
            raise BusError(self._store.topic, reason, _AGAIN) from error
        except UnavailableError as error:
            raise BusError(error.subject, error.reason, f"see that the broker runs, and {_AGAIN}") from error

    def _run(self, wanted: Wanted) -> Report:
        member = self._join()
        letters = DeadLetters(self._log, self._suffix)
        self._step("requeue.read")
        report = Report(defaultdict(list), defaultdict(list))
        batch: list[Letter] = []
        for letter in self._sorted_out(wanted(letters), report):
            batch.append(letter)
            if len(batch) == BATCH_ROWS:
                self._send(batch, member, report)
                batch = []
        if batch:
            self._send(batch, member, report)
        return report

    def _join(self) -> Consumer:
        now_ns = self._clock.market_ns()
        self._log.append([self._store.record(0, _CLAIM, b"{}", now_ns)])
        self._step("requeue.claimed")
        member = self._log.consumer(STAGE + self._suffix, [self._store.topic])
        self._await(member)
        self._step("requeue.joined")
        return member

    def _await(self, member: Consumer) -> None:
        """Read on, so that there is an offset to move."""
        if not member.pending() and not any(member.poll(BATCH_ROWS, _POLL_S) for _ in range(_POLLS)):
            reason = f"nothing to read for {_POLLS * _POLL_S:.0f} s"
            raise UnavailableError(self._store.topic, reason, "see the broker's log")

    def _send(self, batch: list[Letter], member: Consumer, report: Report) -> None:
        self._await(member)
        now_ns = self._clock.market_ns()
        marks = [
            self._store.record(0, letter.place, msgspec.json.encode(Requeued(letter.digest, now_ns)), now_ns)
            for letter in batch
        ]
        self._log.append([*map(_record, batch), *marks], member)
        for letter in batch:
            report.requeued[_target(letter)].append(letter.place)
        self._step("requeue.sent")

    def _sorted_out(self, wanted: Iterable[Letter], report: Report) -> Iterator[Letter]:
        """Yield the letters that can go; note the others."""
        for letter in wanted:
            obstacle = self._obstacle(letter)
            if obstacle is None:
                yield letter
            else:
                report.left[obstacle].append(letter.place)

    def _obstacle(self, letter: Letter) -> str | None:
        """Return why a letter can't be put back, None if it can; ``REMEDIES`` has what to do."""
        told = letter.letter
        if letter.is_requeued:
            return BEFORE
        if told.reason == UNREADABLE:
            return UNREADABLE
        if not told.topic:
            return FROM_FEED
        if told.partition >= self._partitions_of(told.topic):
            return NO_TOPIC
        since_ns = self._kept_since(told.topic)
        return TOO_OLD if since_ns is not None and letter.event_ns < since_ns else None

    def _partitions_of(self, topic: str) -> int:
        if topic not in self._partitions:
            there = topic in self._log.topics()
            self._partitions[topic] = self._log.partitions(topic) if there else 0
        return self._partitions[topic]

    def _kept_since(self, topic: str) -> int | None:
        """Return the event time (ns) from which a topic keeps records, None where age doesn't matter."""
        if topic not in self._kept_since_ns:
            kept_ms = self._log.cluster.plan(topic).retention_ms if isinstance(self._log, KafkaLog) else -1
            # By UTC, as the broker does: it refuses what is older.
            since_ns = self._clock.market_ns() - kept_ms * _NS_PER_MS
            self._kept_since_ns[topic] = since_ns if kept_ms >= 0 else None
        return self._kept_since_ns[topic]

    def _step(self, name: str) -> None:
        if self._reached is not None:
            self._reached(name)


def _target(letter: Letter) -> str:
    return f"{letter.letter.topic} {letter.letter.partition}"


def _record(letter: Letter) -> Outgoing:
    told = letter.letter
    return Outgoing(told.topic, letter.key, told.raw, letter.event_ns, told.partition)
