"""Opening the embedded log's SQLite file: pragmas, tables, version, and errors in one line.

Each topic has a table of its own, so that an append is a write at the right edge of one tree. ``landmarks``
is a sparse time index: one row every ``LANDMARK_ROWS`` records says how new the records *before* its offset
were.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from volspike.errors import BusError, DamagedLogError

SCHEMA_VERSION = 1
APPLICATION_ID = 0x766F6C73
LANDMARK_ROWS = 256

_TABLES = """
CREATE TABLE topics (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    start_offset INTEGER NOT NULL DEFAULT 0,
    next_offset INTEGER NOT NULL DEFAULT 0,
    newest_ns INTEGER NOT NULL DEFAULT -1,
    landmark_offset INTEGER NOT NULL DEFAULT -1
);
CREATE TABLE landmarks (
    topic_id INTEGER NOT NULL,
    offset INTEGER NOT NULL,
    newest_before_ns INTEGER NOT NULL,
    appended_ns INTEGER NOT NULL,
    PRIMARY KEY (topic_id, offset)
) WITHOUT ROWID;
CREATE TABLE group_offsets (
    group_name TEXT NOT NULL,
    topic TEXT NOT NULL,
    next_offset INTEGER NOT NULL,
    PRIMARY KEY (group_name, topic)
) WITHOUT ROWID;
"""

_WAL_ATTEMPTS = 50
_WAL_PAUSE_S = 0.05
_ANOTHER = "move the file away: the next run begins another, with the archive's last day in it"


@contextmanager
def bus_errors(path: Path) -> Iterator[None]:
    """Turn what SQLite says about ``path`` into a BusError with a remedy."""
    try:
        yield
    except sqlite3.Error as error:
        text = str(error)
        if "not a database" in text or "malformed" in text:
            raise DamagedLogError(str(path), text, _ANOTHER) from error
        raise BusError(str(path), text, _remedy(text)) from error


def _remedy(text: str) -> str:
    if "locked" in text or "busy" in text:
        return "another process holds a long write; stop it or try again"
    if "full" in text:
        return "free some disk space"
    return "check that the directory exists, is writable and lies on a local disk"


def connect(path: Path, busy_timeout_s: float) -> sqlite3.Connection:
    """Open or create the log file.

    Raises
    ------
    BusError
        The directory can't be written, the file is no log, or its schema is of another version.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        reason = error.strerror or str(error)
        raise BusError(str(path.parent), reason, "choose a directory that can be written") from error
    with bus_errors(path):
        connection = sqlite3.connect(
            path, timeout=busy_timeout_s, isolation_level=None, check_same_thread=False, cached_statements=256
        )
    try:
        with bus_errors(path):
            _set_up(connection, path)
    except BaseException:
        connection.close()
        raise
    return connection


def _set_up(connection: sqlite3.Connection, path: Path) -> None:
    _check_identity(connection, path)
    _enter_wal(connection)
    # NORMAL: a commit is written, not synced. See EmbeddedLog for what that promises.
    connection.execute("PRAGMA synchronous=NORMAL")
    connection.execute("BEGIN IMMEDIATE")
    try:
        if _is_new(connection):
            for statement in _TABLES.split(";"):
                connection.execute(statement)
            connection.execute(f"PRAGMA application_id={APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version={SCHEMA_VERSION}")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:  # some errors make SQLite roll back itself
            connection.execute("ROLLBACK")
        raise
    _check_identity(connection, path)


def _enter_wal(connection: sqlite3.Connection) -> None:
    """Switch to WAL; SQLite doesn't wait for the busy timeout when several processes do so at once."""
    for attempt in range(_WAL_ATTEMPTS):
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or attempt == _WAL_ATTEMPTS - 1:
                raise
            time.sleep(_WAL_PAUSE_S)


def _is_new(connection: sqlite3.Connection) -> bool:
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    return bool(tables == 0)


def _check_identity(connection: sqlite3.Connection, path: Path) -> None:
    if _is_new(connection):
        return
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if application != APPLICATION_ID:
        raise BusError(str(path), "a SQLite file of another program", "point the data directory elsewhere")
    if version != SCHEMA_VERSION:
        reason = f"log schema {version}, this volspike reads {SCHEMA_VERSION}"
        raise BusError(str(path), reason, _ANOTHER)
