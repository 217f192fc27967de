"""Episodes: did an alert warn of each onset in time, how early, and at what price in false alarms.

                 o - 60             o                c = o + 60
    spike rows     0 0 0 ... 0 0 0 0 1 1 1 1 1
    hit            |----- an alert opens in here -----|        lead = c - open

By c trailing volatility has crossed the same tau, so a rule that only watches the present has lead 0.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from volspike.labels.targets import HORIZON_S

ONSET_QUIET_S = 60
STALE_ALERT_S = 600
MAX_FALSE_ALARMS_PER_HOUR = 2.0
# An alert that is open nearly always warns of nothing: so much open time an allowed false alarm may cost.
OPEN_S_PER_FALSE_ALARM = 180.0
CLOSE_FRACS = (0.6, 0.95)
MIN_ONSETS = 20
LEAST_OPEN = 0.1  # twice the share of minutes that tau's quantile, 0.95, calls spikes
DEFAULT_OPEN = 0.5
DEFAULT_CLOSE = 0.3
COOLDOWN_S = 60
HOLD_S = 10
STALE_S = 60
MAX_CANDIDATES = 50

I8 = npt.NDArray[np.int64]
F8 = npt.NDArray[np.float64]


class AlertSpan(NamedTuple):
    """One alert on the grid: opened at a second, closed at a later one (None: still open at the end)."""

    open_second: float
    close_second: float | None


@dataclass(frozen=True, slots=True, eq=False)
class GradedSeconds:
    """Graded rows: second int64[n] ascending, run int32[n], spike int8[n] (-1 unlabelled).

    ``step_s`` is the time from one row to the next where none is missing, in seconds.
    """

    second: I8
    run: npt.NDArray[np.int32]
    spike: npt.NDArray[np.int8]
    step_s: int = 1


@dataclass(frozen=True, slots=True)
class EpisodeScores:
    """How alerts fared; None where undefined.

    Attributes
    ----------
    onsets, hits, already_open : int
        Onsets, those with an alert opened in [o - 60, o + 60), and those of the others at which an older
        alert was still open: no hit, since it told nothing new, but no silence either.
    onset_recall : float or None
        hits / onsets.
    lead_s : float or None
        Median lead of the hits in seconds.
    alerts, false_alarms, ungraded_alerts : int
        Alerts; false judgements (an alert left open is judged again every 10 minutes); judgements left out
        because no second after the opening is labelled.
    false_alarms_per_hour : float or None
        Of covered time.
    duty_frac : float or None
        Share of the covered time with an alert open.
    hours : float
        Covered time.
    leads_s : tuple of float
        Lead of each hit.
    """

    onsets: int
    hits: int
    already_open: int
    onset_recall: float | None
    lead_s: float | None
    alerts: int
    false_alarms: int
    ungraded_alerts: int
    false_alarms_per_hour: float | None
    duty_frac: float | None
    hours: float
    leads_s: tuple[float, ...]


def onset_mask(rows: GradedSeconds) -> npt.NDArray[np.bool_]:
    """Mark the onsets (bool[n]): spike rows after 60 s of rows of the same run that were labelled no spike.

    A second without a tick has no row, so in a quiet market these rows reach further back than 60 s.
    """
    run, spike = rows.run, rows.spike
    quiet = ONSET_QUIET_S // rows.step_s
    position = np.arange(len(spike))
    since = np.maximum(position - quiet, 0)
    unquiet = np.concatenate(([0], np.cumsum(spike != 0)))
    whole = (position >= quiet) & (run[since] == run) if len(run) else np.zeros(0, np.bool_)
    onset: npt.NDArray[np.bool_] = (spike == 1) & whole & (unquiet[position] == unquiet[since])
    return onset


def score_episodes(rows: GradedSeconds, alerts: Sequence[AlertSpan]) -> EpisodeScores:
    """Score alerts against graded rows.

    Parameters
    ----------
    rows : GradedSeconds
        Graded rows.
    alerts : sequence of AlertSpan
        Alerts in order of opening.
    """
    onsets = rows.second[onset_mask(rows)]
    warned = dict(hits(onsets, alerts))
    leads = tuple(onset + HORIZON_S - opened for onset, opened in warned.items())
    spans = _covered_spans(rows)
    covered_s = sum(end - start for start, end in spans)
    last = float(rows.second[-1]) + rows.step_s if len(rows.second) else 0.0
    verdicts = [false for _, false in judged_alerts(rows, alerts)]
    false, ungraded = verdicts.count(True), verdicts.count(None)
    open_s = sum(
        _overlap_s(spans, a.open_second, last if a.close_second is None else a.close_second) for a in alerts
    )
    return EpisodeScores(
        onsets=len(onsets),
        hits=len(leads),
        already_open=sum(onset not in warned and _is_open(alerts, onset) for onset in onsets.tolist()),
        onset_recall=len(leads) / len(onsets) if len(onsets) else None,
        lead_s=float(np.median(leads)) if leads else None,
        alerts=len(alerts),
        false_alarms=false,
        ungraded_alerts=ungraded,
        false_alarms_per_hour=false * 3600.0 / covered_s if covered_s else None,
        duty_frac=open_s / covered_s if covered_s else None,
        hours=covered_s / 3600.0,
        leads_s=leads,
    )


def hits(onsets: I8, alerts: Sequence[AlertSpan]) -> Iterator[tuple[int, float]]:
    """Yield each onset (int64[n], ascending) that an alert in [o - 60, o + 60) warns of, and its opening."""
    opened = np.array([alert.open_second for alert in alerts], np.float64)
    first = np.searchsorted(opened, onsets - HORIZON_S)
    for onset, position in zip(onsets.tolist(), first.tolist(), strict=True):
        if position < len(opened) and opened[position] < onset + HORIZON_S:
            yield onset, float(opened[position])


def _is_open(alerts: Sequence[AlertSpan], second: float) -> bool:
    """Tell whether the last alert opened at or before a second was still open at it."""
    last = bisect_right(alerts, second, key=lambda alert: alert.open_second) - 1
    closed = None if last < 0 else alerts[last].close_second
    return last >= 0 and (closed is None or closed > second)


def _covered_spans(rows: GradedSeconds) -> list[tuple[float, float]]:
    """Return (start, end) of the labelled rows of each run, seconds; the first row's step is inside."""
    labelled = rows.spike >= 0
    second, run = rows.second[labelled], rows.run[labelled]
    cuts = np.flatnonzero(run[1:] != run[:-1]) + 1
    return [(float(part[0]) - rows.step_s, float(part[-1])) for part in np.split(second, cuts) if len(part)]


