"""A data directory with a model in it, trained in seconds on a synthetic market."""

from __future__ import annotations

from pathlib import Path

from benchmarks.ticks import NS
from volspike.clock import SystemClock
from volspike.exchange.products import PriceScales
from volspike.features.sets import get_feature_set
from volspike.features.store import read_features
from volspike.labels.dataset import Dataset, build_dataset
from volspike.labels.splits import chronological_split
from volspike.models.bundle import Bundle
from volspike.models.settings import TrainSettings
from volspike.models.shelf import save_bundle
from volspike.models.standing import crown_champion
from volspike.models.train import train
from volspike.pipeline.home import Home
from volspike.pipeline.recordings import synthetic_history
from volspike.pipeline.replay import replay_features
from volspike.recording.archive import ArchiveWriter
from volspike.simulation.synthetic import SyntheticMarket

PRODUCT = "BTC-USD"
SEED = 7
START_NS = 1_700_000_000 * NS
HOUR_NS = 3_600 * NS


def train_models(root: Path, hours: float) -> tuple[Dataset, dict[str, Bundle]]:
    """Return the rows of ``hours`` of synthetic history, and the models fitted to them."""
    home = Home(root)
    home.create()
    writer = ArchiveWriter(root, SystemClock())
    try:
        market = SyntheticMarket(SEED, (PRODUCT,), START_NS)
        synthetic_history(market, SEED, START_NS + int(hours * HOUR_NS), writer)
    finally:
        writer.close()
    replay_features(home, get_feature_set("core"), PriceScales(), lambda _frames: None)
    dataset = build_dataset([read_features(home.features)])
    split = chronological_split(dataset)
    return dataset, train(dataset, split, TrainSettings(seed=SEED)).bundles


def data_directory(root: Path, hours: float, kind: str = "xgboost") -> Home:
    """Return a data directory that holds nothing but one model, the champion."""
    _, bundles = train_models(root / "history", hours)
    home = Home(root / "live")
    home.create()
    manifest = bundles[kind].manifest
    save_bundle(bundles[kind], home.models)
    crown_champion(home.models, manifest.name, manifest.version)
    return home
