"""Candles into a data directory: only what lacks is asked for, and a stop or a crash costs nothing stored."""

from __future__ import annotations

import asyncio
import gzip
import random
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest

from made_candles import MINUTE_NS, NOW, PRODUCT, candles_of, exchange, trades
from volspike.clock import SimulatedClock
from volspike.errors import ArchiveError, ImportFormatError
from volspike.exchange.candle_client import MINUTES_A_REQUEST, CandleClient, CandleClientSettings
from volspike.features.candle_store import read_candles
from volspike.pipeline.backfill import REQUESTS_A_WRITE, BackfillReport, backfill_files, open_backfill
from volspike.pipeline.home import Home
from whole_runs import until

SETTINGS = CandleClientSettings(requests_per_s=1e6)
LATER = NOW + 10_000_000  # a minute after all that files hold
FIRST = NOW - 20 * MINUTES_A_REQUEST
ETH = "ETH-USD"
KILLED = str(Path(__file__).parents[1] / "killed_backfill.py")


def no_progress(_done: int) -> None:
    return


async def backfill(
    home: Home,
    url: str,
    span: tuple[int, int],
    products: Sequence[str] = (PRODUCT,),
    stop: asyncio.Event | None = None,
    progress: Any = no_progress,
) -> tuple[BackfillReport, Any]:
    client = CandleClient(url, SimulatedClock(), Random(1), SETTINGS)
    with open_backfill(home, client, products, span) as job:
        await job.run(stop or asyncio.Event(), progress)
        return job.report, job.failure


def run(*spans: tuple[int, int], home: Home, ticks: Sequence[Any], **options: Any) -> list[BackfillReport]:
    """Backfill spans one after the other from one exchange."""

    async def all_of_them() -> list[BackfillReport]:
        async with exchange(ticks) as simulator:
            done = [await backfill(home, simulator.admin_url, span, **options) for span in spans]
        assert all(failure is None for _, failure in done)
        return [report for report, _ in done]

    return asyncio.run(all_of_them())


def stored_figures(home: Home, product: str = PRODUCT) -> dict[int, tuple[float, ...]]:
    table = read_candles(home.candles, product)
    columns = (table.open, table.high, table.low, table.close, table.volume)
    return dict(zip(table.minute.tolist(), zip(*(c.tolist() for c in columns), strict=True), strict=True))


def parquet(home: Home) -> dict[str, bytes]:
    """Return the bytes of every file of candles."""
    return {path.name: path.read_bytes() for path in home.candles.glob("*.parquet")}


def test_a_whole_span_is_stored_and_never_asked_for_again(tmp_path: Path) -> None:
    home, holes = Home(tmp_path / "data"), set(range(FIRST + 500, FIRST + 1_200)) | {NOW - 100}
    ticks = list(trades(FIRST, NOW, holes))
    first, again = run((FIRST, NOW), (FIRST, NOW), home=home, ticks=ticks)
    assert stored_figures(home) == candles_of(ticks)
    assert first.added == len(candles_of(ticks)) == 20 * MINUTES_A_REQUEST - 701
    assert first.missing_minutes == 701
    assert (first.requests, first.retries, first.conflicting) == (20, {}, 0)
    assert first.lines == first.candles + sum(first.rejected.values())
    # the minutes without a trade were answered for, too
    assert (again.requests, again.lines, again.added) == (0, 0, 0)
    assert (again.first, again.last) == (first.first, first.last)


def test_only_the_minutes_that_lack_are_asked_for(tmp_path: Path) -> None:
    home = Home(tmp_path / "data")
    ticks = list(trades(NOW - 2_000, NOW))
    reports = run(
        (NOW - 1_500, NOW - 1_000),
        (NOW - 800, NOW - 700),
        (NOW - 1_600, NOW - 600),
        (NOW - 2_000, NOW),
        home=home,
        ticks=ticks,
    )
    # 500 minutes are two requests; then 100, 200 and 100 that lack; then 400 and 600
    assert [report.requests for report in reports] == [2, 1, 3, 5]
    assert sum(report.added for report in reports) == 2_000
    assert stored_figures(home) == candles_of(ticks)


