"""What ``scale`` finds when all is over: bytes on disk and on the wire, and whether anything is amiss."""

from __future__ import annotations

import time
import zlib
from collections import Counter, defaultdict
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from volspike.bus.port import Log
from volspike.bus.topics import TICKS
from volspike.exchange.products import PriceScales
from volspike.pipeline.archive_past import ArchivePast
from volspike.pipeline.home import Home
from volspike.pipeline.row_comparison import FAULTS, compare_rows
from volspike.pipeline.stage_report import topic_records
from volspike.recording.compression import open_text
from volspike.recording.layout import raw_directory, segments
from volspike.recording.reader import Archive

_EVER = 1 << 62
_BLOCK = 1 << 20
_SAMPLED_FRAMES = 20_000
_WINDOW_BITS = -15
_SYNC_TAIL = 4  # bytes that permessage-deflate leaves out of each message
_FRAME_HEADER = 4  # of a WebSocket message of 126 to 65,535 bytes


class TopicSize(NamedTuple):
    """A topic: records, offsets (marks of transactions among them), bytes of its log files."""

    records: int
    offsets: int
    log_bytes: int


def topic_sizes(log: Log, data: Path) -> dict[str, TopicSize]:
    """Return the size of each topic that holds anything.

    Parameters
    ----------
    data : Path
        The broker's log directory.
    """
    found = {}
    for topic in log.topics():
        offsets = sum(log.end_offset(topic, number) for number in range(log.partitions(topic)))
        if offsets and not topic.startswith("__"):
            held = sum(file.stat().st_size for file in data.glob(f"{topic}-[0-9]*/*.log"))
            found[topic] = TopicSize(sum(1 for _ in topic_records(log, topic)), offsets, held)
    return found


class ArchiveSize(NamedTuple):
    """The closed archive: frames, segments, bytes as lines, bytes on disk, and of the frames themselves."""

    frames: int
    segments: int
    plain_bytes: int
    closed_bytes: int
    frame_bytes: float
    deflated_bytes: float


def archive_size(root: Path) -> ArchiveSize:
    """Return what the archive takes; the bytes of a frame are those of the first ones, mean of each."""
    archive = Archive(root)
    paths = list(segments(raw_directory(root)))
    plain = sum(sum(map(len, _blocks(path))) for path in paths)
    sessions = archive.sessions()
    sample = list(islice((frame.raw for frame in archive.frames(sessions[0])), _SAMPLED_FRAMES))
    packer = zlib.compressobj(wbits=_WINDOW_BITS)
    deflated = sum(len(packer.compress(raw) + packer.flush(zlib.Z_SYNC_FLUSH)) - _SYNC_TAIL for raw in sample)
    return ArchiveSize(
        sum(session.frames for session in sessions),
        len(paths),
        plain,
        sum(path.stat().st_size for path in paths),
        _FRAME_HEADER + sum(map(len, sample)) / len(sample),
        _FRAME_HEADER + deflated / len(sample),
    )


def _blocks(path: Path) -> Iterator[bytes]:
    with open_text(path) as text:
        while block := text.read(_BLOCK):
            yield block


def amiss(log: Log, home: Home) -> dict[str, int]:
    """Hold the topics to the archive, byte by byte; return what differs, by kind, and how much was held.

    Returns
    -------
    dict
        ``ticks`` and ``rows`` held; ``ticks_different`` and what ``compare_rows`` counts of rows.
    """
    scales = PriceScales()
    there: dict[str, list[bytes]] = defaultdict(list)
    for record in topic_records(log, TICKS.name):
        there[record.key].append(record.value)
    expected: dict[str, list[bytes]] = defaultdict(list)
    for made in ArchivePast(Archive(home.root), scales, 0).unpublished(_EVER):
        for topic, event in made.records:
            if topic is TICKS:
                expected[topic.key(event)].append(TICKS.encode(event))
    different = Counter(name for name in there.keys() | expected.keys() if there[name] != expected[name])
    rows = compare_rows(log, "", home, scales, "core").counts
    return {
        "ticks": sum(map(len, there.values())),
        "ticks_different": different.total(),
        **{name: rows[name] for name in ("rows", *FAULTS)},
    }


def seconds_to_read_past(root: Path) -> float:
    """Return how long an ingest takes to read back the archive, before it connects, when all is published."""
    archive = Archive(root)
    newest = max(session.last_seq for session in archive.sessions())
    taken = []
    for _ in range(2):  # the first loads compiled code
        started_s = time.perf_counter()
        ArchivePast(archive, PriceScales(), newest).read()
        taken.append(time.perf_counter() - started_s)
    return taken[-1]
