"""Import: every shape, exact accounting, and nothing left behind by a failure."""

from __future__ import annotations

import gzip
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import zstandard

from volspike.clock import Clock
from volspike.errors import ImportFormatError
from volspike.exchange.products import PriceScales
from volspike.recording.archive import ArchiveWriter
from volspike.recording.frame import Frame, SegmentHeader
from volspike.recording.importer import ImportReport, import_recordings, read_recording
from volspike.recording.reader import Archive, SessionInfo
from volspike.recording.sniff import ImportOptions

ACK = '{"type":"subscriptions","channels":[{"name":"ticker","product_ids":["BTC-USD"]}]}'
ENVELOPE = (
    '{{"channel":"ticker","client_id":"","timestamp":"2031-05-17T09:12:{second:02d}.579902318Z","sequence_num":{n},'
    '"events":[{{"type":"update","tickers":[{{"type":"ticker","product_id":"ETH-USD","price":"3000.5",'
    '"best_bid":"3000.4","best_bid_quantity":"1","best_ask":"3000.6","best_ask_quantity":"2"}}]}}]}}'
)
BEATS = (
    '{{"channel":"heartbeats","timestamp":"2031-05-17T09:12:{second:02d}Z","sequence_num":{n},'
    '"events":[{{"current_time":"2031-05-17 09:12:45 +0000 UTC m=+1.5","heartbeat_counter":7}}]}}'
)


def ticker(second: int, trade_id: int) -> str:
    return (
        f'{{"type":"ticker","sequence":{trade_id * 7},"product_id":"BTC-USD","price":"61804.37",'
        '"best_bid":"61804.36","best_bid_size":"0.1","best_ask":"61804.37","best_ask_size":"0.2",'
        f'"time":"2031-05-17T09:12:{second:02d}.123456Z","trade_id":{trade_id},"last_size":"0.01"}}'
    )


class Desk:
    """Writes files, imports them and looks at what came of it."""

    def __init__(self, root: Path, clock: Clock) -> None:
        self.root = root
        self.writer = ArchiveWriter(root / "data", clock)

    def file(self, name: str, *lines: str) -> Path:
        path = self.root / name
        path.write_text("".join(line + "\n" for line in lines))
        return path

    def take(self, *paths: Path, **options: object) -> ImportReport:
        return import_recordings(paths, self.writer, ImportOptions(**options), PriceScales())  # type: ignore[arg-type]

    def sessions(self) -> list[SessionInfo]:
        return Archive(self.root / "data").sessions()

    def frames(self) -> list[Frame]:
        archive = Archive(self.root / "data")
        return [frame for session in archive.sessions() for frame in archive.frames(session)]

    def leftovers(self) -> list[str]:
        return sorted(path.name for path in (self.root / "data" / "raw").rglob("*") if path.is_file())


@pytest.fixture
def desk(tmp_path: Path, clock: Clock) -> Iterator[Desk]:
    desk = Desk(tmp_path, clock)
    yield desk
    desk.writer.close()


def test_raw_exchange_frames_are_split_into_sessions_at_each_later_ack(desk: Desk) -> None:
    lines = [ACK, ticker(1, 1), ticker(2, 2), ACK, ACK, ticker(30, 9)]
    report = desk.take(desk.file("a.ndjson", *lines))
    assert (report.lines, report.frames, report.sessions, report.products) == (6, 6, 2, ("BTC-USD",))
    assert report.first == "2031-05-17T09:12:01.123456Z"
    assert report.last == "2031-05-17T09:12:30.123456Z"
    assert [frame.raw.decode() for frame in desk.frames()] == lines
    assert [session.frames for session in desk.sessions()] == [3, 3]
    header = desk.sessions()[0].header
    assert (header.feed, header.dialect, header.origin, header.heartbeats) == (
        "exchange",
        "exchange",
        "import",
        False,
    )
    assert (header.source, header.event_time_source, header.products) == (
        "a.ndjson",
        "exchange",
        ("BTC-USD",),
    )
    # An ack has no time of its own: it takes that of the frame after it, or before it.
    first, *_ = (frame.receive_ns for frame in desk.frames())
    assert first == desk.frames()[1].receive_ns


