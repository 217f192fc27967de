"""The fast way through an archive gives what the plain one gives, to the bit: rows, marks, gaps, accounts."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from volspike.exchange.items import Decoded
from volspike.exchange.products import PriceScales
from volspike.features.admission import Admitted
from volspike.features.columns import FeatureSet
from volspike.features.sets import get_feature_set
from volspike.features.table import ROW_COLUMNS, FeatureTable
from volspike.pipeline.home import Home
from volspike.pipeline.ingest import Ingest
from volspike.pipeline.replay import quick_tables, replay_features, replay_tables
from volspike.pipeline.verify import verify_features
from volspike.recording.archive import ArchiveWriter
from volspike.recording.compression import read_blocks
from volspike.recording.frame import Frame, SegmentHeader
from volspike.recording.importer import import_recordings
from volspike.recording.reader import SPARE_BYTES, Archive, LineBlock, SessionInfo
from volspike.recording.sniff import ImportOptions
from volspike.simulation.advanced_voice import AdvancedVoice
from volspike.simulation.board import Board
from volspike.simulation.market import MarketBreak, MarketTick
from volspike.simulation.scripted import exchange_frames
from volspike.simulation.synthetic import SyntheticMarket
from volspike.testing.manual_clock import ManualClock

SECOND = 1_000_000_000
START_NS = 1_900_000_000 * SECOND
PRODUCTS = ("BTC-USD", "ETH-USD")
SCALES = PriceScales()
SIZED, TRADE = SETS = [get_feature_set(name) for name in ("core-sized", "trade")]

Frames = list[tuple[int, bytes]]


class CountingIngest(Ingest):
    """Counts the frames that went the plain way."""

    taken = 0

    def take(self, frame: Frame) -> tuple[Decoded, list[Admitted]]:
        self.taken += 1
        return super().take(frame)


class PiecemealArchive(Archive):
    """Gives its lines in blocks of a few."""

    def chunks(self, session: SessionInfo) -> Iterator[LineBlock]:
        for block in super().chunks(session):
            lines = block.text[block.start : block.stop].split(b"\n")
            for start in range(0, len(lines), 3):
                few = b"".join(line + b"\n" for line in lines[start : start + 3] if line)
                yield LineBlock(bytearray(few + bytes(SPARE_BYTES)), 0, len(few))


def header(dialect: str, session: str = "s-1", **changes: object) -> SegmentHeader:
    fields = {"feed": dialect, "dialect": dialect, "session": session, "products": PRODUCTS}
    return SegmentHeader(**{"heartbeats": True, "origin": "import", **fields, **changes})  # type: ignore[arg-type]


def archive(root: Path, sessions: Sequence[tuple[SegmentHeader, Frames]]) -> Path:
    writer = ArchiveWriter(root, ManualClock(START_NS))
    with writer.stage() as staging:
        for head, frames in sessions:
            staging.begin(head)
            for receive_ns, raw in frames:
                staging.append(head.session, receive_ns, raw)
            staging.end(head.session)
    writer.close()
    return root


def exchange_stream(seed: int, seconds: int, activity: float = 1.0) -> Frames:
    market = SyntheticMarket(seed, PRODUCTS, START_NS, activity=activity)
    return list(exchange_frames(market, seed, START_NS + seconds * SECOND))


def advanced_stream(seed: int, seconds: int) -> Frames:
    """One connection's frames: heartbeats, and one frame a sweep, of up to dozens of rows."""
    board = Board(seed)
    voice = AdvancedVoice(board, PRODUCTS, START_NS - 500 * SECOND, random.Random(seed))
    frames: Frames = []
    beat_ns = START_NS
    for event in SyntheticMarket(seed, PRODUCTS, START_NS, duration_s=seconds).events():
        if isinstance(event, MarketBreak):
            for tick in event.opening:
                board.record(tick)
            for message in (b'"ticker","product_ids":["BTC-USD","ETH-USD"]', b'"heartbeats"'):
                request = b'{"type":"subscribe","channel":%b}' % message
                frames += [(START_NS, raw) for _, raw in voice.receive(request, START_NS)]
    ticks = (event for event in SyntheticMarket(seed, PRODUCTS, START_NS, duration_s=seconds).events())
    for now_ns, sweep in groupby((e for e in ticks if isinstance(e, MarketTick)), key=lambda e: e.event_ns):
        while beat_ns <= now_ns:
            frames += [(beat_ns, raw) for _, raw in voice.heartbeat(beat_ns)]
            beat_ns += SECOND
        published = board.publish(list(sweep), {"advanced"})
        frames += [(now_ns + 1_000_000, raw) for _, raw in voice.ticker(published)]
    return frames


