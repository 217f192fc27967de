"""The end of the log that an earlier live job left: what of the archive is in it, and what hangs open.

A live job logs its records in the order it makes them, in whole batches. So the log holds everything up to
one archive position and nothing beyond it, and only its end has to be read.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from volspike.bus.port import Log
from volspike.bus.topics import DEADLETTER, FEATURES, GAPS, OUTCOMES, PREDICTIONS, TICKS, Topic
from volspike.records import Gap, Prediction

Position = tuple[int, int]

CHUNK_ROWS = 256
BAND_REACH_NS = 3_600_000_000_000
READ_ROWS = 10_000


class LogTail:
    """How far a log goes.

    Parameters
    ----------
    log : Log
        Read at once; not kept.

    Attributes
    ----------
    position : tuple of int
        Highest archive position (seq, row) of any record; (0, -1) for a log without one.
    event_ns : int
        Newest event time among the records there, 0 for none.
    """

    def __init__(self, log: Log) -> None:
        ends = {topic.name: _at_end(log, topic) for topic in (TICKS, FEATURES, DEADLETTER)}
        newest = [records[0] for records in ends.values() if records]
        self.position: Position = max(map(_position, newest), default=(0, -1))
        self.event_ns = max((getattr(record, "event_ns", 0) for record in newest), default=0)
        self._there = {
            (name, record.product)
            for name, records in ends.items()
            for record in records
            if _position(record) == self.position
        }
        self._gap = newest_record(log, GAPS)

    def lacks(self, topic: Topic, position: Position, product: str) -> bool:
        """Tell whether the record made at an archive position is missing from a topic.

        A heartbeat makes a mark of each product at one position, and a batch may end between any two records.
        """
        if position != self.position:
            return position > self.position
        return (topic.name, product) not in self._there

    def lacks_gap(self, gap: Gap, position: Position) -> bool:
        """Tell whether a gap is missing; ``position`` is that of the tick right behind it."""
        return self.lacks(TICKS, position, gap.product) and gap != self._gap


def newest_record(log: Log, topic: Topic) -> Any:
    """Return the record of a topic that was appended last, None where there is none."""
    end = log.end_offset(topic.name)
    entries = log.read(topic.name, end - 1, 1) if end > log.start_offset(topic.name) else []
    return topic.decode(entries[-1].value) if entries else None


def newest_predictions(log: Log, products: Iterable[str]) -> dict[str, Prediction]:
    """Return the newest prediction of each product, of those made in the last hour that the log covers."""
    found: dict[str, Prediction] = {}
    wanted = set(products)
    start, end = log.start_offset(PREDICTIONS.name), log.end_offset(PREDICTIONS.name)
    oldest_ns = 0
    while end > start and wanted - found.keys():
        first = max(start, end - READ_ROWS)
        entries = log.read(PREDICTIONS.name, first, end - first)
        for entry in reversed(entries):
            oldest_ns = oldest_ns or entry.event_ns - BAND_REACH_NS
            if entry.event_ns < oldest_ns:
                return found
            if entry.key in wanted and entry.key not in found:
                found[entry.key] = PREDICTIONS.decode(entry.value)
        end = first
    return found


def records_since(log: Log, topic: Topic, event_ns: int) -> Iterator[Any]:
    """Yield the records of a topic from the first one of an event time (ns) or later."""
    offset = log.offset_at(topic.name, event_ns)
    while entries := log.read(topic.name, offset, READ_ROWS):
        offset = entries[-1].offset + 1
        for entry in entries:
            yield topic.decode(entry.value)


def unsettled_predictions(log: Log, since_ns: int) -> list[Prediction]:
    """Return the predictions made since an event time (ns) that have no outcome."""
    # An outcome is never older than its prediction, so both look-ups begin at the same time.
    settled = {outcome.prediction_id for outcome in records_since(log, OUTCOMES, since_ns)}
    return [made for made in records_since(log, PREDICTIONS, since_ns) if made.id not in settled]


def _position(record: Any) -> Position:
    return record.archive_seq, record.archive_row


def _at_end(log: Log, topic: Topic) -> list[Any]:
    """Return the records of a topic that share the position of the one appended last, newest first."""
    found: list[Any] = []
    start, end = log.start_offset(topic.name), log.end_offset(topic.name)
    while end > start:
        first = max(start, end - CHUNK_ROWS)
        for entry in reversed(log.read(topic.name, first, end - first)):
            record = topic.decode(entry.value)
            if found and _position(record) != _position(found[0]):
                return found
            found.append(record)
        end = first
    return found
