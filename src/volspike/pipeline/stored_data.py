"""What is stored of a product, as the dataset that models are trained on and put to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from volspike.config import Settings
from volspike.errors import ModelError, NotEnoughDataError
from volspike.exchange.candles import FEED as CANDLES
from volspike.exchange.candles import CandleTable
from volspike.exchange.decimals import format_time_ns
from volspike.features.candle_store import stored_sources
from volspike.features.store import (
    NEWEST_NS,
    FeatureTable,
    finished_files,
    newest_rows,
    read_features,
    stored_kinds,
)
from volspike.labels.candles import candle_dataset
from volspike.labels.dataset import Dataset, Inputs, build_dataset, with_fixed_tau_of
from volspike.labels.splits import chronological_split
from volspike.labels.tau import TauSpec
from volspike.models.bundle import check_fits, takes_rows
from volspike.models.manifest import Manifest
from volspike.pipeline.evidence_words import describe_candles, describe_rows
from volspike.pipeline.home import Home
from volspike.pipeline.stored_candles import silent, stored_candles

# Tau and the trailing features of a row look back a day and an hour at most.
TRAILING_NS = 25 * 3_600_000_000_000
ALL_NS = (0, NEWEST_NS)


@dataclass(frozen=True)
class Stored:
    """A dataset, and what it was made of: in words, and the table of its ticks or candles."""

    dataset: Dataset
    words: str
    table: FeatureTable | CandleTable


def tau_spec(settings: Settings) -> TauSpec:
    """Return how tau is set."""
    return TauSpec(settings.tau_mode, settings.tau_quantile, settings.tau_floor_bps)


def training_data(
    home: Home,
    settings: Settings,
    product: str | None,
    feed: str | None,
    since_ns: int = 0,
    say: Callable[[str], None] = silent,
    fixed_tau_bps: float | None = None,
) -> Stored:
    """Return what the settings train on: stored rows of ticks, or of the feed ``candles`` stored candles.

    Parameters
    ----------
    since_ns : int
        Older rows (event time, ns) are left out.
    say : callable
        Told what is taken where there is a choice.
    fixed_tau_bps : float, optional
        A fixed tau to keep; without it, it is that of the fit slice.

    Raises
    ------
    NotEnoughDataError
        If nothing is stored, or nothing that new.
    """
    tau = tau_spec(settings)
    if feed == CANDLES:
        candles = stored_candles(home, product, settings.candle_source, say)
        made = _recent(candle_dataset(candles, tau, fixed_tau_bps), since_ns, fixed_tau_bps)
        return Stored(made, describe_candles(candles, made), candles)
    table = stored_table(home, settings.feature_set, product, feed, max(0, since_ns - TRAILING_NS))
    say_ticks_taken(home, table.product, feed, say)
    every = build_dataset([table], settings.target, tau, fixed_tau_bps, inputs=settings.inputs)
    made = _recent(every, since_ns, fixed_tau_bps)
    return Stored(made, describe_rows(table, made), table)


def _recent(dataset: Dataset, since_ns: int, fixed_tau_bps: float | None) -> Dataset:
    """Return the rows from an event time on, with what trails behind them as it was, and their fixed tau."""
    if fixed_tau_bps is not None:
        dataset = replace(dataset, tau_given=True)
    recent = np.flatnonzero(dataset.event_ns >= since_ns)
    if not len(recent):
        newest = format_time_ns(int(dataset.event_ns[-1]), 0)
        raise NotEnoughDataError(
            f"{dataset.product} on {dataset.feed}",
            f"no row is of {format_time_ns(since_ns, 0)} or later; the newest is of {newest}",
            "raise retrain_days, or record on",
        )
    if len(recent) == len(dataset):
        return dataset
    rows = dataset.rows(recent)
    if dataset.tau_given:
        return rows
    return with_fixed_tau_of(rows, chronological_split(rows).fit)


def stored_for(
    home: Home,
    manifest: Manifest,
    feature_set: str,
    product: str | None = None,
    feed: str | None = None,
    source: str = "",
    say: Callable[[str], None] = silent,
    span_ns: tuple[int, int] = ALL_NS,
) -> Stored:
    """Return what is stored, labelled as a model was trained: its target, its tau, its increment.

    Parameters
    ----------
    manifest : Manifest
        Of the model.
    feature_set : str
        Of the stored rows, where the model takes those of any ticks.
    product, feed : str, optional
        Other than the model's own; one that serves either feed takes the other where its own is not stored.
    source, say : str, callable
        Whose candles, for a model of candles, and told what is taken where there is a choice.
    span_ns : (int, int)
        First and last event time of the stored rows of ticks that are read.

    Raises
    ------
    ModelError
        If the model was made for another product, feed or feature set.
    NotEnoughDataError
        If nothing is stored of the span.
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
        candles = stored_candles(home, product, source, say)
        check_fits(manifest, CANDLES, candles.product, manifest.feature_set)
        made = candle_dataset(candles, tau.spec(), tau.fixed_bps, manifest.increment)
        return Stored(made, describe_candles(candles, made), candles)
    has_own = takes_rows(manifest, manifest.feature_set)
    say_ticks_taken(home, product, feed, say)
    feed = feed or stored_feed(home, manifest, product)
    wanted = manifest.feature_set if has_own else feature_set
    table = stored_table(home, wanted, product, feed, *span_ns)
    check_fits(manifest, table.feed, table.product, table.feature_set)
    inputs: Inputs = "rows" if has_own else "regime"
    made = build_dataset([table], manifest.target, tau.spec(), tau.fixed_bps, manifest.increment, inputs)
    return Stored(made, describe_rows(table, made), table)