def test_the_parts_and_their_order_leave_no_trace(tmp_path: Path) -> None:
    ticks = list(trades(NOW - 1_000, NOW - 10))
    homes = [Home(tmp_path / name) for name in ("whole", "parts")]
    run((NOW - 1_000, NOW - 10), home=homes[0], ticks=ticks)
    parts = [(NOW - 400, NOW - 10), (NOW - 1_000, NOW - 600), (NOW - 700, NOW - 300)]
    run(*parts, home=homes[1], ticks=ticks)
    assert parquet(homes[0]) == parquet(homes[1])


def test_every_product_has_a_file_of_its_own(tmp_path: Path) -> None:
    home = Home(tmp_path / "data")
    btc, eth = list(trades(NOW - 50, NOW)), list(trades(NOW - 50, NOW, {NOW - 9}, ETH))
    (report,) = run((NOW - 50, NOW), home=home, ticks=[*btc, *eth], products=(PRODUCT, ETH))
    assert (report.products, report.added, report.missing_minutes) == ((PRODUCT, ETH), 99, 1)
    assert stored_figures(home) == candles_of(btc)
    assert stored_figures(home, ETH) == candles_of(eth)


def test_nothing_is_asked_about_the_future(tmp_path: Path) -> None:
    home, ticks = Home(tmp_path / "data"), list(trades(NOW - 50, NOW + 1))
    (report,) = run((NOW - 50, NOW + 10_000), home=home, ticks=ticks)
    assert report.requests == 1
    assert max(stored_figures(home)) == NOW - 1


def test_a_young_minute_without_a_candle_is_asked_for_again(tmp_path: Path) -> None:
    home = Home(tmp_path / "data")
    late = list(trades(NOW - 50, NOW))
    early = [tick for tick in late if tick.event_ns < (NOW - 2) * MINUTE_NS]
    run((NOW - 50, NOW), home=home, ticks=early)
    (report,) = run((NOW - 50, NOW), home=home, ticks=late)
    assert (report.requests, report.added) == (1, 2)
    assert stored_figures(home) == candles_of(late)


@pytest.mark.parametrize("nth", [1, REQUESTS_A_WRITE + 1, REQUESTS_A_WRITE + 5])
def test_invariant_06_a_kill_between_requests_costs_only_what_was_not_written(
    nth: int, tmp_path: Path
) -> None:
    home, ticks = Home(tmp_path / "data"), list(trades(FIRST, NOW - 10))

    async def kill_and_resume() -> BackfillReport:
        async with exchange(ticks) as simulator:
            arguments = (home.root, simulator.admin_url, FIRST, NOW - 10, nth)
            killed = await asyncio.create_subprocess_exec(sys.executable, KILLED, *map(str, arguments))
            assert await killed.wait() == -signal.SIGKILL
            return (await backfill(home, simulator.admin_url, (FIRST, NOW - 10)))[0]

    report = asyncio.run(kill_and_resume())
    written = (nth - 1) // REQUESTS_A_WRITE * REQUESTS_A_WRITE
    assert report.requests == 20 - written
    assert stored_figures(home) == candles_of(ticks)


def test_a_stop_keeps_what_was_answered(tmp_path: Path) -> None:
    home, ticks = Home(tmp_path / "data"), list(trades(FIRST, NOW))

    async def stopped() -> tuple[BackfillReport, BackfillReport]:
        stop, done = asyncio.Event(), 0

        def progress(minutes: int) -> None:
            nonlocal done
            done += minutes
            if done >= 3 * MINUTES_A_REQUEST:
                stop.set()

        async with exchange(ticks) as simulator:
            first, failure = await backfill(
                home, simulator.admin_url, (FIRST, NOW), stop=stop, progress=progress
            )
            assert failure is None
            return first, (await backfill(home, simulator.admin_url, (FIRST, NOW)))[0]

    first, second = asyncio.run(stopped())
    assert first.added == 3 * MINUTES_A_REQUEST + 1  # and the minute at the end of the last answer
    assert second.requests == 17
    assert first.added + second.added == 20 * MINUTES_A_REQUEST
    assert stored_figures(home) == candles_of(ticks)


