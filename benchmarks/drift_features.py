"""The score of features: false alarms where nothing has changed, power where something has."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt

from benchmarks.drift_markets import autoregressive, switching
from benchmarks.evidently_verdicts import drifted_frac
from benchmarks.rate_cells import share
from benchmarks.sheet import Sheet
from volspike.labels.dataset import Dataset
from volspike.monitoring.feature_watch import FeatureVerdict, watch_features

F8 = npt.NDArray[np.float64]
Make = Callable[[int, np.random.Generator], F8]

REFERENCE_BLOCKS = 19
EVIDENTLY_RUNS, EVIDENTLY_LOOKS = 20, 8
RECORDED_COLUMNS = (
    "range_rv_1m",
    "range_rv_5m",
    "range_rv_30m",
    "abs_return_60s",
    "position_in_15m",
    "volume_level_5m",
)
WINDOWS_H = (6, 12)
LEAST_FILL_FRAC = 0.9


@dataclass(frozen=True)
class Process:
    """A stationary process, and how many rows a window of it has."""

    name: str
    make: Make
    rows: int


PROCESSES = (
    Process("AR(1) of 0.9", partial(autoregressive, 0.9), 2_500),
    Process("AR(1) of 0.99", partial(autoregressive, 0.99), 2_500),
    Process("AR(1) of 0.999", partial(autoregressive, 0.999), 5_000),
    Process("two regimes in turn", switching, 2_500),
)
CHANGES: dict[str, Callable[[F8], F8]] = {
    "nothing": lambda x: x,
    "scale doubled": lambda x: 2.0 * x,
    "mean up by 0.5 sd": lambda x: x + 0.5 * float(np.std(x)),
}


def made_sheet(runs: int, power_runs: int) -> Sheet:
    """Judge one column of each process: the last window against 19 before it."""
    rows = []
    for process in PROCESSES:
        for name, change in CHANGES.items():
            count = runs if name == "nothing" else power_runs
            rows.append((process.name, name, *_judged(process, change, count)))
    columns = ("process", "changed", "windows", "alarms", "too slow", "Evidently")
    note = (
        "Alarms of one look at a stated rate of 5 %, in brackets the 95 % interval. Too slow: undecided. "
        f"Evidently: share of the first {EVIDENTLY_RUNS} runs its default verdict finds drifted."
    )
    return Sheet("Drift of features", columns, tuple(rows), note)


def _judged(process: Process, change: Callable[[F8], F8], runs: int) -> tuple[str, ...]:
    alarms = slow = 0
    references, currents = [], []
    for seed in range(runs):
        values = process.make((REFERENCE_BLOCKS + 1) * process.rows, np.random.default_rng([runs, seed]))
        reference, current = values[: -process.rows], change(values[-process.rows :])
        verdict = _watch(reference[:, None], current[:, None], ("x",))
        alarms += verdict.alarm
        slow += verdict.columns[0].status == "too slow"
        if seed < EVIDENTLY_RUNS:
            references.append(reference)
            currents.append(current)
    theirs = f"{100 * drifted_frac(references, currents):.0f} %"
    return str(runs), share(alarms, runs), str(slow), theirs


def _watch(reference: F8, current: F8, names: Sequence[str]) -> FeatureVerdict:
    """Judge rows a second, the current window right after the reference."""
    second = np.arange(len(reference) + len(current), dtype=np.int64)
    cut = len(reference)
    return watch_features(second[:cut], reference, second[cut:], current, names)


def recorded_sheet(dataset: Dataset) -> Sheet:
    """Judge the recorded minutes: each window against the 19 windows' time before it."""
    columns = ("window", "looks", "alarms", "columns judged", "columns drifted", "Evidently")
    rows = tuple(_recorded(dataset, hours) for hours in WINDOWS_H)
    note = (
        "Six features of minute candles, stated rate 5 %. Whether the market changed nobody knows. "
        f"Evidently: share of columns its default verdict finds drifted, over {EVIDENTLY_LOOKS} of the looks."
    )
    return Sheet("Drift of features in the minutes of July 2026", columns, rows, note)


def _recorded(dataset: Dataset, hours: int) -> tuple[str, ...]:
    width_s = hours * 3_600
    index = [dataset.columns.index(name) for name in RECORDED_COLUMNS]
    values, second = dataset.features[:, index], dataset.second
    looks = []
    for end in range(int(second[0]) + (REFERENCE_BLOCKS + 1) * width_s, int(second[-1]), width_s):
        since = end - (REFERENCE_BLOCKS + 1) * width_s
        before = (second > since) & (second <= end - width_s)
        now = (second > end - width_s) & (second <= end)
        if np.count_nonzero(now) >= LEAST_FILL_FRAC * hours * 60:
            looks.append((before, now))
    found = [
        watch_features(second[before], values[before], second[now], values[now], RECORDED_COLUMNS)
        for before, now in looks
    ]
    decided = [verdict for verdict in found if verdict.false_alarm_rate is not None]
    theirs = [_evidently(values, *look) for look in looks[:: -(-len(looks) // EVIDENTLY_LOOKS)]]
    judged = [sum(column.status == "judged" for column in verdict.columns) for verdict in decided]
    drifted = [sum(column.drifted for column in verdict.columns) for verdict in decided]
    return (
        f"{hours} h",
        str(len(decided)),
        share(sum(verdict.alarm for verdict in decided), len(decided)),
        f"{np.mean(judged):.1f} of {len(index)}",
        f"{100 * sum(drifted) / sum(judged):.1f} %",
        f"{100 * np.mean(theirs):.0f} %",
    )


def _evidently(values: F8, before: npt.NDArray[np.bool_], now: npt.NDArray[np.bool_]) -> float:
    """Judge the columns that have values on both sides; it leaves those out that are missing."""
    reference, current = values[before], values[now]
    there = np.any(np.isfinite(reference), axis=0) & np.any(np.isfinite(current), axis=0)
    return drifted_frac([*reference[:, there].T], [*current[:, there].T])
