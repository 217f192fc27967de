"""Features, state and labels of candles computed again with other candles after their row, and before it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from volspike.evaluation.leaks.finding import Finding
from volspike.evaluation.leaks.recompute import READS_AHEAD, READS_BACK, same_bits
from volspike.evaluation.leaks.rows import thinned
from volspike.exchange.candles import CandleTable
from volspike.labels.candles import candle_dataset
from volspike.labels.dataset import Dataset
from volspike.labels.targets import LABELLED

I8 = npt.NDArray[np.int64]

CUTS = (0.3, 0.6, 0.95)
LABELS = 3
PRICES = ("open", "high", "low", "close")
SEED = 20_240_229
STATE = ("features", "rv_bps", "mid", "har_bps", "z", "tau_bps", "tau_adaptive", "run")


def candle_features_recomputed(table: CandleTable, dataset: Dataset) -> Finding:
    """Compute all rows again with the candles after a row cut off, then changed: none up to it may differ.

    Three rows are taken, one after the other; each row before it is compared to the bit, and so is its
    trailing state.
    """
    for cut in CUTS:
        at = int(cut * len(dataset))
        last = _place(table, dataset, at)
        for other in _other_futures(table, last):
            moved = _moved_state(dataset, _built(other, dataset), at)
            if moved:
                words = f"with the candles after it cut off or changed, the rows' {moved} come out otherwise"
                return READS_AHEAD.found(1.0, words)
    checked = int(CUTS[-1] * len(dataset)) + 1
    return READS_AHEAD.clean(
        0.0, f"{checked:,} rows, and all trailing state, are the same without the candles after them"
    )


def candle_labels_recomputed(table: CandleTable, dataset: Dataset) -> Finding:
    """Compute labels again with other candles up to their row: none after it may change."""
    chosen = thinned(np.flatnonzero(dataset.unlabelled == LABELLED), LABELS)
    if not len(chosen):
        return READS_BACK.unknown("there is no labelled row")
    moved = 0
    for at in chosen.tolist():
        until = np.arange(len(table)) <= _place(table, dataset, at)
        again = _built(_changed(table, until), dataset)
        first = int(np.searchsorted(again.event_ns, dataset.event_ns[at]))
        count = len(dataset) - at
        ahead = again.sigma_future_bps[first : first + count]
        moved += not same_bits(dataset.sigma_future_bps[at:], ahead)
    if moved:
        share = moved / len(chosen)
        return READS_BACK.found(share, f"labels change with the candles before their row, at {share:.0%}")
    return READS_BACK.clean(0.0, f"behind {len(chosen)} rows labels are the same, whatever came before")


def _place(table: CandleTable, dataset: Dataset, row: int) -> int:
    """Return the candle at whose end a row is."""
    return int(np.searchsorted(table.minute, dataset.event_ns[row] // (dataset.step_s * 10**9) - 1))


def _built(table: CandleTable, like: Dataset) -> Dataset:
    return candle_dataset(table, like.tau, like.fixed_tau_bps, like.increment)


def _moved_state(dataset: Dataset, again: Dataset, at: int) -> str:
    """Return what of the rows up to one differs; empty if nothing does."""
    first = int(np.searchsorted(again.event_ns, dataset.event_ns[0]))
    for name in STATE:
        one, other = getattr(dataset, name)[: at + 1], getattr(again, name)[first : first + at + 1]
        # Runs are numbered from the table's first.
        if not same_bits(one - one[0], other - other[0]) if name == "run" else not same_bits(one, other):
            return name
    return ""


def _other_futures(table: CandleTable, last: int) -> Iterator[CandleTable]:
    yield table.take(np.arange(last + 1))
    yield _changed(table, np.arange(len(table)) > last)


def _changed(table: CandleTable, chosen: npt.NDArray[np.bool_]) -> CandleTable:
    """Return the table with other prices, ranges and volumes in the chosen candles."""
    rng = np.random.default_rng(SEED)
    level = np.where(chosen, 1.0 + rng.uniform(0.0, 1e-3, len(table)), 1.0)
    wide = np.where(chosen, 1.0 + rng.uniform(1e-4, 1e-3, len(table)), 1.0)
    columns = {name: getattr(table, name) * level for name in PRICES}
    columns["high"] = columns["high"] * wide
    return replace(table, **columns, volume=table.volume * np.where(chosen, 1.7, 1.0))
