"""How long a product was recorded of late: breaks left out, other feeds and old days too."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from volspike.clock import Clock
from volspike.errors import ArchiveError
from volspike.recording import recent
from volspike.recording.archive import ArchiveWriter
from volspike.recording.frame import SegmentHeader
from volspike.recording.recent import RecentArchive, Recorded

NS = 1_000_000_000
HOUR_NS = 3_600 * NS
DAY_NS = 24 * HOUR_NS
BEGIN_NS = 1_900_000_800 * NS  # a full hour
Record = Callable[..., None]


@pytest.fixture
def record(tmp_path: Path, clock: Clock, make_header: Callable[[str], SegmentHeader]) -> Record:
    def session(
        name: str, *times_ns: int, products: tuple[str, ...] = ("A",), feed: str = "exchange"
    ) -> None:
        writer = ArchiveWriter(tmp_path, clock)
        writer.begin(msgspec.structs.replace(make_header(name), products=products, feed=feed))
        for at_ns in times_ns:
            writer.append(name, at_ns, b"{}")
        writer.close()

    return session


def test_gaps_other_feeds_and_old_days_do_not_count(record: Record, tmp_path: Path) -> None:
    record("old", BEGIN_NS - 9 * DAY_NS, BEGIN_NS - 9 * DAY_NS + 600 * NS)
    record("one", BEGIN_NS, BEGIN_NS + 600 * NS)
    record("two", BEGIN_NS + 5 * HOUR_NS, BEGIN_NS + 5 * HOUR_NS + 60 * NS, products=("A", "B"))
    record("other", BEGIN_NS + 6 * HOUR_NS, BEGIN_NS + 7 * HOUR_NS, feed="advanced")
    until_ns = BEGIN_NS + 5 * HOUR_NS + 60 * NS
    expected = {"A": Recorded(until_ns, 660 * NS), "B": Recorded(until_ns, 60 * NS)}
    assert RecentArchive(tmp_path, "exchange", 7.0).look() == expected
    assert RecentArchive(tmp_path, "exchange", 30.0).look()["A"].length_ns == 1_260 * NS
    assert RecentArchive(tmp_path, "candles", 7.0).look() == {}


def test_a_look_again_reads_only_what_is_new(
    record: Record, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record("one", BEGIN_NS, BEGIN_NS + 600 * NS)
    archive = RecentArchive(tmp_path, "exchange", 7.0)
    archive.look()
    record("two", BEGIN_NS + HOUR_NS, BEGIN_NS + HOUR_NS + 60 * NS)
    read: list[Path] = []
    real = recent.look_at_segment

    def look(path: Path) -> object:
        read.append(path)
        return real(path)

    monkeypatch.setattr(recent, "look_at_segment", look)
    assert archive.look()["A"].length_ns == 660 * NS
    assert ["two" in path.name for path in read] == [True]


def test_without_an_archive_nothing_is_recorded(tmp_path: Path) -> None:
    assert RecentArchive(tmp_path, "exchange", 7.0).look() == {}


def test_a_segment_that_can_not_be_read_is_named(
    record: Record, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record("one", BEGIN_NS, BEGIN_NS + 600 * NS)

    def refuse(_path: Path) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(recent, "look_at_segment", refuse)
    with pytest.raises(ArchiveError, match=r"one\.ndjson.*Input/output error"):
        RecentArchive(tmp_path, "exchange", 7.0).look()
