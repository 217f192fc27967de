"""What each verb says to people and to programs; the whole jobs are in tests/integration."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from volspike import __version__
from volspike.cli.driving import drive
from volspike.cli.live import show_live
from volspike.clock import SimulatedClock
from volspike.errors import FeedError
from volspike.pipeline.assembly import LiveJob, open_live
from whole_runs import (
    PRODUCT,
    finished,
    market_after_history,
    settings_for,
    start,
    volspike,
)


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_version() -> None:
    assert volspike("--version").out.strip() == f"volspike {__version__}"


def test_no_verb_shows_help() -> None:
    ran = volspike()
    assert "Usage:" in ran.out + ran.err
    assert "simulate" in ran.out + ran.err


def test_help_shows_defaults() -> None:
    assert "(default: the model's)" in " ".join(volspike("run", "--help").out.replace("│", " ").split())


def test_config_names_the_source_of_every_setting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "volspike.toml").write_text('seed = 11\nlog_level = "error"\nproducts = ["ETH-USD"]\n')
    monkeypatch.setenv("VOLSPIKE_SEED", "12")
    monkeypatch.setenv("VOLSPIKE_PRODUCTS", "BTC-USD, ETH-USD")
    report = volspike("config", "--data-dir", "here", "--json").report
    assert report["seed"] == {"value": 12, "source": "environment VOLSPIKE_SEED"}
    assert report["log_level"] == {"value": "error", "source": "file volspike.toml"}
    assert report["data_dir"] == {"value": "here", "source": "flag"}
    assert report["products"]["value"] == ["BTC-USD", "ETH-USD"]
    assert report["tau_quantile"]["source"] == "default"
    monkeypatch.delenv("VOLSPIKE_SEED")
    monkeypatch.delenv("VOLSPIKE_PRODUCTS")
    report = volspike("config", "--json").report
    assert (report["seed"]["value"], report["products"]["value"]) == (11, ["ETH-USD"])


def test_the_data_directory_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VOLSPIKE_DATA_DIR", "from-environment")
    assert "from-environment" in volspike("models").err


def test_doctor_finds_all_that_is_there(trained: Callable[[], Path]) -> None:
    ran = volspike("doctor", "--data-dir", trained(), "--json")
    assert ran.code == 0, ran.out
    assert ran.report["ok"] is True
    found = {check["what"]: check["found"] for check in ran.report["checks"]}
    assert found["window kernel"] == "compiled"
    assert PRODUCT in found["model"]


def test_models_lists_every_bundle_and_marks_the_champion(trained: Callable[[], Path]) -> None:
    root = trained()
    rows = volspike("models", "--data-dir", root, "--json").report["models"]
    assert {row["model"] for row in rows} == {"zscore", "logistic", "xgboost", "blend"}
    assert [row["state"] for row in rows].count("champion") == 1
    (path,) = (root / "models" / "champions").glob("*.json")
    pointer = json.loads(path.read_text())
    champion = next(row for row in rows if row["state"] == "champion")
    assert (champion["model"], champion["version"]) == (pointer["name"], pointer["version"])


def test_a_prediction_says_which_rows_the_model_was_trained_on(trained: Callable[[], Path]) -> None:
    import polars as pl

    root = trained()
    report = volspike("predict", "--data-dir", root, "--json").report
    frame = pl.read_parquet(report["path"])
    assert 0 < report["in_sample_rows"] == frame["in_sample"].sum() < report["rows"] == len(frame)
    assert frame["event_ns"].is_sorted()
    assert frame["p_spike"].is_between(0, 1).all()
    assert Path(report["path"]).parent == root / "predictions"


def test_training_again_on_the_same_rows_gives_the_same_versions(trained: Callable[[], Path]) -> None:
    root = trained()
    before = {
        row["model"]: row["version"]
        for row in volspike("models", "--data-dir", root, "--json").report["models"]
    }
    again = volspike("train", "--data-dir", root, "--json").report
    after = {name: Path(path).name for name, path in again["bundles"].items()}
    assert after == before


@pytest.mark.parametrize("verb", ["models", "evaluate", "predict", "verify", "replay", "doctor", "config"])
def test_every_verb_speaks_to_people_too(verb: str, trained: Callable[[], Path]) -> None:
    ran = volspike(verb, "--data-dir", trained())
    assert ran.code == 0, ran.err
    assert len(ran.out.splitlines()) > 3
    assert not ran.out.startswith("{")
    assert "Traceback" not in ran.err


def test_import_tells_what_it_brought_in(tmp_path: Path) -> None:
    row = {"product_id": "BTC-USD", "b": "1.0", "a": 1.1, "when": 1_700_000_000}
    lines = [json.dumps(row), json.dumps(row | {"when": 1_700_000_001}), "not a row"]
    (tmp_path / "r.ndjson").write_text("\n".join(lines) + "\n")
    named = ("--map", "bid=b", "--map", "ask=a", "--map", "time=when")
    ran = volspike("import", "r.ndjson", *named, "--data-dir", "data", "--json")
    assert ran.code == 0, ran.err
    report = ran.report
    assert (report["lines"], report["frames"], sum(report["rejected"].values())) == (3, 2, 1)
    assert report["products"] == ["BTC-USD"]
    assert report["first"] == "2023-11-14T22:13:20Z"
    assert report["last"] == "2023-11-14T22:13:21Z"
    again = volspike("import", "r.ndjson", *named, "--data-dir", "data", "--json").report
    assert (again["already_imported"], again["frames"]) == (1, 0)


def test_simulate_tells_what_it_sent(tmp_path: Path) -> None:
    row = {"product_id": "BTC-USD", "best_bid": "1.0", "best_ask": "1.1"}
    lines = [json.dumps(row | {"timestamp": f"2030-01-01T00:00:{second:02}Z"}) for second in range(20)]
    (tmp_path / "r.ndjson").write_text("\n".join(lines) + "\n")
    process = start("simulate", "--recording", tmp_path / "r.ndjson", "--speed", 1000, "--json")
    assert process.stderr is not None
    command = process.stderr.readline().split()  # ready to be pasted
    assert command[-5:-3] + command[-2:] == ["run", "--exchange-url", "--dialect", "advanced"]
    address = command[-3]
    assert process.stderr.readline().split()[-5:] == ["ingest", *command[-4:]]
    from websockets.sync.client import connect

    with connect(address) as socket:
        for channel in ("ticker", "heartbeats"):
            socket.send(json.dumps({"type": "subscribe", "channel": channel, "product_ids": ["BTC-USD"]}))
        received = sum(1 for _ in socket)
    ran = finished(process)
    assert ran.code == 0, ran.err
    assert ran.report["sent"]["total"] == received > 100
    assert ran.report["sent_by_type"]["ticker"] >= 19


def test_a_watcher_that_fails_ends_the_job_and_is_told(trained: Callable[[], Path]) -> None:
    async def watch(asked: asyncio.Event) -> None:
        raise FeedError("simulator", "does not answer", "see its output")

    root = trained()
    job: LiveJob = open_live(settings_for(root), SimulatedClock(), (), "ws://127.0.0.1:1")
    try:
        with pytest.raises(FeedError, match="does not answer"):
            drive(job.run, partial(show_live, job, "a job", True), None, watch)
    finally:
        job.close()
    assert job.client.status.state == "stopped"


def test_a_run_without_a_model_records_and_makes_features(tmp_path: Path) -> None:
    from whole_runs import assert_identical, live_run, ticks_at_least

    report, _ = live_run(tmp_path / "data", market_after_history(), ticks_at_least(300))
    assert report["model"] is None
    assert report["predictions"] == 0
    assert report["features"] == report["ticks"] >= 300
    assert_identical(tmp_path / "data")


def test_log_lines_go_to_stderr_even_where_nobody_configured_them() -> None:
    script = "from volspike.pipeline.log_guard import log; log.error('the log has stopped')"
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert ran.stdout == ""
    assert "the log has stopped" in ran.stderr


def test_models_fit_a_narrow_terminal_and_a_damaged_one_is_explained(
    trained: Callable[[], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("volspike.cli.output.PLAIN_WIDTH", 80)
    root = trained()
    (weights,) = (root / "models" / "logistic").glob("*/weights.json")
    weights.write_bytes(b"{}")
    told = volspike("models", "--all", "--data-dir", root).out
    assert "…" not in told
    assert f"logistic {weights.parent.name}: weights.json was altered" in told
