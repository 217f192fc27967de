"""How much there is to learn from, in words: what became of the ticks, and what each part still lacks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import numpy as np

from volspike.evaluation.enough import (
    BLOCK_S,
    MIN_BLOCKS,
    MIN_CLUSTERS,
    MIN_WINDOWS,
    WINDOW_S,
    Evidence,
    count_evidence,
)
from volspike.exchange.candles import CandleTable
from volspike.features.table import FeatureTable
from volspike.features.window import MIN_TICKS
from volspike.labels.dataset import Dataset
from volspike.labels.splits import FRACTIONS, Split
from volspike.labels.stream import last_of_seconds, usable_ticks
from volspike.labels.targets import UNLABELLED_REASONS

HOUR_S = 3_600


def describe_rows(table: FeatureTable, dataset: Dataset) -> str:
    """Say why so many ticks gave so few rows: one row a second, and only where the window is whole."""
    ticks = usable_ticks(table)
    last = last_of_seconds(table, ticks)
    incomplete = int((~table.complete[last]).sum())
    few = int((table.complete[last] & (table.ticks[last] < MIN_TICKS)).sum())
    return (
        f"{len(ticks):,} ticks of {table.product} lie in {len(last):,} seconds; the last of each second is a "
        f"row: {len(dataset):,} rows; left out: {incomplete:,} whose minute is not whole, {few:,} with fewer "
        f"than {MIN_TICKS} ticks in it"
    )


def describe_candles(candles: CandleTable, dataset: Dataset) -> str:
    """Say how many of the minutes there are, and of how many of them the next one is known."""
    labelled = int(np.count_nonzero(dataset.spike >= 0))
    return (
        f"{len(candles):,} minute candles of {candles.product} from {candles.source}, "
        f"{candles.missing_minutes:,} minutes between are missing; the next one is known behind {labelled:,}"
    )


def describe_parts(dataset: Dataset, split: Split) -> Iterator[str]:
    """Say of each part how many rows it has, how many are labelled, and what it lacks for a claim."""
    for share, (name, index) in zip(FRACTIONS, split.parts(), strict=True):
        part = dataset.rows(index)
        reasons = Counter(UNLABELLED_REASONS[code] for code in part.unlabelled.tolist() if code)
        without = ", ".join(f"{reason} {count:,}" for reason, count in sorted(reasons.items()))
        labelled = len(part) - reasons.total()
        words = f"{name}: {len(part):,} rows selected, {labelled:,} labelled"
        yield f"{words}{f' (not: {without})' if without else ''}; {_evidence(part, share)}"


def _evidence(part: Dataset, share: float) -> str:
    found = count_evidence(part.second, part.run, part.spike)
    if found.enough_data:
        return "enough data"
    counts = (
        f"{found.clusters} of {MIN_CLUSTERS} clusters, {found.windows} of {MIN_WINDOWS} windows, "
        f"{found.blocks} of {MIN_BLOCKS} blocks"
    )
    return f"{counts}: {_lacking(found, share)}"


def _lacking(found: Evidence, share: float) -> str:
    """Say how much more recording a part needs: clusters at the pace of those found, if there are any."""
    pace_s = found.windows * WINDOW_S / found.clusters if found.clusters else 0.0
    lacking_s = max(
        (MIN_BLOCKS - found.blocks) * BLOCK_S,
        (MIN_WINDOWS - found.windows) * WINDOW_S,
        (MIN_CLUSTERS - found.clusters) * pace_s,
        0.0,
    )
    hours = f"at least {lacking_s / HOUR_S / share:,.0f} more hours of recording"
    if found.clusters:
        return hours
    none = "no cluster yet to tell the pace of spikes by"
    return f"{hours}; {none}" if lacking_s else f"more spikes are needed; {none}"
