"""The audit log of the models: every alarm, training, trial, promotion and refusal, one JSON object a line.

The file is only ever appended to. A line that a crash has torn is ended by the next one, and passed over when
the journal is read; what it was about is begun again, as the step it would have told of is not done.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import msgspec

from volspike.errors import ModelError

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
        Who or what caused it: ``user``, ``schedule``, ``drift alarm``, ``trial``; of drift, what was tested:
        ``outcomes`` or ``features``.
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
        raise ModelError(str(path), f"can't be read ({error.strerror})", "check its permissions") from error
    entries = [entry for line in lines if (entry := _entry(line)) is not None]
    return [each for each in entries if product in (None, each.product) and feed in (None, each.feed)]


def newest(entries: Sequence[JournalEntry], *events: str) -> JournalEntry | None:
    """Return the newest entry of one of these events, or None."""
    return next((entry for entry in reversed(entries) if entry.event in events), None)


def _entry(line: bytes) -> JournalEntry | None:
    try:
        return _DECODE(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
