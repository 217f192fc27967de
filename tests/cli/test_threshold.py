"""``volspike threshold``: its JSON, its tables in a terminal, its page, and what it refuses."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import pytest

from volspike.exchange.candles import Candle, CandleTable
from volspike.features.candle_store import CandleStore
from whole_runs import NS, make_history, one_line_failure, tree, volspike

CANDIDATES = 17


@pytest.fixture(scope="module")
def ticks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_history(tmp_path_factory.mktemp("ticks") / "data", 3_600 * NS).root


@pytest.fixture(scope="module")
def minutes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("minutes") / "data"
    store = CandleStore(root / "candles", "BTC-USD", "csv")
    store.add(CandleTable.of("BTC-USD", "csv", list(_candles(4_000))))
    store.save()
    return root


def _candles(count: int) -> Iterator[Candle]:
    for i in range(count):
        wild = 1 + 9 * (i // 45 % 7 == 3)
        close = 50_000 + i * 17 % 40
        yield Candle(29_000_000 + i, close, close + 5 * wild + i % 13, close - 5 * wild, close, 1.0)


def test_the_report_of_ticks_has_every_threshold_and_leaves_the_data_alone(ticks: Path) -> None:
    before = tree(ticks)
    ran = volspike("threshold", "--data-dir", ticks, "--json")
    assert ran.code == 0, ran.err
    report = ran.report
    assert len(report["candidates"]) == len(report["sensitivity"]) == CANDIDATES
    assert [found["name"] for found in report["candidates"] if found["is_in_use"]] == ["adaptive P95"]
    assert all(set(c["parts"]) == {"fit", "tune", "calibrate", "test", "all"} for c in report["candidates"])
    assert "no conclusion can be drawn" in report["words"][-1]
    assert (report["feed"], report["target"], report["step_s"]) == ("exchange", "rv", 1)
    assert tree(ticks) == before


def test_the_report_of_candles_is_of_minutes(minutes: Path) -> None:
    ran = volspike("threshold", "--data-dir", minutes, "--feed", "candles", "--json")
    assert ran.code == 0, ran.err
    assert (ran.report["feed"], ran.report["rows"], ran.report["step_s"]) == ("candles", 4_000, 60)
    assert sum(ran.report["split"].values()) == 4_000


def test_the_settings_choose_the_threshold_in_use(minutes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VOLSPIKE_TAU_MODE", "fixed")
    monkeypatch.setenv("VOLSPIKE_TAU_QUANTILE", "0.93")
    report = volspike("threshold", "--data-dir", minutes, "--feed", "candles", "--json").report
    assert [found["name"] for found in report["candidates"] if found["is_in_use"]] == ["fixed P93"]
    assert report["over_time"]["quantile"] == 0.93


def test_the_tables_fit_100_columns_and_the_words_follow(
    minutes: Path, ticks: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("volspike.cli.output.PLAIN_WIDTH", 100)
    for arguments in ((minutes, "--feed", "candles"), (ticks,)):
        ran = volspike("threshold", "--data-dir", *arguments)
        assert ran.code == 0, ran.err
        assert all(len(line.rstrip()) <= 100 for line in ran.out.splitlines())
        assert "…" not in ran.out
        assert re.search(r"^adaptive P95, floor 2 ", ran.out, re.MULTILINE), "a name in one line"
        assert re.search(r"^adaptive P95 \* ", ran.out, re.MULTILINE)
        words = " ".join(ran.out.split())
        assert "The fixed tau of the fit slice" in words


def test_the_page_stands_alone_and_says_what_the_terminal_says(minutes: Path, tmp_path: Path) -> None:
    place = tmp_path / "page.html"
    ran = volspike("threshold", "--data-dir", minutes, "--feed", "candles", "--html", place)
    assert ran.code == 0, ran.err
    text = place.read_text()
    parsed = ElementTree.fromstring(text.partition("\n")[2].replace('<meta charset="utf-8">', ""))
    assert len(parsed.findall("body/{http://www.w3.org/2000/svg}svg")) == 5
    assert len(parsed.findall("body/table")) == 4
    assert len(parsed.findall("body/details/table")) == 2
    assert not re.findall(r"(?:src|href)=\"(?!#)", text)
    told = " ".join(" ".join(parsed.itertext()).split())
    words = " ".join(ran.out.split())
    assert words[words.index("P95 of the volatility to come") :] in told


def test_a_page_that_can_not_be_written_is_an_error(minutes: Path, tmp_path: Path) -> None:
    line = one_line_failure(
        volspike("threshold", "--data-dir", minutes, "--feed", "candles", "--html", tmp_path)
    )
    assert "name another with --html" in line


def test_what_is_not_there_is_refused(minutes: Path, ticks: Path, tmp_path: Path) -> None:
    one_line_failure(volspike("threshold", "--data-dir", tmp_path / "nowhere"))
    one_line_failure(volspike("threshold", "--data-dir", minutes))
    one_line_failure(volspike("threshold", "--data-dir", ticks, "--feed", "candles"))
    one_line_failure(volspike("threshold", "--data-dir", ticks, "--product", "SOL-USD"))
    assert volspike("threshold", "--data-dir", ticks, "--feed", "both").code == 2
