"""The file-system port: the few calls of the archive whose order and failure matter."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
from pathlib import Path
from typing import Protocol

from volspike.errors import ArchiveError

_REMEDIES = {
    errno.ENOSPC: "free some space on the disk and restart, or choose another data directory",
    errno.EDQUOT: "free some of your quota and restart, or choose another data directory",
    errno.EROFS: "make the file system writable and restart, or choose another data directory",
    errno.EACCES: "make the directory writable, or choose another data directory",
    errno.EPERM: "make the directory writable, or choose another data directory",
    errno.EIO: "check the disk (its log names the fault), then restart on a sound one",
}


class FileSystem(Protocol):
    """What the archive asks of the operating system."""

    def open(self, path: Path, flags: int) -> int:
        """Open a file and return its descriptor."""

    def write(self, descriptor: int, data: bytes) -> int:
        """Write some of ``data`` to the page cache and return how many bytes were taken."""

    def fsync(self, descriptor: int) -> None:
        """Force a file to the disk."""

    def close(self, descriptor: int) -> None:
        """Close a descriptor."""

    def rename(self, source: Path, target: Path) -> None:
        """Replace ``target`` by ``source`` in one step."""

    def unlink(self, path: Path) -> None:
        """Remove a file."""

    def fsync_directory(self, path: Path) -> None:
        """Force a directory's entries to the disk."""


# os.write lets go of the interpreter lock, and a thread that is busy with the log gives it back a switch
# interval later: a hundred times what writing one frame to the page cache takes.
_SMALL_BYTES = 65_536
_write = ctypes.PyDLL(None).write
_write.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_size_t)
_write.restype = ctypes.c_ssize_t


class OsFileSystem:
    """The real one."""

    def open(self, path: Path, flags: int) -> int:
        """Open a file and return its descriptor."""
        return os.open(path, flags | os.O_CLOEXEC, 0o644)

    def write(self, descriptor: int, data: bytes) -> int:
        """Write some of ``data`` to the page cache and return how many bytes were taken."""
        if len(data) <= _SMALL_BYTES:
            taken: int = _write(descriptor, data, len(data))
            if taken >= 0:
                return taken
        return os.write(descriptor, data)  # after a failure it tries again, and raises what the system says

    def fsync(self, descriptor: int) -> None:
        """Force a file to the disk."""
        os.fsync(descriptor)

    def close(self, descriptor: int) -> None:
        """Close a descriptor."""
        os.close(descriptor)

    def rename(self, source: Path, target: Path) -> None:
        """Replace ``target`` by ``source`` in one step."""
        os.replace(source, target)

    def unlink(self, path: Path) -> None:
        """Remove a file."""
        path.unlink()

    def fsync_directory(self, path: Path) -> None:
        """Force a directory's entries to the disk."""
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def write_all(file_system: FileSystem, descriptor: int, data: bytes) -> None:
    """Write all of ``data``; a short write goes on, so that a full disk ends in its ``OSError``."""
    written = file_system.write(descriptor, data)
    while written < len(data):
        taken = file_system.write(descriptor, data[written:])
        if taken == 0:
            raise OSError(errno.EIO, "the system took no more bytes")
        written += taken


def write_durably(file_system: FileSystem, path: Path, data: bytes) -> None:
    """Create ``path`` with ``data`` under a temporary name, fsync, rename, fsync the directory."""
    temporary = path.with_name(path.name + ".tmp")
    descriptor = file_system.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    try:
        write_all(file_system, descriptor, data)
        file_system.fsync(descriptor)
    finally:
        file_system.close(descriptor)
    publish(file_system, temporary, path)


def publish(file_system: FileSystem, temporary: Path, path: Path) -> None:
    """Give a finished and fsynced file its name, durably."""
    file_system.rename(temporary, path)
    file_system.fsync_directory(path.parent)


def make_directory(file_system: FileSystem, path: Path) -> None:
    """Create a directory and its parents so that they survive a power loss."""
    missing = []
    while not path.is_dir():
        missing.append(path)
        path = path.parent
    for directory in reversed(missing):
        with contextlib.suppress(FileExistsError):
            directory.mkdir()
        file_system.fsync_directory(directory.parent)


def archive_error(path: Path, error: OSError) -> ArchiveError:
    """Tell an operating-system error as an `ArchiveError` with what to do about it."""
    code = error.errno if error.errno is not None else 0
    remedy = _REMEDIES.get(code, "see the reason given by the system, then restart")
    return ArchiveError(str(path), f"can't be written ({error.strerror or error})", remedy)
