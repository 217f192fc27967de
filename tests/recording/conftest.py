"""Fixtures of the archive's tests: a clock that stands, and a file system that tells or fails."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from volspike.recording.file_system import OsFileSystem
from volspike.recording.frame import SegmentHeader

START_NS = 1_900_000_000 * 1_000_000_000


class StandingClock:
    def market_ns(self) -> int:
        return START_NS

    def monotonic_ns(self) -> int:
        return 0


class ScriptedFileSystem(OsFileSystem):
    """Notes every call, and fails the ones it is told to."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, str]] = []
        self.fail: dict[str, int] = {}
        self._names: dict[int, str] = {}

    def _note(self, call: str, name: str) -> None:
        self.calls.append((call, name))
        if call in self.fail:
            raise OSError(self.fail[call], os.strerror(self.fail[call]))

    def open(self, path: Path, flags: int) -> int:
        self._note("open", path.name)
        descriptor = super().open(path, flags)
        self._names[descriptor] = path.name
        return descriptor

    def write(self, descriptor: int, data: bytes) -> int:
        self._note("write", self._names[descriptor])
        return super().write(descriptor, data)

    def fsync(self, descriptor: int) -> None:
        self._note("fsync", self._names[descriptor])
        super().fsync(descriptor)

    def rename(self, source: Path, target: Path) -> None:
        self._note("rename", target.name)
        super().rename(source, target)

    def unlink(self, path: Path) -> None:
        self._note("unlink", path.name)
        super().unlink(path)

    def fsync_directory(self, path: Path) -> None:
        self._note("fsync_directory", path.name)
        super().fsync_directory(path)

    def count(self, call: str) -> int:
        return sum(1 for name, _ in self.calls if name == call)


class FillingFileSystem(ScriptedFileSystem):
    """A disk that takes ``room`` more bytes: the last write comes back short, the next one fails."""

    room = 1 << 60

    def write(self, descriptor: int, data: bytes) -> int:
        if self.room == 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        taken = super().write(descriptor, data[: self.room])
        self.room -= taken
        return taken


@pytest.fixture
def start_ns() -> int:
    return START_NS


@pytest.fixture
def clock() -> StandingClock:
    return StandingClock()


@pytest.fixture
def scripted() -> ScriptedFileSystem:
    return ScriptedFileSystem()


@pytest.fixture
def filling() -> FillingFileSystem:
    return FillingFileSystem()


@pytest.fixture(scope="session")
def make_header() -> Callable[[str], SegmentHeader]:
    def make(session: str) -> SegmentHeader:
        return SegmentHeader(
            feed="exchange", dialect="exchange", session=session, products=("BTC-USD",), heartbeats=True
        )

    return make
