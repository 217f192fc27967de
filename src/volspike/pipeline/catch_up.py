"""The log of a killed job is brought up to the archive, where every frame lies that it had received.

What is missing is made again from the archive while it is read back anyway: ticks, marks, feature rows, gaps
and dead letters, each once, in the order in which they were made, as if the job had lived a moment longer.

Predictions are not made again. One that the log lacks was published to nobody but an alert, and published now
it would be late by the length of the outage. Those in the log get their outcome (``unsettled.py``), and open
alerts their end (``open_alerts.py``).

A clean stop leaves nothing to do.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from volspike.bus.port import Log
from volspike.bus.topics import ALERTS, DEADLETTER, FEATURES, GAPS, TICKS, Topic
from volspike.features.admission import FUTURE_LIMIT_NS, Admitted, Dropped
from volspike.pipeline.ingest import dead_letter
from volspike.pipeline.log_tail import LogTail
from volspike.pipeline.open_alerts import AlertTail, closed_at
from volspike.pipeline.unsettled import Unsettled
from volspike.recording.compression import Summary
from volspike.recording.frame import Frame, SegmentHeader
from volspike.records import Alert, FeatureRow, Gap, Mark, Record, Tick

Put = Callable[[Topic, Record], None]


@dataclass(slots=True)
class CaughtUp:
    """What was missing: records made again, outcomes given, alerts closed."""

    records: int = 0
    outcomes: int = 0
    alerts: int = 0


class CatchUp:
    """Given the archived frames of live sessions in order, hands over the records that the log lacks.

    Parameters
    ----------
    log : Log
        Its end is read, nothing is written to it here.
    alerts : Path
        The file of alerts.
    put : callable
        Takes the missing records for the log.

    Attributes
    ----------
    counts : CaughtUp
        What was done.
    """

    def __init__(self, log: Log, alerts: Path, put: Put) -> None:
        self._put = put
        self._tail = LogTail(log)
        self._alerts = AlertTail(log, alerts, self._tail.event_ns)
        self._unsettled = Unsettled(log, put)
        self._header: SegmentHeader | None = None
        self._newest_ns: dict[str, int] = {}
        self.counts = CaughtUp()

    @property
    def logged_seq(self) -> int:
        """Archive position (seq) up to which the log goes, 0 for an empty log."""
        return self._tail.position[0]

    def begin(self, header: SegmentHeader, passed_ns: Mapping[str, int]) -> None:
        """Begin a live session; its frames follow.

        Of those that ``is_done_with`` ruled out only the newest event time (ns) by product is told.
        """
        self._header = header
        for product, newest_ns in passed_ns.items():
            self._newest_ns[product] = newest_ns
            self._unsettled.pass_over(product, newest_ns)

    def is_done_with(self, segment: Summary) -> bool:
        """Tell whether nothing in a segment of the live session is of any use here."""
        return segment.last_seq < self._tail.position[0] and self._unsettled.is_beyond(
            segment.last_receive_ns + FUTURE_LIMIT_NS
        )

    def frame(self, frame: Frame, admitted: Sequence[Admitted], rows: Sequence[FeatureRow | None]) -> None:
        """Take a frame with the answers of admission and, for each, the feature row of a tick."""
        is_logged = frame.seq < self._tail.position[0]
        for index, answer in enumerate(admitted):
            if isinstance(answer, Tick | Mark):
                self._newest_ns[answer.product] = answer.event_ns
                if not is_logged:
                    self._timed(answer, rows[index] or answer)
                self._unsettled.take(answer)
            elif isinstance(answer, Gap):
                # The tick that ended the gap comes right after it.
                if not is_logged and self._tail.lacks_gap(answer, _position(frame, admitted[index + 1])):
                    self._make(GAPS, answer)
            elif answer.dead and not is_logged:
                self._dead(frame, answer)

    def finish(self) -> list[Alert]:
        """Settle what is still open; return the alerts that are to be told."""
        self._unsettled.give_up(() if self._header is None else self._header.products)
        self.counts.outcomes = self._unsettled.settled
        for alert in self._alerts.unlogged():
            self._make(ALERTS, alert)
        closed = [
            closed_at(opened, self._newest_ns.get(opened.product, 0)) for opened in self._alerts.left_open()
        ]
        self.counts.alerts = len(closed)
        for alert in closed:
            self._put(ALERTS, alert)
        return [*self._alerts.untold(), *closed]

    def _timed(self, record: Tick | Mark, row: FeatureRow | Tick | Mark) -> None:
        position = (record.archive_seq, record.archive_row)
        if self._tail.lacks(TICKS, position, record.product):
            self._make(TICKS, record)
        if self._tail.lacks(FEATURES, position, record.product):
            self._make(FEATURES, row)

    def _dead(self, frame: Frame, drop: Dropped) -> None:
        if self._tail.lacks(DEADLETTER, (frame.seq, drop.row), drop.product):
            assert self._header is not None
            self._make(DEADLETTER, dead_letter(drop, self._header.feed, frame))

    def _make(self, topic: Topic, record: Record) -> None:
        self._put(topic, record)
        self.counts.records += 1


def _position(frame: Frame, answer: Admitted) -> tuple[int, int]:
    return frame.seq, answer.archive_row if isinstance(answer, Tick | Mark) else 0
