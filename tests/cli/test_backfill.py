"""``volspike backfill`` and ``volspike simulate --history``: what they say, and how they end."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from pathlib import Path

import pytest

from made_candles import NOW, exchange, trades
from volspike.exchange.candle_client import MINUTES_A_REQUEST
from volspike.features.candle_store import read_candles
from whole_runs import ORIGIN_NS, one_line_failure, simulator_process, simulator_state, until, volspike

KEYS = {
    "files",
    "requests",
    "retries",
    "lines",
    "candles",
    "added",
    "conflicting",
    "rejected",
    "products",
    "first",
    "last",
    "missing_minutes",
    "notes",
}
CSV = """time,low,high,open,close,volume
1700000040,9,12,10,11,3.5
1700000100,9,12,10,13,3.5
1700000160,9,12,10,11,1
"""


def test_files_are_stored_and_counted(tmp_path: Path) -> None:
    path = tmp_path / "BTC-USD_2023.csv"
    path.write_text(CSV)
    ran = volspike("backfill", path, "--data-dir", tmp_path / "data", "--json")
    assert ran.code == 0, ran.err
    assert ran.report.keys() == KEYS
    expected = {"files": 1, "lines": 3, "candles": 2, "added": 2, "conflicting": 0, "missing_minutes": 1}
    assert {name: ran.report[name] for name in expected} == expected
    assert ran.report["rejected"] == {"outside_range": 1}
    assert ran.report["products"] == ["BTC-USD"]
    assert (ran.report["first"], ran.report["last"]) == ("2023-11-14T22:14:00Z", "2023-11-14T22:16:00Z")
    told = volspike("backfill", path, "--data-dir", tmp_path / "data")
    assert told.code == 0
    assert "outside_range 1" in told.out
    assert max(map(len, told.out.splitlines())) < 100


def test_a_product_is_said_for_a_file_that_names_none_in_any_case(tmp_path: Path) -> None:
    path = tmp_path / "minutes.csv"
    path.write_text(CSV)
    assert "say which with --product" in one_line_failure(
        volspike("backfill", path, "--data-dir", tmp_path / "d")
    )
    assert not (tmp_path / "d").exists()
    ran = volspike("backfill", path, "--data-dir", tmp_path / "d", "--product", "eth-usd", "--json")
    assert ran.report["products"] == ["ETH-USD"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["a.csv", "--days", "3"], "files go with"),
        (["a.csv", "--candles-url", "http://x"], "files go with"),
        (["a.csv", "--product", "BTC-USD", "--product", "ETH-USD"], "files go with"),
        (["--days", "3", "--start", "2024-01-01"], "can't both be given"),
        (["--start", "2024-01-02", "--end", "2024-01-01"], "not before the end"),
        (["--start", "yesterday"], "'yesterday' is no whole minute"),
        (["--end", "2024-01-01T00:00:30"], "is no whole minute"),
        (["--days", "0"], "not in the range"),
    ],
)
def test_wrong_usage_exits_2_and_leaves_nothing(arguments: list[str], words: str, tmp_path: Path) -> None:
    ran = volspike("backfill", *arguments, "--data-dir", tmp_path / "data")
    assert ran.code == 2
    assert words in ran.err
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("wss://ws-feed.exchange.coinbase.com", "is no address of the web; give an https:// address"),
        ("http://127.0.0.1:99999", "out of range"),
    ],
)
def test_an_address_that_is_none_is_told_and_leaves_nothing(url: str, words: str, tmp_path: Path) -> None:
    ran = volspike("backfill", "--candles-url", url, "--data-dir", tmp_path / "data", "--days", 1)
    assert words in one_line_failure(ran)
    assert not (tmp_path / "data").exists()


def test_a_failure_comes_with_the_report_of_what_was_stored(tmp_path: Path) -> None:
    async def run() -> tuple[int, str, str]:
        async with exchange(list(trades(NOW - 60, NOW))) as simulator:
            process = await _started(
                simulator.admin_url, tmp_path, "--end", "2024-01-01", "--start", "2023-12-31T23:00",
                "--product", "BTC-USD", "--product", "NOPE-USD",
            )  # fmt: skip
            out, err = await process.communicate()
            return process.returncode or 0, out.decode(), err.decode()

    code, out, err = asyncio.run(run())
    assert code == 1
    report = json.loads(out)
    assert report.keys() == KEYS | {"error", "subject", "remedy"}
    assert (report["added"], report["subject"]) == (60, "NOPE-USD")
    assert [line for line in err.splitlines() if line.startswith("volspike: ")] == err.splitlines()[-1:]


async def _started(url: str, root: Path, *arguments: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "volspike", "backfill", "--candles-url", url,
        "--data-dir", str(root / "data"), "--json", *arguments,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip


def test_ctrl_c_keeps_what_was_answered_and_the_next_run_goes_on(tmp_path: Path) -> None:
    minutes = 16 * MINUTES_A_REQUEST
    ticks = list(trades(NOW - minutes, NOW))
    span = ("--start", "2023-12-28T16:16", "--end", "2024-01-01")

    async def run() -> tuple[dict[str, int], dict[str, int]]:
        reports = []
        async with exchange(ticks) as simulator:
            for interrupted in (True, False):
                process = await _started(simulator.admin_url, tmp_path, *span)
                if interrupted:
                    await until(lambda: simulator.state()["candle_answers"].get("200", 0) >= 3)
                    process.send_signal(signal.SIGINT)
                out, err = await process.communicate()
                assert process.returncode == 0, err.decode()
                reports.append(json.loads(out))
        return reports[0], reports[1]

    first, second = asyncio.run(run())
    assert 0 < first["requests"] < 16
    assert first["added"] + second["added"] == minutes
    assert second["requests"] <= 18 - first["requests"]
    assert len(read_candles(tmp_path / "data" / "candles", "BTC-USD")) == minutes


def test_a_simulated_history_is_backfilled_whole(tmp_path: Path) -> None:
    options = ("--origin-ns", ORIGIN_NS, "--history", 0.5, "--product", "BTC-USD", "--fault", "rest:500")
    with simulator_process(tmp_path / "ready.json", *options) as told:
        ran = volspike(
            "backfill", "--candles-url", told["admin"], "--data-dir", tmp_path / "data", "--json",
            "--start", "2029-12-31T23:00", "--end", "2030-01-01T01:00",
        )  # fmt: skip
        state = simulator_state(told)
    assert ran.code == 0, ran.err
    assert ran.report["retries"] == {"http_500": 1}
    assert (ran.report["first"], ran.report["last"]) == ("2029-12-31T23:30:00Z", "2029-12-31T23:59:00Z")
    assert ran.report["added"] + ran.report["missing_minutes"] == 30
    assert state["candle_answers"] == {"500": 1, "200": 1}


def test_a_recording_has_its_own_past(tmp_path: Path) -> None:
    ran = volspike("simulate", "--recording", tmp_path / "a.ndjson", "--history", 1)
    assert ran.code == 2
    assert "leave it to --start-ns" in ran.err
