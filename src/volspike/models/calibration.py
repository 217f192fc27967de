"""Calibration as stored with a model: a straight line on the log-odds, and a band around sigma."""

from __future__ import annotations

from typing import NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from volspike.models.kernels import Line, finish_all

F8 = npt.NDArray[np.float64]

NO_FLOOR = -100.0  # log bps, below any volatility
LIMIT = 50.0  # of the logarithm of a ratio of volatilities, beyond any in a market


class Calibration(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Platt scaling: ``p = 1 / (1 + exp(-(slope * margin + intercept)))``.

    Attributes
    ----------
    slope, intercept : float
        1 and 0 where uncalibrated.
    calibrated : bool
        Whether they were fitted.
    rows : int
        Labelled rows they were fitted on.
    reason : str
        Why it is uncalibrated; empty where calibrated.
    """

    slope: float = 1.0
    intercept: float = 0.0
    calibrated: bool = False
    rows: int = 0
    reason: str = "not fitted"


class SigmaBand(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Correction and 90 % interval of the predicted sigma, as additions to its logarithm.

    Attributes
    ----------
    shift : float
        Brings the mean of (realised / predicted) squared towards one, the scale with the lowest QLIKE.
    low, high : float
        5 % and 95 % quantile of log realised minus log predicted, after the shift.
    part : str
        Slice they were taken on: ``calibrate``, or ``tune`` or ``fit`` where that is too small.
    rows : int
        Labelled rows of it.
    least : float
        Log of the lowest sigma ever predicted: a still minute says little about the next one.
    """

    shift: float = 0.0
    low: float = 0.0
    high: float = 0.0
    least: float = NO_FLOOR
    part: str = ""
    rows: int = 0

    def __post_init__(self) -> None:
        if not -LIMIT <= self.low <= self.high <= LIMIT or not -LIMIT <= self.shift <= LIMIT:
            raise ValueError(f"a band of {self.low} to {self.high} around {self.shift}")


class Scored(NamedTuple):
    """One prediction; volatilities in basis points over the next 60 s, the interval covers 90 %."""

    p_spike: float
    sigma_bps: float
    sigma_low_bps: float
    sigma_high_bps: float


class ScoredRows(NamedTuple):
    """Predictions of many rows, float64[n] each; see ``Scored``."""

    p_spike: F8
    sigma_bps: F8
    sigma_low_bps: F8
    sigma_high_bps: F8


def serving_line(calibration: Calibration, band: SigmaBand) -> Line:
    """Return the numbers that a compiled prediction is finished with."""
    return calibration.slope, calibration.intercept, band.shift, band.low, band.high, band.least


def finish_rows(margin: F8, log_sigma: F8, calibration: Calibration, band: SigmaBand) -> ScoredRows:
    """Return the predictions of many margins and log sigmas."""
    return ScoredRows(*finish_all(margin, log_sigma, serving_line(calibration, band)))