def by_kind(tables: Iterator[FeatureTable]) -> dict[tuple[str, str, str], FeatureTable]:
    groups: dict[tuple[str, str, str], list[FeatureTable]] = {}
    for table in tables:
        groups.setdefault((table.product, table.feed, table.event_time_source), []).append(table)
    return {kind: FeatureTable.concat(group) for kind, group in groups.items()}


def check_equal(root: Path, reader: type[Archive] = Archive, features: FeatureSet = SIZED) -> CountingIngest:
    """Replay both ways and compare; return the fast way's ingest."""
    plain_archive, fast_archive = Archive(root), reader(root)
    plain, fast = Ingest(SCALES, scanning=False), CountingIngest(SCALES)
    told: list[int] = []
    expected = by_kind(replay_tables(plain_archive, plain, features, lambda frames: None))
    found = by_kind(quick_tables(fast_archive, fast, features, SCALES, told.append))
    assert found.keys() == expected.keys()
    for kind, table in expected.items():
        for name in ROW_COLUMNS:
            np.testing.assert_array_equal(getattr(found[kind], name), getattr(table, name), err_msg=name)
        np.testing.assert_array_equal(found[kind].values.view(np.int64), table.values.view(np.int64))
    assert fast.accounting == plain.accounting
    assert fast_archive.corrupt == plain_archive.corrupt
    assert sum(told) == fast.accounting.frames
    return fast


@pytest.mark.parametrize("reader", [Archive, PiecemealArchive])
def test_exchange_frames_of_two_products(tmp_path: Path, reader: type[Archive]) -> None:
    root = archive(tmp_path, [(header("exchange"), exchange_stream(3, 900))])
    check_equal(root, reader, TRADE)
    fast = check_equal(root, reader)
    assert fast.accounting.ticks > 3000
    assert fast.accounting.marks > 50
    if reader is Archive:
        assert fast.taken < 20


def test_advanced_frames_with_sweeps_of_many_rows(tmp_path: Path) -> None:
    root = archive(tmp_path, [(header("advanced"), advanced_stream(5, 1500))])
    check_equal(root, features=TRADE)
    fast = check_equal(root)
    assert fast.accounting.items > fast.accounting.frames
    assert fast.accounting.marks > 50
    assert fast.taken < fast.accounting.frames / 20


def test_sessions_breaks_and_both_feeds_follow_each_other(tmp_path: Path) -> None:
    frames = exchange_stream(7, 240)
    later = [(at + 600 * SECOND, raw.replace(b"2030-03-17T17:4", b"2030-03-17T17:5")) for at, raw in frames]
    sessions = [
        (header("exchange", "a"), frames[:700]),
        (header("exchange", "b"), frames[650:900] + frames[950:]),
        (header("advanced", "c"), advanced_stream(8, 120)),
        (header("exchange", "d", products=("BTC-USD",), heartbeats=False), later),
        (header("exchange", "e", products=()), later),
        (header("exchange", "f", products=("BTC-USD", "no product")), later),
    ]
    assert check_equal(archive(tmp_path, sessions)).accounting.gaps > 1


def test_more_rows_than_a_table_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("volspike.pipeline.batch.BATCH_ROWS", 500)
    root = archive(tmp_path, [(header("exchange"), exchange_stream(4, 600))])
    for features in SETS:
        check_equal(root, features=features)


def test_a_bad_row_behind_good_ones_of_its_frame(tmp_path: Path) -> None:
    frames = advanced_stream(5, 300)
    pattern = rb'("best_bid":")([0-9.]+)(".*?"best_ask":")([0-9.]+)("[^}]*}\]}\]}$)'
    sweeps = [i for i, (_, raw) in enumerate(frames) if raw.count(b'best_bid"') > 3]
    for i in sweeps[::3]:
        head, last, rest = frames[i][1].rpartition(b'{"type":"ticker"')
        frames[i] = (frames[i][0], head + last + re.sub(pattern, rb"\g<1>9\2\g<3>9\4\5", rest))
    fast = check_equal(archive(tmp_path, [(header("advanced"), frames)]))
    assert fast.accounting.dead["jump"] == len(sweeps[::3]) > 3


