"""Fit the calibration of a model on its own slice: Platt scaling of the log-odds, a band around sigma."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from volspike.models.calibration import LEVELS, NO_FLOOR, Calibration, SigmaBand

F8 = npt.NDArray[np.float64]

LOW, HIGH = 0.05, 0.95
MIN_BAND_WINDOWS = 60
NO_SPREAD = 1e-9
APART = 1e-6  # quantiles of residuals that are all one, so that a line leads from each to the next
HALF_TRUSTED_WINDOWS = 20.0
SLOPE_STD, INTERCEPT_STD = 0.15, 0.3
FARTHEST = math.log(10.0)
NEAREST = 0.05
NEWTON_STEPS, CONVERGED, MAX_ODDS = 100, 1e-10, 500.0
ARMIJO, LEAST_SHARE, ROUNDING = 1e-4, 1e-10, 1e-12


def one_class(spike: npt.NDArray[np.int8]) -> str:
    """Return why labels (0 and 1) can't be learned from, or an empty string."""
    if not len(spike):
        return "has no labelled row"
    spikes = int(np.count_nonzero(spike))
    if spikes == 0:
        return f"has no spike in {len(spike)} labelled rows"
    if spikes == len(spike):
        return f"has nothing but spikes in {spikes} labelled rows"
    return ""


def fit_calibration(
    margin: F8, spike: npt.NDArray[np.int8], rows_a_window: float, offset: float = 0.0
) -> Calibration:
    """Fit Platt scaling on log-odds (Platt 1999), drawn towards the identity by as much as data are thin.

    Parameters
    ----------
    margin : float64[n]
        Uncalibrated log-odds of the labelled rows of the calibrate slice.
    spike : int8[n]
        Their labels, 0 or 1.
    rows_a_window : float
        How many rows count as one window: see ``Dataset.rows_a_window``.
    offset : float
        What undoes the class weights of the fit, added to the log-odds; 0 where there were none.

    Returns
    -------
    Calibration
        The offset alone, marked uncalibrated with the reason, where the slice is empty or of one class, or
        where a higher score did not mean more spikes.

    Notes
    -----
    Rows a second apart share most of their minutes, and sixty of them count as one window. The slope has a
    normal prior around 1 with standard deviation 0.15, the intercept one around the offset with 0.3: on
    many thousands of windows they do not matter, on thirty they keep one calm half hour from rewriting the
    model, and spikes come in clusters, so hundreds of windows are fewer than they look.
    """
    reason = one_class(spike)
    if reason:
        return Calibration(intercept=offset, reason=f"the calibrate slice {reason}")
    rows, spikes = len(spike), int(np.count_nonzero(spike))
    rate = (spikes + 1.0) / (rows + 2.0)
    if float(np.std(margin)) < NO_SPREAD:
        return Calibration(1.0, math.log(rate / (1.0 - rate)) - float(margin[0]), True, rows, "")
    slope, intercept = _platt(margin, spike, rows_a_window, offset)
    if not slope > 0.0:
        reason = "on the calibrate slice a higher score did not mean more spikes"
        return Calibration(intercept=offset, rows=rows, reason=reason)
    return Calibration(slope, intercept, True, rows, "")


def _platt(
    margin: F8, spike: npt.NDArray[np.int8], rows_a_window: float, offset: float
) -> tuple[float, float]:
    """Return slope and intercept of the highest posterior."""
    prior = np.diag([SLOPE_STD**-2.0, INTERCEPT_STD**-2.0])
    line, _ = fit_line(margin, spike, rows_a_window, np.array([1.0, offset]), prior)
    return float(line[0]), float(line[1])


