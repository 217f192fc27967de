"""The jobs a user is promised, on the recordings and without them, through the command line."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from whole_runs import Ran, adds_up, finished, logged, start, volspike

RUN_KEYS: dict[str, type] = {
    "sent": int,
    "frames": int,
    "archived": int,
    "items": int,
    "ticks": int,
    "ignored": dict,
    "deadlettered": int,
    "features": int,
    "predictions": int,
    "outcomes": int,
    "unlabelled": dict,
    "alerts": int,
    "gaps": int,
    "reconnects": int,
    "latency_us": dict,
    "scoreboard": dict,
}
SCORE_KEYS = {
    "pr_auc",
    "base_rate",
    "lift",
    "onset_pr_auc",
    "reference_pr_auc",
    "qlike",
    "log_loss",
    "f1",
    "precision",
    "recall",
    "roc_auc",
    "brier",
    "clusters",
    "windows",
    "enough_data",
}


def check_run_report(report: dict[str, Any]) -> None:
    for name, kind in RUN_KEYS.items():
        assert type(report[name]) is kind, name
    assert set(report["latency_us"]) == {"p50", "p99", "p999"}
    adds_up(report)
    assert report["sent"] == report["frames"] == report["archived"] > 0
    assert report["predictions"] > 0


def check_scores(report: dict[str, Any], part_names: set[str]) -> None:
    assert {"models", "reference", "tau", "champion", "audit"} <= set(report)
    for name, parts in report["models"].items():
        assert set(parts) == part_names, name
        for part, scores in parts.items():
            assert set(scores) >= SCORE_KEYS, (name, part)
            assert type(scores["clusters"]) is type(scores["windows"]) is int
            assert type(scores["enough_data"]) is bool
            for key in SCORE_KEYS - {"clusters", "windows", "enough_data"}:
                assert scores[key] is None or type(scores[key]) is float, (name, part, key)
    assert report["champion"] in report["models"]


def check_verified(root: Path) -> None:
    ran = volspike("verify", "--data-dir", root, "--json")
    assert ran.code == 0, ran.err
    report = ran.report
    assert report["identical"] == report["rows"] > 0
    assert [report[name] for name in ("different", "missing", "extra")] == [0, 0, 0]


def check_graded_once(root: Path, report: dict[str, Any]) -> None:
    predictions, outcomes = logged(root, "ticks.predictions"), logged(root, "ticks.outcomes")
    assert len(predictions) == report["predictions"]
    ids = {prediction.id for prediction in predictions}  # type: ignore[attr-defined]
    assert len(ids) == len(predictions)
    assert sorted(outcome.prediction_id for outcome in outcomes) == sorted(ids)  # type: ignore[attr-defined]
    unlabelled = [o for o in outcomes if o.unlabelled is not None]  # type: ignore[attr-defined]
    assert len(unlabelled) == sum(report["unlabelled"].values())
    assert all(o.spike is not None for o in outcomes if o.unlabelled is None)  # type: ignore[attr-defined]


@pytest.mark.slow
@pytest.mark.shared
def test_demo_on_a_recording_ends_by_itself_and_adds_up(shared: Path, tmp_path: Path) -> None:
    recording, root = shared / "data/ticks/apr-2026-04T2254.ndjson.gz", tmp_path / "data"
    options = ("--speed", 600, "--exit-after", 60, "--data-dir", root, "--json")
    ran = finished(start("demo", "--recording", recording, *options), 110)
    assert ran.code == 0, ran.err
    check_run_report(ran.report)
    # It was over before the time was: every minute that could be graded was.
    assert ran.report["unlabelled"].get("end", 0) == 0
    check_graded_once(root, ran.report)
    check_verified(root)


@pytest.mark.slow
def test_demo_without_a_recording_runs_on_a_synthetic_market(tmp_path: Path) -> None:
    root = tmp_path / "data"
    options = ("--history-hours", 0.75, "--speed", 200, "--data-dir", root, "--json", "--seed", 5)
    process = start("demo", *options)
    try:
        ran = interrupted_once_it_predicts(process, root)
    finally:
        process.kill()
    assert ran.code == 0, ran.err
    check_run_report(ran.report)
    check_graded_once(root, ran.report)
    check_verified(root)


def interrupted_once_it_predicts(process: Any, root: Path) -> Ran:
    """Send SIGTERM to a demonstration as soon as its log holds some outcomes."""
    from whole_runs import wait_until

    def graded() -> bool:
        assert process.poll() is None, process.communicate()
        return (root / "log.db").exists() and len(logged(root, "ticks.outcomes")) > 200

    wait_until(graded)
    process.send_signal(signal.SIGTERM)
    return finished(process)


@pytest.fixture(scope="module")
def december(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """Import December, each file in its own clock's zone; replay and train."""
    root, folder = tmp_path_factory.mktemp("december") / "data", shared / "data/ticks/dec-2025"
    eastern = sorted(folder.glob("*20251130_*")) + sorted(folder.glob("*20251201_000100*"))
    utc = sorted(folder.glob("*20251205_*")) + sorted(folder.glob("*20251206_*"))
    assert len(eastern), len(utc) == (5, 26)
    reports = {}
    to = ("--data-dir", root, "--json")
    for name, verb in {
        "eastern": ("import", *eastern, "--tz", "America/New_York"),
        "utc": ("import", *utc),
        "replay": ("replay",),
        "train": ("train",),
    }.items():
        ran = volspike(*verb, *to)
        assert ran.code == 0, ran.err
        reports[name] = ran.report
    return root, reports


