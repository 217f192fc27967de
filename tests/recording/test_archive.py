"""The writer: nothing acknowledged is lost, failures are told once, and renames are durable."""

from __future__ import annotations

import errno
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from volspike.clock import Clock, SystemClock
from volspike.errors import ArchiveError
from volspike.recording.archive import ArchiveWriter
from volspike.recording.file_system import OsFileSystem
from volspike.recording.frame import Frame, SegmentHeader
from volspike.recording.layout import HOUR_NS
from volspike.recording.reader import Archive

Header = Callable[[str], SegmentHeader]
NEVER_S = 3600.0


def frames_of(root: Path) -> list[Frame]:
    archive = Archive(root)
    found = [frame for session in archive.sessions() for frame in archive.frames(session)]
    assert archive.corrupt == 0
    return found


@settings(max_examples=25, deadline=None)
@given(raws=st.lists(st.binary(max_size=60), min_size=1, max_size=20))
def test_any_frames_come_back_in_order(
    tmp_path_factory: pytest.TempPathFactory, make_header: Header, raws: list[bytes]
) -> None:
    root = tmp_path_factory.mktemp("archive")
    writer = ArchiveWriter(root, SystemClock(), sync_every_s=NEVER_S)
    writer.begin(make_header("s"))
    seqs = [writer.append("s", 1_900_000_000_000_000_000 + n, raw) for n, raw in enumerate(raws)]
    growing = frames_of(root)
    writer.close()
    assert seqs == list(range(1, len(raws) + 1))
    assert [frame.raw for frame in growing] == raws
    assert frames_of(root) == growing
    assert not list(root.glob("raw/*/*/*.ndjson"))


