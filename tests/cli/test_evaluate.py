"""``volspike evaluate``: the page, and the log of looks at the test part."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from volspike.clock import SystemClock
from volspike.labels.splits import chronological_split
from volspike.models.bundle import Bundle
from volspike.pipeline.home import Home
from volspike.pipeline.judging import open_model, split_for
from volspike.pipeline.stored_data import stored_for
from whole_runs import HISTORY_NS, PRODUCT, make_history, one_line_failure, settings_for, tree, volspike


def looked(root: Path, *arguments: object) -> dict:
    ran = volspike("evaluate", "--data-dir", root, "--json", *arguments)
    assert ran.code == 0, ran.err
    report: dict = ran.report
    return report


def test_a_page_is_written_and_no_look_is_logged(trained: Callable[[], Path], tmp_path: Path) -> None:
    root = trained()
    report = looked(root)
    page = root / "reports" / f"evaluate-{PRODUCT}-{report['champion']}.html"
    assert report["page"] == str(page)
    text = page.read_text(encoding="utf-8")
    assert text.startswith("<!doctype html>")
    assert f"{report['models'][report['champion']]['test']['log_loss']:.4f}" in text
    assert (report["looks"], report["look"], (root / "looks.ndjson").exists()) == (0, None, False)


def test_a_page_that_cannot_be_written_is_told_before_anything_is_scored(
    trained: Callable[[], Path],
) -> None:
    root = trained()
    before = tree(root / "models")
    refused = one_line_failure(volspike("evaluate", "--data-dir", root, "--final", "--html", root))
    assert "--html" in refused
    assert not (root / "looks.ndjson").exists()
    assert tree(root / "models") == before


def test_a_final_look_is_logged_and_every_look_is_told_how_many_there_were(
    trained: Callable[[], Path], tmp_path: Path
) -> None:
    root = trained()
    page, log = tmp_path / "here" / "page.html", root / "looks.ndjson"
    before_ns = SystemClock().market_ns()
    final = looked(root, "--final", "--html", page)
    assert (final["looks"], final["page"]) == (0, str(page))
    look = final["look"]
    assert json.loads(log.read_bytes()) == look
    assert look["dataset_sha256"] == final["dataset_sha256"]
    assert (look["product"], look["feed"], look["part"]) == (PRODUCT, "exchange", "test")
    assert look["utc"] >= str(np.datetime64(before_ns, "ns").astype("datetime64[s]"))
    for name, seen in look["models"].items():
        assert (root / "models" / name / seen["version"]).is_dir()
        test = final["models"][name]["test"]
        assert seen["scores"] == {score: test[score] for score in seen["scores"]}
        assert {"log_loss", "qlike", "pr_auc", "onset_pr_auc"} <= set(seen["scores"])
    assert look["reference"] == final["reference"]["name"]
    told = volspike("evaluate", "--data-dir", root, "--html", page).out
    assert "test part: 1 look before" in told
    assert "once before" in page.read_text(encoding="utf-8")
    # Another log knows of none.
    other = tmp_path / "repository" / "looks.ndjson"
    assert looked(root, "--looks", other, "--final")["looks"] == 0
    assert len(other.read_bytes().splitlines()) == len(log.read_bytes().splitlines()) == 1


def test_a_log_of_looks_that_is_not_understood_stops_before_anything_is_scored(
    trained: Callable[[], Path],
) -> None:
    root = trained()
    (root / "looks.ndjson").write_text("rubbish\n")
    before = tree(root)
    assert "line 1 is no look" in one_line_failure(volspike("evaluate", "--data-dir", root, "--final"))
    assert tree(root) == before


def bundle_and_rows(root: Path) -> tuple[Bundle, object]:
    home, settings = Home(root), settings_for(root)
    bundle = open_model(home, "")
    return bundle, stored_for(home, bundle.manifest, settings.feature_set).dataset


def test_later_rows_are_test_and_the_calibrate_slice_of_training_is_found_again(
    trained: Callable[[], Path], tmp_path: Path
) -> None:
    bundle, dataset = bundle_and_rows(trained())
    split = chronological_split(dataset)
    labelled = split.calibrate[dataset.spike[split.calibrate] >= 0]
    first_ns = int(dataset.event_ns[labelled[0]])
    assert split_for(dataset, bundle.manifest).counts() == split.counts()
    # The same market goes on: more rows, another dataset.
    later = make_history(tmp_path / "later", HISTORY_NS + 1_800 * 10**9)
    longer = stored_for(later, bundle.manifest, settings_for(later.root).feature_set).dataset
    found = split_for(longer, bundle.manifest)
    assert longer.sha256 != dataset.sha256
    assert longer.event_ns[found.calibrate[0]] == first_ns
    assert len(found.calibrate) == len(labelled)
    assert longer.event_ns[found.calibrate[-1]] == bundle.manifest.training.last_ns
    assert found.fit[-1] + 1 == found.calibrate[0]
    assert longer.event_ns[found.test[0]] > bundle.manifest.training.last_ns + 360 * 10**9
    assert len(found.tune) == 0


@pytest.mark.parametrize("arguments", ["--final --looks", "--html", "--final maybe"])
def test_wrong_usage_is_told(arguments: str, trained: Callable[[], Path]) -> None:
    assert volspike("evaluate", "--data-dir", trained(), *arguments.split()).code == 2


WALK = ("--walk-forward", "--every-days", "1", "--final", "--json")


def test_invariant_09_a_walk_forward_refuses_a_leak_unless_it_is_allowed_and_then_says_so_everywhere(
    trained: Callable[[], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    root = trained()
    honest = volspike("evaluate", "--data-dir", root, *WALK)
    assert honest.code == 0, honest.err
    assert honest.report["audit"]["passed"]
    assert {"causality", "persistence", "target", "purge"} <= honest.report["audit"]["checks"].keys()
    assert honest.report["look"]["leaks"] == []
    monkeypatch.setenv("VOLSPIKE_TARGET", "next-row")
    monkeypatch.setenv("VOLSPIKE_TAU_MODE", "fixed")
    refused = volspike("evaluate", "--data-dir", root, *WALK)
    assert refused.code == 1
    assert "LEAK target" in refused.err
    assert "nothing was trained or scored" in refused.err
    assert len((root / "looks.ndjson").read_bytes().splitlines()) == 1
    allowed = volspike("evaluate", "--data-dir", root, *WALK, "--allow-leaks")
    assert allowed.code == 0, allowed.err
    assert not allowed.report["audit"]["passed"]
    assert {"target", "shared_ticks"} <= set(allowed.report["look"]["leaks"])
    assert any("leaks" in note for note in allowed.report["notes"]["champion"])
    assert "Leaks: no figure on this page" in Path(allowed.report["page"]).read_text(encoding="utf-8")


@pytest.mark.parametrize("days", ["0.000001", "0.00001"])
def test_folds_shorter_than_rows_or_too_many_are_refused_in_a_line(
    days: str, trained: Callable[[], Path]
) -> None:
    refused = one_line_failure(
        volspike("evaluate", "--data-dir", trained(), "--walk-forward", "--every-days", days)
    )
    assert "--every-days" in refused
    assert "1,000 trainings at most" in refused


@pytest.mark.parametrize("arguments", ["--every-days 2", "--allow-leaks", "--test-from 2024-01-01"])
def test_what_is_of_a_walk_forward_alone_is_refused_without_one(
    arguments: str, trained: Callable[[], Path]
) -> None:
    ran = volspike("evaluate", "--data-dir", trained(), *arguments.split())
    assert ran.code == 2
    assert "it goes with --walk-forward" in ran.err


def test_a_training_says_whom_it_replaces(trained: Callable[[], Path]) -> None:
    root = trained()
    before = open_model(Home(root), "").manifest
    same = volspike("train", "--data-dir", root, "--json").report
    assert same["succession"] == f"{before.name} {before.version} stays champion: the same model came out"
    ran = volspike("train", "--data-dir", root, "--class-weight", "balanced")
    assert ran.code == 0, ran.err
    after = open_model(Home(root), "").manifest
    assert after.version != before.version
    words = " ".join(ran.out.split())
    assert f"{after.name} {after.version} is champion and replaces {before.name} {before.version}" in words
    assert f"volspike rollback brings {before.name} {before.version} back" in words


def test_models_are_listed_in_the_order_of_training(trained: Callable[[], Path]) -> None:
    root = trained()
    assert list(looked(root)["models"]) == list(looked(root, "--model", "champion")["models"])
    assert list(looked(root)["models"]) == ["zscore", "logistic", "xgboost", "blend"]
