"""The features of the set ``candle`` over a table: each a function of its minute and those before it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import sliding_window_view

from volspike.exchange.candles import CandleTable
from volspike.features.candle_columns import (
    CANDLE,
    DAY_MINUTES,
    HOUR_MINUTES,
    LAG_MINUTES,
    PEAK_MINUTES,
    QUARTER_MINUTES,
    RANGE_MINUTES,
    RV_MINUTES,
    SEASON_DAYS,
    SEASON_REACH_MINUTES,
    TYPICAL_MINUTES,
    VOLUME_MINUTES,
)

F8 = npt.NDArray[np.float64]
I8 = npt.NDArray[np.int64]

LEAST_COVER_FRAC = 0.5
# The season looks back furthest, from the minute after.
LONGEST_GAP_MINUTES = (SEASON_DAYS + 4) * DAY_MINUTES
assert LONGEST_GAP_MINUTES - DAY_MINUTES > SEASON_DAYS * DAY_MINUTES + 2 * SEASON_REACH_MINUTES + 1
_FIXED = 2.0**20
_LARGEST = 1e9  # a day of it still fits
_PARKINSON = 1e4 / np.sqrt(4.0 * np.log(2.0))


@dataclass(frozen=True, slots=True, eq=False)
class MinuteGrid:
    """Every minute from the first candle to the last; NaN where there is none.

    Of a gap longer than anything looks back, whole days are left out: no feature, lag, tau or label at a
    candle changes by that, and a candle of another year costs no more than one of another month.

    Attributes
    ----------
    first : int
        Epoch minute of the first.
    row : int64[n]
        Place of each of the n candles.
    high, low, close, volume : float64[m]
        As in the table.
    sigma_bps : float64[m]
        Volatility of the minute from its range.
    """

    first: int
    row: I8
    high: F8
    low: F8
    close: F8
    volume: F8
    sigma_bps: F8


def minute_grid(table: CandleTable, increment: float) -> MinuteGrid:
    """Lay candles out on a grid of minutes.

    Parameters
    ----------
    table : CandleTable
        n candles, n above 0.
    increment : float
        Quote increment in quote currency: no minute has a range of less than one of it.
    """
    row = _rows(table.minute)
    columns = [np.full(int(row[-1]) + 1, np.nan) for _ in range(4)]
    for column, values in zip(columns, (table.high, table.low, table.close, table.volume), strict=True):
        column[row] = values
    high, low, close, volume = columns
    sigma_bps = np.maximum(range_sigma_bps(high, low), range_sigma_bps(close + increment, close))
    return MinuteGrid(int(table.minute[0]), row, high, low, close, volume, sigma_bps)


def _rows(minute: I8) -> I8:
    """Return the place of each minute, gaps of more than 18 days cut by whole days to between 17 and 18."""
    steps = np.diff(minute, prepend=minute[:1])
    surplus = np.maximum(steps - LONGEST_GAP_MINUTES, 0)
    row: I8 = np.cumsum(steps - -(-surplus // DAY_MINUTES) * DAY_MINUTES)
    return row


def range_sigma_bps(high: F8, low: F8) -> F8:
    """Return the volatility of a minute from its range, ``ln(high / low) / sqrt(4 ln 2)``, in basis points.

    An estimate of the same quantity as RV for a walk without drift (Parkinson 1980).
    """
    sigma: F8 = _PARKINSON * np.log(high / low)
    return sigma


def candle_features(grid: MinuteGrid) -> F8:
    """Return the features at each minute of the grid, float64[m, columns of ``candle``]."""
    sigma, variance, log_sigma = grid.sigma_bps, grid.sigma_bps**2, np.log(grid.sigma_bps)
    ranges = {n: _range(grid, n) for n in (1, *RANGE_MINUTES)}
    traded = np.log1p(_ratio(100.0 * grid.volume, trailing_mean(grid.volume, DAY_MINUTES)))
    traded_a_day = trailing_mean(traded, DAY_MINUTES)
    minute = grid.first + np.arange(len(sigma)) + 1  # the next one, which is predicted
    angle = 2.0 * np.pi * (minute % DAY_MINUTES) / DAY_MINUTES
    before = shifted(grid.close, 1)
    columns = [
        *(np.sqrt(trailing_mean(variance, n)) for n in RV_MINUTES),
        *(np.exp(trailing_mean(log_sigma, n)) for n in TYPICAL_MINUTES),
        *(shifted(sigma, n) for n in LAG_MINUTES),
        *(1e4 * np.log(ranges[n][0] / ranges[n][1]) for n in RANGE_MINUTES),
        *(_position(grid.close, *ranges[n]) for n in (1, *RANGE_MINUTES)),
        _peak(sigma, PEAK_MINUTES),
        1e4 * np.abs(np.log(grid.close / before)),
        *(trailing_mean(traded, n) - traded_a_day for n in VOLUME_MINUTES),
        np.exp(_season(log_sigma)),
        np.sin(angle),
        np.cos(angle),
        (minute % HOUR_MINUTES).astype(np.float64),
        (minute % QUARTER_MINUTES).astype(np.float64),
    ]
    assert len(columns) == len(CANDLE.columns), "a column for each definition"
    return np.column_stack(columns)


def trailing_mean(values: F8, minutes: int, least_frac: float = LEAST_COVER_FRAC) -> F8:
    """Return the mean of what is there of the last ``minutes`` values; NaN where that is too little.

    Values count in steps of ``2**-20``: sums of integers are the same wherever a table begins.
    """
    there = np.isfinite(values)
    fixed = np.rint(np.clip(np.where(there, values, 0.0), -_LARGEST, _LARGEST) * _FIXED).astype(np.int64)
    total = np.concatenate(([0], np.cumsum(fixed)))
    count = np.concatenate(([0], np.cumsum(there)))
    stop = np.arange(1, len(values) + 1)
    start = np.maximum(stop - minutes, 0)
    found = count[stop] - count[start]
    mean: F8 = (total[stop] - total[start]) / (_FIXED * np.maximum(found, 1))
    return np.where(found >= max(1.0, least_frac * minutes), mean, np.nan)


def shifted(values: F8, minutes: int) -> F8:
    """Return the value of the minute so many before; NaN where there is none."""
    out: F8 = np.full(len(values), np.nan)
    out[minutes:] = values[: max(len(values) - minutes, 0)]
    return out


def _windows(values: F8, minutes: int) -> F8:
    """Return the last ``minutes`` values of each minute, float64[m, minutes]."""
    padded = np.concatenate((np.full(minutes - 1, np.nan), values))
    windows: F8 = sliding_window_view(padded, minutes)
    return windows


def _peak(values: F8, minutes: int) -> F8:
    windows = _windows(values, minutes)
    enough = np.count_nonzero(np.isfinite(windows), axis=1) >= LEAST_COVER_FRAC * minutes
    peak = np.fmax.reduce(windows, axis=1)
    return np.where(enough, peak, np.nan)


def _range(grid: MinuteGrid, minutes: int) -> tuple[F8, F8]:
    return _peak(grid.high, minutes), -_peak(-grid.low, minutes)


def _position(close: F8, high: F8, low: F8) -> F8:
    return _ratio(close - low, high - low)


def _ratio(part: F8, whole: F8) -> F8:
    defined = whole > 0.0
    return np.where(defined, part / np.where(defined, whole, 1.0), np.nan)


def _season(log_sigma: F8) -> F8:
    """Return the mean log volatility around the next minute's time of day over the days before."""
    reach = SEASON_REACH_MINUTES
    smooth = shifted_back(trailing_mean(log_sigma, 2 * reach + 1, least_frac=0.2), reach)
    at = np.arange(len(log_sigma)) + 1
    total, days = np.zeros(len(log_sigma)), np.zeros(len(log_sigma))
    for day in range(1, SEASON_DAYS + 1):
        there = at - day * DAY_MINUTES
        value = np.where(there >= 0, smooth[np.maximum(there, 0)], np.nan)
        known = np.isfinite(value)
        total += np.where(known, value, 0.0)
        days += known
    return _ratio(total, days)


def shifted_back(values: F8, minutes: int) -> F8:
    """Return the value of the minute so many later; NaN at the end. Only for what lies a day or more back."""
    out: F8 = np.full(len(values), np.nan)
    out[: max(len(values) - minutes, 0)] = values[minutes:]
    return out
