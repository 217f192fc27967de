"""Lock files: one writer per data directory, one process at a time at a small file."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from volspike.errors import ArchiveError, VolspikeError


def is_locked(path: Path) -> bool:
    """Tell whether a writer holds the lock; a file that is not there is not locked."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


@contextmanager
def held(path: Path, busy: VolspikeError | None = None) -> Iterator[None]:
    """Hold a lock file, made at need, while the block runs; a dead process holds nothing.

    Parameters
    ----------
    path : Path
        The file; its directory is made too.
    busy : VolspikeError, optional
        Raised where another process holds it; without one it is waited for.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o644)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX if busy is None else fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            assert busy is not None
            raise busy from None
        yield
    finally:
        os.close(descriptor)


class WriterLock:
    """Holds an advisory lock on a file; the system frees it when the process ends, however it ends.

    Raises
    ------
    ArchiveError
        If another writer holds it.
    OSError
        If the file can't be created.
    """

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = os.read(self._descriptor, 32).decode(errors="replace").strip()
            os.close(self._descriptor)
            raise ArchiveError(
                str(path.parent.parent),
                f"is being written by process {owner or 'unknown'}",
                "stop that process, or choose another data directory",
            ) from None
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, f"{os.getpid()}\n".encode(), 0)

    def release(self) -> None:
        """Let the next writer in."""
        os.close(self._descriptor)
