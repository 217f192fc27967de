"""After a crash or a fault of the disk: whole frames stay, damage moves aside, nothing else is touched."""

from __future__ import annotations

import errno
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from volspike.clock import Clock, SystemClock
from volspike.errors import ArchiveError
from volspike.recording.archive import ArchiveWriter
from volspike.recording.frame import SegmentHeader
from volspike.recording.reader import NO_END, Archive, LineBlock
from volspike.recording.segment import Recovered, encode_header, encode_line, encode_marker, frame_or_none

Header = Callable[[str], SegmentHeader]
NAME = "raw/exchange/2030-03-17/17-s.ndjson"
START_NS = 1_900_000_000_000_000_000


def raw_of(n: int) -> bytes:
    return b'{"type":"ticker","product_id":"BTC-USD","n":%d,"text":"quote \\"%d\\""}' % (n, n)


def segment_lines(header: SegmentHeader, frames: int) -> list[bytes]:
    lines = [encode_line(n, START_NS + n, "s", raw_of(n)) for n in range(1, frames + 1)]
    return [encode_header(header), *lines]


def leave_behind(root: Path, content: bytes) -> Path:
    path = root / NAME
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    return path


def text_of(block: LineBlock) -> bytes:
    return bytes(block.text[block.start : block.stop])


def lines_of(archive: Archive) -> bytes:
    return b"".join(text_of(block) for session in archive.sessions() for block in archive.chunks(session))


def recovered(root: Path) -> tuple[list[int], ArchiveWriter]:
    writer = ArchiveWriter(root, SystemClock())
    writer.close()
    archive = Archive(root)
    frames = [frame for session in archive.sessions() for frame in archive.frames(session)]
    assert archive.corrupt == 0
    assert all(frame.raw == raw_of(frame.seq) for frame in frames)
    assert not (root / NAME).exists()
    return [frame.seq for frame in frames], writer


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_a_truncated_segment_keeps_its_prefix(
    tmp_path_factory: pytest.TempPathFactory, make_header: Header, data: st.DataObject
) -> None:
    root = tmp_path_factory.mktemp("cut")
    lines = segment_lines(make_header("s"), 12)
    content = b"".join(lines)
    cut = data.draw(st.integers(0, len(content)))
    leave_behind(root, content[:cut])
    whole = content[:cut].count(b"\n")
    seqs, writer = recovered(root)
    assert seqs == list(range(1, whole)) if whole else seqs == []
    assert writer.recovery.cut_bytes == cut - sum(map(len, lines[:whole]))
    assert writer.recovery.bad_lines == 0
    assert writer.last_seq == max(seqs, default=0)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 7)), min_size=1, max_size=4))
def test_flipped_bits_cost_the_lines_they_hit_and_no_other(
    tmp_path_factory: pytest.TempPathFactory, make_header: Header, flips: list[tuple[int, int]]
) -> None:
    root = tmp_path_factory.mktemp("flip")
    lines = segment_lines(make_header("s"), 12)
    content = bytearray(b"".join(lines))
    for position, bit in flips:
        content[position % len(content)] ^= 1 << bit
    leave_behind(root, bytes(content))
    ends = [sum(map(len, lines[: n + 1])) for n in range(len(lines))]
    starts = [0, *ends]
    intact = [n for n in range(1, 13) if content[starts[n] : ends[n]] == lines[n]]
    seqs, writer = recovered(root)
    assert set(intact) <= set(seqs)
    assert seqs == sorted(seqs)
    # Whatever is missing lies in the side file or was cut as the torn tail.
    aside = root / (NAME + ".bad")
    kept = aside.read_bytes().count(b"\n") if aside.exists() else 0
    assert kept == writer.recovery.bad_lines
    assert len(seqs) + kept + (writer.recovery.cut_bytes > 0) >= 12


def test_damage_in_the_middle_moves_aside_and_what_follows_stays(tmp_path: Path, make_header: Header) -> None:
    lines = segment_lines(make_header("s"), 6)
    damaged = lines[3].replace(b"ticker", b"tickle")
    leave_behind(tmp_path, b"".join([*lines[:3], damaged, b"\x00" * 40 + b"\n", *lines[4:], b'{"seq":7,"re']))
    seqs, writer = recovered(tmp_path)
    assert seqs == [1, 2, 4, 5, 6]
    assert (tmp_path / (NAME + ".bad")).read_bytes() == damaged + b"\x00" * 40 + b"\n"
    report = writer.recovery
    assert (report.repaired, report.bad_lines, report.cut_bytes) == (1, 2, 12)
    marker = encode_marker(Recovered(cut_bytes=12, bad_lines=2))
    assert lines_of(Archive(tmp_path)) == b"".join([*lines[1:3], *lines[4:], marker])


def test_a_lost_header_is_made_anew_from_path_and_frames(tmp_path: Path, make_header: Header) -> None:
    lines = segment_lines(make_header("s"), 3)
    leave_behind(tmp_path, b"".join([lines[0].replace(b'"v":1', b'"v":2'), *lines[1:]]))
    seqs, writer = recovered(tmp_path)
    assert seqs == [1, 2, 3]
    assert writer.recovery.bad_lines == 1
    assert Archive(tmp_path).sessions()[0].header == make_header("s")


