"""Frozen, retrained and online: the same rows, and each life knows what it says it knows."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from candle_tables import DAY, FIRST, random_table
from volspike.evaluation.gains import GAINS, compare
from volspike.evaluation.lives import PAIRS, score_lives
from volspike.evaluation.progressive import progressive
from volspike.evaluation.scores import score
from volspike.evaluation.walk_forward import CHAMPION, WalkForward, walk_forward
from volspike.labels.candles import candle_dataset
from volspike.labels.dataset import Dataset
from volspike.labels.splits import Split
from volspike.labels.tau import TauSpec
from volspike.models.learner import Learner
from volspike.models.online import OnlinePredictor
from volspike.models.settings import TrainSettings
from volspike.models.train import TrainResult, train

MINUTE_NS = 60_000_000_000
FROM_NS, UNTIL_NS = (FIRST + 2 * DAY) * MINUTE_NS, (FIRST + 3 * DAY) * MINUTE_NS
SETTINGS = TrainSettings(models=("logistic",))


def trained(rows: Dataset, split: Split) -> TrainResult:
    return train(rows, split, SETTINGS)


def online(rows: Dataset, split: Split) -> OnlinePredictor:
    predictor = train(rows, split, TrainSettings(models=("online",))).bundles["online"].predictor
    assert isinstance(predictor, OnlinePredictor)
    return predictor


def walked(dataset: Dataset) -> WalkForward:
    return walk_forward(dataset, FROM_NS, UNTIL_NS, 8 * 3600, trained, lambda _: None, online)


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    """Return three days of candles that grow wilder on the third."""
    table = random_table(21, 3 * DAY, hole_rate=0.01)
    swing = np.exp(0.4 * np.sin(table.minute / 200.0) + 0.5 * (table.minute >= FIRST + 2 * DAY))
    high = table.low + (table.high - table.low) * swing * 2.0
    return candle_dataset(replace(table, high=high), TauSpec(mode="fixed", quantile=0.9))


@pytest.fixture(scope="module")
def walk(dataset: Dataset) -> WalkForward:
    return walked(dataset)


@pytest.fixture(scope="module")
def report(walk: WalkForward) -> dict:
    assert walk.online is not None
    assert isinstance(walk.online, Learner)
    before = walk.online.export_state()
    made = score_lives(walk)
    walk.online.import_state(before)  # so that other tests find it as the first fold started it
    return made


def test_retrained_is_the_champion_of_each_fold_and_frozen_that_of_the_first(
    walk: WalkForward, report: dict
) -> None:
    first = walk.first.bundles[walk.first.champion].predictor.predict_batch(walk.rows)
    here = walk.fold == 0
    np.testing.assert_array_equal(first.p_spike[here], walk.models[CHAMPION].p_spike[here])
    assert not np.array_equal(first.p_spike[~here], walk.models[CHAMPION].p_spike[~here])
    for name, said in (("frozen", first), ("retrained", walk.models[CHAMPION])):
        found = score(walk.rows, said.p_spike, said.sigma_bps)
        assert report["scores"][name]["log_loss"] == found.log_loss
        assert report["scores"][name]["qlike"] == found.qlike


def test_online_is_what_the_first_fold_started_and_the_labels_then_taught(
    walk: WalkForward, report: dict
) -> None:
    assert walk.online is not None
    before = walk.online.export_state()
    assert before["learned"] == 0
    said = progressive(walk.online, walk.rows)
    assert walk.online.export_state()["learned"] > 1_000
    walk.online.import_state(before)
    found = score(walk.rows, said.p_spike, said.sigma_bps)
    assert report["scores"]["online"]["log_loss"] == found.log_loss
    frozen = walk.first.references["log-har-logit"].predict_batch(walk.rows)
    np.testing.assert_allclose(said.sigma_bps[:2], frozen.sigma_bps[:2], rtol=1e-9)
    assert report["scores"]["frozen_log_har"]["pr_auc"] == score(walk.rows, frozen.p_spike).pr_auc
    # The market grew wilder: who learns of it tells the size of the next minute better.
    assert report["scores"]["online"]["qlike"] < report["scores"]["frozen_log_har"]["qlike"]


def test_gains_are_paired_and_turn_their_sign_with_the_pair(walk: WalkForward, report: dict) -> None:
    assert list(report["gains"]) == [f"{ours}_over_{theirs}" for ours, theirs in PAIRS]
    gain = report["gains"]["retrained_over_frozen"]
    assert set(gain) == set(GAINS)
    frozen = walk.first.bundles[walk.first.champion].predictor.predict_batch(walk.rows)
    other = compare(walk.rows, frozen, walk.models[CHAMPION])
    assert gain["log_loss"]["value"] == pytest.approx(-other["log_loss"].value, rel=1e-9)
    scores = report["scores"]
    difference = scores["frozen"]["log_loss"] - scores["retrained"]["log_loss"]
    assert gain["log_loss"]["value"] == pytest.approx(difference, rel=1e-9)
    assert gain["log_loss"]["low"] <= gain["log_loss"]["value"] <= gain["log_loss"]["high"]


def test_without_an_online_model_the_other_lives_are_told(walk: WalkForward) -> None:
    report = score_lives(replace(walk, online=None))
    assert list(report["scores"]) == ["frozen", "retrained", "frozen_log_har", "retrained_log_har"]
    assert list(report["gains"]) == ["retrained_over_frozen", "retrained_log_har_over_frozen_log_har"]


def test_invariant_09_labels_of_the_last_fold_change_nothing_before_they_matured(
    dataset: Dataset, walk: WalkForward
) -> None:
    last = dataset.event_ns >= FROM_NS + 16 * 3600 * 1_000_000_000
    sigma = np.where(last, 3.0 * dataset.sigma_future_bps, dataset.sigma_future_bps)
    spike = np.where(last & (dataset.spike >= 0), 1 - dataset.spike, dataset.spike).astype(np.int8)
    other = walked(replace(dataset, sigma_future_bps=sigma, spike=spike))
    said = []
    for each in (walk, other):
        assert each.online is not None
        fresh = each.online.export_state()
        said.append(np.array(progressive(each.online, each.rows)))
        each.online.import_state(fresh)
    before = walk.fold < 2
    np.testing.assert_array_equal(said[0][:, before], said[1][:, before])
    assert not np.array_equal(said[0][:, ~before], said[1][:, ~before])