def stored_table(
    home: Home,
    feature_set: str,
    product: str | None,
    feed: str | None,
    since_ns: int = 0,
    until_ns: int = ALL_NS[1],
) -> FeatureTable:
    """Read the stored rows of one product and feed, from one event time (ns) to another, both included.

    Raises
    ------
    NotEnoughDataError
        If there are none.
    """
    home.require()
    _require_ticks(home, product)
    table = read_features(home.features, product, feed, feature_set, since_ns, until_ns)
    if not len(table.event_ns):
        raise NotEnoughDataError(
            str(home.features), "it holds no rows", "record longer, or run volspike replay after an import"
        )
    return table


def _require_ticks(home: Home, product: str | None) -> None:
    if not finished_files(home.features) and stored_sources(home.candles, product):
        raise NotEnoughDataError(
            str(home.root), "it holds candles, and no rows of ticks", "say --feed candles, or record ticks"
        )


def say_ticks_taken(home: Home, product: str, feed: str | None, say: Callable[[str], None]) -> None:
    """Say that ticks are taken, where candles of a product are stored too and nobody chose."""
    if feed is None and stored_sources(home.candles, product):
        say(f"{product}: ticks are taken; candles are stored too (--feed candles)")


def stored_feed(home: Home, manifest: Manifest, product: str) -> str | None:
    """Return the feed of the rows that a model of ticks is put to: its own where that is stored."""
    has_own = any(kind[:2] == (product, manifest.feed) for kind in stored_kinds(home.features))
    return manifest.feed if has_own else None


@dataclass(frozen=True)
class StoredKind:
    """A product and feed of which rows are stored, and the event time of the newest, ns."""

    product: str
    feed: str
    newest_ns: int


def newest_kind(
    home: Home,
    product: str | None,
    feed: str | None,
    source: str = "",
    say: Callable[[str], None] = silent,
) -> StoredKind:
    """Return the product and feed that is meant among those stored: ticks, unless candles are asked for.

    Raises
    ------
    NotEnoughDataError
        If only candles are stored, and they are not asked for.
    FeatureError
        If nothing is stored, or several are and none was chosen.
    """
    if feed == CANDLES:
        candles = stored_candles(home, product, source)
        return StoredKind(candles.product, CANDLES, (int(candles.minute[-1]) + 1) * 60 * 1_000_000_000)
    _require_ticks(home, product)
    kind = StoredKind(*newest_rows(home.features, product, feed))
    say_ticks_taken(home, kind.product, feed, say)
    return kind