@pytest.mark.parametrize("as_text", [True, False])
@pytest.mark.parametrize("key", ["raw", "message", "anything"])
def test_frames_nested_under_any_key_are_taken_verbatim(desk: Desk, key: str, as_text: bool) -> None:
    frame = ticker(5, 1).replace(',"price"', ' , "price"')
    inner = json.dumps(frame) if as_text else frame
    line = f'{{"ts": 1936775525.25, "meta": {{"host": "x"}}, "{key}" : {inner} }}'
    desk.take(desk.file("a.jsonl", line))
    assert [(found.receive_ns, found.raw.decode()) for found in desk.frames()] == [
        (1_936_775_525_250_000_000, frame)
    ]


@pytest.mark.parametrize(
    ("clock_text", "receive_ns"),
    [
        ('"received_at": "2031-05-17T09:12:05.5+00:00"', 5_500_000_000),
        ('"recv_ts": 1936775525500', None),
        ('"timestamp": "2031-05-17 05:12:05.5"', 5_500_000_000),
    ],
)
def test_the_recorders_clock_is_found_beside_a_frame_two_levels_down(
    desk: Desk, clock_text: str, receive_ns: int | None
) -> None:
    line = f'{{{clock_text}, "data": {{"ws": {ENVELOPE.format(second=4, n=0)}}}}}'
    desk.take(desk.file("a.json", line), zone="America/New_York")
    (frame,) = desk.frames()
    assert frame.raw.decode() == ENVELOPE.format(second=4, n=0)
    minute_ns = 1_936_775_520_000_000_000
    assert frame.receive_ns == (1_936_775_525_500_000_000 if receive_ns is None else minute_ns + receive_ns)


def test_advanced_trade_frames_split_where_the_counter_starts_again(desk: Desk) -> None:
    lines = [
        ENVELOPE.format(second=1, n=0),
        BEATS.format(second=2, n=1),
        ENVELOPE.format(second=3, n=2),
        ENVELOPE.format(second=20, n=0),
        ENVELOPE.format(second=21, n=7),
    ]
    report = desk.take(desk.file("a.ndjson", *lines))
    assert (report.sessions, report.products) == (2, ("ETH-USD",))
    first, second = (session.header for session in desk.sessions())
    assert (first.feed, first.dialect, first.heartbeats) == ("advanced", "advanced", True)
    assert not second.heartbeats


def test_heartbeats_of_a_recorder_that_left_out_a_channel_prove_nothing(desk: Desk) -> None:
    lines = [(BEATS if n % 2 else ENVELOPE).format(second=n, n=n * 3) for n in range(10)]
    desk.take(desk.file("a.ndjson", *lines))
    assert not desk.sessions()[0].header.heartbeats


FLAT = (
    '{"product_id":"BTC-USD","best_bid":"100.01","best_ask":"100.02",'
    '"timestamp":"2031-05-17T09:12:05.1234567Z"}'
)
BINANCE_LIKE = '{"s":"BTC-USD","b":"1.5","B":"3","a":1.6,"A":"4","T":0,"t":1936775525}'
CAMEL = '{"Symbol":"BTC/USD","bidPrice":1.5,"askPrice":1.6,"eventTime":1936775525123}'


@pytest.mark.parametrize(
    ("line", "feed", "source", "mapped"),
    [
        (FLAT, "flat", "exchange", "timestamp"),
        (FLAT.replace("}", ',"volume_24_h":"1"}'), "advanced", "exchange", "timestamp"),
        (FLAT.replace("}", ',"trade_id":1,"best_bid_size":"1"}'), "exchange", "exchange", "timestamp"),
        (FLAT.replace("4567Z", ""), "flat", "receive", "timestamp"),
        (FLAT.replace("4567Z", "456+00:00"), "flat", "receive", "timestamp"),
        (FLAT.replace("timestamp", "received_at"), "flat", "receive", "received_at"),
        (FLAT.replace("}", ',"time":"2031-05-17T09:12:04Z"}'), "flat", "exchange", "time"),
        (BINANCE_LIKE, "flat", "receive", "t"),
        (CAMEL, "flat", "exchange", "eventTime"),
        ('{"data":{"pair":"BTC-USD","bid":1.5,"ask":1.6},"ts":1936775525123456}', "flat", "receive", "ts"),
    ],
)
def test_flat_rows_under_usual_names(desk: Desk, line: str, feed: str, source: str, mapped: str) -> None:
    report = desk.take(desk.file("a.ndjson", line))
    header = desk.sessions()[0].header
    assert report.products == ("BTC-USD",)
    assert (header.dialect, header.feed, header.event_time_source) == ("flat", feed, source)
    assert header.mapping is not None
    assert header.mapping.time == mapped
    assert header.mapping.volume_24h == ("volume_24_h" if "volume_24_h" in line else "")
    assert [frame.raw.decode() for frame in desk.frames()] == [line]
    assert report.first.startswith("2031-05-17T09:12:0")


