"""Spikes and alerts of the test part beside each other, along the covered time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from volspike.evaluation.budget import BudgetPoint, alerts_on
from volspike.evaluation.episodes import (
    MAX_FALSE_ALARMS_PER_HOUR,
    AlertSpan,
    hits,
    onset_mask,
)
from volspike.evaluation.scores import graded_seconds
from volspike.evaluation.sessions import session_of
from volspike.exchange.decimals import format_time_ns
from volspike.labels.dataset import Dataset

WIDTH = 1_000.0
LEAST = 1.2  # so that a second can be seen
NEAR = 0.4

F8 = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Lane:
    """One lane: its name, its class of style, and bars (left, width) along ``WIDTH``; or why it is empty."""

    name: str
    style: str
    bars: tuple[tuple[float, float], ...]
    empty: str = ""


@dataclass(frozen=True)
class Timeline:
    """Lanes on one axis of rows: hours without rows take no room.

    Attributes
    ----------
    lanes : tuple of Lane
        From above.
    sessions : tuple of (float, str)
        Where each session begins, and when that was, UTC.
    warned, missed : tuple of float
        Where the onsets lie that the model's alerts warned of in time, and the others.
    """

    lanes: tuple[Lane, ...]
    sessions: tuple[tuple[float, str], ...]
    warned: tuple[float, ...]
    missed: tuple[float, ...]


def alerts_for(test: Dataset, p_spike: F8, budgets: Sequence[BudgetPoint]) -> tuple[Sequence[AlertSpan], str]:
    """Return the alerts on the n rows of test for 2 false alarms an hour, and why there are none.

    Parameters
    ----------
    test : Dataset
        The rows.
    p_spike : float64[n]
        Probabilities.
    budgets : sequence of BudgetPoint
        The alert-budget curve.
    """
    for point in budgets:
        if point.budget_per_hour == MAX_FALSE_ALARMS_PER_HOUR and point.open_at is not None:
            assert point.close_at is not None, "thresholds come in pairs"
            return alerts_on(test, p_spike, point.open_at, point.close_at), ""
    return (), "no thresholds"


def make_timeline(test: Dataset, sides: Sequence[tuple[str, Sequence[AlertSpan], str]]) -> Timeline:
    """Return the timeline of the n rows of test, at least one.

    Parameters
    ----------
    test : Dataset
        The rows.
    sides : sequence of (str, sequence of AlertSpan, str)
        Name, alerts, and why there are none: of the model, and of the reference if it has thresholds.
    """
    rows = graded_seconds(test)
    spikes = rows.second[rows.spike == 1]
    lanes = [Lane("spikes", "spike", _bars(test, [AlertSpan(s - test.step_s, s) for s in spikes.tolist()]))]
    for style, (name, alerts, empty) in zip(("s0", "ref"), sides, strict=False):
        lanes.append(Lane(f"alerts, {name}", style, _bars(test, alerts), empty))
    onsets = rows.second[onset_mask(rows)]
    warned = {onset for onset, _ in hits(onsets, sides[0][1])}
    return Timeline(
        tuple(lanes),
        tuple(_sessions(test)),
        tuple(_at(test, np.array(sorted(warned), np.int64)).tolist()),
        tuple(_at(test, np.array([o for o in onsets.tolist() if o not in warned], np.int64)).tolist()),
    )


def _at(test: Dataset, second: npt.NDArray[np.int64] | F8) -> F8:
    """Return where epoch seconds lie along the lanes."""
    return np.round(np.searchsorted(test.second, second) * (WIDTH / len(test)), 2)


def _bars(test: Dataset, spans: Sequence[AlertSpan]) -> tuple[tuple[float, float], ...]:
    """Return the spans as bars, those too near to be told apart as one."""
    last = float(test.second[-1])
    ends = [last if span.close_second is None else span.close_second for span in spans]
    left = _at(test, np.array([span.open_second for span in spans], np.float64)).tolist()
    right = _at(test, np.array(ends, np.float64)).tolist()
    bars: list[tuple[float, float]] = []
    for start, end in zip(left, right, strict=True):
        if bars and start <= bars[-1][1] + NEAR:
            bars[-1] = (bars[-1][0], max(bars[-1][1], end))
        else:
            bars.append((start, end))
    return tuple((start, round(max(end - start, LEAST), 2)) for start, end in bars)


def _sessions(test: Dataset) -> list[tuple[float, str]]:
    session = session_of(test.second, test.run)
    first = np.searchsorted(session, np.unique(session))
    return [
        (round(int(row) * WIDTH / len(test), 2), format_time_ns(int(test.event_ns[row]), 0)[:16])
        for row in first
    ]