def _overlap_s(spans: list[tuple[float, float]], start: float, end: float) -> float:
    return sum(max(0.0, min(end, b) - max(start, a)) for a, b in spans)


def judged_alerts(rows: GradedSeconds, alerts: Sequence[AlertSpan]) -> Iterator[tuple[float, bool | None]]:
    """Yield (second, whether it was false) of each judgement of an alert; None where no row after it tells.

    An alert is judged at its opening, and again after every 10 minutes that it stays open.
    """
    last = float(rows.second[-1]) + rows.step_s if len(rows.second) else 0.0
    for alert in alerts:
        end = last if alert.close_second is None else alert.close_second
        for judged in np.arange(alert.open_second, max(end, alert.open_second + 1.0), STALE_ALERT_S).tolist():
            start = np.searchsorted(rows.second, judged)
            stop = np.searchsorted(rows.second, judged + HORIZON_S, side="right")
            spike = rows.spike[start:stop]
            yield judged, None if not np.any(spike >= 0) else not np.any(spike == 1)


def open_alerts(
    second: I8,
    run: npt.NDArray[np.int32],
    p_spike: F8,
    open_at: float,
    close_at: float,
    *,
    cooldown_s: int = COOLDOWN_S,
    hold_s: int = HOLD_S,
) -> list[AlertSpan]:
    """Return the alerts that the live policy (``alerts.policy``) makes of probabilities on the grid.

    Parameters
    ----------
    second : int64[n]
        Epoch seconds, ascending.
    run : int32[n]
        Covered stretch of each row; a break closes an open alert.
    p_spike : float64[n]
        Probabilities.
    open_at, close_at : float
        Opens at ``p >= open_at``, closes once ``p < close_at`` has lasted ``hold_s`` seconds.
    cooldown_s, hold_s : int
        Seconds after a closing in which none opens; see above. A minute without a row closes an alert too.
    """
    alerts: list[AlertSpan] = []
    high = np.flatnonzero(p_spike >= open_at)
    row, closed = 0, float("-inf")
    while True:
        # Where none is open nothing happens until a row is high: only rows of open alerts are gone through.
        row = max(row, int(np.searchsorted(second, closed + cooldown_s)))
        later = int(np.searchsorted(high, row))
        if later == len(high):
            return alerts
        opened = int(high[later])
        closing = _closing(second, run, p_spike, opened, close_at, hold_s)
        if closing is None:
            return [*alerts, AlertSpan(int(second[opened]), None)]
        row, closed = closing
        alerts.append(AlertSpan(int(second[opened]), closed))


def _closing(
    second: I8, run: npt.NDArray[np.int32], p_spike: F8, opened: int, close_at: float, hold_s: int
) -> tuple[int, int] | None:
    """Return the row from which on the next alert may open, and the second at which this one has closed."""
    below = -1
    before, before_run = int(second[opened]), int(run[opened])
    for row in range(opened + 1, len(second)):
        now, stretch = int(second[row]), int(run[row])
        below = -1 if p_spike[row] >= close_at else now if below < 0 else below
        if stretch == before_run and now - before > STALE_S:
            return row, before + STALE_S
        if stretch != before_run or (below >= 0 and now - below >= hold_s):
            return row + 1, now
        before, before_run = now, stretch
    return None


@dataclass(frozen=True, slots=True)
class AlertThresholds:
    """Open and close thresholds of p(spike), and how they fared where they were chosen.

    Attributes
    ----------
    open_at, close_at : float
        Probabilities.
    reason : str
        Why they were not chosen by recall; empty when they were.
    episodes : EpisodeScores or None
        Scores on the slice they were chosen on; None for the defaults.
    """

    open_at: float
    close_at: float
    reason: str = ""
    episodes: EpisodeScores | None = None


