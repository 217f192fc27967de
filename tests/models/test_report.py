from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from model_rows import market, of_one_class

from volspike.evaluation.page import About, render_page
from volspike.evaluation.report import describe_gap, evaluate, notes_by_models
from volspike.labels.splits import PARTS, chronological_split
from volspike.models.train import train


@pytest.fixture(scope="module")
def report(dataset, split, trained, tmp_path_factory):
    return evaluate(trained.bundles, dataset, split, trained.champion, tmp_path_factory.mktemp("plots"))


def test_every_model_and_the_reference_on_every_part(report, trained, split) -> None:
    assert set(report.models) == set(trained.bundles)
    for parts in (*report.models.values(), report.reference_scores):
        assert tuple(parts) == PARTS
        assert {part: scores.rows for part, scores in parts.items()} == {
            part: len(index) for part, index in split.parts()
        }
    assert report.reference_scores["test"].pr_auc == report.models["zscore"]["test"].reference_pr_auc


def test_the_dict_has_the_keys_of_the_command_line(report, trained) -> None:
    document = json.loads(json.dumps(report.as_dict()))
    assert document["reference"]["name"] == trained.reference
    assert document["champion"] == trained.champion
    assert document["tau"]["mode"] == "adaptive"
    assert document["tau"]["adaptive_frac"] == 1.0
    expected = {
        *("pr_auc", "base_rate", "lift", "onset_pr_auc", "reference_pr_auc", "qlike", "log_loss", "f1"),
        *("precision", "recall", "roc_auc", "brier", "clusters", "windows", "enough_data"),
    }
    assert set(document["audit"]["checks"]) == {"order", "purge", "slices", "tau", "target", "plausible"}
    for parts in document["models"].values():
        for scores in parts.values():
            assert expected <= set(scores)
            assert isinstance(scores["clusters"], int)


def test_other_rows_than_those_of_training_are_not_audited(dataset, split, trained) -> None:
    other = evaluate(trained.bundles, replace(dataset, sha256="other"), split, trained.champion)
    assert other.audit is None
    assert other.as_dict()["audit"] == {"passed": None, "checks": {}}


def test_pictures_are_of_the_test_part(report) -> None:
    for name, paths in report.plots.items():
        assert [path.name for path in paths] == [f"{name}-test-confusion.png", f"{name}-test-pr.png"]
        assert all(path.read_bytes().startswith(b"\x89PNG") for path in paths)


def test_the_threshold_is_the_models_own(report, trained) -> None:
    for name, parts in report.models.items():
        assert parts["test"].threshold == trained.bundles[name].manifest.alert.open_at


def test_the_gap_is_said_in_words_with_the_mark(report) -> None:
    for name, text in report.gaps.items():
        parts = report.models[name]
        assert f"{parts['fit'].pr_auc:.3f}" in text
        assert f"{parts['test'].pr_auc:.3f}" in text
        assert "not enough data" in text


def test_gap_words_follow_the_lift(report) -> None:
    fit = replace(report.models["zscore"]["fit"], lift=4.0, enough_data=True)
    assert "ranks on test as on fit" in describe_gap(fit, replace(fit, roc_auc=fit.roc_auc - 0.02))
    assert "ranks worse" in describe_gap(fit, replace(fit, roc_auc=fit.roc_auc - 0.05))
    assert "ranks better" in describe_gap(fit, replace(fit, roc_auc=fit.roc_auc + 0.05))
    # Another base rate moves PR-AUC and lift, and is no overfitting.
    assert "ranks on test as on fit" in describe_gap(fit, replace(fit, lift=2.0, pr_auc=0.9, base_rate=0.4))
    assert "not enough" not in describe_gap(fit, replace(fit, lift=6.0))


def test_a_note_that_models_share_is_told_once() -> None:
    notes = {"zscore": ("thin", "slow"), "logistic": ("thin",), "blend": ("thin", "slow")}
    assert notes_by_models(notes) == {"all models": ["thin"], "zscore, blend": ["slow"]}
    assert notes_by_models({"zscore": ("thin",)}) == {"zscore": ["thin"]}


def test_thin_and_one_class_parts_are_marked_not_hidden(settings, tmp_path: Path) -> None:
    thin = market(hours=0.25, seed=12)
    split = chronological_split(thin)
    quiet = of_one_class(thin, split.test)
    result = train(quiet, split, settings)
    report = evaluate(result.bundles, quiet, split, result.champion, tmp_path)
    scores = report.models["zscore"]["test"]
    assert scores.pr_auc is None
    assert not scores.enough_data
    assert report.models["zscore"]["calibrate"].rows == 0
    assert "not enough data: ROC AUC is undefined on test" in report.gaps["zscore"]
    assert len(report.plots["zscore"]) == 2
    json.dumps(report.as_dict())


def test_what_is_said_beyond_scores_is_of_the_test_part(report, dataset, split) -> None:
    document = json.loads(json.dumps(report.as_dict()))
    test = dataset.rows(split.test)
    for name, judgement in report.judged.items():
        parts = report.models[name]
        reliability = document["reliability"][name]
        assert sum(group["rows"] for group in reliability["bins"]) == parts["test"].rows
        assert reliability["slope_verdict"] == "not enough data"
        assert sum(day["rows"] for day in document["days"][name]["days"]) == parts["test"].rows
        assert document["days"][name]["worst"] in {day.date for day in judgement.days}
        assert list(document["gains"][name]) == ["log_loss", "qlike", "pr_auc", "onset_pr_auc", "brier"]
        assert [point["budget_per_hour"] for point in document["budgets"][name]] == [0.5, 1.0, 2.0, 4.0, 8.0]
        warned = [point for point in judgement.budgets if not point.reason]
        assert all(point.onsets == parts["test"].onsets for point in warned)
    assert sum(group["rows"] for group in document["unlabelled"]) == len(dataset)
    assert document["reference"]["reliability"]["bins"]
    assert len(document["reference"]["budgets"]) == 5
    assert test.step_s == 1


def test_rows_a_minute_apart_are_judged_as_well(settings) -> None:
    seconds = market(hours=100.0, seed=9)
    minutes = replace(seconds, step_s=60).rows(np.arange(0, len(seconds), 60))
    split = chronological_split(minutes)
    result = train(minutes, split, settings)
    report = evaluate(result.bundles, minutes, split, result.champion)
    for name, judgement in report.judged.items():
        scores = report.models[name]["test"]
        assert scores.rows == scores.windows == len(split.test)
        assert scores.onsets + scores.continuations == scores.positives
        assert all(group.rows == group.windows for group in judgement.reliability.bins)
        assert judgement.gains["log_loss"] is not None
        assert any(point.onset_recall for point in judgement.budgets)
        assert {point.lead_s for point in judgement.budgets} <= {None, 60.0, 90.0, 120.0}
        assert {point.ahead_frac for point in judgement.budgets} <= {None, 1.0}
    text = render_page(report, minutes, split, About(dict.fromkeys(report.models, "1"), True, 0))
    assert "one row a 60 s" in text
