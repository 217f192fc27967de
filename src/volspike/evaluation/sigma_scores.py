"""Scores of a predicted volatility and of its 90 % interval, on labelled rows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from volspike.models.calibrate import HIGH, LOW

F8 = npt.NDArray[np.float64]
MISS_COST = 2.0 / (1.0 - (HIGH - LOW))


@dataclass(frozen=True, slots=True)
class IntervalScores:
    """Scores of a predicted 90 % interval; None without a row.

    Attributes
    ----------
    coverage : float or None
        Share of rows whose realised volatility lies in it.
    pinball_low_bps, pinball_high_bps : float or None
        Mean pinball loss of the 5 % and the 95 % end, basis points.
    winkler_bps : float or None
        Mean interval score: width plus 20 times the distance by which the interval was missed, basis points.
    """

    coverage: float | None = None
    pinball_low_bps: float | None = None
    pinball_high_bps: float | None = None
    winkler_bps: float | None = None


def qlike(realised_bps: F8, predicted_bps: F8, floor_bps: F8) -> float | None:
    """Return the mean of ``qlike_losses``; None without a row."""
    return float(np.mean(qlike_losses(realised_bps, predicted_bps, floor_bps))) if len(realised_bps) else None


def qlike_losses(realised_bps: F8, predicted_bps: F8, floor_bps: F8) -> F8:
    """Return each row's QLIKE loss ``r/f - ln(r/f) - 1`` of realised and predicted variance (Patton 2011).

    Parameters
    ----------
    realised_bps, predicted_bps, floor_bps : float64[n]
        Volatilities in basis points; both are raised to the floor (one quote increment / mid).
    """
    ratio = (np.maximum(realised_bps, floor_bps) / np.maximum(predicted_bps, floor_bps)) ** 2
    losses: F8 = ratio - np.log(ratio) - 1.0
    return losses


def r2_log_sigma(realised_bps: F8, predicted_bps: F8, floor_bps: F8) -> float | None:
    """Return the share of the variance of log realised volatility that the prediction explains.

    ``1 - sum((y - f)^2) / sum((y - mean y)^2)`` of logs, both raised to the floor; below 0 where the mean of
    these very rows would have done better. None where the realised volatility does not vary.
    """
    if not len(realised_bps):
        return None
    realised = np.log(np.maximum(realised_bps, floor_bps))
    predicted = np.log(np.maximum(predicted_bps, floor_bps))
    spread = float(np.sum((realised - np.mean(realised)) ** 2))
    return 1.0 - float(np.sum((realised - predicted) ** 2)) / spread if spread > 0.0 else None


def pinball_losses(realised: F8, quantile: F8, level: float) -> F8:
    """Return each row's pinball loss of a predicted quantile (Koenker and Bassett 1978), in its unit."""
    over = realised - quantile
    losses: F8 = np.maximum(level * over, (level - 1.0) * over)
    return losses


def interval_losses(realised: F8, low: F8, high: F8) -> F8:
    """Return each row's interval score of a 90 % interval (Winkler 1972; Gneiting and Raftery 2007).

    ``(high - low) + 2 / 0.1 * (distance outside)``, in the unit of the interval.
    """
    outside = np.maximum(low - realised, 0.0) + np.maximum(realised - high, 0.0)
    losses: F8 = high - low + MISS_COST * outside
    return losses


def score_interval(realised_bps: F8, low_bps: F8, high_bps: F8) -> IntervalScores:
    """Score a predicted 90 % interval of labelled rows (float64[n] each, basis points)."""
    if not len(realised_bps):
        return IntervalScores()
    inside = (realised_bps >= low_bps) & (realised_bps <= high_bps)
    return IntervalScores(
        coverage=float(np.mean(inside)),
        pinball_low_bps=float(np.mean(pinball_losses(realised_bps, low_bps, LOW))),
        pinball_high_bps=float(np.mean(pinball_losses(realised_bps, high_bps, HIGH))),
        winkler_bps=float(np.mean(interval_losses(realised_bps, low_bps, high_bps))),
    )