@pytest.mark.parametrize("content", [b"", b'{"header":{"feed', b"\x00" * 4096])
def test_a_segment_without_a_frame_leaves_nothing(tmp_path: Path, content: bytes) -> None:
    leave_behind(tmp_path, content)
    seqs, _ = recovered(tmp_path)
    assert seqs == []
    assert not list(tmp_path.glob("raw/exchange/*/*"))


def test_an_interrupted_compression_is_resolved_either_way(tmp_path: Path, make_header: Header) -> None:
    lines = segment_lines(make_header("s"), 5)
    plain = leave_behind(tmp_path, b"".join(lines))
    recovered(tmp_path)
    closed = tmp_path / (NAME + ".zst")
    whole = closed.read_bytes()
    for twin, leftover in ((whole, None), (whole[:-100], None), (None, b"half")):
        closed.unlink()
        plain.write_bytes(b"".join(lines))
        if twin is not None:
            closed.write_bytes(twin)
        if leftover is not None:
            (tmp_path / (NAME + ".zst.tmp")).write_bytes(leftover)
        assert recovered(tmp_path)[0] == [1, 2, 3, 4, 5]
        assert [path.name for path in plain.parent.iterdir()] == [closed.name]


def test_a_reader_passes_over_the_torn_tail_of_a_growing_segment(tmp_path: Path, make_header: Header) -> None:
    lines = segment_lines(make_header("s"), 3)
    leave_behind(tmp_path, b"".join(lines) + lines[-1][:20])
    archive = Archive(tmp_path)
    session = archive.sessions()[0]
    assert [frame.seq for frame in archive.frames(session)] == [1, 2, 3]
    assert archive.corrupt == 0
    assert lines_of(archive) == b"".join(lines[1:])


@pytest.mark.parametrize("tail", [b"", b"x" * 3_000_000 + b"\n", b"y\n" * 40_000, b'{"seq":4,"torn'])
def test_the_ends_of_an_open_segment_are_found_whatever_the_damage(
    tmp_path: Path, make_header: Header, tail: bytes
) -> None:
    lines = segment_lines(make_header("s"), 9)
    leave_behind(tmp_path, b"".join([lines[0], b"garbage\n", *lines[3:], lines[2][:-1] + lines[7], tail]))
    (session,) = Archive(tmp_path).sessions()
    frames = list(Archive(tmp_path).frames(session))
    assert (session.first_seq, session.last_seq) == (frames[0].seq, frames[-1].seq) == (3, 7)
    times = (session.first_receive_ns, session.last_receive_ns)
    assert times == (frames[0].receive_ns, frames[-1].receive_ns)


def test_an_open_segment_without_a_frame_is_no_session(tmp_path: Path, make_header: Header) -> None:
    path = leave_behind(tmp_path, encode_header(make_header("s")))
    assert Archive(tmp_path).sessions() == []
    path.write_bytes(b"")
    assert Archive(tmp_path).sessions() == []


def test_a_reader_counts_damage_and_goes_on(tmp_path: Path, make_header: Header) -> None:
    lines = segment_lines(make_header("s"), 3)
    leave_behind(tmp_path, b"".join([*lines[:2], b"garbage\n", *lines[2:]]))
    archive = Archive(tmp_path)
    assert [frame.seq for frame in archive.frames(archive.sessions()[0])] == [1, 2, 3]
    assert archive.corrupt == 1


FRAMES = 6000


def closed_segment(root: Path, clock: Clock, header: SegmentHeader, session: str = "s") -> Path:
    writer = ArchiveWriter(root, clock)
    writer.begin(header)
    rng = random.Random(1)
    for n in range(FRAMES):
        writer.append(session, START_NS + n, rng.randbytes(40))
    writer.close()
    (path,) = root.glob(f"raw/*/*/*{session}.ndjson.zst")
    return path


