"""Calibration as stored with a model: a straight line on the log-odds, and a band around sigma."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from volspike.models.kernels import Line, finish_all

F8 = npt.NDArray[np.float64]

NO_FLOOR = -100.0  # log bps, below any volatility
LIMIT = 50.0  # of the logarithm of a ratio of volatilities, beyond any in a market
LEVELS = (0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99)


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

    def __post_init__(self) -> None:
        if not (0.0 < self.slope < math.inf and math.isfinite(self.intercept)):
            raise ValueError(f"a calibration of slope {self.slope} and intercept {self.intercept}")
        if self.rows < 0:
            raise ValueError(f"a calibration on {self.rows} rows")


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
    quantiles : tuple of 9 floats
        Of log realised minus log predicted, after the shift, at ``LEVELS``, each above the one before; empty
        where not fitted. ``low`` and ``high`` are two of them, unless sigma itself lies beyond or within 5 %.
    """

    shift: float = 0.0
    low: float = 0.0
    high: float = 0.0
    least: float = NO_FLOOR
    part: str = ""
    rows: int = 0
    quantiles: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if self.quantiles and len(self.quantiles) != len(LEVELS):
            raise ValueError(f"{len(self.quantiles)} quantiles for {len(LEVELS)} levels")
        if any(not -LIMIT <= q <= LIMIT for q in self.quantiles) or any(
            not a < b for a, b in pairwise(self.quantiles)
        ):
            raise ValueError("the quantiles do not rise")
        if not -LIMIT <= self.low <= self.high <= LIMIT or not -LIMIT <= self.shift <= LIMIT:
            raise ValueError(f"a band of {self.low} to {self.high} around {self.shift}")
        if not NO_FLOOR <= self.least <= LIMIT:
            raise ValueError(f"a least log sigma of {self.least}")
        if self.quantiles and not self.low < 0.0 < self.high:
            raise ValueError(f"sigma is not inside its band, {self.low} to {self.high}")


class Scored(NamedTuple):
    """One prediction; volatilities in basis points over the next 60 s, the interval covers 90 %.

    ``outside`` counts the inputs beyond what the model was fitted on.
    """

    p_spike: float
    sigma_bps: float
    sigma_low_bps: float
    sigma_high_bps: float
    outside: float = 0.0


class ScoredRows(NamedTuple):
    """Predictions of many rows, float64[n] each; see ``Scored``."""

    p_spike: F8
    sigma_bps: F8
    sigma_low_bps: F8
    sigma_high_bps: F8
    outside: F8


def serving_line(calibration: Calibration, band: SigmaBand) -> Line:
    """Return the numbers that a compiled prediction is finished with."""
    return calibration.slope, calibration.intercept, band.shift, band.low, band.high, band.least


def finish_rows(
    margin: F8, log_sigma: F8, calibration: Calibration, band: SigmaBand, outside: F8 | None = None
) -> ScoredRows:
    """Return the predictions of many margins and log sigmas; without a count, no input is out of bounds."""
    count = np.zeros(len(margin)) if outside is None else outside
    p_spike, sigma, low, high = finish_all(margin, log_sigma, serving_line(calibration, band))
    return ScoredRows(p_spike, sigma, low, high, count)
