"""Fit the calibration of a model on its own slice: Platt scaling of the log-odds, a band around sigma."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from volspike.models.calibration import Calibration, SigmaBand
from volspike.models.estimators import fit_logit

F8 = npt.NDArray[np.float64]

LOW, HIGH = 0.05, 0.95
MIN_BAND_ROWS = 30
NO_SPREAD = 1e-9
MAX_SHIFT = math.log(2.0)


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


def fit_calibration(margin: F8, spike: npt.NDArray[np.int8]) -> Calibration:
    """Fit Platt scaling on log-odds (Platt 1999), with his smoothed targets.

    Parameters
    ----------
    margin : float64[n]
        Uncalibrated log-odds of the labelled rows of the calibrate slice.
    spike : int8[n]
        Their labels, 0 or 1.

    Returns
    -------
    Calibration
        The identity, marked uncalibrated with the reason, where the slice is empty or of one class, or where
        a higher score did not mean more spikes.
    """
    reason = one_class(spike)
    if reason:
        return Calibration(reason=f"the calibrate slice {reason}")
    rows, spikes = len(spike), int(np.count_nonzero(spike))
    rate = (spikes + 1.0) / (rows + 2.0)
    if float(np.std(margin)) < NO_SPREAD:
        return Calibration(1.0, math.log(rate / (1.0 - rate)) - float(margin[0]), True, rows, "")
    slope, intercept = _platt(margin, spike)
    if not slope > 0.0:
        return Calibration(rows=rows, reason="on the calibrate slice a higher score did not mean more spikes")
    return Calibration(slope, intercept, True, rows, "")


def _platt(margin: F8, spike: npt.NDArray[np.int8]) -> tuple[float, float]:
    """Return slope and intercept; a soft target is one row of each class, weighted."""
    spikes = int(np.count_nonzero(spike))
    high, low = (spikes + 1.0) / (spikes + 2.0), 1.0 / (len(spike) - spikes + 2.0)
    target = np.where(spike == 1, high, low)
    centre, scale = float(np.mean(margin)), float(np.std(margin))
    scaled = (margin - centre) / scale
    classes = np.repeat(np.array([1, 0]), len(spike))
    coefficients, intercept = fit_logit(
        np.concatenate((scaled, scaled))[:, None], classes, np.concatenate((target, 1.0 - target))
    )
    slope = float(coefficients[0]) / scale
    return slope, intercept - slope * centre


def fit_band(log_sigma: F8, log_realised: F8, part: str) -> SigmaBand:
    """Fit the shift and the 90 % interval of log sigma on labelled rows of one slice.

    Parameters
    ----------
    log_sigma, log_realised : float64[n]
        Logs of predicted and realised sigma (bps).
    part : str
        Name of the slice, recorded.

    Notes
    -----
    QLIKE is lowest where the mean of realised over predicted variance is one (Patton 2011), while a
    regression of the log predicts the median. The shift is at most a factor of two: where a rule says next to
    nothing moves (persistence after a still minute), a few rows would drag all the others along.
    """
    residual = log_realised - log_sigma
    best = 0.5 * math.log(float(np.mean(np.exp(2.0 * residual))))
    shift = min(max(best, -MAX_SHIFT), MAX_SHIFT)
    low, high = np.quantile(residual - shift, (LOW, HIGH))
    return SigmaBand(shift, min(float(low), 0.0), max(float(high), 0.0), part, len(residual))
