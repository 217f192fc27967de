"""Features, state and labels computed again with the future cut off or changed, and with the past changed.

This is what volspike's own rows allow, since their ticks are there: every comparison is to the bit.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from volspike.errors import NotEnoughDataError
from volspike.evaluation.leaks.finding import Finding, Leak
from volspike.evaluation.leaks.rows import thinned
from volspike.features.columns import FeatureSet
from volspike.features.engine import make_engine
from volspike.features.sets import IMBALANCE, get_feature_set
from volspike.features.table import FeatureTable
from volspike.features.window import SECOND_NS
from volspike.labels.dataset import Dataset, build_dataset
from volspike.labels.stream import column_index, usable_ticks
from volspike.labels.targets import LABELLED
from volspike.records import UNKNOWN

I8 = npt.NDArray[np.int64]
F8 = npt.NDArray[np.float64]

READS_AHEAD = Leak("feature reads ahead", (), "share of recomputed rows that come out otherwise")
READS_BACK = Leak("smoothed label", (5,), "share of labels that change with the ticks before their row")
WINDOWS, LABELS, AFTER = 32, 12, 50
LOOK_BACK_NS = 62 * SECOND_NS  # the window, and the mid before its first whole second
AROUND_NS = 200 * SECOND_NS
CUT = 0.6
SEED = 20_240_229
STATE = ("features", "rv_bps", "mid", "har_bps", "z", "tau_bps", "tau_adaptive", "run")


def features_recomputed(table: FeatureTable, dataset: Dataset) -> Finding:
    """Compute rows again with the ticks after them cut off, then changed; nothing of a row may differ.

    The window features of 32 rows come from their own ticks, on a fresh engine. The trailing state (lags, z,
    tau) is that of a dataset built on the ticks up to one row, and again with every later price changed.
    """
    ticks = usable_ticks(table)
    rows = thinned(_ticks_of(dataset, table, ticks), WINDOWS)
    wrong = sum(not _same_window(table, ticks, row) for row in rows.tolist())
    state = _state_that_moves(table, dataset, ticks)
    left_out = " (columns of sizes and trades are left out: those are not stored)"
    note = left_out if _set_of_quotes(table).name != table.feature_set else ""
    if wrong or state:
        what = f"{wrong} of {len(rows)} rows of features" if wrong else state
        frac = wrong / len(rows) if wrong else 1.0
        return READS_AHEAD.found(
            frac, f"with the ticks after it cut off or changed, {what} come out otherwise"
        )
    return READS_AHEAD.clean(
        0.0, f"{len(rows)} rows, and all trailing state, are the same without what came after them{note}"
    )


def labels_recomputed(table: FeatureTable, dataset: Dataset) -> Finding:
    """Compute labels again with other prices before their row: none may change."""
    ticks = usable_ticks(table)
    labelled = np.flatnonzero(dataset.unlabelled == LABELLED)
    chosen = thinned(_ticks_of(dataset, table, ticks)[labelled], LABELS)
    rng = np.random.default_rng(SEED)
    pairs = [_labels_of(table, ticks, row, dataset, rng) for row in chosen.tolist()]
    known = [pair for pair in pairs if pair is not None]
    if not known:
        return READS_BACK.unknown("that takes a labelled row with its minute before and after")
    moved = sum(before != after for before, after in known) / len(known)
    if moved:
        return READS_BACK.found(moved, f"{moved:.0%} of the labels change with the prices before their row")
    return READS_BACK.clean(0.0, f"{len(known)} labels are the same, whatever the prices before their row")


def _ticks_of(dataset: Dataset, table: FeatureTable, ticks: I8) -> I8:
    """Return each row's place among the ticks: the last of its stamp."""
    return np.searchsorted(table.event_ns[ticks], dataset.event_ns, side="right") - 1


def _set_of_quotes(table: FeatureTable) -> FeatureSet:
    """Return the set of those columns that come of the stored quotes alone."""
    features = get_feature_set(table.feature_set)
    whole = IMBALANCE not in features.columns and not features.needs_trades
    return features if whole else get_feature_set("core")


def _computed(table: FeatureTable, ticks: I8, move: I8 | None = None) -> tuple[F8, FeatureSet]:
    """Return the features of some ticks on a fresh engine, their prices moved; of quotes alone."""
    features = _set_of_quotes(table)
    move = np.zeros(len(ticks), np.int64) if move is None else move
    unknown = np.full(len(ticks), UNKNOWN, np.int64)
    values, _ = make_engine(features, table.price_decimals).batch(
        table.event_ns[ticks],
        table.covered_since_ns[ticks],
        table.bid[ticks] + move,
        table.ask[ticks] + move,
        unknown,
        unknown,
    )
    return values, features


