"""Every development recording imports, and what comes out is what its README says."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from volspike.clock import SystemClock
from volspike.errors import ImportFormatError
from volspike.exchange.decimals import format_time_ns, parse_time_ns
from volspike.exchange.dialects import get_dialect
from volspike.exchange.items import Control, Quote
from volspike.exchange.products import PriceScales
from volspike.recording.archive import ArchiveWriter
from volspike.recording.flat import FlatDecoder
from volspike.recording.importer import ImportReport, import_recordings
from volspike.recording.reader import Archive, SessionInfo
from volspike.recording.sniff import ImportOptions

pytestmark = pytest.mark.shared

EASTERN = ("20251130_235611", "20251130_235646", "20251130_235720", "20251130_235939", "20251201_000100")


def quotes_of(archive: Archive, session: SessionInfo) -> Iterator[Quote | Control]:
    header = session.header
    decoder = (
        FlatDecoder(header.mapping, PriceScales())
        if header.mapping is not None
        else get_dialect(header.dialect).make_decoder(PriceScales())
    )
    for frame in archive.frames(session):
        for item in decoder.decode(frame.raw).items:
            assert isinstance(item, Quote | Control), item
            yield item


class Imported:
    """An archive with every recording in it."""

    def __init__(self, root: Path, ticks: Path) -> None:
        december = sorted((ticks / "dec-2025").glob("*.ndjson.gz"))
        eastern = [path for path in december if any(stamp in path.name for stamp in EASTERN)]
        utc = [path for path in december if path not in eastern]
        writer = ArchiveWriter(root, SystemClock())
        self.reports: dict[str, ImportReport] = {}
        for name, paths, zone in (
            ("eastern", eastern, "America/New_York"),
            ("december", utc, "UTC"),
            ("nov", [ticks / "nov-2025-exchange-feed.ndjson.gz"], "UTC"),
            ("apr-sized", [ticks / "apr-2026-04T0319-btc-eth.ndjson.gz"], "UTC"),
            ("apr", [ticks / "apr-2026-04T2254.ndjson.gz"], "UTC"),
        ):
            self.reports[name] = import_recordings(paths, writer, ImportOptions(zone=zone), PriceScales())
        writer.close()
        self.archive = Archive(root)
        self.sessions = self.archive.sessions()

    def of(self, source: str) -> list[SessionInfo]:
        return [session for session in self.sessions if source in session.header.source]


@pytest.fixture(scope="module")
def imported(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Imported:
    return Imported(tmp_path_factory.mktemp("shared"), shared / "data" / "ticks")


def test_every_row_of_every_recording_is_in_the_archive(imported: Imported) -> None:
    frames = {name: report.frames for name, report in imported.reports.items()}
    assert frames == {"eastern": 8161, "december": 65_502, "nov": 6000, "apr-sized": 2500, "apr": 10_881}
    assert all(not report.rejected and not report.blank for report in imported.reports.values())
    assert sum(session.frames for session in imported.sessions) == sum(frames.values())
    assert max(session.last_seq for session in imported.sessions) == sum(frames.values())
    assert sum(report.sessions for report in imported.reports.values()) == len(imported.sessions) == 38


def test_november_is_four_sessions_of_exchange_frames(imported: Imported) -> None:
    sessions = imported.of("nov-2025")
    kinds = Counter(type(item) for session in sessions for item in quotes_of(imported.archive, session))
    assert len(sessions) == 4
    assert kinds == {Quote: 5996, Control: 4}
    assert {session.header.dialect for session in sessions} == {"exchange"}
    starts = [
        next(item for item in quotes_of(imported.archive, session) if isinstance(item, Quote)).event_ns
        for session in sessions
    ]
    assert [format_time_ns(start)[:16] for start in starts] == [
        "2025-11-12T07:20",
        "2025-11-13T18:36",
        "2025-11-13T23:59",
        "2025-11-14T00:53",
    ]
    trade_ids = [
        item.trade_id for item in quotes_of(imported.archive, sessions[3]) if isinstance(item, Quote)
    ]
    assert trade_ids == list(range(trade_ids[0], trade_ids[0] + len(trade_ids)))


def test_december_is_advanced_trade_on_the_recorders_clock_with_sizes(imported: Imported) -> None:
    sessions = imported.of("ticks_BTCUSD_")
    assert len(sessions) == 32
    for session in sessions:
        header = session.header
        assert (header.feed, header.dialect, header.event_time_source) == ("advanced", "flat", "receive")
        for quote in quotes_of(imported.archive, session):
            assert isinstance(quote, Quote)
            assert quote.bid < quote.ask
            assert quote.bid_size > 0 < quote.ask_size
    assert imported.reports["eastern"].first.startswith("2025-12-01T04:56:11")
    assert imported.reports["eastern"].last.startswith("2025-12-01T05:23")
    assert imported.reports["december"].last.startswith("2025-12-06T07:41:40")
    rows = Counter[str]()
    for session in sessions:
        rows[session.header.source.split("_")[2]] += session.frames
    assert (rows["20251205"], rows["20251206"]) == (8174, 53_332)


def test_april_carries_the_exchange_clock(imported: Imported) -> None:
    (sized,), (plain,) = imported.of("T0319"), imported.of("T2254")
    for session in (sized, plain):
        assert (session.header.feed, session.header.event_time_source) == ("advanced", "exchange")
    quotes = [item for item in quotes_of(imported.archive, sized) if isinstance(item, Quote)]
    assert Counter(quote.product for quote in quotes) == {"BTC-USD": 1428, "ETH-USD": 1072}
    assert Counter(quote.product for quote in quotes if quote.snapshot) == {"BTC-USD": 1, "ETH-USD": 1}
    assert all(quote.bid_size > 0 < quote.ask_size for quote in quotes)
    assert quotes[0].event_ns == parse_time_ns("2026-04-04T03:19:18.799968001Z")
    delays_ms = sorted(
        (frame.receive_ns - quote.event_ns) / 1e6
        for frame, quote in zip(imported.archive.frames(sized), quotes, strict=True)
    )
    assert delays_ms[0] < 0
    assert 1 < delays_ms[len(delays_ms) // 2] < 3
    assert delays_ms[-1] == pytest.approx(121, abs=1)
    times = [item.event_ns for item in quotes_of(imported.archive, plain) if isinstance(item, Quote)]
    assert times == sorted(set(times))
    silences = sorted((after - before) / 1e9 for before, after in pairwise(times))
    assert silences[-1] == pytest.approx(25.1, abs=0.05)
    assert silences[-3] < 5 < silences[-2]


@pytest.mark.parametrize("name", ["apr-2026-04T0319-derived.parquet", "nov-2025-seed-features.parquet"])
def test_a_table_of_features_is_refused_in_one_line(shared: Path, tmp_path: Path, name: str) -> None:
    writer = ArchiveWriter(tmp_path, SystemClock())
    with pytest.raises(ImportFormatError, match="is a Parquet table, not a recording"):
        import_recordings([shared / "data" / "ticks" / name], writer, ImportOptions(), PriceScales())
    writer.close()
