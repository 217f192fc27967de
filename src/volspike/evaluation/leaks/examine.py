"""All detectors of leaks on one set of rows."""

from __future__ import annotations

from volspike.evaluation.leaks.candle_recompute import candle_features_recomputed, candle_labels_recomputed
from volspike.evaluation.leaks.candle_rows import candle_clock, candle_rows, repeated_candles
from volspike.evaluation.leaks.duplicates import duplicates
from volspike.evaluation.leaks.finding import Detector, Finding
from volspike.evaluation.leaks.future_features import future_features
from volspike.evaluation.leaks.gaps import gaps
from volspike.evaluation.leaks.later_tau import later_tau
from volspike.evaluation.leaks.level_clock import level_clock
from volspike.evaluation.leaks.own_rows import own_rows
from volspike.evaluation.leaks.persistence import persistence
from volspike.evaluation.leaks.receive_clock import receive_clock
from volspike.evaluation.leaks.recompute import features_recomputed, labels_recomputed
from volspike.evaluation.leaks.rows import AuditRows
from volspike.evaluation.leaks.shared_ticks import feature_label, next_row_label
from volspike.evaluation.leaks.shift_search import search_shift
from volspike.evaluation.leaks.shuffled_split import shuffled_split
from volspike.evaluation.leaks.smoothed_label import smoothed_label
from volspike.evaluation.leaks.untold import untold
from volspike.exchange.candles import CandleTable
from volspike.features.table import FeatureTable
from volspike.labels.dataset import Dataset
from volspike.labels.splits import Split

DETECTORS: tuple[Detector, ...] = (
    next_row_label,
    feature_label,
    persistence,
    future_features,
    smoothed_label,
    later_tau,
    level_clock,
    duplicates,
    shuffled_split,
    gaps,
    receive_clock,
)

# Of volspike's own rows; tau is known there, and causality is proven by computing again.
OWN_DETECTORS: dict[str, Detector] = {
    "shared_ticks": next_row_label,
    "present_feature": feature_label,
    "persistence": persistence,
    "clock": level_clock,
    "duplicates": duplicates,
    "shuffle": shuffled_split,
    "breaks": gaps,
    "receive_clock": receive_clock,
}


def examine(rows: AuditRows) -> list[Finding]:
    """Look for every leak in the rows; return one finding a leak."""
    match = search_shift(rows)
    return [*(detector(rows, match) for detector in DETECTORS), *untold()]


def examine_own(table: FeatureTable | CandleTable, dataset: Dataset, split: Split) -> dict[str, Finding]:
    """Look for every leak in a dataset of volspike's own and the table it was made of, by name of the
    check."""
    if isinstance(table, CandleTable):
        return _examine_candles(table, dataset, split)
    rows = own_rows(table.product, table, dataset, split)
    match = search_shift(rows)
    return {
        "causality": features_recomputed(table, dataset),
        "past_of_label": labels_recomputed(table, dataset),
        **{name: detector(rows, match) for name, detector in OWN_DETECTORS.items()},
    }


def _examine_candles(table: CandleTable, dataset: Dataset, split: Split) -> dict[str, Finding]:
    rows = candle_rows(table, dataset, split)
    match = search_shift(rows)
    return {
        "causality": candle_features_recomputed(table, dataset),
        "past_of_label": candle_labels_recomputed(table, dataset),
        **{name: detector(rows, match) for name, detector in OWN_DETECTORS.items()},
        "clock": candle_clock(rows, match),
        "duplicates": repeated_candles(table, rows, match),
    }
