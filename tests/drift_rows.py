"""Rows and columns for the tests of drift reports; the market is that of the model tests."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent / "models"))
sys.path.insert(0, str(Path(__file__).parent / "labels"))

from label_streams import feature_table, random_events
from model_rows import market

from volspike.labels.dataset import Dataset
from volspike.monitoring.watched import WatchedColumn, feature_column

__all__ = ["column", "feature_table", "market_of_ticks", "random_events"]


def market_of_ticks(hours: float, seed: int = 4) -> Dataset:
    """Return a labelled dataset of so many hours, one row a second, without a hole."""
    return market(hours=hours, seed=seed)


def column(name: str, values: np.ndarray, is_log: bool = True) -> WatchedColumn:
    """Return a feature of these values, with the bounds of its name."""
    return feature_column(name, "1", "", is_log, np.asarray(values, np.float64))
