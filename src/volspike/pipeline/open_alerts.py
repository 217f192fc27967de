"""Alerts that a killed job left open, or told in one place only.

Whoever was told that an alert opened is told that it closed: its watch ended with the job, and a new one
knows nothing for a minute. So an open alert is closed at the next start, at the last thing known of its
product, and opens anew, with a new id, when a prediction says so.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import msgspec

from volspike.bus.port import Log
from volspike.bus.topics import ALERTS
from volspike.errors import ConfigError, ProtocolError
from volspike.records import Alert

# Alerts come one a minute and product at most; an open one is among the last.
LOGGED_ALERTS = 4_096
FILE_BYTES = 1 << 20
# What the log and the file may differ by: both are written within a second of the alert.
SLACK_NS = 60_000_000_000


class AlertTail:
    """The newest alerts, by the log and by the file of alerts.

    Parameters
    ----------
    log : Log
        Its newest alerts are read.
    path : Path
        The file of alerts; its last lines are read.
    ended_ns : int
        Event time at which the log ends, 0 for an empty log.

    Raises
    ------
    ConfigError
        If the file is there and can't be read.
    """

    def __init__(self, log: Log, path: Path, ended_ns: int) -> None:
        end = log.end_offset(ALERTS.name)
        first = max(log.start_offset(ALERTS.name), end - LOGGED_ALERTS)
        self._logged = [ALERTS.decode(entry.value) for entry in log.read(ALERTS.name, first, end - first)]
        self._told = list(_told(path))
        self._since_ns = ended_ns - SLACK_NS if ended_ns else None

    def unlogged(self) -> list[Alert]:
        """Return the alerts of the last minute that were told and are not in the log."""
        return self._recent(self._told, self._logged)

    def untold(self) -> list[Alert]:
        """Return the alerts of the last minute that are in the log and were not told."""
        return self._recent(self._logged, self._told)

    def left_open(self) -> list[Alert]:
        """Return the alerts that opened and did not close, in order."""
        alerts = {(alert.id, alert.state): alert for alert in (*self._logged, *self.unlogged())}
        opened = [alert for (_, state), alert in alerts.items() if state == "opened"]
        return [alert for alert in opened if (alert.id, "closed") not in alerts]

    def _recent(self, alerts: Iterable[Alert], others: Iterable[Alert]) -> list[Alert]:
        known = {(alert.id, alert.state) for alert in others}
        return [
            alert
            for alert in alerts
            if self._since_ns is not None
            and alert.event_ns > self._since_ns
            and (alert.id, alert.state) not in known
        ]


def closed_at(opened: Alert, event_ns: int) -> Alert:
    """Return the end of an alert that nobody watched to its end; its figures are those of its opening."""
    return msgspec.structs.replace(opened, state="closed", event_ns=max(event_ns, opened.event_ns))


def _told(path: Path) -> Iterable[Alert]:
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - FILE_BYTES))
            lines = file.read().splitlines()
    except FileNotFoundError:
        return
    except OSError as error:
        raise ConfigError(str(path), error.strerror or str(error), "choose a file that can be read") from None
    for line in lines:
        try:
            yield ALERTS.decode(line)
        except ProtocolError:
            continue  # the first line may be cut off here, the last one by the crash
