"""What a walk-forward tells of the three lives, as JSON and as a table."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from volspike.cli.lives import show_lives
from volspike.cli.scores import show_judgement, show_rules
from volspike.evaluation.lives import PAIRS, SHOWN
from whole_runs import PRODUCT, volspike

FIRST_S, MINUTES = 1_700_000_040, 3_000


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Return the report of a walk-forward in two folds over two days of candles."""
    root = tmp_path_factory.mktemp("lives")
    rng = np.random.default_rng(3)
    price, burst, lines = 40_000.0, 0.0, ["time,low,high,open,close,volume"]
    for minute in range(MINUTES):
        burst = 0.9 * burst + (rng.exponential(0.7) if rng.random() < 0.02 else 0.0)
        path = price * np.exp(np.cumsum(rng.normal(0.0, 1e-4 * math.exp(burst), 20)))
        figures = ",".join(f"{value:.2f}" for value in (path.min(), path.max(), path[0], path[-1]))
        lines.append(f"{FIRST_S + 60 * minute},{figures},1.0")
        price = path[-1]
    (root / f"{PRODUCT}.csv").write_text("\n".join([*lines, ""]))
    ran = volspike("backfill", root / f"{PRODUCT}.csv", "--data-dir", root / "data", "--json")
    assert ran.code == 0, ran.err
    walk = ("evaluate", "--walk-forward", "--feed", "candles", "--data-dir", root / "data", "--json")
    ran = volspike(*walk)
    assert ran.code == 0, ran.err
    found: dict[str, Any] = ran.report
    assert len(found["folds"]) == 2
    return found


def test_the_report_holds_the_scores_and_the_gains_of_every_life(report: dict[str, Any]) -> None:
    lives = report["lives"]
    assert list(lives["scores"]) == ["frozen", "retrained", "online", "frozen_log_har", "retrained_log_har"]
    assert list(lives["gains"]) == [f"{ours}_over_{theirs}" for ours, theirs in PAIRS]
    for scores in lives["scores"].values():
        assert list(scores) == list(SHOWN)
        assert scores["rows"] == report["models"]["champion"]["test"]["rows"]
    assert lives["scores"]["retrained"]["log_loss"] == report["models"]["champion"]["test"]["log_loss"]
    assert (
        lives["scores"]["retrained_log_har"]["qlike"] == report["rules"]["log-har-logit"]["scores"]["qlike"]
    )


def test_the_tables_fit_100_columns_and_mark_what_is_thin(
    report: dict[str, Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("volspike.cli.output.PLAIN_WIDTH", 100)
    thin = json.loads(json.dumps(report))
    thin["lives"]["scores"]["online"]["enough_data"] = False
    thin["lives"]["scores"]["frozen"]["enough_data"] = True
    thin["lives"]["gains"]["online_over_frozen"]["pr_auc"] = None
    show_lives(thin)
    told = capsys.readouterr().out
    assert "…" not in told
    assert all(len(line.rstrip()) <= 100 for line in told.splitlines())
    lines = told.splitlines()
    (online,) = (line for line in lines if line.startswith("online") and line.count("!") == 1)
    assert any(line.startswith("online") and line.count(" !") == 4 for line in lines), "gains are marked too"
    assert online.rstrip().endswith("!")
    assert not any("!" in line for line in lines if line.startswith("frozen  "))
    assert any("over retrained log-HAR" in line for line in lines)


def test_a_walk_over_candles_has_alerts_and_says_whose_thresholds_they_are(report: dict[str, Any]) -> None:
    assert set(report["alerts"]) == {"zscore", "logistic", "xgboost", "blend", "champion"}
    for scores in report["alerts"].values():
        assert scores["hits"] + scores["already_open"] <= scores["onsets"]
        assert scores["duty_frac"] is not None
    assert report["budgets"]["champion"] == report["reference"]["budgets"] == []
    page = Path(report["page"])
    assert page.name == f"walk-forward-{PRODUCT}-candles-adaptive.html"
    text = page.read_text(encoding="utf-8")
    assert "Each training chose thresholds on a calibrate part of its own" in text
    assert "on the calibrate slice" not in text
    assert "Alert budget" not in text
    reference = report["reference"]["name"].split(" / ")
    assert set(reference) == {fold["reference"] for fold in report["folds"]}


def test_gains_on_too_little_data_are_marked(
    report: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    marked = {}
    for enough in (True, False):
        told = json.loads(json.dumps(report))
        told["reference"]["parts"]["test"]["enough_data"] = enough
        show_judgement(told)
        show_rules(told)
        out = capsys.readouterr().out
        marked[enough] = [line for line in out.splitlines() if line.count(" !") >= 4]
        assert "no onset" not in out
        assert "open: share at which an older one was still open" in out
    assert not marked[True]
    assert len(marked[False]) >= 5 + len(report["rules"])