def choose_thresholds(
    rows: GradedSeconds,
    p_spike: F8,
    max_false_alarms_per_hour: float = MAX_FALSE_ALARMS_PER_HOUR,
) -> AlertThresholds:
    """Choose the thresholds with the highest onset recall within the budget.

    The budget bounds the false alarms an hour, and with them the open time: the share of spikes itself, and
    180 s an hour for each false alarm allowed.

    Parameters
    ----------
    rows : GradedSeconds
        The n rows to choose them on: calibrate, and slices before it where that is thin.
    p_spike : float64[n]
        Calibrated probabilities.
    max_false_alarms_per_hour : float
        The budget.

    Returns
    -------
    AlertThresholds
        Of equal recall, the fewest false alarms, then the highest threshold. With fewer than 20 onsets, by
        which recall tells nothing, the lowest threshold from 0.1 on whose alerts are open for no more than
        the 180 s an hour; the defaults where there is none. Both with the reason.
    """
    return choose_for_budgets(rows, p_spike, (max_false_alarms_per_hour,))[0]


def choose_for_budgets(
    rows: GradedSeconds, p_spike: F8, budgets_per_hour: Sequence[float]
) -> list[AlertThresholds]:
    """Choose thresholds for each of several budgets as ``choose_thresholds`` does for one."""
    labelled = rows.spike[rows.spike >= 0]
    if not len(labelled):
        return [_default("no labelled row to choose them on")] * len(budgets_per_hour)
    base_rate = float(np.mean(labelled == 1))
    onsets = int(np.count_nonzero(onset_mask(rows)))
    tried = [
        (thresholds, scores)
        for open_at in _candidates(p_spike)
        for thresholds, scores in (_try(rows, p_spike, open_at, close) for close in CLOSE_FRACS)
    ]
    return [_best_within(budget, onsets, base_rate, tried) for budget in budgets_per_hour]


Tried = tuple[AlertThresholds, EpisodeScores]


def _try(rows: GradedSeconds, p_spike: F8, open_at: float, close_frac: float) -> Tried:
    close_at = open_at * close_frac
    scores = score_episodes(rows, open_alerts(rows.second, rows.run, p_spike, open_at, close_at))
    return AlertThresholds(open_at, close_at, "", scores), scores


def _best_within(budget: float, onsets: int, base_rate: float, tried: Sequence[Tried]) -> AlertThresholds:
    open_frac = budget * OPEN_S_PER_FALSE_ALARM / 3600.0
    if onsets < MIN_ONSETS:
        return _unusual(budget, onsets, open_frac, tried)
    warning = [
        (thresholds, scores)
        for thresholds, scores in tried
        if scores.hits
        and (scores.false_alarms_per_hour or 0.0) <= budget
        and (scores.duty_frac or 0.0) <= base_rate + open_frac
    ]
    if not warning:
        return _default("no threshold warns of an onset within the budget of false alarms and open time")
    return max(warning, key=_merit)[0]


def _merit(pair: Tried) -> tuple[float, float, float]:
    thresholds, scores = pair
    return scores.onset_recall or 0.0, -(scores.false_alarms_per_hour or 0.0), thresholds.open_at


def _unusual(budget: float, onsets: int, open_frac: float, tried: Sequence[Tried]) -> AlertThresholds:
    """Return the lowest threshold that is seldom reached: onsets are too few to choose by."""
    found = f"{onsets} onset{'' if onsets == 1 else 's'} in the rows"
    few = f"{found}, {MIN_ONSETS} are needed to choose by"
    # One false alarm in a quarter of an hour is no rate: where there are few onsets there is little time too.
    seldom = [
        thresholds
        for thresholds, scores in tried
        if thresholds.open_at >= LEAST_OPEN
        and scores.false_alarms <= max(budget * scores.hours, 1.0)
        and (scores.duty_frac or 0.0) <= open_frac
    ]
    if not seldom:
        return _default(f"{few}, and none from {LEAST_OPEN:g} on keeps the budget")
    lowest = min(seldom, key=lambda thresholds: (thresholds.open_at, -thresholds.close_at))
    reason = (
        f"{few}: the lowest from {LEAST_OPEN:g} on with alerts open for {open_frac:.1%} of the time at most"
    )
    return AlertThresholds(lowest.open_at, lowest.close_at, reason, lowest.episodes)


def _default(reason: str) -> AlertThresholds:
    return AlertThresholds(DEFAULT_OPEN, DEFAULT_CLOSE, reason)


def _candidates(p_spike: F8) -> list[float]:
    """Return up to 50 distinct positive probabilities, dense at the top where thresholds matter."""
    values = np.unique(p_spike[p_spike > 0.0])
    if len(values) <= MAX_CANDIDATES:
        return [float(v) for v in values]
    tail = np.unique(np.geomspace(1, len(values), MAX_CANDIDATES).astype(np.int64))
    return [float(v) for v in values[len(values) - tail]]