def test_a_stop_does_not_wait_for_an_answer(tmp_path: Path) -> None:
    home = Home(tmp_path / "data")

    async def stopped() -> BackfillReport:
        stop = asyncio.Event()
        async with exchange(list(trades(NOW - 50, NOW)), ["restslow:60000"]) as simulator:
            asking = asyncio.create_task(backfill(home, simulator.admin_url, (NOW - 50, NOW), stop=stop))
            await until(lambda: simulator._door._armed.get("restslow") != [60_000], 5)
            await asyncio.sleep(0.05)
            stop.set()
            async with asyncio.timeout(5):
                return (await asking)[0]

    assert asyncio.run(stopped()).lines == 0
    assert not home.root.exists()


def test_an_exchange_that_fails_for_good_keeps_what_was_answered(tmp_path: Path) -> None:
    home, ticks = Home(tmp_path / "data"), list(trades(NOW - 900, NOW))

    async def failed() -> tuple[BackfillReport, Any]:
        async with exchange(ticks) as simulator:
            return await backfill(home, simulator.admin_url, (NOW - 900, NOW), (PRODUCT, "NOPE-USD", ETH))

    report, failure = asyncio.run(failed())
    assert "NOPE-USD" in str(failure)
    assert report.products == (PRODUCT,)
    assert stored_figures(home) == candles_of(ticks)


def test_two_backfills_of_one_directory_do_not_mix(tmp_path: Path) -> None:
    home = Home(tmp_path / "data")

    async def both() -> None:
        async with exchange(list(trades(NOW - 9, NOW))) as simulator:
            client = CandleClient(simulator.admin_url, SimulatedClock(), Random(1), SETTINGS)
            with (
                open_backfill(home, client, [PRODUCT], (NOW - 9, NOW)),
                pytest.raises(ArchiveError, match="is being written by process"),
            ):
                await backfill(home, simulator.admin_url, (NOW - 9, NOW))

    asyncio.run(both())
    assert not home.root.exists()


def written_csv(path: Path, ticks: Sequence[Any], minutes: Sequence[int]) -> Path:
    """Write candles as an exchange hands them out."""
    rows = candles_of(ticks)
    lines = ["time,low,high,open,close,volume"]
    for minute in minutes:
        open_, high, low, close, volume = rows[minute]
        lines.append(f"{minute * 60},{low!r},{high!r},{open_!r},{close!r},{volume!r}")
    path.write_bytes(gzip.compress("\n".join(lines).encode()))
    return path


def test_invariant_10_files_in_any_order_and_overlap_give_the_same_bytes(tmp_path: Path) -> None:
    ticks = list(trades(NOW - 600, NOW))
    rng = random.Random(5)
    spans = [(NOW - 600, NOW - 200), (NOW - 300, NOW - 100), (NOW - 150, NOW), (NOW - 420, NOW - 410)]
    files = [
        written_csv(tmp_path / f"BTC-USD_{number}.csv.gz", ticks, range(*span))
        for number, span in enumerate(spans)
    ]
    whole = written_csv(tmp_path / "BTC-USD_whole.csv.gz", ticks, range(NOW - 1, NOW - 601, -1))
    expected = Home(tmp_path / "whole")
    backfill_files(expected, [whole], "", LATER, no_progress)
    for number in range(6):
        home = Home(tmp_path / f"shuffled-{number}")
        order = rng.sample(files, len(files))
        report = backfill_files(home, order, "", LATER, no_progress)
        assert (report.added, report.conflicting, report.candles) == (600, 0, 400 + 200 + 150 + 10)
        assert parquet(home) == parquet(expected)


