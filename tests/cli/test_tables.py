"""Tables in a terminal of 80 columns, and what training says of its data."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from volspike.cli.scores import show_report
from volspike.labels.splits import PARTS
from whole_runs import volspike


@pytest.mark.parametrize("verb", ["models", "evaluate", "evaluate --all"])
def test_a_table_fits_80_columns(
    verb: str, trained: Callable[[], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("volspike.cli.output.PLAIN_WIDTH", 80)
    ran = volspike(*verb.split(), "--data-dir", trained())
    assert ran.code == 0, ran.err
    table = ran.out.partition("* champion")[0]
    assert "…" not in table
    assert all(len(line.rstrip()) <= 80 for line in table.splitlines()[1:])
    assert "logistic" in table


def scores(rows: int, **figures: float) -> dict[str, Any]:
    return {"rows": rows, "enough_data": False, "clusters": 3, "windows": 40, **figures}


def report(**parts: dict[str, Any]) -> dict[str, Any]:
    every = {part: scores(0) for part in PARTS} | parts
    return {
        "models": {"logistic": every, "zscore": every},
        "reference": {"name": "log-har-logit", "parts": every},
        "champion": "logistic",
        "tau": {"mode": "adaptive", "fixed_bps": 14.2, "median_bps": 13.8},
        "gaps": {},
        "notes": {},
        "audit": {"checks": {}},
    }


def test_the_test_part_is_shown_with_its_figures_whole(capsys: pytest.CaptureFixture[str]) -> None:
    show_report(report(fit=scores(90, log_loss=0.5), test=scores(9, log_loss=10.897, lift=70.7, qlike=-0.3)))
    told = capsys.readouterr().out
    (line,) = [line for line in told.splitlines() if line.startswith("logistic *")]
    assert line.split() == ["logistic", "*", "10.897", "-.300", "-", "-", "70.700", "3", "!"]
    assert "test part" in told
    assert told.count("not enough data") == 1


def test_parts_without_rows_are_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    some = report(fit=scores(90, log_loss=0.5), tune=scores(9, log_loss=0.25))
    show_report(some)
    assert "tune part" in capsys.readouterr().out
    show_report(some, everything=True)
    told = capsys.readouterr().out
    assert "tune" in told
    assert "calib" not in told
    assert "test" not in told


def test_training_says_what_became_of_the_ticks_and_what_each_part_lacks(trained: Callable[[], Path]) -> None:
    ran = volspike("train", "--data-dir", trained(), "--json")
    assert ran.code == 0, ran.err
    lines = ran.err.splitlines()
    split = ran.report["split"]
    assert any(f"{ran.report['rows']:,} rows; left out: " in line for line in " ".join(lines).split("  "))
    text = " ".join(lines)
    for part in PARTS:
        assert f"{part}: {split[part]:,} rows selected, " in text
    assert "of 20 blocks: at least " in text
    assert "more hours of recording" in text
