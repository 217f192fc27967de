"""The study of false alarms runs, and its markets are what they are said to be."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from benchmarks.__main__ import main
from benchmarks.drift_outcomes import recorded_outcome_sheet
from benchmarks.market_sources import recorded_minutes
from benchmarks.rate_cells import middle, share

from benchmarks import drift_markets
from volspike.labels.candles import candle_dataset
from volspike.monitoring.correlation_time import correlation_rows


@pytest.mark.slow
def test_it_runs_and_writes_its_tables(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = tmp_path / "rates.md"
    measured = main(["drift_rates", "--quick", "--markdown", str(page)])
    titles = [sheet["title"] for sheet in measured["drift_rates"]]
    assert titles == ["Drift of features", "Drift on matured labels", "Promotions"]
    assert all(f"**{title}**" in page.read_text() for title in titles)
    assert "Evidently" in capsys.readouterr().out
    alarms = {row[0]: row[2] for row in measured["drift_rates"][1]["rows"]}
    assert alarms["true chances, rows a minute"].startswith("0.0 %")
    assert alarms["spikes 3 times as frequent"].startswith("100.0 %")
    promoted = {row[0]: row[2] for row in measured["drift_rates"][2]["rows"]}
    assert promoted["worse: 1, champion 0.5"].startswith("0.0 %")
    assert promoted["better: 0.25, champion 1"].startswith("100.0 %")


@pytest.mark.parametrize(("make", "length"), [(drift_markets.minutes, 40), (drift_markets.seconds, 240)])
@pytest.mark.parametrize("ratio", [0.5, 1.0, 1.25])
def test_spikes_are_as_frequent_as_told_times_the_ratio(make, length: int, ratio: float) -> None:
    rows, p = make(length, 1, ratio)
    assert np.mean(rows.spike) / np.mean(p) == pytest.approx(ratio, rel=0.12)
    assert np.all((p > 0.0) & (p < 1.0))
    assert np.all(np.diff(rows.second) == rows.step_s)


def test_series_have_the_memory_and_the_scale_they_are_said_to_have() -> None:
    rng = np.random.default_rng(1)
    series = drift_markets.autoregressive(0.95, 200_000, rng)
    assert np.std(series) == pytest.approx(1.0, rel=0.05)
    assert correlation_rows(series) == pytest.approx(39.0, rel=0.15)
    values = drift_markets.switching(200_000, rng)
    assert np.std(values) == pytest.approx(np.sqrt((1 + 9) / 2), rel=0.05)
    memory = correlation_rows(np.abs(values))
    assert memory is not None
    assert memory > 5.0


def test_joined_markets_follow_each_other() -> None:
    rows, p = drift_markets.joined(drift_markets.minutes(1, 1), drift_markets.minutes(2, 2))
    assert len(rows.second) == len(p) == 3 * 1_440
    assert np.all(np.diff(rows.second) == 60)


def test_cells() -> None:
    assert share(0, 200) == "0.0 % (0.0..1.9)"
    assert share(10, 200) == "5.0 % (2.7..9.0)"
    assert middle([], "h") == "-"
    assert middle([3.0, 1.0, 2.0], "h") == "2 h (3)"


def test_on_the_recorded_minutes_the_model_of_one_lag_is_found_out(shared: Path) -> None:
    candles = recorded_minutes(shared / "data")
    assert candles is not None
    rows = recorded_outcome_sheet(candle_dataset(candles)).rows
    found = {(model, test): alarm for model, test, *_, alarm in rows}
    assert found["log-HAR of four lags, against one lag", "log_loss"] == "False"
    assert found["one lag, against log-HAR", "log_loss"] == "True"
