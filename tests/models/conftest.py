"""Fixtures of the model tests; lets them import ``model_rows``, which lies beside them."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from model_rows import market

from volspike.labels.dataset import Dataset
from volspike.labels.splits import Split, chronological_split
from volspike.models.settings import TrainSettings
from volspike.models.train import TrainResult, train

SETTINGS = TrainSettings(rounds=60, patience=10, learning_rate=0.1)


@pytest.fixture(scope="session")
def dataset() -> Dataset:
    return market(hours=10.0, seed=4)


@pytest.fixture(scope="session")
def split(dataset: Dataset) -> Split:
    return chronological_split(dataset)


@pytest.fixture(scope="session")
def settings() -> TrainSettings:
    return SETTINGS


@pytest.fixture(scope="session")
def trained(dataset: Dataset, split: Split, settings: TrainSettings) -> TrainResult:
    return train(dataset, split, settings)
