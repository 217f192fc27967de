"""Columns that tell what time it is, as the price level and the volume of 24 h do: leak 7."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from volspike.evaluation.leaks.contrast import (
    SEED,
    Contrast,
    Halves,
    binned_means,
    contrast,
    split_both_ways,
)
from volspike.evaluation.leaks.finding import Finding, Leak
from volspike.evaluation.leaks.rows import AuditRows
from volspike.evaluation.leaks.shift_search import Match
from volspike.evaluation.leaks.shuffled_split import MOST_OVERLAP, overlap_frac
from volspike.features.window import SECOND_NS

F8 = npt.NDArray[np.float64]

CLOCK = Leak("level as a clock", (7,), "how well the column names the time (R2, or rank correlation)")
MONOTONE = 0.98
NAMES_TIME = 0.6
GAIN = 0.1
FEWEST_VALUES = 20
FEWEST_WINDOWS = 60


class _Clock(NamedTuple):
    column: str
    monotone: float
    names_time: float
    contrast: Contrast | None

    @property
    def figure(self) -> float:
        return max(self.monotone, self.names_time)

    def is_clock(self, in_order: bool) -> bool:
        if self.monotone >= MONOTONE:
            return True
        if in_order:
            return False  # levels of the past are not those of the rows that are scored
        return self.contrast is not None and self.names_time >= NAMES_TIME and self.contrast.gain >= GAIN


def level_clock(rows: AuditRows, match: Match | None) -> Finding:
    """Look for columns by which a model can recognise the moment, and so the outcome of rows beside it.

    Such a column either rises or falls with time throughout (rank correlation of 0.98), or alone it
    tells the time of held-out rows (R2 of 0.6) and scores better on shuffled rows than in time order. The
    second kind does no harm to rows that are known to be split in time order.
    """
    windows = int(np.ptp(rows.time_ns)) // round(rows.horizon_s * SECOND_NS)
    if windows < FEWEST_WINDOWS:
        return CLOCK.unknown(f"not enough data: {windows} minutes, in which anything may rise; it takes 60")
    halves = split_both_ways(rows) if rows.is_labelled else None
    features = [_judge(rows, name, rows.values[:, i], halves) for i, name in enumerate(rows.names)]
    in_order = rows.in_test is not None and overlap_frac(rows) <= MOST_OVERLAP
    clocks = sorted((c for c in features if c.is_clock(in_order)), key=lambda clock: -clock.figure)
    if clocks:
        others = f" (so do {', '.join(c.column for c in clocks[1:])})" if clocks[1:] else ""
        return CLOCK.found(clocks[0].figure, f"{_words(clocks[0])}{others}: leave it out, or use its changes")
    if rows.levels:
        return CLOCK.unknown(
            f"the level of {', '.join(rows.levels)} can tell the time, which is no leak as long as no model "
            "sees it: name the model's columns with --features"
        )
    most = max((c.figure for c in features), default=None)
    harmless = [c.column for c in features if c.is_clock(in_order=False)]
    if harmless:
        words = f"by {', '.join(harmless)} the time can be told, which rows split in time order do not repay"
        return CLOCK.clean(most, words)
    return CLOCK.clean(most, "no feature is a clock that a model could use")


def _words(clock: _Clock) -> str:
    if clock.monotone >= MONOTONE:
        return (
            f"{clock.column} only ever moves one way, so it is a clock that knows which moment each row is of"
        )
    assert clock.contrast is not None, "it is a clock by its scores"
    return (
        f"{clock.column} tells the time: alone it scores {clock.contrast.shuffled:.3f} on "
        f"shuffled rows and {clock.contrast.ordered:.3f} in time order"
    )


def _judge(rows: AuditRows, name: str, values: F8, halves: Halves | None) -> _Clock:
    at = rows.sample if len(rows.sample) else np.arange(len(rows))
    column, time = values[at], (rows.time_ns[at] - rows.time_ns.min()).astype(np.float64)
    if len(np.unique(column[np.isfinite(column)])) < FEWEST_VALUES:
        return _Clock(name, 0.0, 0.0, None)
    found = None if halves is None else contrast(column, rows.is_spike, halves, binned_means)
    return _Clock(name, _monotone(rows, at, column), _names_time(column, time), found)


def _monotone(rows: AuditRows, at: npt.NDArray[np.int64], column: F8) -> float:
    """Return the rank correlation of a column with time, the least over the products."""
    sizes = []
    for number in np.unique(rows.product[at]):
        mine = (rows.product[at] == number) & np.isfinite(column)
        ranks = np.argsort(np.argsort(column[mine], kind="stable"), kind="stable")
        if len(ranks) >= FEWEST_VALUES:
            sizes.append(abs(float(np.corrcoef(ranks, np.arange(len(ranks)))[0, 1])))
    return min(sizes, default=0.0)


def _names_time(column: F8, time: F8) -> float:
    """Return the R2 of the time of rows held out, told by the column alone."""
    order = np.random.default_rng(SEED).permutation(len(time))
    fit, test = np.array_split(order, 2)
    ranks = np.argsort(np.argsort(time, kind="stable"), kind="stable") / len(time)
    told = binned_means(column[fit], ranks[fit], column[test])
    return max(0.0, 1.0 - float(np.mean((told - ranks[test]) ** 2)) / float(np.var(ranks[test])))