def test_the_exchange_clock_beats_the_recorders_unless_the_user_says_otherwise(desk: Desk) -> None:
    line = FLAT.replace("timestamp", "ws_timestamp").replace(
        "}", ',"received_at":"2031-05-17T09:12:09+00:00"}'
    )
    path = desk.file("a.ndjson", line)
    (header, frames), *_ = ((head, list(rest)) for head, rest in _read(path))
    assert header.mapping is not None
    assert (header.mapping.time, header.mapping.receive_time) == ("ws_timestamp", "received_at")
    assert frames[0][0] == 1_936_775_529_000_000_000
    (header, _), *_ = ((head, list(rest)) for head, rest in _read(path, time_source="receive"))
    assert header.mapping is not None
    assert (header.mapping.time, header.event_time_source) == ("received_at", "receive")


def _read(path: Path, **options: str) -> Iterator[tuple[SegmentHeader, Iterator[tuple[int, bytes]]]]:
    return read_recording(path, ImportOptions(**options), PriceScales())  # type: ignore[arg-type]


def test_a_ticker_row_without_its_envelope_gives_the_sizes_of_a_flat_row(desk: Desk) -> None:
    row = '{"type":"ticker","product_id":"BTC-USD","best_bid_quantity":"5","best_ask_quantity":"6"}'
    line = (
        '{"timestamp":"2031-05-17T09:12:05.123456","product_id":"BTC-USD",'
        f'"best_bid":"1","best_ask":"2","raw":{row}}}'
    )
    desk.take(desk.file("a.ndjson", line), zone="-05:00")
    header = desk.sessions()[0].header
    assert header.mapping is not None
    assert (header.mapping.bid, header.mapping.bid_size) == ("best_bid", "raw.best_bid_quantity")
    assert (header.feed, header.event_time_source, header.mapping.zone) == ("advanced", "receive", "-05:00")
    assert desk.frames()[0].receive_ns == 1_936_775_525_123_456_000 + 5 * 3_600_000_000_000


def test_unusual_names_are_mapped_by_the_user(desk: Desk) -> None:
    path = desk.file("a.ndjson", '{"x":{"hi":"2","lo":"1"},"when":1936775525}')
    with pytest.raises(ImportFormatError, match="--map bid=FIELD") as caught:
        desk.take(path)
    assert "its fields: when, x.hi, x.lo" in str(caught.value)
    report = desk.take(
        path, mapping={"bid": "x.lo", "ask": "x.hi", "time": "when"}, product="BTC-USD", feed="exchange"
    )
    assert (report.frames, report.products) == (1, ("BTC-USD",))
    assert desk.sessions()[0].header.feed == "exchange"


def test_csv_gzip_and_zstd_are_read(desk: Desk) -> None:
    rows = (
        'time,symbol,"bid",ask\n1936775525,BTC-USD,1.5,1.6\n'
        '1936775526,"BTC-USD",1.5,1.70000000000000001\n\nodd,row\n'
    )
    plain = desk.root / "a.csv"
    plain.write_text(rows)
    report = desk.take(plain)
    assert (report.lines, report.frames, report.blank, report.rejected) == (4, 2, 1, {"csv": 1})
    packed = desk.root / "b.csv.gz"
    packed.write_bytes(gzip.compress(rows.replace("1.6", "1.65").encode()))
    assert desk.take(packed).frames == 2
    zipped = desk.root / "c.ndjson.zst"
    zipped.write_bytes(
        zstandard.compress(ticker(1, 1).encode() + b"\n") + zstandard.compress(ticker(2, 2).encode())
    )
    assert desk.take(zipped).frames == 2


@pytest.mark.parametrize("odd", ["1936775526,BTC-USD\r,1.5,1.6", f'1936775526,"{"x" * 140_000}",1.5,1.6'])
def test_a_row_that_no_csv_reader_takes_is_rejected_alone(desk: Desk, odd: str) -> None:
    path = desk.root / "a.csv"
    good = "1936775525,BTC-USD,1.5,1.6\n"
    path.write_bytes(f"time,symbol,bid,ask\n{good}{odd}\n{good}".encode())
    report = desk.take(path)
    assert (report.frames, report.rejected) == (2, {"csv": 1})


def test_a_csv_whose_header_no_reader_takes_is_refused(desk: Desk) -> None:
    path = desk.root / "a.csv"
    path.write_bytes(b"time,symbol\r,bid,ask\n1936775525,BTC-USD,1.5,1.6\n")
    with pytest.raises(ImportFormatError, match="no field known as bid, ask, time, product"):
        desk.take(path)


