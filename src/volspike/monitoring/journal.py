"""The audit log of the models: every alarm, training, trial, promotion and refusal, one JSON object a line.

The file is only ever appended to. A line that a crash has torn is ended by the next one, and passed over when
the journal is read; what it was about is begun again, as the step it would have told of is not done.
"""

from __future__ import annotations

import hashlib
import os
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import msgspec

from volspike.errors import ModelError
from volspike.records import DriftAlarm

DRIFT_ALARM = "drift alarm"
DRIFT_REPORT = "drift report"
RETRAIN_STARTED = "retrain started"
RETRAIN_ABANDONED = "retrain abandoned"
RETRAIN_FAILED = "retrain failed"
CHALLENGER = "challenger"
NOT_PROMOTED = "not promoted"
RETIRED = "challenger retired"
PROMOTED = "promoted"
ROLLED_BACK = "rolled back"

BY_USER, BY_SCHEDULE, BY_ALARM, BY_TRIAL, BY_FOUND = "user", "schedule", "drift alarm", "trial", "found"
BY_OUTCOMES, BY_FEATURES = "outcomes", "features"


class JournalEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One step in the life of a product's models.

    Attributes
    ----------
    v : int
        Version of this record.
    market_ns : int
        When, by the clock of the market, nanoseconds UTC.
    event : str
        One of the names in this module.
    product, feed : str
        Whose models.
    model, version : str
        The bundle that it is about; empty where there is none.
    by : str
        Who or what caused it: ``user``, ``schedule``, ``drift alarm``, ``trial``, or ``found`` where whoever
        did it has not told; of drift, what was tested: ``outcomes`` or ``features``.
    reason : str
        In plain words.
    detail : dict
        Figures behind it.
    """

    v: int = 1
    market_ns: int
    event: str
    product: str
    feed: str
    model: str = ""
    version: str = ""
    by: str
    reason: str = ""
    detail: dict[str, float | int | str | bool | None] = {}


_DECODE = msgspec.json.Decoder(JournalEntry).decode


# So far ahead of the market a line may be dated by a clock that is right.
_AHEAD_NS = 3_600_000_000_000


def not_ahead(journal: Sequence[JournalEntry], now_ns: int) -> list[JournalEntry]:
    """Return the lines that are not dated over an hour ahead of now, market time."""
    return [each for each in journal if each.market_ns <= now_ns + _AHEAD_NS]


def append_entry(path: Path, entry: JournalEntry) -> None:
    """Append one line, on disk when this returns.

    Raises
    ------
    ModelError
        When it can't be written.
    """
    try:
        handle = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            size = os.fstat(handle).st_size
            torn = size > 0 and os.pread(handle, 1, size - 1) != b"\n"
            line = b"\n" * torn + msgspec.json.encode(entry) + b"\n"
            if os.write(handle, line) != len(line):
                raise OSError(0, "the disk took a part of the line")
            os.fsync(handle)
        finally:
            os.close(handle)
    except OSError as error:
        remedy = "check space and permissions of the data directory"
        raise ModelError(str(path), f"can't be written ({error.strerror})", remedy) from error


def read_journal(path: Path, product: str | None = None, feed: str | None = None) -> list[JournalEntry]:
    """Return the entries of all, or of one product or feed, in the order they were written.

    Raises
    ------
    ModelError
        When the file can't be read.
    """
    try:
        lines = path.read_bytes().split(b"\n")
    except FileNotFoundError:
        return []
    except OSError as error:
        raise _unreadable(path, error) from error
    entries = [entry for line in lines if (entry := _entry(line)) is not None]
    return [each for each in entries if product in (None, each.product) and feed in (None, each.feed)]


class JournalReader:
    """Follows a journal: what has been read is kept, and each look reads on from there.

    What ``of`` reads is news still.

    Parameters
    ----------
    path : Path
        The journal; one that is not there yet is empty.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._untold: list[JournalEntry] = []
        self._forget()

    def news(self) -> list[JournalEntry]:
        """Return what has been written since the last time.

        Raises
        ------
        ModelError
            When the file can't be read.
        """
        self._read_on()
        fresh, self._untold = self._untold, []
        return fresh

    def of(self, product: str, feed: str) -> list[JournalEntry]:
        """Return all that there is of a product on a feed, oldest first. Raises as ``news``."""
        self._read_on()
        return self._of[product, feed]

    def _read_on(self) -> None:
        data = self._fresh_bytes()
        lines = data.split(b"\n")
        if _entry(lines[-1]) is None:
            data = data[: len(data) - len(lines[-1])]  # torn, or on its way still
        self._read += len(data)
        fresh = [entry for line in data.split(b"\n") if (entry := _entry(line)) is not None]
        for entry in fresh:
            self._of[entry.product, entry.feed].append(entry)
        self._untold += fresh

    def _fresh_bytes(self) -> bytes:
        try:
            with self._path.open("rb") as file:
                if os.fstat(file.fileno()).st_size < self._read:
                    self._forget()  # it is another file
                file.seek(self._read)
                return file.read()
        except FileNotFoundError:
            self._forget()
            return b""
        except OSError as error:
            raise _unreadable(self._path, error) from error

    def _forget(self) -> None:
        self._read = 0
        self._of: defaultdict[tuple[str, str], list[JournalEntry]] = defaultdict(list)


def drift_alarm(entry: JournalEntry) -> DriftAlarm:
    """Return the alarm that a line tells of, as alerts go out."""
    # By what was tested too: outcomes and features may alarm at one time, and an id is delivered once.
    named = f"{entry.product}\n{entry.version}\n{entry.market_ns}\n{entry.by}"
    return DriftAlarm(
        id=hashlib.sha256(named.encode()).hexdigest()[:16],
        product=entry.product,
        model=entry.model,
        model_version=entry.version,
        event_ns=entry.market_ns,
        reason=entry.reason,
    )


def newest(entries: Sequence[JournalEntry], *events: str) -> JournalEntry | None:
    """Return the newest entry of one of these events, or None."""
    return next((entry for entry in reversed(entries) if entry.event in events), None)


def _entry(line: bytes) -> JournalEntry | None:
    try:
        return _DECODE(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def _unreadable(path: Path, error: OSError) -> ModelError:
    return ModelError(str(path), f"can't be read ({error.strerror})", "check its permissions")