@pytest.mark.parametrize("cut", [False, True], ids=["a flipped bit", "cut short"])
def test_a_damaged_closed_segment_is_read_to_its_last_good_line_counted_and_told(
    tmp_path: Path, clock: Clock, make_header: Header, cut: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    closed = closed_segment(tmp_path, clock, make_header("s"))
    content = bytearray(closed.read_bytes())
    content[len(content) // 2] ^= 1
    closed.write_bytes(content[: len(content) // 2] if cut else content)
    archive = Archive(tmp_path)
    (session,) = archive.sessions()
    seqs = [frame.seq for frame in archive.frames(session)]
    assert 0 < len(seqs) < FRAMES
    assert seqs == sorted(set(seqs))
    assert archive.corrupt == (1 if cut else FRAMES - len(seqs))
    assert "damaged" in capsys.readouterr().err
    assert archive.seq_ranges() == [(1, NO_END if cut else FRAMES)]
    with pytest.raises(ArchiveError, match="damaged segment"):
        list(archive.chunks(session))
    assert ArchiveWriter(tmp_path, clock).close() is None


@pytest.mark.parametrize("position", range(1, 57, 5))
def test_a_flipped_bit_in_a_footer_changes_nothing(
    tmp_path: Path, clock: Clock, make_header: Header, position: int
) -> None:
    first = closed_segment(tmp_path, clock, make_header("s"))
    closed_segment(tmp_path, clock, make_header("t"), "t")
    whole = Archive(tmp_path).sessions()
    content = bytearray(first.read_bytes())
    for bit in (0, 6):
        content[-position] ^= 1 << bit
        first.write_bytes(content)
        assert Archive(tmp_path).sessions() == whole
        writer = ArchiveWriter(tmp_path, clock)
        assert writer.last_seq == 2 * FRAMES
        writer.close()
        content[-position] ^= 1 << bit


def test_a_segment_packed_again_by_another_tool_still_reads(tmp_path: Path, make_header: Header) -> None:
    import zstandard

    lines = segment_lines(make_header("s"), 4)
    path = leave_behind(tmp_path, b"")
    path.unlink()
    compressor = zstandard.ZstdCompressor()
    halves = (b"".join(lines[:2]), b"".join(lines[2:]))
    path.with_name("17-s.ndjson.zst").write_bytes(b"".join(map(compressor.compress, halves)))
    session = Archive(tmp_path).sessions()[0]
    assert (session.frames, session.first_seq, session.last_seq) == (4, 1, 4)
    assert lines_of(Archive(tmp_path)) == b"".join(lines[1:])


def test_an_import_cut_off_before_its_commit_is_gone_and_after_it_is_finished(
    tmp_path: Path, clock: Clock, make_header: Header
) -> None:
    writer = ArchiveWriter(tmp_path, clock)
    with writer.stage() as staging:
        staging.begin(make_header("s"))
        staging.append("s", START_NS, raw_of(1))
        staging.end("s")
        shutil.copytree(tmp_path / "raw/.staging", tmp_path / "copy")
    writer.close()
    shutil.rmtree(tmp_path / "raw/exchange")
    shutil.copytree(tmp_path / "copy", tmp_path / "raw/.staging")
    assert recovered(tmp_path)[0] == []
    assert not (tmp_path / "raw/.staging").exists()
    shutil.copytree(tmp_path / "copy", tmp_path / "raw/.commit")
    assert recovered(tmp_path)[0] == [1]
    assert not (tmp_path / "raw/.commit").exists()


def test_a_failed_import_leaves_nothing(tmp_path: Path, clock: Clock, make_header: Header) -> None:
    writer = ArchiveWriter(tmp_path, clock)

    def fail_half_way() -> None:
        with writer.stage() as staging:
            staging.begin(make_header("s"))
            staging.append("s", START_NS, raw_of(1))
            staging.add_line(Path("exchange/rejected-abc.ndjson"), b"{}")
            raise RuntimeError("the source went away")

    with pytest.raises(RuntimeError):
        fail_half_way()
    assert [path.name for path in (tmp_path / "raw").iterdir()] == ["archive.lock"]
    writer.begin(make_header("s"))
    assert writer.append("s", START_NS, raw_of(1)) == 1
    with pytest.raises(ArchiveError, match="open sessions"), writer.stage():
        pass
    writer.close()


def test_a_disk_that_fails_behind_the_commit_stops_the_archive_until_the_next_start(
    tmp_path: Path, clock: Clock, make_header: Header, scripted: Any
) -> None:
    writer = ArchiveWriter(tmp_path, clock, scripted)

    def fail_at_the_end() -> None:
        with writer.stage() as staging:
            staging.begin(make_header("s"))
            staging.append("s", START_NS, raw_of(1))
            staging.end("s")
            scripted.fail["fsync_directory"] = errno.EIO

    with pytest.raises(ArchiveError, match="check the disk"):
        fail_at_the_end()
    scripted.fail.clear()
    with pytest.raises(ArchiveError, match="check the disk"):
        writer.begin(make_header("t"))  # its frames would get the seq of the import's
    writer.close()
    assert recovered(tmp_path)[0] == [1]


def test_big_lines_and_many_lines_survive_in_blocks(tmp_path: Path, make_header: Header) -> None:
    header = make_header("s")
    lines = [
        encode_line(n, START_NS, "s", b"%d" % n * (3_000_000 if n == 5 else 40_000)) for n in range(1, 150)
    ]
    leave_behind(tmp_path, b"".join([encode_header(header), *lines]))
    for marker in (b"", encode_marker(Recovered(cut_bytes=0, bad_lines=0))):  # plain first, then closed
        archive = Archive(tmp_path)
        chunks = list(map(text_of, archive.chunks(archive.sessions()[0])))
        assert b"".join(chunks) == b"".join([*lines, marker])
        assert all(chunk.endswith(b"\n") for chunk in chunks)
        assert len(chunks) < 40
        held = [memoryview(block.text) for block in archive.chunks(archive.sessions()[0])]
        assert len(held) == len(chunks)
        ArchiveWriter(tmp_path, SystemClock()).close()
    assert all(frame_or_none(line) is not None for line in lines)