def test_of_two_files_that_disagree_the_earlier_stays(tmp_path: Path) -> None:
    ticks, others = list(trades(NOW - 20, NOW)), list(trades(NOW - 20, NOW, product=ETH))
    one = written_csv(tmp_path / "BTC-USD_1.csv.gz", ticks, range(NOW - 20, NOW - 5))
    two = written_csv(tmp_path / "BTC-USD_2.csv.gz", others, range(NOW - 10, NOW))
    home = Home(tmp_path / "data")
    report = backfill_files(home, [one, two], "", LATER, no_progress)
    assert (report.added, report.conflicting, report.candles, report.lines) == (20, 5, 25, 25)
    assert list(stored_figures(home).values())[:15] == list(candles_of(ticks).values())[:15]
    assert "5 minutes were stored with other figures, which stay" in report.notes[0]
    assert "BTC-USD-csv.parquet" in report.notes[0]


def test_a_price_that_changes_its_unit_is_told(tmp_path: Path) -> None:
    path = tmp_path / "BTC-USD.csv"
    rows = [f"{1_700_000_040 + 60 * i},{p},{p},{p}" for i, p in enumerate([100] * 5 + [1_000] * 5)]
    path.write_text("\n".join(["time,low,high,close", *rows]) + "\n")
    report = backfill_files(Home(tmp_path / "data"), [path], "", LATER, no_progress)
    assert report.added == 10
    assert "beyond a factor of two within a day 1 times" in report.notes[0]
    assert "2023-11-14T22:19:00Z" in report.notes[0]


def test_minutes_that_are_not_over_are_not_of_a_file(tmp_path: Path) -> None:
    path = written_csv(tmp_path / "BTC-USD.csv.gz", list(trades(NOW - 20, NOW)), range(NOW - 20, NOW))
    report = backfill_files(Home(tmp_path / "data"), [path], "", NOW - 5, no_progress)
    assert (report.added, report.rejected) == (15, {"future": 5})


def test_one_bad_file_among_good_ones_stores_none(tmp_path: Path) -> None:
    ticks = list(trades(NOW - 20, NOW))
    good = written_csv(tmp_path / "BTC-USD_1.csv.gz", ticks, range(NOW - 20, NOW))
    bad = tmp_path / "BTC-USD_2.csv.gz"
    bad.write_bytes(good.read_bytes()[:-40])
    home = Home(tmp_path / "data")
    with pytest.raises(ImportFormatError, match="damaged or cut short"):
        backfill_files(home, [good, bad], "", LATER, no_progress)
    assert not home.root.exists()


def test_files_without_a_usable_row_are_a_failure_with_its_reasons(tmp_path: Path) -> None:
    path = tmp_path / "BTC-USD.csv"
    path.write_text("time,low,high,close\n1700000040,0,1,1\n1700000100,1,1,2\nx,1,1,1\n")
    home = Home(tmp_path / "data")
    with pytest.raises(ImportFormatError, match=r"can be used \(non_positive 1, outside_range 1, time 1\)"):
        backfill_files(home, [path], "", LATER, no_progress)
    assert not home.root.exists()


@pytest.mark.shared
def test_the_recordings_are_stored_as_their_readme_counts_them(shared: Path, tmp_path: Path) -> None:
    home = Home(tmp_path / "data")
    report = backfill_files(home, [shared / "data" / "minutes"], "", LATER, no_progress)
    assert (report.files, report.lines, report.candles, report.added) == (27, 36_493, 26_171, 26_171)
    assert (report.rejected, report.conflicting, report.products) == ({"asleep": 10_322}, 0, (PRODUCT,))
    assert (report.first, report.last) == ("2026-07-06T02:21:00Z", "2026-08-01T06:59:00Z")
    table = read_candles(home.candles, PRODUCT)
    assert len(table) == 26_171
    assert int((np.diff(table.minute) == 1).sum()) == 25_503
    assert report.missing_minutes == table.missing_minutes == 11_548
    span = np.log(table.high / table.low)
    follows = np.flatnonzero(np.diff(table.minute) == 1)
    ranges = np.log(np.maximum(span, 1e-7))
    assert 0.3 < np.corrcoef(ranges[follows], ranges[follows + 1])[0, 1] < 0.9  # volatility persists
