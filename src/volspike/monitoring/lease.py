"""One at a time: a lock file that names its owner and expires, so that a dead owner blocks nobody for long.

An owner on this machine that is dead, or is another process by now, holds nothing. One of another machine,
on a shared disk, holds until its lease has expired.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from volspike.clock import Clock
from volspike.errors import BusyError, ModelError
from volspike.models.shelf import replace_file
from volspike.recording.lock import held

# States of a process that is dead, and that its parent has not asked after yet.
_GONE = frozenset("ZXx")


class Owner(msgspec.Struct, frozen=True):
    """Who holds a lease: process, what tells it from another of the same number, and until when (ns UTC)."""

    host: str
    pid: int
    started: str
    until_ns: int


@contextmanager
def lease(path: Path, what: str, length_s: float, clock: Clock) -> Iterator[None]:
    """Hold a lease for as long as the block runs.

    Parameters
    ----------
    path : Path
        The lock file.
    what : str
        What it guards, in words.
    length_s : float
        Seconds after which it expires; the work must be over by then.
    clock : Clock
        Of the wall.

    Raises
    ------
    BusyError
        When somebody else holds it.
    ModelError
        When the file can't be written.
    """
    until_ns = clock.market_ns() + round(length_s * 1e9)
    own = Owner(socket.gethostname(), os.getpid(), _started(os.getpid()), until_ns)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with held(_guard(path)):
            holder = _read(path)
            if holder is not None and _holds(holder, clock.market_ns()):
                reason = f"process {holder.pid} on {holder.host} is at it"
                raise BusyError(what, reason, f"wait for it; else remove {path}")
            replace_file(path, msgspec.json.encode(own))
    except OSError as error:
        remedy = "check space and permissions of the data directory"
        raise ModelError(str(path), f"can't be written ({error.strerror})", remedy) from error
    try:
        yield
    finally:
        with held(_guard(path)):
            if _read(path) == own:
                path.unlink(missing_ok=True)


def _holds(holder: Owner, now_ns: int) -> bool:
    if holder.until_ns <= now_ns:
        return False
    return holder.host != socket.gethostname() or _started(holder.pid) == holder.started != ""


def _started(pid: int) -> str:
    """Return what tells a process from another of the same number: its start time; empty if it is gone.

    Where the system does not tell, a process that is there counts as the one that took the lease.
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
        state, *rest = stat.rpartition(")")[2].split()
        return "" if state in _GONE else rest[18]
    except FileNotFoundError:
        return "" if Path("/proc").is_dir() or not _is_there(pid) else "there"
    except OSError:
        return ""


def _is_there(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _read(path: Path) -> Owner | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=Owner)
    except (FileNotFoundError, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def _guard(path: Path) -> Path:
    return path.with_name(path.name + ".guard")
