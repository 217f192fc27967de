"""Which rows are held against which: early against late, train against test, reference against the last."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from volspike.evaluation.enough import Evidence, count_evidence
from volspike.exchange.decimals import format_time_ns
from volspike.labels.dataset import Dataset
from volspike.labels.splits import PURGE_S, chronological_split, reach_ns

I8 = npt.NDArray[np.int64]

Compare = Literal["early-late", "train-test", "recent"]
COMPARISONS: tuple[str, ...] = get_args(Compare)
# A score calibrated on m blocks of the reference alarms on unchanged data 1 time in m + 1; with 19, in 20.
REFERENCE_BLOCKS = 19
SHORTEST_NS = 1_800 * 10**9
HOUR_NS = 3_600 * 10**9
LEAST_ROWS = 2
STEP_WORDS = {1: "a second", 60: "a minute"}


@dataclass(frozen=True, slots=True, eq=False)
class Window:
    """Some rows of a dataset, in time order.

    Attributes
    ----------
    name : str
        What it is called.
    rows : int64[m]
        Their positions.
    first_ns, last_ns : int
        Event time of the first and the last; 0 where there is none.
    evidence : Evidence
        How much there is of it.
    step_s : int
        Seconds from one row to the next where none is missing.
    """

    name: str
    rows: I8
    first_ns: int
    last_ns: int
    evidence: Evidence
    step_s: int

    @property
    def count_words(self) -> str:
        """Return how many rows it has, and what a row is of: 3,600 rows, one a second."""
        step = STEP_WORDS.get(self.step_s, f"every {self.step_s} s")
        return f"{len(self.rows):,} {'row' if len(self.rows) == 1 else 'rows'}, one {step}"

    @property
    def hours(self) -> float:
        """Return the hours from the first row to the last."""
        return (self.last_ns - self.first_ns) / HOUR_NS

    @property
    def is_thin(self) -> bool:
        """Tell whether nothing can be compared with it."""
        return len(self.rows) < LEAST_ROWS

    def as_dict(self) -> dict[str, object]:
        """Return it under the names of the command line."""
        return {
            "name": self.name,
            "rows": len(self.rows),
            "first": format_time_ns(self.first_ns, 0) if len(self.rows) else None,
            "last": format_time_ns(self.last_ns, 0) if len(self.rows) else None,
            "hours": self.hours,
            "clusters": self.evidence.clusters,
            "windows": self.evidence.windows,
            "blocks": self.evidence.blocks,
        }


@dataclass(frozen=True, slots=True, eq=False)
class WindowPair:
    """What is compared: the window that sets the standard, and the one held against it."""

    compare: Compare
    reference: Window
    current: Window

    @property
    def is_thin(self) -> bool:
        """Tell whether there is nothing to compare."""
        return self.reference.is_thin or self.current.is_thin


def choose_windows(
    dataset: Dataset, compare: Compare, hours: float | None = None, span_ns: tuple[int, int] | None = None
) -> WindowPair:
    """Choose the rows of a comparison.

    No label of the reference reaches to within ``PURGE_S`` of the current window, as between the parts of a
    split.

    Parameters
    ----------
    dataset : Dataset
        The stored rows.
    compare : {"early-late", "train-test", "recent"}
        All rows before the last hours against those; the fit slice of ``chronological_split`` against test;
        the rows of a span against the last hours of all.
    hours : float, optional
        How long the current window is; not of ``train-test``. Without it a twentieth of the whole, so that
        19 such blocks lie in the reference, but half an hour at least.
    span_ns : (int, int), optional
        First and last event time of the reference of ``recent``.
    """
    if compare == "train-test":
        split = chronological_split(dataset)
        return WindowPair(compare, _window("train", dataset, split.fit), _window("test", dataset, split.test))
    event_ns = dataset.event_ns
    before = np.ones(len(event_ns), np.bool_)
    if compare == "recent" and span_ns is not None:
        before = (event_ns >= span_ns[0]) & (event_ns <= span_ns[1])
    reference_ns = event_ns[before]
    span = int(reference_ns[-1] - reference_ns[0]) if len(reference_ns) else 0
    current = _last_rows(event_ns, current_ns(span, compare, hours))
    if len(current):
        before &= reach_ns(event_ns, PURGE_S) <= event_ns[current[0]]
    names = ("early", "late") if compare == "early-late" else ("reference", "last hours")
    reference = np.flatnonzero(before)
    return WindowPair(compare, _window(names[0], dataset, reference), _window(names[1], dataset, current))


def current_ns(span_ns: int, compare: Compare, hours: float | None) -> int:
    """Return how long the current window is, ns; the late one is a part of the whole, the last hours are not.

    Parameters
    ----------
    span_ns : int
        From the first row of the reference to its last; of ``early-late``, of all.
    compare, hours : str, float
        See ``choose_windows``.
    """
    if hours is not None:
        return round(hours * HOUR_NS)
    parts = REFERENCE_BLOCKS + 1 if compare == "early-late" else REFERENCE_BLOCKS
    return max(span_ns // parts, SHORTEST_NS)


def _last_rows(event_ns: I8, length_ns: int) -> I8:
    return np.flatnonzero(event_ns > event_ns[-1] - length_ns) if len(event_ns) else np.empty(0, np.int64)


def _window(name: str, dataset: Dataset, rows: I8) -> Window:
    event_ns = dataset.event_ns[rows]
    first_ns, last_ns = (int(event_ns[0]), int(event_ns[-1])) if len(rows) else (0, 0)
    evidence = count_evidence(dataset.second[rows], dataset.run[rows], dataset.spike[rows])
    return Window(name, rows, first_ns, last_ns, evidence, dataset.step_s)
