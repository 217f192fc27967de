"""What is stored of a product, as the dataset that models are trained on and put to."""

from __future__ import annotations

from dataclasses import dataclass

from volspike.config import Settings
from volspike.errors import ModelError, NotEnoughDataError
from volspike.features.candle_store import read_candles
from volspike.features.store import FeatureTable, read_features, stored_kinds
from volspike.labels.candles import FEED as CANDLES
from volspike.labels.candles import candle_dataset
from volspike.labels.dataset import Dataset, Inputs, build_dataset
from volspike.labels.tau import TauSpec
from volspike.models.bundle import check_fits, takes_rows
from volspike.models.manifest import Manifest
from volspike.pipeline.evidence_words import describe_candles, describe_rows
from volspike.pipeline.home import Home


@dataclass(frozen=True)
class Stored:
    """A dataset, and what it was made of: in words, and the table of its ticks (None of candles)."""

    dataset: Dataset
    words: str
    table: FeatureTable | None


def tau_spec(settings: Settings) -> TauSpec:
    """Return how tau is set."""
    return TauSpec(settings.tau_mode, settings.tau_quantile, settings.tau_floor_bps)


def training_data(home: Home, settings: Settings, product: str | None, feed: str | None) -> Stored:
    """Return what the settings train on: stored rows of ticks, or of the feed ``candles`` stored candles.

    Raises
    ------
    NotEnoughDataError
        If nothing is stored.
    """
    tau = tau_spec(settings)
    if feed == CANDLES:
        candles = read_candles(home.candles, product)
        made = candle_dataset(candles, tau)
        return Stored(made, describe_candles(candles, made), None)
    table = stored_table(home, settings.feature_set, product, feed)
    made = build_dataset([table], settings.target, tau, inputs=settings.inputs)
    return Stored(made, describe_rows(table, made), table)


def dataset_for(
    home: Home, manifest: Manifest, feature_set: str, product: str | None = None, feed: str | None = None
) -> Dataset:
    """Return what is stored, labelled as a model was trained: its target, its tau, its increment.

    Parameters
    ----------
    manifest : Manifest
        Of the model.
    feature_set : str
        Of the stored rows, where the model takes those of any ticks.
    product, feed : str, optional
        Other than the model's own; one that serves either feed takes the other where its own is not stored.

    Raises
    ------
    ModelError
        If the model was made for another product, feed or feature set.
    """
    tau = manifest.tau
    product = product or manifest.product
    if manifest.feed == CANDLES:
        if feed not in (None, CANDLES):
            raise ModelError(
                f"model {manifest.name} {manifest.version}",
                f"it is made of candles, not of the feed {feed}",
                f"leave the feed out, or use a model that was trained on {feed}",
            )
        candles = read_candles(home.candles, product)
        check_fits(manifest, CANDLES, candles.product, manifest.feature_set)
        return candle_dataset(candles, tau.spec(), tau.fixed_bps, manifest.increment)
    has_own = takes_rows(manifest, manifest.feature_set)
    table = _rows_for(home, manifest, manifest.feature_set if has_own else feature_set, product, feed)
    check_fits(manifest, table.feed, table.product, table.feature_set)
    inputs: Inputs = "rows" if has_own else "regime"
    return build_dataset([table], manifest.target, tau.spec(), tau.fixed_bps, manifest.increment, inputs)


def stored_table(home: Home, feature_set: str, product: str | None, feed: str | None) -> FeatureTable:
    """Read the stored rows of one product and feed.

    Raises
    ------
    NotEnoughDataError
        If there are none.
    """
    home.require()
    table = read_features(home.features, product, feed, feature_set)
    if not len(table.event_ns):
        raise NotEnoughDataError(
            str(home.features), "it holds no rows", "record longer, or run volspike replay after an import"
        )
    return table


def _rows_for(
    home: Home, manifest: Manifest, feature_set: str, product: str, feed: str | None
) -> FeatureTable:
    """Return the stored rows of a feed, without one of the model's own where that is stored."""
    has_own = any(kind[:2] == (product, manifest.feed) for kind in stored_kinds(home.features))
    return stored_table(home, feature_set, product, feed or (manifest.feed if has_own else None))
