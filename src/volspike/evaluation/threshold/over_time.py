"""Tau over time: its range hour by hour, how fast it moves, and what one fixed tau makes of each period."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from volspike.evaluation.enough import BLOCK_S
from volspike.labels.dataset import Dataset
from volspike.labels.splits import Split

HOUR_NS = 3_600_000_000_000
LAGS_S = (60, 3_600)
SLACK_S = 60
WEEK_DAYS = 7
SESSION_GAP_S = BLOCK_S  # as in the bootstrap's finest blocks

I8 = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Period:
    """One hour, day or session, or what of it lies on one side of the end of fit.

    Attributes
    ----------
    start_ns, end_ns : int
        Event time of its first and last row.
    part : str
        ``fit`` or ``later``: whether its rows lie in the fit slice; where that ends inside, there are two.
    rows, labelled : int
        Rows, and those with a label.
    tau_low_bps, tau_median_bps, tau_high_bps : float
        Of the adaptive tau in force, basis points.
    fallback_frac, floor_frac : float
        Share of its rows where the adaptive tau is the fixed one, for want of history, and where it is the
        floor.
    rv_median_bps : float
        Median of RV now, basis points.
    base_rate, fixed_base_rate : float or None
        Share of spikes under the adaptive tau, and under the fixed tau of the fit slice; None without label.
    """

    start_ns: int
    end_ns: int
    part: str
    rows: int
    labelled: int
    tau_low_bps: float
    tau_median_bps: float
    tau_high_bps: float
    fallback_frac: float
    floor_frac: float
    rv_median_bps: float
    base_rate: float | None
    fixed_base_rate: float | None


@dataclass(frozen=True, slots=True)
class Movement:
    """How far the adaptive tau moves within a time.

    Attributes
    ----------
    lag_s : int
        The time, seconds.
    pairs : int
        Pairs of rows of one session that far apart (up to 60 s more), both with a trailing quantile.
    median_frac, most_up_frac, most_down_frac : float or None
        Median of the relative change's size, the largest rise, the largest fall (0 or below); None without a
        pair.
    """

    lag_s: int
    pairs: int
    median_frac: float | None
    most_up_frac: float | None
    most_down_frac: float | None


@dataclass(frozen=True, slots=True)
class TauOverTime:
    """The adaptive tau over time, beside the fixed tau of the fit slice.

    Attributes
    ----------
    quantile, floor_bps, fixed_tau_bps : float
        The adaptive tau's quantile and floor, and the fixed tau of the same quantile, basis points.
    low_bps, median_bps, high_bps : float
        Of the adaptive tau in force, over all rows.
    fallback_frac, floor_frac : float
        As of a period, over all rows.
    movement : tuple of Movement
        Within a minute and within an hour.
    periods : mapping of str to tuple of Period
        By ``hour`` and ``day`` (UTC) and ``session`` (no half hour without a row), in time order.
    """

    quantile: float
    floor_bps: float
    fixed_tau_bps: float
    low_bps: float
    median_bps: float
    high_bps: float
    fallback_frac: float
    floor_frac: float
    movement: tuple[Movement, ...]
    periods: Mapping[str, tuple[Period, ...]]

    @property
    def telling_kind(self) -> str:
        """Return the kind of period that tells most: days of a week or more, else sessions, else hours."""
        if len(self.periods["day"]) >= WEEK_DAYS:
            return "day"
        return "session" if len(self.periods["session"]) > 1 else "hour"


def tau_over_time(adaptive: Dataset, fixed: Dataset, split: Split) -> TauOverTime:
    """Describe the adaptive tau over time.

    Parameters
    ----------
    adaptive, fixed : Dataset
        The same n rows under the adaptive tau and under the fixed tau of the fit slice.
    split : Split
        Of the rows.
    """
    tau = adaptive.tau_bps
    return TauOverTime(
        quantile=adaptive.tau.quantile,
        floor_bps=adaptive.tau.floor_bps,
        fixed_tau_bps=fixed.fixed_tau_bps,
        low_bps=float(np.min(tau)),
        median_bps=float(np.median(tau)),
        high_bps=float(np.max(tau)),
        fallback_frac=float(np.mean(~adaptive.tau_adaptive)),
        floor_frac=float(np.mean(tau <= adaptive.tau.floor_bps)),
        movement=tuple(_movement(adaptive, lag_s) for lag_s in LAGS_S),
        periods={name: _periods(adaptive, fixed, split, of) for name, of in period_numbers(adaptive).items()},
    )


def period_numbers(rows: Dataset) -> dict[str, I8]:
    """Return the number of each row's hour, day and session, int64[n] each, ascending."""
    hour = (rows.event_ns - 1) // HOUR_NS  # the minute that ends with an hour belongs to it
    session = np.concatenate(([0], np.cumsum(np.diff(rows.second) > SESSION_GAP_S)))
    return {"hour": hour, "day": hour // 24, "session": session.astype(np.int64)}


def _periods(adaptive: Dataset, fixed: Dataset, split: Split, number: I8) -> tuple[Period, ...]:
    in_fit = np.zeros(len(adaptive), np.bool_)
    in_fit[split.fit] = True
    cuts = np.flatnonzero((np.diff(number) != 0) | (np.diff(in_fit) != 0)) + 1
    return tuple(_period(adaptive, fixed, in_fit, rows) for rows in np.split(np.arange(len(adaptive)), cuts))


def _period(adaptive: Dataset, fixed: Dataset, in_fit: npt.NDArray[np.bool_], rows: I8) -> Period:
    tau = adaptive.tau_bps[rows]
    return Period(
        start_ns=int(adaptive.event_ns[rows[0]]),
        end_ns=int(adaptive.event_ns[rows[-1]]),
        part="fit" if in_fit[rows[0]] else "later",
        rows=len(rows),
        labelled=int(np.count_nonzero(adaptive.spike[rows] >= 0)),
        tau_low_bps=float(np.min(tau)),
        tau_median_bps=float(np.median(tau)),
        tau_high_bps=float(np.max(tau)),
        fallback_frac=float(np.mean(~adaptive.tau_adaptive[rows])),
        floor_frac=float(np.mean(tau <= adaptive.tau.floor_bps)),
        rv_median_bps=float(np.median(adaptive.rv_bps[rows])),
        base_rate=_base_rate(adaptive.spike[rows]),
        fixed_base_rate=_base_rate(fixed.spike[rows]),
    )


def _base_rate(spike: npt.NDArray[np.int8]) -> float | None:
    labelled = spike[spike >= 0]
    return float(np.mean(labelled)) if len(labelled) else None


def _movement(rows: Dataset, lag_s: int) -> Movement:
    second, session = rows.second, period_numbers(rows)["session"]
    now = np.arange(len(second))
    then = np.minimum(np.searchsorted(second, second + lag_s), len(second) - 1)
    waited_s = second[then] - second
    is_pair = (waited_s >= lag_s) & (waited_s <= lag_s + SLACK_S) & (session[then] == session)
    is_pair &= rows.tau_adaptive & rows.tau_adaptive[then]
    if not np.any(is_pair):
        return Movement(lag_s, 0, None, None, None)
    change = rows.tau_bps[then[is_pair]] / rows.tau_bps[now[is_pair]] - 1.0
    return Movement(
        lag_s=lag_s,
        pairs=len(change),
        median_frac=float(np.median(np.abs(change))),
        most_up_frac=max(0.0, float(np.max(change))),
        most_down_frac=min(0.0, float(np.min(change))),
    )
