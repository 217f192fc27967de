"""``volspike reproduce``: its JSON, its tables in a terminal, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest

from volspike.exchange.decimals import format_time_ns
from whole_runs import NS, ORIGIN_NS, one_line_failure, tree, volspike

MODELS = {"zscore", "logistic", "xgboost", "persistence"}


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    """Write twenty minutes of flat rows of two products, calm and wild by turns."""
    rows = []
    for i in range(2_400):
        wild = i // 300 % 2
        bid = 100_000 + (i % 2) * (1 + 40 * wild + i % 5)
        rows.append(
            {
                "product_id": "BTC-USD" if i % 4 else "ETH-USD",
                "best_bid": f"{bid / 100:.2f}",
                "best_ask": f"{(bid + 10) / 100:.2f}",
                "timestamp": format_time_ns(ORIGIN_NS + i * NS // 2),
            }
        )
    path = tmp_path / "rows.ndjson"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_the_report_has_both_labels_for_every_model(recording: Path, tmp_path: Path) -> None:
    before = tree(tmp_path)
    ran = volspike("reproduce", recording, "--json")
    assert ran.code == 0, ran.err
    report = ran.report
    for label in ("next_row", "future"):
        assert set(report[label]) == MODELS
        assert all({"pr_auc", "base_rate", "enough_data"} <= set(score) for score in report[label].values())
    assert 0.9 < report["shared_tick_frac"] < 1
    assert isinstance(report["windows"], int)
    assert report["windows"] >= report["windows_test"]
    assert report["enough_data"] is False
    assert sum(report["products"].values()) == report["lines"] == 2_400
    assert tree(tmp_path) == before


def test_the_tables_fit_100_columns_and_the_words_follow(
    recording: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("volspike.cli.output.PLAIN_WIDTH", 100)
    ran = volspike("reproduce", recording)
    assert ran.code == 0, ran.err
    assert all(len(line.rstrip()) <= 100 for line in ran.out.splitlines())
    assert "…" not in ran.out
    assert all(name in ran.out for name in ("Z-score rule", "logistic", "XGBoost", "the std now"))
    assert "not enough data" in ran.out
    assert "--product chooses" in ran.out
    words = " ".join(ran.out.split())
    assert "independent window" in words
    assert "in the 60 s AFTER the row" in words


def test_the_page_says_what_the_terminal_says(recording: Path, tmp_path: Path) -> None:
    ran = volspike("reproduce", recording, "--html", "page.html")
    page = (tmp_path / "page.html").read_text()
    parsed = ElementTree.fromstring(page.partition("\n")[2].replace('<meta charset="utf-8">', ""))
    told = " ".join(" ".join(parsed.itertext()).split())
    *words, _ = (line for line in ran.out.splitlines() if line.startswith(("Next row:", "Future:", "!")))
    assert len(words) == 2
    assert all(line.strip()[:60] in told for line in words)
    assert len(parsed.findall("body/table/tbody/tr")) == 8 + 9


def test_a_page_that_can_not_be_written_is_an_error_and_leaves_nothing(
    recording: Path, tmp_path: Path
) -> None:
    (tmp_path / "folder").mkdir()
    before = tree(tmp_path)
    for place in ("folder", "nowhere/page.html"):
        line = one_line_failure(volspike("reproduce", recording, "--html", place))
        assert "name another with --html" in line
    assert tree(tmp_path) == before


@pytest.mark.parametrize("tau", ["P0", "often", "0.28", ""])
def test_a_tau_that_is_none_is_wrong_usage(recording: Path, tau: str) -> None:
    ran = volspike("reproduce", recording, "--tau", tau)
    assert ran.code == 2
    assert "--tau" in ran.err


def test_a_number_is_the_std_itself(recording: Path) -> None:
    report = volspike("reproduce", recording, "--tau", "0.0001", "--json").report
    assert [report["parts"][label]["tau_bps"] for label in ("next_row", "future")] == [1.0, 1.0]


def test_what_can_not_be_read_is_refused(recording: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.ndjson").write_bytes(b'{"a": 1}\n')
    before = tree(tmp_path)
    for arguments in (["bad.ndjson"], ["nowhere.ndjson"], [recording, "--product", "SOL-USD"]):
        one_line_failure(volspike("reproduce", *arguments))
    one_line_failure(volspike("reproduce", recording, "--tz", "nowhere"))
    assert tree(tmp_path) == before