def flat_at(*stamps: str) -> list[str]:
    return [FLAT.replace("2031-05-17T09:12:05", stamp) for stamp in stamps]


DAY = "2031-05-17T"


@pytest.mark.parametrize("place", range(4), ids=["first", "second", "third", "last but one"])
def test_a_line_with_a_date_far_ahead_is_kept_aside_and_what_follows_is_not_late(
    desk: Desk, place: int
) -> None:
    stamps = [f"{DAY}09:12:0{n}" for n in range(1, 6)]
    stamps.insert(place, "2031-06-17T09:12:01")
    report = desk.take(desk.file("a.ndjson", *flat_at(*stamps)))
    assert report.rejected == {"time_outlier": 1}
    assert (report.lines, report.frames) == (6, 5)
    assert report.last.startswith(f"{DAY}09:12:05")
    (side_file,) = desk.root.glob("data/raw/*/rejected-*.ndjson")
    assert json.loads(side_file.read_text())["line"] == place + 1


@pytest.mark.parametrize(
    "stamps",
    [
        [f"{DAY}09:12:01", f"{DAY}12:12:01", f"{DAY}12:12:02"],
        [f"{DAY}09:12:01", f"{DAY}10:12:01", f"{DAY}09:12:02"],
        [f"{DAY}09:12:01", f"{DAY}10:12:02", f"{DAY}09:12:02"],
        [f"{DAY}10:12:00", f"{DAY}10:12:01", f"{DAY}07:12:01", f"{DAY}07:12:02"],
        [f"{DAY}09:12:01", f"{DAY}19:12:01"],
    ],
    ids=["a pause", "an hour", "back by an hour", "one behind the other", "the last"],
)
def test_leaps_that_stay_are_taken(desk: Desk, stamps: list[str]) -> None:
    report = desk.take(desk.file("a.ndjson", *flat_at(*stamps)))
    assert (report.rejected, report.frames) == ({}, len(stamps))


@pytest.mark.parametrize("feed", ["../../evil", "Exchange", "x"])
def test_an_unknown_feed_is_refused_and_nothing_is_written(desk: Desk, feed: str) -> None:
    with pytest.raises(ImportFormatError, match="say one of exchange, advanced, flat"):
        desk.take(desk.file("a.ndjson", FLAT), feed=feed)
    assert desk.leftovers() == ["archive.lock"]


def test_folders_are_read_to_the_bottom_and_what_is_skipped_is_named(desk: Desk) -> None:
    folder = desk.root / "many"
    (folder / "2031" / "05").mkdir(parents=True)
    desk.file("many/a.ndjson", *flat_at(f"{DAY}09:12:01"))
    desk.file("many/2031/05/b.ndjson", *flat_at(f"{DAY}10:12:01"))
    desk.file("many/2031/notes.txt", "nothing")
    desk.file("many/c.parquet", "PAR1")
    report = desk.take(folder)
    assert (report.files, report.frames) == (2, 2)
    assert report.skipped == [str(folder / "2031" / "notes.txt"), str(folder / "c.parquet")]


def test_invariant_03_lines_that_do_not_parse_are_counted_and_kept(desk: Desk) -> None:
    lines = [
        FLAT,
        "",
        "not json",
        FLAT.replace("100.01", "200"),
        '{"a":1}',
        "  ",
        FLAT.replace("2031", "x"),
        FLAT,
    ]
    path = desk.file("a.ndjson", *lines)
    path.write_bytes(path.read_bytes() + b'{"cut":"\xff')
    report = desk.take(path)
    assert report.rejected == {"crossed": 1, "json": 2, "time": 1}
    assert report.lines == 9 == report.frames + report.blank + sum(report.rejected.values())
    assert report.frames == 3 == len(desk.frames())  # the row without a quote is well formed
    (side_file,) = desk.root.glob("data/raw/flat/rejected-*.ndjson")
    kept = [json.loads(line) for line in side_file.read_text().splitlines()]
    assert [(row["line"], row["reason"]) for row in kept] == [
        (3, "json"),
        (4, "crossed"),
        (7, "time"),
        (9, "json"),
    ]
    assert kept[0]["raw"] == "not json"
    assert kept[3]["raw_b64"] == "eyJjdXQiOiL/"


