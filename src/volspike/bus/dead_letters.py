"""The dead letters of a bus, and which of them have been put back.

A letter is named by its place, ``partition:offset``. That it was put back says a *mark* of the same name, on
a compacted topic of its own (``requeue.py`` writes it): a group's offsets would say "all up to here", and
letters are chosen one by one. A mark bears a digest of its letter, so where topics were deleted and made anew
it says nothing about another letter at the same place.
"""

from __future__ import annotations

import hashlib
import heapq
from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

import msgspec

from volspike.bus.port import Log, LogRecord
from volspike.bus.state_store import StateStore
from volspike.bus.topics import DEADLETTER
from volspike.errors import BusError, ProtocolError
from volspike.records import UNKNOWN, DeadLetter

STAGE = "deadletter"
UNREADABLE = "unreadable letter"
_READ_ROWS = 500
_DIGEST_HEX = 32


class Requeued(msgspec.Struct, frozen=True):
    """The mark of a letter that was put back.

    Attributes
    ----------
    digest : str
        Of the letter.
    requeued_ns : int
        When, nanoseconds UTC.
    """

    digest: str
    requeued_ns: int


class Letter(NamedTuple):
    """A dead letter and its place.

    Attributes
    ----------
    event_ns, partition, offset : int
        Its time on the log (ns) and its place there; letters sort by these.
    key : str
        Of the record on the log.
    digest : str
        Of the record on the log.
    letter : DeadLetter
        What it says; ``UNREADABLE`` is the reason where the record is no letter, and ``raw`` the record then.
    requeued_ns : int
        When it was put back (ns UTC), ``UNKNOWN`` if it wasn't.
    """

    event_ns: int
    partition: int
    offset: int
    key: str
    digest: str
    letter: DeadLetter
    requeued_ns: int

    @property
    def place(self) -> str:
        """Return its name, ``partition:offset``."""
        return f"{self.partition}:{self.offset}"

    @property
    def source(self) -> str:
        """Return where the bytes came from: topic and place, or the position in the archive."""
        letter = self.letter
        if letter.topic:
            return f"{letter.topic} {letter.partition}:{letter.offset}"
        return "" if letter.reason == UNREADABLE else f"archive {letter.archive_seq}/{letter.archive_row}"

    @property
    def is_requeued(self) -> bool:
        """Tell whether it was put back."""
        return self.requeued_ns != UNKNOWN


class Chosen(msgspec.Struct, frozen=True):
    """Which letters: those of a reason, of a product, or all where None is said."""

    reason: str | None = None
    product: str | None = None

    def fits(self, letter: Letter) -> bool:
        """Tell whether a letter is among them."""
        return self.reason in (None, letter.letter.reason) and self.product in (None, letter.letter.product)


class Overview(NamedTuple):
    """The newest letters in order, and the counts of all that were chosen."""

    newest: list[Letter]
    total: int
    requeued: int
    reasons: dict[str, int]


class DeadLetters:
    """Reads the dead letters that are there, and marked, when it is made.

    Parameters
    ----------
    log : Log
        Read only.
    suffix : str
        Ends the name of every topic.

    Attributes
    ----------
    topic : str
        The topic of the letters.
    partitions : int
        Its partitions; 0 where there is no such topic.
    """

    def __init__(self, log: Log, suffix: str = "") -> None:
        self._log = log
        self.topic = DEADLETTER.name + suffix
        existing = set(log.topics())
        self.partitions = log.partitions(self.topic) if self.topic in existing else 0
        self._ends = [log.end_offset(self.topic, partition) for partition in range(self.partitions)]
        store = StateStore(log, STAGE + suffix)
        self._marks = store.load(0) if store.topic in existing else {}

    def all(self, chosen: Chosen) -> Iterator[Letter]:
        """Yield the letters chosen, partition by partition, in order."""
        for partition, end in enumerate(self._ends):
            offset = self._log.start_offset(self.topic, partition)
            # What comes later is left out: a letter put back may be answered by another at once.
            while offset < end and (records := self._read(partition, offset, min(_READ_ROWS, end - offset))):
                offset = records[-1].offset + 1
                yield from filter(chosen.fits, map(self._letter, records))

    def overview(self, chosen: Chosen, last: int) -> Overview:
        """Return the ``last`` newest of the letters chosen, oldest first, and count all of them."""
        reasons: Counter[str] = Counter()
        requeued = 0

        def counted() -> Iterator[Letter]:
            nonlocal requeued
            for letter in self.all(chosen):
                reasons[letter.letter.reason] += 1
                requeued += letter.is_requeued
                yield letter

        newest = heapq.nlargest(last, counted(), key=_order)
        return Overview(newest[::-1], reasons.total(), requeued, dict(reasons.most_common()))

    def at(self, place: str) -> Letter:
        """Return the letter at ``partition:offset``, or at an offset where there is one partition.

        Raises
        ------
        BusError
            There is none, or the partition has to be named.
        """
        first, _, second = place.rpartition(":")
        if not first and self.partitions > 1:
            reason = f"{self.topic} has {self.partitions} partitions"
            raise BusError(f"dead letter {place}", reason, f"name one: PARTITION:OFFSET, such as 0:{place}")
        partition, offset = int(first or 0), int(second)
        records = self._read(partition, offset, 1) if partition < self.partitions else []
        if not records or records[0].offset != offset:
            remedy = "see those there are: volspike deadletter list"
            raise BusError(f"dead letter {place}", f"there is none in {self.topic}", remedy)
        return self._letter(records[0])

    def _read(self, partition: int, offset: int, limit: int) -> list[LogRecord]:
        return self._log.read(self.topic, offset, limit, partition)

    def _letter(self, record: LogRecord) -> Letter:
        try:
            letter: DeadLetter = DEADLETTER.decode(record.value)
        except ProtocolError as error:
            letter = _unreadable(record, error.detail)
        digest = hashlib.sha256(record.value).hexdigest()[:_DIGEST_HEX]
        mark = self._mark(f"{record.partition}:{record.offset}")
        requeued_ns = mark.requeued_ns if mark is not None and mark.digest == digest else UNKNOWN
        return Letter(
            record.event_ns, record.partition, record.offset, record.key, digest, letter, requeued_ns
        )

    def _mark(self, place: str) -> Requeued | None:
        value = self._marks.get(place)
        return None if value is None else msgspec.json.decode(value, type=Requeued)


def _order(letter: Letter) -> tuple[int, int, int]:
    return letter[:3]


def _unreadable(record: LogRecord, detail: str) -> DeadLetter:
    return DeadLetter(
        reason=UNREADABLE,
        detail=detail,
        feed="",
        session="",
        archive_seq=UNKNOWN,
        archive_row=UNKNOWN,
        raw=record.value,
        product=record.key,
    )