def fit_line(
    margin: F8, spike: npt.NDArray[np.int8], rows_a_window: float, centre: F8, precision: F8
) -> tuple[F8, F8]:
    """Fit a line on log-odds by Newton's method.

    Parameters
    ----------
    margin : float64[n]
        Log-odds.
    spike : int8[n]
        Labels, 0 or 1.
    rows_a_window : float
        How many rows count as one window.
    centre, precision : float64[2], float64[2, 2]
        Mean and inverse covariance of the normal prior of slope and intercept; Newton starts at the mean.
        With a precision of zeros the likelihood alone decides, and needs labels that overlap in ``margin``.

    Returns
    -------
    (float64[2], float64[2, 2])
        Slope and intercept, and the inverse of their covariance, counting windows.
    """
    design = np.column_stack((margin, np.ones(len(margin))))
    line, curvature = centre.copy(), precision

    def loss(at: F8) -> float:
        odds = np.clip(design @ at, -MAX_ODDS, MAX_ODDS)
        gap = at - centre
        return float(
            np.sum(np.logaddexp(0.0, odds) - spike * odds) / rows_a_window + 0.5 * gap @ precision @ gap
        )

    for _ in range(NEWTON_STEPS):
        p = 1.0 / (1.0 + np.exp(-np.clip(design @ line, -MAX_ODDS, MAX_ODDS)))
        gradient = design.T @ (p - spike) / rows_a_window + precision @ (line - centre)
        curvature = (design * (p * (1.0 - p) / rows_a_window)[:, None]).T @ design + precision
        step = np.linalg.solve(curvature, gradient)
        line = _descended(line, step.astype(np.float64, copy=False), gradient, loss)
        if float(np.max(np.abs(step))) < CONVERGED:
            break
    return line, curvature


def _descended(line: F8, step: F8, gradient: F8, loss: Callable[[F8], float]) -> F8:
    """Return the line a step further, cut until the loss falls: whole steps circle on skewed log-odds.

    The loss is convex, so this finds its minimum from anywhere; the condition is Armijo's.
    """
    share = min(1.0, 2.0 / max(float(np.max(np.abs(step))), 1e-300))
    before, fall = loss(line), float(gradient @ step)
    most = before + ROUNDING * abs(before)
    while loss(line - share * step) > most - ARMIJO * share * fall and share > LEAST_SHARE:
        share *= 0.5
    moved: F8 = line - share * step
    return moved


def fit_band(
    log_sigma: F8, log_realised: F8, rows_a_window: float, part: str, least: float = NO_FLOOR
) -> SigmaBand:
    """Fit the shift and the 90 % interval of log sigma on labelled rows of one slice.

    Parameters
    ----------
    log_sigma, log_realised : float64[n]
        Logs of predicted and realised sigma (bps).
    rows_a_window : float
        How many rows count as one window.
    part : str
        Name of the slice, recorded.
    least : float
        Log of the lowest sigma to predict.

    Notes
    -----
    QLIKE is lowest where the mean of realised over predicted variance is one (Patton 2011), while a
    regression of the log predicts the median. The shift counts windows, not rows, and is halved at twenty of
    them, so that a few do not drag all predictions along; nor do a few rows: none counts for more than ten
    times what is typical, and the shift stays where 80 % of the residuals are. The quantiles are those of the
    rows, without a family of distributions: realised volatility has a heavier upper tail than its logarithm's
    normal one. Sigma lies within the band, by 5 % or more.
    """
    residual = log_realised - np.maximum(log_sigma, least)
    best = _best_shift(residual)
    windows = len(residual) / rows_a_window
    shift = best * windows / (windows + HALF_TRUSTED_WINDOWS)
    low, high = np.quantile(residual - shift, (LOW, HIGH))
    quantiles = np.quantile(residual - shift, LEVELS) + APART * np.arange(len(LEVELS))
    ends = min(float(low), -NEAREST), max(float(high), NEAREST)
    return SigmaBand(shift, *ends, least, part, len(residual), tuple(quantiles.tolist()))


def _best_shift(residual: F8) -> float:
    """Return the shift with the lowest QLIKE, log residuals (float64[n]) cut off at ten times typical."""
    held = np.minimum(residual, float(np.median(residual)) + FARTHEST)
    best = 0.5 * math.log(float(np.mean(np.exp(2.0 * held))))
    return float(np.clip(best, *np.quantile(residual, (0.1, 0.9))))