def test_files_are_imported_in_order_of_time_and_only_once(desk: Desk) -> None:
    late = desk.file("a.ndjson", ticker(40, 4))
    early = desk.file("b.ndjson", ticker(10, 1))
    middle = desk.file("c.ndjson", ticker(20, 2))
    told: list[int] = []
    report = import_recordings([late, early], desk.writer, ImportOptions(), PriceScales(), told.append)
    assert (report.files, report.already_imported, sum(told)) == (2, 0, 4)
    report = desk.take(early, middle, middle)
    assert (report.files, report.already_imported, report.frames) == (1, 2, 1)
    assert [session.header.source for session in desk.sessions()] == ["b.ndjson", "c.ndjson", "a.ndjson"]
    assert [frame.seq for frame in desk.frames()] == [1, 3, 2]
    report = desk.take(late)
    assert (report.files, report.already_imported, report.first) == (0, 1, "")


def test_a_directory_gives_the_recordings_in_it(desk: Desk) -> None:
    folder = desk.root / "in"
    folder.mkdir()
    desk.file("in/a.ndjson", ticker(1, 1))
    desk.file("in/b.ndjson", ticker(2, 2))
    desk.file("in/notes.txt", "no recording")
    assert desk.take(folder).files == 2
    with pytest.raises(ImportFormatError, match="holds no recording"):
        desk.take(desk.root / "data")


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("missing.ndjson", None, "does not exist"),
        ("a.ndjson", b"", "is empty"),
        ("a.ndjson", b"\n\n", "has no rows"),
        ("a.ndjson", b"\x00\x01\x02" * 100, "no field known as bid, ask, time, product"),
        ("a.ndjson", b'{"open":1,"high":2}\n', "--map bid=FIELD --map ask=FIELD"),
        ("a.ndjson", b'{"bid":1,"ask":2,"time":1936775525}\n', "--product NAME"),
        ("a.ndjson.gz", b'{"bid":1}\n', "is not gzip"),
        ("a.ndjson.gz", gzip.compress(FLAT.encode() * 500)[:-20], "damaged or cut short"),
        ("a.ndjson.zst", zstandard.compress(f"{FLAT}\n".encode() * 5000)[:-1], "damaged or cut short"),
        ("a.json", b"[{}]", "is one JSON array"),
        ("a.parquet", b"PAR1....", "is a Parquet table"),
        ("a.ndjson", ACK.encode(), "holds no usable quote"),
        ("a.ndjson", FLAT.replace("100.01", "200").encode(), "crossed 1"),
    ],
)
def test_bad_input_is_told_in_one_line_and_leaves_nothing(
    desk: Desk, name: str, content: bytes | None, reason: str
) -> None:
    good = desk.file("good.ndjson", ticker(1, 1))
    path = desk.root / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ImportFormatError) as caught:
        desk.take(good, path)
    message = str(caught.value)
    assert reason in message
    assert name in message
    assert "\n" not in message
    assert desk.leftovers() == ["archive.lock"]
    assert desk.writer.last_seq == 0


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"zone": "Nowhere"}, "--tz Nowhere"),
        ({"mapping": {"bids": "x"}}, "is no field"),
        ({"mapping": {"bid": "x.y"}}, "--map bid=x.y: names no field"),
        ({"mapping": {"time_unit": "min"}}, "is no unit"),
        ({"time_source": "moon"}, "say exchange or receive"),
    ],
)
def test_bad_options_are_told_with_a_remedy(desk: Desk, options: dict[str, object], reason: str) -> None:
    with pytest.raises(ImportFormatError, match=reason):
        desk.take(desk.file("a.ndjson", FLAT), **options)
    assert desk.leftovers() == ["archive.lock"]


def test_the_source_hash_is_that_of_the_file(desk: Desk) -> None:
    path = desk.file("a.ndjson", ticker(1, 1))
    desk.take(path)
    printed = subprocess.run(["sha256sum", str(path)], check=True, capture_output=True, text=True).stdout
    header = desk.sessions()[0].header
    assert header.source_sha256 == printed.split()[0]
    assert header.session == f"import-{header.source_sha256[:12]}-1"


def test_invariant_10_the_same_recordings_give_the_same_archive_bytes(tmp_path: Path, clock: Clock) -> None:
    contents = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        desk = Desk(tmp_path / name, clock)
        desk.take(desk.file("a.ndjson", ACK, *(ticker(n % 60, n) for n in range(500))))
        desk.writer.close()
        files = sorted((tmp_path / name / "data").rglob("*.zst"))
        contents.append([(path.relative_to(tmp_path / name), path.read_bytes()) for path in files])
    assert contents[0] == contents[1]
