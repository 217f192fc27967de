"""Every benchmark runs, and the peers it compares with compute the same; nothing is timed."""

from __future__ import annotations

import importlib
import json
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    "name", ["batch_features", "live_step", "replay", "inference", "bytes_to_prediction"]
)
def test_it_runs_and_its_peers_agree(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run_quickly(name, tmp_path, monkeypatch, capsys)


def test_every_worker_on_a_broker_takes_every_tick(
    kafka_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("VOLSPIKE_KAFKA_CACHE", str(kafka_cache))
    run_quickly("kafka", tmp_path, monkeypatch, capsys)


def run_quickly(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.syspath_prepend(str(ROOT))
    runner = importlib.import_module("benchmarks.__main__")
    out = tmp_path / "figures.json"
    runner.main([name, "--quick", "--json", str(out)])
    figures = json.loads(out.read_text(encoding="utf-8"))
    assert figures["quick"] is True
    assert figures["machine"]["cpu"]
    assert all(figure["value"] >= 0 for figure in figures[name])
    assert importlib.import_module(f"benchmarks.{name}").TITLE in capsys.readouterr().out
