"""Thresholds compared on what is stored of a product: rows of ticks, or minute candles."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from volspike.config import Settings
from volspike.evaluation.threshold.analysis import ThresholdAnalysis, analyse_thresholds
from volspike.evaluation.threshold.candidates import Build
from volspike.exchange.candles import FEED as CANDLES
from volspike.labels.candles import candle_dataset
from volspike.labels.dataset import Dataset, build_dataset
from volspike.labels.tau import TauSpec
from volspike.pipeline.home import Home
from volspike.pipeline.stored_candles import silent, stored_candles
from volspike.pipeline.stored_data import stored_table


def compare_thresholds(
    home: Home,
    settings: Settings,
    product: str | None,
    feed: str | None,
    progress: Callable[[int], None] = lambda _done: None,
    say: Callable[[str], None] = silent,
) -> ThresholdAnalysis:
    """Compare thresholds on the stored rows; the tau of the settings is among them.

    Parameters
    ----------
    product, feed : str, optional
        Needed where several are stored; the feed ``candles`` means stored candles.
    progress : callable
        Told of each threshold that is done.
    say : callable
        Told which candles are taken where there is a choice.

    Raises
    ------
    NotEnoughDataError
        If nothing is stored, or too little to set a tau by.
    """
    spec = TauSpec(settings.tau_mode, settings.tau_quantile, settings.tau_floor_bps)
    return analyse_thresholds(dataset_builder(home, settings, product, feed, say), spec, progress)


def dataset_builder(
    home: Home,
    settings: Settings,
    product: str | None,
    feed: str | None,
    say: Callable[[str], None] = silent,
) -> Build:
    """Return what makes the dataset of the stored rows under any setting of tau.

    The target is realised volatility, of which alone tau can be adaptive; of candles, that of the range.
    """
    home.require()
    if feed == CANDLES:
        return partial(candle_dataset, stored_candles(home, product, settings.candle_source, say))
    table = stored_table(home, settings.feature_set, product, feed)

    def build(tau: TauSpec) -> Dataset:
        return build_dataset([table], "rv", tau)

    return build
