"""The dataset of minute candles: a row at the end of each minute, about the range of the next one.

    minute m-1        minute m          minute m+1
    |--------------|--------------|-----------------|
                              row at its end: features of minutes up to m, label: sigma of m+1

The volatility is that of the range (``range_sigma_bps``), now, in tau and in the target alike. A minute
without a candle breaks the run, and the row before it is unlabelled.
"""

from __future__ import annotations

import bisect

import numpy as np
import numpy.typing as npt

from volspike.errors import NotEnoughDataError
from volspike.exchange.candles import FEED, CandleTable
from volspike.exchange.products import PriceScales
from volspike.features.candle_columns import CANDLE, DAY_MINUTES
from volspike.features.candle_features import MinuteGrid, candle_features, minute_grid, trailing_mean
from volspike.labels.dataset import Dataset, fixed_tau, hashed, spikes
from volspike.labels.price_step import price_step
from volspike.labels.splits import split_times
from volspike.labels.targets import BREAK, END, LABELLED
from volspike.labels.tau import MIN_COVERED_S, MIN_Z_S, TauSpec, quantile_rank
from volspike.labels.trailing import HAR_MINUTES

F8 = npt.NDArray[np.float64]
I8 = npt.NDArray[np.int64]

TARGET = "range"
STEP_S = 60
MINUTE_NS = STEP_S * 1_000_000_000
_MIN_COVERED = MIN_COVERED_S // STEP_S
_PRICE_DECIMALS = 8
# Squares of whole steps are summed up exactly by ``trailing_mean``: equal minutes have no spread at all.
_Z_STEP = 2.0**-10


def candle_dataset(
    table: CandleTable,
    tau: TauSpec = TauSpec(),  # noqa: B008 - frozen
    fixed_tau_bps: float | None = None,
    increment: float | None = None,
) -> Dataset:
    """Build the dataset of one product's candles.

    Parameters
    ----------
    table : CandleTable
        n candles in order.
    tau : TauSpec
        How tau is set: adaptive over the minutes of the trailing 24 h, once 30 of them are there.
    fixed_tau_bps, increment : float, optional
        Of a bundle; without them, as in ``build_dataset``: of the fit slice.

    Raises
    ------
    NotEnoughDataError
        If there is no candle, or no labelled row in the fit slice.
    """
    if not len(table.minute):
        raise NotEnoughDataError(table.product, "no candles", "run volspike backfill first")
    event_ns = (table.minute + 1) * MINUTE_NS
    fit = split_times(event_ns).fit
    if increment is None:
        increment = PriceScales().increment(table.product) or _fit_increment(table, fit)
    grid = minute_grid(table, increment)
    sigma_bps = grid.sigma_bps[grid.row]
    future_bps, unlabelled = _labels(grid)
    if fixed_tau_bps is None:
        fixed_tau_bps = _fit_fixed_tau(table, future_bps, unlabelled, fit, tau, increment)
    tau_bps, adaptive = _tau(grid, tau, fixed_tau_bps)
    return hashed(
        Dataset(
            product=table.product,
            feed=FEED,
            feature_set=CANDLE.name,
            event_time_source="exchange",
            target=TARGET,
            tau=tau,
            fixed_tau_bps=fixed_tau_bps,
            increment=increment,
            columns=CANDLE.names,
            step_s=STEP_S,
            event_ns=event_ns,
            run=np.cumsum(np.diff(table.minute, prepend=table.minute[0] - 1) != 1).astype(np.int32),
            features=np.ascontiguousarray(candle_features(grid)[grid.row]),
            rv_bps=sigma_bps,
            mid=table.close,
            har_bps=_har(grid)[grid.row],
            z=_z(grid)[grid.row],
            tau_bps=tau_bps,
            tau_adaptive=adaptive,
            sigma_future_bps=future_bps,
            spike=spikes(future_bps, tau_bps),
            unlabelled=unlabelled,
            sha256="",
        )
    )


def _labels(grid: MinuteGrid) -> tuple[F8, npt.NDArray[np.uint8]]:
    """Return the next minute's volatility at each candle, and why there is none."""
    following = np.append(grid.sigma_bps, np.nan)[grid.row + 1]
    reason = np.where(np.isfinite(following), LABELLED, BREAK).astype(np.uint8)
    reason[-1] = END
    return following, reason


def _fit_fixed_tau(
    table: CandleTable,
    future_bps: F8,
    unlabelled: npt.NDArray[np.uint8],
    fit: I8,
    tau: TauSpec,
    increment: float,
) -> float:
    labelled = fit[unlabelled[fit] == LABELLED]
    if not len(labelled):
        raise NotEnoughDataError(
            table.product, f"no labelled row in the fit slice of {len(table.minute)} candles", "backfill more"
        )
    return fixed_tau(future_bps[labelled], tau, float(np.median(table.close[fit])), increment)


def _tau(grid: MinuteGrid, spec: TauSpec, fixed_tau_bps: float) -> tuple[F8, npt.NDArray[np.bool_]]:
    """Return tau at each candle and whether it is the trailing quantile, the candle's own minute included."""
    n = len(grid.row)
    tau_bps, adaptive = np.full(n, fixed_tau_bps), np.zeros(n, np.bool_)
    if spec.mode == "fixed":
        return tau_bps, adaptive
    values, row = grid.sigma_bps[grid.row].tolist(), grid.row.tolist()
    inside: list[float] = []
    oldest = 0
    for i in range(n):
        bisect.insort(inside, values[i])
        while row[oldest] <= row[i] - DAY_MINUTES:
            del inside[bisect.bisect_left(inside, values[oldest])]
            oldest += 1
        if len(inside) >= _MIN_COVERED:
            quantile = inside[quantile_rank(len(inside), spec.quantile_ppm) - 1]
            tau_bps[i], adaptive[i] = max(spec.floor_bps, quantile), True
    return tau_bps, adaptive


def _har(grid: MinuteGrid) -> F8:
    variance = grid.sigma_bps**2
    return np.column_stack([np.sqrt(trailing_mean(variance, minutes)) for minutes in HAR_MINUTES])


def _z(grid: MinuteGrid) -> F8:
    """Return the trailing 24 h z-score of log volatility at each minute.

    NaN below 60 minutes, and where all of them are the same.
    """
    log_sigma = np.rint(np.log(grid.sigma_bps) / _Z_STEP) * _Z_STEP
    least = MIN_Z_S / DAY_MINUTES
    mean = trailing_mean(log_sigma, DAY_MINUTES, least)
    spread = trailing_mean(log_sigma**2, DAY_MINUTES, least) - mean**2
    defined = spread > 1e-12
    return np.where(defined, (log_sigma - mean) / np.sqrt(np.where(defined, spread, 1.0)), np.nan)


def _fit_increment(table: CandleTable, fit: I8) -> float:
    """Return the step of the prices of the fit slice, in quote currency."""
    end = int(fit[-1]) + 1 if len(fit) else 1
    prices = np.concatenate((table.high[:end], table.low[:end], table.close[:end]))
    return price_step(np.rint(prices * 10.0**_PRICE_DECIMALS).astype(np.int64), _PRICE_DECIMALS)
