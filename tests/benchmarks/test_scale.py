"""The benchmark of hundreds of products runs with a few: all adds up; nothing is timed."""

from __future__ import annotations

import importlib
import json
from pathlib import Path

import pytest

from volspike.config import ENV_PREFIX

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_it_runs_and_what_the_topics_hold_is_what_the_archive_leads_to(
    kafka_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(ROOT))
    monkeypatch.setenv(f"{ENV_PREFIX}KAFKA_CACHE", str(kafka_cache))
    out = tmp_path / "figures.json"
    importlib.import_module("benchmarks.scale").main(["--quick", "--json", str(out)])
    found = json.loads(out.read_text(encoding="utf-8"))
    accounts = {figure["name"]: figure for figure in found["accounts"]}
    assert not [figure for figure in accounts.values() if figure["met"] is False]
    held = accounts["records of ticks.raw held to the archive"]["value"]
    assert accounts["rows and marks held to the archive"]["value"] == held > 0
    processes = {figure["name"]: figure["value"] for figure in found["processes"]}
    assert processes["featurize 2: processor"] > 0
    topics = {figure["name"]: figure["value"] for figure in found["disk and network"]}
    assert topics["ticks.raw: records"] == held
