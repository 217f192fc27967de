"""Where alerts go: a console line and an NDJSON file."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol, TextIO

import msgspec

from volspike.errors import ConfigError
from volspike.exchange.decimals import format_time_ns
from volspike.records import Alert, DriftAlarm

Told = Alert | DriftAlarm

_ENCODE = msgspec.json.Encoder().encode
_DECODE: Callable[[bytes], Told] = msgspec.json.Decoder(Told).decode


class AlertSink(Protocol):
    """A place alerts are delivered to; called from one thread."""

    @property
    def name(self) -> str:
        """Name under which deliveries and failures are counted."""

    def deliver(self, alert: Told) -> None:
        """Deliver one alert; raise to have it retried. A repeated (id, state) must do no harm."""

    def close(self) -> None:
        """Let go of what the sink holds."""


class ConsoleSink:
    """Writes one plain line an alert.

    Parameters
    ----------
    stream : TextIO
        Where to; standard error, so that ``--json`` output stays clean.
    """

    name = "console"

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def deliver(self, alert: Told) -> None:
        """Write the line."""
        self._stream.write(alert_line(alert) + "\n")
        self._stream.flush()

    def close(self) -> None:
        """Leave the stream open: it is the caller's."""


def alert_line(alert: Told) -> str:
    """Return the alert as one line for people."""
    if isinstance(alert, DriftAlarm):
        named = f"{alert.product} {alert.model} {alert.model_version}"
        return f"{format_time_ns(alert.event_ns, 3)} DRIFT {named}: {alert.reason} [{alert.id}]"
    return (
        f"{format_time_ns(alert.event_ns, 3)} ALERT {state_text(alert)} {alert.product}"
        f" p(spike) {alert.p_spike:.2f} (threshold {alert.threshold:.2f}),"
        f" next 60 s {alert.sigma_bps:.1f} bps, now {alert.sigma_now_bps:.1f} bps,"
        f" tau {alert.tau_bps:.1f} bps, mid {alert.mid:,.8g}, {alert.model} [{alert.id}]"
    )


def state_text(alert: Alert) -> str:
    """Return ``opened``, or ``closed after 75 s``."""
    if alert.state == "opened":
        return alert.state
    return f"{alert.state} after {(alert.event_ns - alert.opened_ns) / 1e9:.0f} s"


class NdjsonSink:
    """Appends each alert to a file, one JSON object a line, once for each (id, state).

    What is there is read first, so a restart that derives an alert again doesn't repeat it; a line torn by a
    crash is cut off. Every line is synced: alerts are few. Several processes may write to one file.

    Parameters
    ----------
    path : Path
        The file, created with its directory if absent.

    Raises
    ------
    ConfigError
        The file can't be opened for writing.
    """

    name = "ndjson"

    def __init__(self, path: Path) -> None:
        self._size = 0
        self._seen: set[tuple[str, str]] = set()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
            try:
                with self._alone():
                    self._catch_up()
            except OSError:
                self.close()
                raise
        except OSError as error:
            reason = error.strerror or str(error)
            raise ConfigError(str(path), reason, "choose a file that can be written") from error

    def deliver(self, alert: Told) -> None:
        """Append the alert, unless its (id, state) is in the file already."""
        with self._alone():
            self._catch_up()
            if (alert.id, alert.state) not in self._seen:
                self._append(alert)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        fcntl.flock(self._file, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(self._file, fcntl.LOCK_UN)

    def _catch_up(self) -> None:
        """Read what others have appended, and cut off what one of them has torn."""
        size = os.fstat(self._file).st_size
        self._size = self._size if self._size <= size else 0  # somebody has emptied it, as to rotate it
        added = os.pread(self._file, size - self._size, self._size)
        whole = added[: added.rfind(b"\n") + 1]
        self._size += len(whole)
        self._seen.update(_identities(whole))
        if whole != added:
            os.ftruncate(self._file, self._size)

    def _append(self, alert: Told) -> None:
        line = _ENCODE(alert) + b"\n"
        try:
            if os.pwrite(self._file, line, self._size) != len(line):
                raise OSError("short write")
            os.fsync(self._file)
        except OSError:
            # A half-written line must not stay in front of the retry's.
            os.ftruncate(self._file, self._size)
            raise
        self._size += len(line)
        self._seen.add((alert.id, alert.state))

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)


def delivered(path: Path) -> set[tuple[str, str]]:
    """Return (id, state) of each alert in a file that ``NdjsonSink`` writes; of no file, none.

    Raises
    ------
    OSError
        The file can't be read.
    """
    try:
        return set(_identities(path.read_bytes()))
    except FileNotFoundError:
        return set()


def _identities(lines: bytes) -> list[tuple[str, str]]:
    identities = []
    for line in lines.splitlines():
        try:
            alert = _DECODE(line)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            continue  # a foreign line is left where it is and can't be one of ours
        identities.append((alert.id, alert.state))
    return identities
