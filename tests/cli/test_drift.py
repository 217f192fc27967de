"""``volspike drift``: pages and JSON of a simulated market, what thin data come to, and bad input."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from drift_verdicts import Told, Verdict, by_the_mean
from volspike.cli import output
from volspike.exchange.candles import Candle, CandleTable
from volspike.features.candle_store import CandleStore
from volspike.models.standing import champions
from volspike.monitoring.evidently_report import WORTH, EvidentlyColumn, EvidentlyReport
from whole_runs import PRODUCT, one_line_failure, tree, volspike


@pytest.fixture
def decided(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a plain rule decide."""
    monkeypatch.setattr("volspike.pipeline.drifting.DECIDE", by_the_mean)


def compared(root: Path, *arguments: object) -> dict:
    ran = volspike("drift", "--data-dir", root, "--json", *arguments)
    assert ran.code == 0, ran.err
    report: dict = ran.report
    return report


@pytest.mark.usefixtures("decided")
def test_a_simulated_market_gets_a_report_of_features_target_predictions_and_quality(
    trained: Callable[[], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    root, arguments = trained(), ("--compare", "recent", "--hours", 0.25)
    report = compared(root, *arguments)
    stem = root / "reports" / f"drift-{PRODUCT}-exchange-recent"
    assert report["files"] == {
        "page": f"{stem}.html",
        "drift": f"{stem}-evidently.html",
        "summary": f"{stem}-evidently-summary.html",
        "json": f"{stem}-evidently.json",
    }
    text = Path(report["files"]["page"]).read_text(encoding="utf-8")
    assert all(
        f'href="{Path(path).name}"' in text for what, path in report["files"].items() if what != "page"
    )
    json.loads(Path(report["files"]["json"]).read_text(encoding="utf-8"))
    (champion,) = champions(root / "models")
    assert report["model"] == f"{champion.name} {champion.version}"
    judged = [column["name"] for column in report["verdict"]["columns"]]
    assert {"rv_60s", "sigma_future_bps", "spike", "p_spike", "sigma_bps"} <= set(judged)
    assert set(report["evidently"]["groups"]) == {"feature", "target", "prediction"}
    checks = {(found["check"], found["window"]) for found in report["quality"]}
    assert {("repeated", "last hours"), ("out of depth", "reference"), ("age", "last hours")} <= checks
    assert report["current"]["hours"] == pytest.approx(0.25, abs=0.01)
    assert report["reference"]["last"] < report["current"]["first"]
    assert report["decision"] in ("drift", "no drift")
    attached = {path.name for path in (root / "mlartifacts").rglob("drift/drift-*")}
    assert attached == {Path(path).name for path in report["files"].values()}
    monkeypatch.setattr("volspike.pipeline.drifting.make_evidently_report", lambda *_: None)
    again = compared(root, *arguments)
    assert {name for name in report if again[name] != report[name]} <= {"evidently", "files", "quality"}


@pytest.mark.usefixtures("decided")
def test_fault_44_a_window_of_one_row_is_not_enough_data(trained: Callable[[], Path], tmp_path: Path) -> None:
    root, page = trained(), tmp_path / "here" / "page.html"
    for hours in (0.000_01, 500.0):
        report = compared(root, "--hours", hours, "--page", page, "--fail-on-drift")
        assert (report["decision"], report["verdict"], report["evidently"]) == ("not enough data", None, None)
        assert report["files"] == {"page": str(page)}
        assert any("fewer than two rows" in note for note in report["notes"])
        assert "Not enough data" in page.read_text(encoding="utf-8")
    assert [entry.name for entry in page.parent.iterdir()] == ["page.html"]
    assert not list((root / "reports").glob("drift*"))


@pytest.fixture(scope="module")
def minutes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Store candles of a market that is ten times as wild at its end."""
    root = tmp_path_factory.mktemp("minutes") / "data"
    store = CandleStore(root / "candles", PRODUCT, "csv")
    store.add(CandleTable.of(PRODUCT, "csv", list(_candles(3_000))))
    store.save()
    return root


def _candles(count: int) -> Iterator[Candle]:
    for i in range(count):
        wild = 50 if i > 2_800 else 5
        close = 50_000 + i * 17 % 40
        yield Candle(29_000_000 + i, close, close + wild + i % 13, close - wild, close, 1.0 + i % 3)


@pytest.mark.usefixtures("decided")
def test_a_change_of_candles_is_told_and_fails_where_that_was_asked_for(
    minutes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("volspike.pipeline.drifting.make_evidently_report", lambda *_: None)
    arguments = ("drift", "--data-dir", minutes, "--feed", "candles", "--hours", 2)
    shown = volspike(*arguments)
    assert shown.code == 0, shown.err
    assert re.search(r"^decision +drift: ", shown.out, re.MULTILINE)
    assert "no champion" in shown.out
    assert "What decides is our score" in shown.out
    assert "Evidently's distances" not in shown.out
    assert re.search(r"^early +2,\d{3} rows, one a minute, over ", shown.out, re.MULTILINE)
    assert re.search(r"^age .* days $", shown.out, re.MULTILINE)
    ran = volspike(*arguments, "--fail-on-drift", "--json")
    assert one_line_failure(ran).startswith(f"volspike: {PRODUCT} on candles: it has drifted; see ")
    assert (ran.report["error"], ran.report["decision"]) == ("it has drifted", "drift")
    assert Path(ran.report["files"]["page"]).exists()
    assert not {"day_sin", "minute_of_hour"} & {found["name"] for found in ran.report["verdict"]["columns"]}


@pytest.mark.usefixtures("decided")
def test_recent_rows_are_compared_without_a_champion_and_the_page_of_an_alarm_is_kept(
    minutes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("volspike.pipeline.drifting.make_evidently_report", lambda *_: None)
    report = compared(minutes, "--feed", "candles", "--compare", "recent", "--hours", 2)
    assert (report["compare"], report["decision"], report["model"]) == ("early-late", "drift", "")
    assert any("held against all that lies before" in note for note in report["notes"])
    last = re.sub(r"[-:]", "", report["current"]["last"])[:15]
    stem = f"drift-{PRODUCT}-candles-recent"
    assert report["files"] == {"page": str(minutes / "reports" / f"{stem}-{last}.html")}
    kept, newest = Path(report["files"]["page"]), minutes / "reports" / f"{stem}.html"
    assert kept.read_bytes() == newest.read_bytes()
    monkeypatch.setattr("volspike.pipeline.drifting.DECIDE", None)
    calm = compared(minutes, "--feed", "candles", "--compare", "recent", "--hours", 2)
    assert calm["decision"] == "not decided"
    assert calm["files"] == {"page": str(newest)}
    assert kept.read_bytes() != newest.read_bytes()


def test_what_evidently_says_is_shown_with_what_it_is_worth(
    minutes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = EvidentlyReport(
        (EvidentlyColumn("range_rv_1m", "feature", 0.31, 0.1, "a distance", True),), (), (9, 9), "", "", "{}"
    )
    monkeypatch.setattr("volspike.pipeline.drifting.make_evidently_report", lambda *_: told)
    shown = volspike("drift", "--data-dir", minutes, "--feed", "candles").out
    assert re.search(r"^range_rv_1m .*drifted 0.31", shown, re.MULTILINE)
    assert " ".join(WORTH.split()) in " ".join(shown.split())
    assert re.search(r"Evidently\s+was given of early 9 of the 2,\d{3} rows, evenly spaced", shown)
    test = replace(told, columns=(replace(told.columns[0], method="K-S p_value"),))
    monkeypatch.setattr("volspike.pipeline.drifting.make_evidently_report", lambda *_: test)
    shown = volspike("drift", "--data-dir", minutes, "--feed", "candles").out
    assert re.search(r"^range_rv_1m .*drifted p 0.31", shown, re.MULTILINE)


@pytest.mark.parametrize("width", [80, 100])
def test_whatever_is_shown_keeps_to_the_width_that_is_asked_for(
    width: int, minutes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("volspike.pipeline.drifting.make_evidently_report", lambda *_: None)
    monkeypatch.setattr(output, "PLAIN_WIDTH", width)
    shown = volspike("drift", "--data-dir", minutes, "--feed", "candles").out.splitlines()
    lines = [line for line in shown if not line.startswith("page: ")]
    assert max(map(len, lines)) <= width


def test_what_is_to_be_said_of_columns_is_shown_once_with_their_names(
    minutes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def decide(*given: object) -> Verdict:
        told = [
            Told(name, words="slow: only a large change shows" if i < 2 else "")
            for i, name in enumerate(given[-1])
        ]
        return Verdict(tuple(told))

    monkeypatch.setattr("volspike.pipeline.drifting.DECIDE", decide)
    monkeypatch.setattr("volspike.pipeline.drifting.make_evidently_report", lambda *_: None)
    shown = volspike("drift", "--data-dir", minutes, "--feed", "candles").out
    assert len(re.findall(r"^\w+, \w+: slow: only a large change shows$", shown, re.MULTILINE)) == 1


def test_without_anybody_who_decides_it_says_so(
    trained: Callable[[], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("volspike.pipeline.drifting.DECIDE", None)
    monkeypatch.setattr("volspike.pipeline.drifting.make_evidently_report", lambda *_: None)
    report = compared(trained(), "--compare", "train-test")
    assert (report["decision"], report["verdict"], report["evidently"]) == ("not decided", None, None)
    assert (report["reference"]["name"], report["current"]["name"]) == ("train", "test")


def test_what_can_not_be_compared_is_told_in_one_line(minutes: Path, tmp_path: Path) -> None:
    before = tree(minutes)
    assert "no such data directory" in one_line_failure(volspike("drift", "--data-dir", tmp_path / "no"))
    page = ("drift", "--data-dir", minutes, "--feed", "candles", "--page", minutes)
    assert "can't be written" in one_line_failure(volspike(*page))
    assert tree(minutes) == before


@pytest.mark.parametrize(
    "arguments",
    [
        "--compare never",
        "--hours 0",
        "--hours nan",
        "--compare train-test --hours 3",
        "--reference-from 2026-07-01",
        "--compare recent --reference-from soon",
        "--compare recent --reference-from 2026-07-02 --reference-until 2026-07-01",
    ],
)
def test_wrong_usage_exits_2(arguments: str, minutes: Path) -> None:
    assert volspike("drift", "--data-dir", minutes, *arguments.split()).code == 2
