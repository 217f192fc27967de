"""From a CSV file of candles to models of the next minute, and back to the same dataset."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from volspike.errors import FeatureError, ModelError, NotEnoughDataError
from volspike.evaluation.looks import looks_at, read_looks
from volspike.features.candle_store import read_candles
from volspike.labels.splits import chronological_split
from volspike.models.bundle import load_bundle
from volspike.models.settings import KINDS
from volspike.models.standing import champions
from volspike.pipeline.home import Home
from volspike.pipeline.stored_data import stored_for, training_data
from volspike.pipeline.training import Trained, train_models
from volspike.simulation.synthetic import SyntheticMarket
from volspike.testing.manual_clock import ManualClock
from whole_runs import ORIGIN_NS, PRODUCT, live_run, settings_for, ticks_at_least, volspike

FIRST_S = 1_700_000_040
MINUTES = 4_000
HOLES = range(1_000, 1_007)


def candles_csv(path: Path, product: str, seed: int = 5) -> Path:
    """Write candles of a market whose volatility comes in waves and bursts, without some minutes."""
    rng = np.random.default_rng(seed)
    burst, price, lines = 0.0, 40_000.0, ["time,low,high,open,close,volume"]
    for minute in range(MINUTES):
        burst = 0.9 * burst + (rng.exponential(0.7) if rng.random() < 0.02 else 0.0)
        sigma = 4e-4 * math.exp(0.4 * math.sin(minute / 230.0) + burst)
        path_of = price * np.exp(np.cumsum(rng.normal(0.0, sigma / math.sqrt(20), 20)))
        low, high, first, price = path_of.min(), path_of.max(), path_of[0], path_of[-1]
        if minute not in HOLES:
            volume = rng.exponential(5.0) * (1.0 + burst)
            figures = ",".join(f"{value:.2f}" for value in (low, high, first, price))
            lines.append(f"{FIRST_S + 60 * minute},{figures},{volume:.4f}")
    file = path / f"{product}.csv"
    file.write_text("\n".join([*lines, ""]))
    return file


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """Return a data directory with nothing but candles of a product."""
    root = tmp_path_factory.mktemp("candles")
    ran = volspike("backfill", candles_csv(root, PRODUCT), "--data-dir", root / "data", "--json")
    assert ran.code == 0, ran.err
    assert (ran.report["added"], ran.report["missing_minutes"]) == (MINUTES - len(HOLES), len(HOLES))
    return Home(root / "data")


@pytest.fixture(scope="module")
def told() -> list[str]:
    return []


@pytest.fixture(scope="module")
def trained(home: Home, told: list[str]) -> Trained:
    clock = ManualClock(market_ns=1_800_000_000 * 1_000_000_000)
    return train_models(home, settings_for(home.root), None, "candles", told.append, clock=clock)


def test_the_dataset_is_that_of_the_candles(home: Home, trained: Trained, told: list[str]) -> None:
    dataset = trained.dataset
    assert (dataset.product, dataset.feed, dataset.target) == (PRODUCT, "candles", "range")
    assert len(dataset) == len(read_candles(home.candles, PRODUCT)) == MINUTES - len(HOLES)
    assert dataset.increment == 0.01
    assert np.unique(dataset.run).tolist() == [0, 1]
    words = f"{len(dataset):,} minute candles of {PRODUCT} from csv, {len(HOLES)} minutes between are missing"
    assert any(words in each for each in told)
    assert [int(np.count_nonzero(dataset.unlabelled)), int((dataset.spike < 0).sum())] == [2, 2]
    assert {name: len(part) for name, part in trained.split.parts()} == {
        name: len(part) for name, part in chronological_split(dataset).parts()
    }


def test_every_model_is_trained_audited_saved_and_one_is_champion(home: Home, trained: Trained) -> None:
    assert set(trained.saved) == set(KINDS)
    report: dict[str, Any] = json.loads(json.dumps(trained.as_dict()))
    assert set(report["models"]) == set(KINDS)
    assert report["audit"]["passed"] is True, report["audit"]
    assert not report["not_fitted"]
    for name, path in trained.saved.items():
        manifest = load_bundle(path).manifest
        assert (manifest.feed, manifest.feature_set, manifest.target) == ("candles", "candle", "range")
        assert not manifest.feed_dependent
        assert report["mlflow"][name]
        test = report["models"][name]["test"]
        # Bursts last: whatever looks at the present does better than chance.
        assert test["pr_auc"] > test["base_rate"]
    assert [(each.product, each.feed) for each in champions(home.models)] == [(PRODUCT, "candles")]
    assert champions(home.models)[0].name == trained.result.champion


def test_a_training_is_a_look_at_its_test_part_and_the_card_says_so(home: Home, trained: Trained) -> None:
    (look,) = read_looks(home.looks)
    assert look == trained.look
    assert (look.by, look.utc, look.part) == ("train", "2027-01-15T08:00:00Z", "test")
    assert look.dataset_sha256 == trained.dataset.sha256
    test = trained.dataset.rows(trained.split.test)
    assert (look.first_ns, look.last_ns) == (int(test.event_ns[0]), int(test.event_ns[-1]))
    assert (trained.looks, looks_at([look], test)) == (0, 1)
    assert trained.as_dict()["look"]["by"] == "train"
    for path in trained.saved.values():
        assert "These scores are a look at the test part, the first." in (path / "card.md").read_text()


def test_a_saved_model_finds_the_rows_it_was_trained_on(home: Home, trained: Trained) -> None:
    for path in trained.saved.values():
        bundle = load_bundle(path)
        found = stored_for(home, bundle.manifest, "core").dataset
        assert found.sha256 == trained.dataset.sha256 == bundle.manifest.provenance.dataset_sha256
        scored = bundle.predictor.predict_batch(found)
        served = [
            bundle.predictor.predict(tuple(found.features[row].tolist()), found.context(row))
            for row in range(0, len(found), 97)
        ]
        assert np.array(served).tobytes() == np.column_stack(scored)[::97].tobytes()


def test_a_model_of_candles_takes_no_rows_of_a_feed_and_of_no_other_product(
    home: Home, trained: Trained, tmp_path: Path
) -> None:
    manifest = trained.result.bundles["zscore"].manifest
    with pytest.raises(ModelError, match="made of candles, not of the feed exchange"):
        stored_for(home, manifest, "core", feed="exchange")
    assert stored_for(home, manifest, "core", feed="candles").dataset.sha256 == trained.dataset.sha256
    with pytest.raises(FeatureError, match="no candles of ETH-USD"):
        stored_for(home, manifest, "core", "ETH-USD")
    other = Home(tmp_path / "data")
    assert volspike("backfill", candles_csv(tmp_path, "ETH-USD"), "--data-dir", other.root).code == 0
    with pytest.raises(ModelError, match=f"trained on {PRODUCT}, not ETH-USD"):
        stored_for(other, manifest, "core", "ETH-USD")


def test_invariant_10_training_data_are_the_same_twice(home: Home, trained: Trained) -> None:
    again = training_data(home, settings_for(home.root), PRODUCT, "candles")
    assert again.dataset.sha256 == trained.dataset.sha256


def test_without_candles_there_is_nothing_to_train_on(tmp_path: Path) -> None:
    settings = settings_for(tmp_path)
    with pytest.raises(FeatureError, match="no candles") as caught:
        training_data(Home(tmp_path), settings, None, "candles")
    assert "volspike backfill" in str(caught.value)
    thin = tmp_path / f"{PRODUCT}.csv"
    thin.write_text(f"time,low,high,open,close,volume\n{FIRST_S},1,2,1,2,3\n{FIRST_S + 60},1,2,1,2,3\n")
    assert volspike("backfill", thin, "--data-dir", tmp_path / "thin").code == 0
    with pytest.raises(NotEnoughDataError, match="no labelled row"):
        training_data(Home(tmp_path / "thin"), settings, None, "candles")


def test_a_live_job_does_without_a_champion_of_candles(home: Home, trained: Trained) -> None:
    assert trained.result.champion
    report, _ = live_run(home.root, SyntheticMarket(3, (PRODUCT,), ORIGIN_NS), ticks_at_least(300))
    assert report["ticks"] >= 300
    assert report["predictions"] == 0