def dropped_beats(frames: Frames, rng: random.Random) -> Frames:
    start = rng.randrange(len(frames))
    gone = range(start, start + 200)
    return [each for i, each in enumerate(frames) if i not in gone or b"heartbeat" not in each[1]]


def duplicated(frames: Frames, rng: random.Random) -> Frames:
    at = rng.randrange(len(frames))
    return frames[:at] + frames[max(0, at - 3) :]


def lost(frames: Frames, rng: random.Random) -> Frames:
    at = rng.randrange(len(frames))
    return frames[:at] + frames[at + rng.randrange(1, 60) :]


def swapped(frames: Frames, rng: random.Random) -> Frames:
    at = rng.randrange(1, len(frames))
    return [*frames[: at - 1], frames[at], frames[at - 1], *frames[at + 1 :]]


def jumped(frames: Frames, rng: random.Random) -> Frames:
    """Multiply the quotes by ten, once, a few times, or for good."""
    at = rng.randrange(len(frames))
    stop = at + rng.choice((1, 4, 10**9))
    pattern, tenfold = rb'("best_(?:bid|ask)":")([0-9]+)', rb"\g<1>1\g<2>"
    return [
        (ns, re.sub(pattern, tenfold, raw) if at <= i < stop else raw) for i, (ns, raw) in enumerate(frames)
    ]


def mistimed(frames: Frames, rng: random.Random) -> Frames:
    at = rng.randrange(len(frames))
    shift = rng.choice((-90_000, -31, 31, 90_000)) * SECOND
    return [(ns + shift if at <= i < at + 5 else ns, raw) for i, (ns, raw) in enumerate(frames)]


def slow_clock(frames: Frames, rng: random.Random) -> Frames:
    """From some frame on our clock is behind; at 0 from the start."""
    at, behind_s = rng.choice((0, rng.randrange(len(frames)))), rng.choice((29, 31, 45, 4000))
    return [(ns - behind_s * SECOND if i >= at else ns, raw) for i, (ns, raw) in enumerate(frames)]


def damaged(frames: Frames, rng: random.Random) -> Frames:
    changed = list(frames)
    for _ in range(5):
        at = rng.randrange(len(frames))
        ns, raw = changed[at]
        i = rng.randrange(len(raw))
        changed[at] = (
            ns,
            raw[:i] + bytes([rng.choice(b'0159.-"\\{},:xZ\xff\n ')]) + raw[i + rng.randrange(2) :],
        )
    return changed


def reshaped(frames: Frames, rng: random.Random) -> Frames:
    """From some frame on, write another field, spaces, or another order."""
    at = rng.randrange(len(frames))
    old, new = rng.choice(
        [
            (b'"type"', b'"new":[1,{"x":"y"}],"type"'),
            (b'":', b'": '),
            (b'"client_id":"",', b""),
            (b"USD", b"USDC"),
        ]
    )
    stop = at + rng.choice((1, 50))
    return [(ns, raw.replace(old, new) if at <= i < stop else raw) for i, (ns, raw) in enumerate(frames)]


FAULTS = (dropped_beats, duplicated, lost, swapped, jumped, mistimed, slow_clock, damaged, reshaped)
STREAMS = {"exchange": exchange_stream(11, 150), "advanced": advanced_stream(12, 240)}


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from(["exchange", "advanced"]),
    st.booleans(),
    st.lists(st.sampled_from(FAULTS), max_size=4),
    st.integers(0, 10**6),
    st.sampled_from(SETS),
)
def test_faults_are_answered_alike(
    tmp_path_factory: pytest.TempPathFactory,
    dialect: str,
    heartbeats: bool,
    faults: list[object],
    seed: int,
    features: FeatureSet,
) -> None:
    rng = random.Random(seed)
    frames = STREAMS[dialect]
    for fault in faults:
        frames = fault(frames, rng)  # type: ignore[operator]
    head = header(dialect, heartbeats=heartbeats)
    check_equal(archive(tmp_path_factory.mktemp("faults"), [(head, frames)]), features=features)