def _same_window(table: FeatureTable, ticks: I8, row: int) -> bool:
    """Tell whether a tick's features come out the same without, and with other, ticks after it."""
    now_ns = table.event_ns[ticks[row]]
    first = int(np.searchsorted(table.event_ns[ticks], now_ns - LOOK_BACK_NS, side="right")) - 1
    first = max(first, 0)
    stop = min(row + 1 + AFTER, len(ticks))
    move = _moves(table, ticks[first:stop], np.random.default_rng(row))
    move[: row + 1 - first] = 0
    cut, features = _computed(table, ticks[first : row + 1])
    changed, _ = _computed(table, ticks[first:stop], move)
    columns = [column_index(table.feature_set, name) for name in features.names]
    stored = table.values[ticks[row], columns]
    return same_bits(stored, cut[-1]) and same_bits(stored, changed[row - first])


def _moves(table: FeatureTable, ticks: I8, rng: np.random.Generator) -> I8:
    """Return by how much each tick's prices move: up to a thousandth, in price units."""
    moved: I8 = np.rint(table.bid[ticks] * rng.uniform(0.0, 1e-3, len(ticks))).astype(np.int64) + 1
    return moved


def same_bits(one: npt.NDArray[np.generic], other: npt.NDArray[np.generic]) -> bool:
    """Tell whether two arrays are the same to the bit."""
    return np.ascontiguousarray(one).tobytes() == np.ascontiguousarray(other).tobytes()


def _state_that_moves(table: FeatureTable, dataset: Dataset, ticks: I8) -> str:
    """Return what of the dataset depends on the ticks after one of its rows; empty if nothing does."""
    at = int(CUT * len(dataset))
    last = int(ticks[_ticks_of(dataset, table, ticks)[at]])
    for other in _other_futures(table, last):
        again = _built(other, dataset)
        # The table may hold rows in front of the dataset's, for what trails behind it.
        first = int(np.searchsorted(again.event_ns, dataset.event_ns[0]))
        for name in STATE:
            if not same_bits(getattr(dataset, name)[: at + 1], getattr(again, name)[first : first + at + 1]):
                return f"the rows' {name}"
    return ""


def _built(table: FeatureTable, like: Dataset) -> Dataset:
    """Return the dataset of another table, made as one was."""
    return build_dataset(
        [table], like.target, like.tau, like.fixed_tau_bps, like.increment, inputs=like.inputs
    )


def _other_futures(table: FeatureTable, last: int) -> Iterator[FeatureTable]:
    """Yield the table up to a row, and the table with every later price changed."""
    yield table.slice(0, last + 1)
    later = np.arange(last + 1, len(table))
    move = np.where(table.bid[later] > 0, _moves(table, later, np.random.default_rng(SEED)), 0)
    bid, ask = table.bid.copy(), table.ask.copy()
    bid[later] += move
    ask[later] += move
    yield replace(table, bid=bid, ask=ask)


def _labels_of(
    table: FeatureTable, ticks: I8, row: int, dataset: Dataset, rng: np.random.Generator
) -> tuple[float, float] | None:
    """Return a row's label, and with other prices before the row; None where it can't be computed alone."""
    now_ns = table.event_ns[ticks[row]]
    first, stop = np.searchsorted(table.event_ns, (now_ns - AROUND_NS, now_ns + AROUND_NS))
    near = table.slice(int(first), int(stop))
    place = int(ticks[row] - first)
    kept = usable_ticks(near)
    move = _moves(near, kept, rng)
    move[kept >= place] = 0
    found = [_label_at(near, kept, moved, now_ns, dataset) for moved in (np.zeros_like(move), move)]
    before, after = found
    return None if before is None or after is None else (before, after)


def _label_at(near: FeatureTable, kept: I8, move: I8, now_ns: int, dataset: Dataset) -> float | None:
    values, features = _computed(near, kept, move)
    bid, ask, all_values = near.bid.copy(), near.ask.copy(), near.values.copy()
    bid[kept] += move
    ask[kept] += move
    for column, name in enumerate(features.names):
        all_values[kept, column_index(near.feature_set, name)] = values[:, column]
    moved = replace(near, bid=bid, ask=ask, values=all_values)
    try:
        rows = _built(moved, dataset)
    except NotEnoughDataError:
        return None
    at = np.flatnonzero((rows.event_ns == now_ns) & (rows.unlabelled == LABELLED))
    return float(rows.sigma_future_bps[at[0]]) if len(at) else None
