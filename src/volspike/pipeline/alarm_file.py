"""Drift alarms of the journal into the file of the alerts: each once, whatever was down when it came."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from pathlib import Path

from volspike.alerts.sinks import NdjsonSink
from volspike.errors import VolspikeError
from volspike.logs import get_logger
from volspike.monitoring.journal import DRIFT_ALARM, JournalEntry, drift_alarm
from volspike.records import DriftAlarm

# A death keeps back the last ones only: older ones that are not in the file were rotated away with it.
_KEPT_BACK_NS = 86_400_000_000_000

log = get_logger()


class AlarmFile:
    """Delivers drift alarms to the file; what it does not take is logged once and tried again.

    Parameters
    ----------
    path : Path
        Created at the first delivery; an alarm that is in it is not written again.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._sink: NdjsonSink | None = None
        self._waiting: deque[DriftAlarm] = deque()
        self._trouble = ""

    def deliver(self, alarms: Iterable[DriftAlarm]) -> None:
        """Deliver these, behind those that still wait."""
        self._waiting.extend(alarms)
        try:
            if self._sink is None:
                self._sink = NdjsonSink(self._path)
            while self._waiting:
                self._sink.deliver(self._waiting[0])
                self._waiting.popleft()
            self._trouble = ""
        except (OSError, VolspikeError) as error:
            if str(error) != self._trouble:
                log.error("drift alarms can't be delivered; trying again", reason=str(error))
            self._trouble = str(error)

    def close(self) -> None:
        """Let go of the file."""
        if self._sink is not None:
            self._sink.close()


def alarms_of(entries: Iterable[JournalEntry]) -> list[DriftAlarm]:
    """Return the drift alarms among entries of the journal."""
    return [drift_alarm(entry) for entry in entries if entry.event == DRIFT_ALARM]


def perhaps_undelivered(entries: Sequence[JournalEntry]) -> list[DriftAlarm]:
    """Return the drift alarms that a death may have kept back: those of a day before the journal's last line.

    Parameters
    ----------
    entries : sequence of JournalEntry
        The journal so far, as it was written.
    """
    since_ns = entries[-1].market_ns - _KEPT_BACK_NS if entries else 0
    return alarms_of(entry for entry in entries if entry.market_ns > since_ns)