@pytest.mark.parametrize("dialect", ["exchange", "advanced"])
def test_a_slow_clock_costs_two_frames(tmp_path: Path, dialect: str) -> None:
    frames = [(ns - 45 * SECOND, raw) for ns, raw in STREAMS[dialect]]
    fast = check_equal(archive(tmp_path, [(header(dialect), frames)]))
    assert 2 <= fast.accounting.dead["time_future"] <= 20
    assert fast.accounting.ticks > 400


def test_damage_in_an_open_segment_is_counted_and_the_rest_is_fast(tmp_path: Path) -> None:
    root = archive(tmp_path, [(header("exchange"), exchange_stream(3, 60, activity=20.0))])
    (closed,) = root.glob("raw/*/*/*.zst")
    lines = b"".join(read_blocks(closed)).splitlines(keepends=True)
    closed.unlink()
    rng = random.Random(3)
    for at in rng.sample(range(10, len(lines) - 10), 20):
        i = rng.randrange(len(lines[at]))
        lines[at] = lines[at][:i] + bytes([lines[at][i] ^ 1 << rng.randrange(7)]) + lines[at][i + 1 :]
    torn = [b"\x00" * 50 + b"\n", b'{"recovered":{"cut_bytes":5,"bad_lines":1}}\n', lines[-1][:100]]
    closed.with_suffix("").write_bytes(b"".join([*lines, *torn]))
    fast = check_equal(root)
    assert fast.taken < 60 < fast.accounting.frames / 50
    reader = Archive(root)
    assert len(list(reader.frames(reader.sessions()[0]))) == fast.accounting.frames
    assert reader.corrupt > 20


@pytest.mark.parametrize("cut", [False, True], ids=["a flipped bit", "cut short"])
def test_a_damaged_segment_is_read_to_its_last_good_line(tmp_path: Path, cut: bool) -> None:
    root = archive(tmp_path, [(header("exchange"), exchange_stream(3, 60, activity=200.0))])
    (closed,) = root.glob("raw/*/*/*.zst")
    content = bytearray(closed.read_bytes())
    content[len(content) * 3 // 4] ^= 1
    closed.write_bytes(content[: len(content) * 3 // 4] if cut else content)
    fast = check_equal(root)
    assert fast.taken < fast.accounting.frames / 50 > 20


def test_a_damaged_header_is_a_damaged_line(tmp_path: Path) -> None:
    root = archive(tmp_path, [(header("exchange", origin="live"), exchange_stream(3, 60))])
    (closed,) = root.glob("raw/*/*/*.zst")
    text = b"".join(read_blocks(closed))
    closed.unlink()
    closed.with_suffix("").write_bytes(text.replace(b'"v":1', b'"v":2', 1))
    check_equal(root)
    reader = Archive(root)
    assert len(list(reader.frames(reader.sessions()[0]))) > 100
    assert reader.corrupt == 1


def test_replay_is_proved_by_verify(tmp_path: Path) -> None:
    home = Home(archive(tmp_path, [(header("exchange"), exchange_stream(9, 200))]))
    report = replay_features(home, SIZED, SCALES, lambda frames: None)
    proof = verify_features(home, SCALES, lambda frames: None)
    assert report["rows"] == proof["rows"] == proof["identical"] > 500
    assert proof["missing"] == proof["extra"] == proof["different"] == 0


@pytest.mark.shared
def test_recordings_give_the_same_rows(shared: Path, tmp_path: Path) -> None:
    ticks = shared / "data" / "ticks"
    paths = [
        ticks / "nov-2025-exchange-feed.ndjson.gz",
        ticks / "apr-2026-04T0319-btc-eth.ndjson.gz",
        ticks / "dec-2025" / "ticks_BTCUSD_20251206_062051.ndjson.gz",
    ]
    writer = ArchiveWriter(tmp_path, ManualClock(START_NS))
    import_recordings(paths, writer, ImportOptions(), SCALES)
    writer.close()
    fast = check_equal(tmp_path)
    assert fast.accounting.ticks - fast.taken > 5000