def test_invariant_03_every_frame_appended_is_in_the_archive_counted_from_outside(
    tmp_path: Path, clock: Clock, make_header: Header, start_ns: int
) -> None:
    writer = ArchiveWriter(tmp_path, clock)
    for session in ("a", "b"):
        writer.begin(make_header(session))
    for n in range(400):
        writer.append("ab"[n % 2], start_ns + n * HOUR_NS // 100, b'{"n":%d}' % n)
    writer.close()
    lines = 0
    for path in tmp_path.glob("raw/exchange/*/*.ndjson.zst"):
        text = subprocess.run(
            [sys.executable, "-c", _INDEPENDENT_READER, str(path)], check=True, capture_output=True
        )
        lines += text.stdout.count(b'"raw"')
    sessions = Archive(tmp_path).sessions()
    assert lines == 400 == sum(session.frames for session in sessions)
    assert max(session.last_seq for session in sessions) == 400
    assert sorted(frame.seq for frame in frames_of(tmp_path)) == list(range(1, 401))


_INDEPENDENT_READER = (
    "import sys, zstandard; sys.stdout.buffer.write("
    "zstandard.ZstdDecompressor().stream_reader(open(sys.argv[1], 'rb'), read_across_frames=True).read())"
)


def test_segments_rotate_by_the_hour_of_the_receive_time_and_never_back(
    tmp_path: Path, clock: Clock, make_header: Header, start_ns: int
) -> None:
    writer = ArchiveWriter(tmp_path, clock)
    writer.begin(make_header("s"))
    for offset in (0, HOUR_NS, HOUR_NS - 1, 24 * HOUR_NS):
        writer.append("s", start_ns + offset, b"x")
    writer.close()
    names = [str(path.relative_to(tmp_path / "raw")) for path in Archive(tmp_path).sessions()[0].paths]
    assert names == [
        "exchange/2030-03-17/17-s.ndjson.zst",
        "exchange/2030-03-17/18-s.ndjson.zst",
        "exchange/2030-03-18/17-s.ndjson.zst",
    ]
    assert [frame.seq for frame in frames_of(tmp_path)] == [1, 2, 3, 4]


def test_seq_goes_on_over_restarts_and_a_session_is_never_reused(
    tmp_path: Path, clock: Clock, make_header: Header, start_ns: int
) -> None:
    for start in range(3):
        writer = ArchiveWriter(tmp_path, clock)
        assert writer.last_seq == start
        writer.begin(make_header(f"s{start}"))
        assert writer.append(f"s{start}", start_ns, b"x") == start + 1
        writer.close()
    writer = ArchiveWriter(tmp_path, clock)
    with pytest.raises(ArchiveError, match="is in the archive already"):
        writer.begin(make_header("s1"))
    with pytest.raises(ArchiveError, match="is not open"):
        writer.append("s9", start_ns, b"x")
    writer.close()


def test_a_second_writer_is_told_who_holds_the_directory(tmp_path: Path, clock: Clock) -> None:
    writer = ArchiveWriter(tmp_path, clock)
    with pytest.raises(ArchiveError, match=f"process {os.getpid()}; stop that process"):
        ArchiveWriter(tmp_path, clock)
    writer.close()
    ArchiveWriter(tmp_path, clock).close()


def test_an_unusable_directory_is_told_in_one_line(tmp_path: Path, clock: Clock) -> None:
    (tmp_path / "file").write_text("no directory")
    with pytest.raises(ArchiveError, match="can't be written") as caught:
        ArchiveWriter(tmp_path / "file", clock)
    assert "\n" not in str(caught.value)


def test_a_closed_segment_is_fsynced_before_it_gets_its_name(
    tmp_path: Path, clock: Clock, make_header: Header, start_ns: int, scripted: Any
) -> None:
    writer = ArchiveWriter(tmp_path, clock, scripted, NEVER_S)
    writer.begin(make_header("s"))
    writer.append("s", start_ns, b"x")
    scripted.calls.clear()
    writer.close()
    order = [call for call in scripted.calls if call[0] != "write"]
    assert [call for call in order if call[0] == "fsync" and call[1] == "17-s.ndjson"]
    compression = order[order.index(("open", "17-s.ndjson.zst.tmp")) :]
    assert compression == [
        ("open", "17-s.ndjson.zst.tmp"),
        ("fsync", "17-s.ndjson.zst.tmp"),
        ("rename", "17-s.ndjson.zst"),
        ("fsync_directory", "2030-03-17"),
        ("unlink", "17-s.ndjson"),
    ]


def test_a_frame_is_written_before_append_returns(
    tmp_path: Path, clock: Clock, make_header: Header, start_ns: int
) -> None:
    writer = ArchiveWriter(tmp_path, clock, sync_every_s=NEVER_S)
    writer.begin(make_header("s"))
    segment = next(tmp_path.glob("raw/exchange/*/*.ndjson"))
    for n in range(3):
        writer.append("s", start_ns, b"frame %d" % n)
        assert segment.read_bytes().splitlines()[-1].endswith(b'"raw":"frame %d"}' % n)
    writer.close()


def test_fsync_follows_without_being_asked(
    tmp_path: Path, clock: Clock, make_header: Header, start_ns: int, scripted: Any
) -> None:
    writer = ArchiveWriter(tmp_path, clock, scripted, sync_every_s=0.01)
    writer.begin(make_header("s"))
    writer.append("s", start_ns, b"x")
    time.sleep(0.3)
    synced = scripted.count("fsync")
    writer.close()
    # Once for the line, never again while nothing new was written.
    assert synced in (1, 2)
    assert ("fsync_directory", "2030-03-17") in scripted.calls


@pytest.mark.parametrize(
    ("code", "remedy"),
    [(errno.ENOSPC, "free some space"), (errno.EROFS, "writable"), (errno.EIO, "check the disk")],
)
def test_a_failed_write_stops_the_archive_with_a_remedy(
    tmp_path: Path, clock: Clock, make_header: Header, start_ns: int, scripted: Any, code: int, remedy: str
) -> None:
    writer = ArchiveWriter(tmp_path, clock, scripted, NEVER_S)
    writer.begin(make_header("s"))
    writer.append("s", start_ns, b"x")
    scripted.fail["write"] = code
    with pytest.raises(ArchiveError, match=remedy):
        writer.append("s", start_ns, b"y")
    scripted.fail.clear()
    scripted.calls.clear()
    with pytest.raises(ArchiveError, match=remedy):
        writer.append("s", start_ns, b"z")
    writer.close()
    assert scripted.calls == []  # a stopped archive doesn't touch the disk again
    ArchiveWriter(tmp_path, clock).close()
    assert [frame.raw for frame in frames_of(tmp_path)] == [b"x"]


def test_a_disk_that_fills_up_in_mid_line_costs_only_that_line(
    tmp_path: Path, clock: Clock, make_header: Header, start_ns: int, filling: Any
) -> None:
    writer = ArchiveWriter(tmp_path, clock, filling, NEVER_S)
    writer.begin(make_header("s"))
    writer.append("s", start_ns, b"x")
    filling.room = 30
    with pytest.raises(ArchiveError, match="free some space"):
        writer.append("s", start_ns, b"y")
    writer.close()
    again = ArchiveWriter(tmp_path, clock)
    assert again.recovery.cut_bytes == 30
    assert again.last_seq == 1
    again.close()
    assert [frame.raw for frame in frames_of(tmp_path)] == [b"x"]


def test_a_failed_fsync_is_never_tried_again(
    tmp_path: Path, clock: Clock, make_header: Header, start_ns: int, scripted: Any
) -> None:
    writer = ArchiveWriter(tmp_path, clock, scripted, NEVER_S)
    writer.begin(make_header("s"))
    writer.append("s", start_ns, b"x")
    scripted.fail["fsync"] = errno.EIO
    with pytest.raises(ArchiveError, match="check the disk"):
        writer.sync()
    scripted.fail.clear()
    with pytest.raises(ArchiveError, match="check the disk"):
        writer.append("s", start_ns, b"y")
    with pytest.raises(ArchiveError, match="check the disk"):
        writer.sync()
    writer.close()
    assert scripted.count("fsync") == 1


def test_a_failed_compression_leaves_the_plain_segment_and_is_made_up_for(
    tmp_path: Path, clock: Clock, make_header: Header, start_ns: int, scripted: Any
) -> None:
    writer = ArchiveWriter(tmp_path, clock, scripted, NEVER_S)
    writer.begin(make_header("s"))
    writer.append("s", start_ns, b"x")
    scripted.fail["rename"] = errno.ENOSPC
    writer.close()
    assert [error.reason for error in writer.compression_failures] == [
        "can't be written (No space left on device)"
    ]
    assert [frame.raw for frame in frames_of(tmp_path)] == [b"x"]
    ArchiveWriter(tmp_path, clock).close()
    assert [path.name for path in tmp_path.glob("raw/exchange/*/*")] == ["17-s.ndjson.zst"]
    assert [frame.raw for frame in frames_of(tmp_path)] == [b"x"]


class FirstCloseFails(OsFileSystem):
    failed = False

    def close(self, descriptor: int) -> None:
        super().close(descriptor)
        if not self.failed:
            self.failed = True
            raise OSError(errno.EIO, os.strerror(errno.EIO))


def test_a_failed_close_costs_the_compression_of_that_segment_alone(
    tmp_path: Path, clock: Clock, make_header: Header, start_ns: int
) -> None:
    writer = ArchiveWriter(tmp_path, clock, FirstCloseFails(), NEVER_S)
    writer.begin(make_header("s"))
    for hour in range(2):
        writer.append("s", start_ns + hour * HOUR_NS, b"x")
    writer.close()
    assert len(writer.compression_failures) == 1
    names = sorted(path.name for path in tmp_path.glob("raw/exchange/*/*"))
    assert names == ["17-s.ndjson", "18-s.ndjson.zst"]
    assert [frame.raw for frame in frames_of(tmp_path)] == [b"x", b"x"]


_CHILD = """
import os, sys
from pathlib import Path
from volspike.clock import SystemClock
from volspike.recording.archive import ArchiveWriter
from volspike.recording.frame import SegmentHeader

root, session = Path(sys.argv[1]), sys.argv[2]
acknowledged = os.open(sys.argv[3], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
writer = ArchiveWriter(root, SystemClock())
header = SegmentHeader(feed="exchange", dialect="exchange", session=session, products=(), heartbeats=True)
writer.begin(header)
for n in range(1_000_000):
    # A new hour every 50 frames, so that the kill meets rotations and compressions too.
    raw = b"%s %d" % (session.encode(), n)
    seq = writer.append(session, 1_900_000_000_000_000_000 + n * 72_000_000_000, raw)
    os.write(acknowledged, b"%d %s\\n" % (seq, raw))
"""


def test_invariant_06_kill_9_at_any_point_loses_nothing_acknowledged(tmp_path: Path, clock: Clock) -> None:
    rng = random.Random(6)
    acknowledged = tmp_path / "acknowledged"
    acknowledged.touch()
    for session in ("s1", "s2", "s3", "s4"):
        enough = acknowledged.stat().st_size + rng.randrange(1, 40_000)
        command = [sys.executable, "-c", _CHILD, str(tmp_path), session, str(acknowledged)]
        with subprocess.Popen(command) as child:
            while acknowledged.stat().st_size < enough and child.poll() is None:
                time.sleep(0.001)
            child.send_signal(signal.SIGKILL)
        assert child.returncode == -signal.SIGKILL
    writer = ArchiveWriter(tmp_path, clock)
    writer.close()
    assert writer.recovery.bad_lines == 0
    present = {frame.seq: frame.raw for frame in frames_of(tmp_path)}
    lines = acknowledged.read_bytes().splitlines()
    assert len(lines) > 1000
    for line in lines:
        seq, _, raw = line.partition(b" ")
        assert present[int(seq)] == raw
    assert sorted(present) == list(range(1, len(present) + 1))
    assert len(present) <= len(lines) + 4  # at most one unacknowledged frame a kill