@pytest.mark.slow
@pytest.mark.shared
def test_december_is_imported_whole_and_replayed(december) -> None:
    _, reports = december
    assert reports["eastern"]["lines"] + reports["utc"]["lines"] == 8_161 + 8_174 + 53_332
    for name in ("eastern", "utc"):
        report = reports[name]
        assert {"lines", "frames", "rejected", "products", "first", "last"} <= set(report)
        assert report["lines"] == report["frames"] + sum(report["rejected"].values()) + report["blank"]
        assert report["products"] == ["BTC-USD"]
    assert reports["eastern"]["first"].startswith("2025-12-01T04:5")
    replayed = reports["replay"]
    assert {"frames", "ticks", "rows", "seconds", "ticks_per_second"} <= set(replayed)
    assert replayed["frames"] == reports["eastern"]["frames"] + reports["utc"]["frames"]
    assert replayed["ticks"] > 60_000


@pytest.mark.slow
@pytest.mark.shared
def test_december_trains_models_and_says_where_it_is_too_thin(december) -> None:
    root, reports = december
    trained = reports["train"]
    check_scores(trained, {"fit", "tune", "calibrate", "test"})
    assert {"zscore", "logistic", "xgboost", "blend"} == set(trained["models"])
    assert trained["audit"]["passed"] is True
    assert not any(parts["test"]["enough_data"] for parts in trained["models"].values())
    assert any("not enough data" in note for note in trained["notes"][trained["champion"]])
    assert len(list((root / "models" / "champions").glob("*.json"))) == 1
    assert all(Path(path).is_dir() for path in trained["bundles"].values())


@pytest.mark.slow
@pytest.mark.shared
def test_december_is_evaluated_as_it_was_trained(december) -> None:
    root, reports = december
    evaluated = volspike("evaluate", "--data-dir", root, "--json").report
    check_scores(evaluated, {"fit", "tune", "calibrate", "test"})
    assert evaluated["same_rows_as_training"] is True
    assert evaluated["models"] == reports["train"]["models"]


@pytest.mark.slow
@pytest.mark.shared
def test_december_is_predicted_alike_by_bundle_and_by_registry(december, tmp_path: Path) -> None:
    root, reports = december
    champion = reports["train"]["champion"]
    by = {"bundle": reports["train"]["bundles"][champion], "uri": f"models:/{champion}@champion"}
    frames = {}
    for name, model in by.items():
        out = tmp_path / f"{name}.parquet"
        report = volspike("predict", "--data-dir", root, "--model", model, "--out", out, "--json").report
        assert {"rows", "seconds", "microseconds_per_row"} <= set(report)
        assert set(report["microseconds_per_row"]) == {"p50", "p99"}
        frames[name] = pl.read_parquet(out)
        assert len(frames[name]) == report["rows"] > 10_000
    assert frames["bundle"]["event_ns"].equals(frames["uri"]["event_ns"])
    for column in ("p_spike", "sigma_bps"):
        apart = (frames["bundle"][column] - frames["uri"][column]).abs().max()
        assert isinstance(apart, float)
        assert apart <= 1e-6
