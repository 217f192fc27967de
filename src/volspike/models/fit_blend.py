"""Fit what each head of the blend counts for, on the tune slice."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize

from volspike.labels.dataset import Dataset
from volspike.models.blend import BlendShares
from volspike.models.calibrate import one_class
from volspike.models.inputs import raw_rows
from volspike.models.predictor import Heads
from volspike.models.rows import log_realised

F8 = npt.NDArray[np.float64]

EQUAL = 0.25
SHARE_STD, INTERCEPT_STD = 0.25, 1.0
SIGMA_STEPS = 21
HALF_TRUSTED_WINDOWS = 100.0
LOGISTIC_STD = math.pi / math.sqrt(3.0)
TYPICAL_SPREAD = 0.5  # of log realised around log predicted, where tune can't tell
MAX_LOG_ODDS = 500.0


def fit_blend(linear: Heads, boosted: Heads, tune: Dataset, offset: float = 0.0) -> BlendShares:
    """Weigh the heads by log-loss and QLIKE on tune, drawn towards equal shares by as much as tune is thin.

    Parameters
    ----------
    linear, boosted : Heads
        Fitted on the fit slice.
    tune : Dataset
        Labelled rows of the tune slice; may be empty or of one class.
    offset : float
        What undoes the class weights of the fit in the log-odds of both classifiers; 0 where there were none.
        It goes into the intercept, so that the log-odds of the blend are those of the data.

    Notes
    -----
    Log sigma over tau counts in units of the logistic distribution that has the spread of the residuals: all
    four are log-odds then, and equal shares mean something. The shares have a normal prior around a quarter
    with standard deviation a quarter, against the log-loss of windows.
    """
    if not len(tune):
        return _shares(np.full(4, EQUAL), 0.0, offset, LOGISTIC_STD / TYPICAL_SPREAD, 0.5)
    raw = raw_rows(tune, linear.width)
    margins, sigmas = zip(*(heads.rows(raw) for heads in (linear, boosted)), strict=True)
    realised, log_tau = log_realised(tune), np.log(tune.tau_bps)
    sigma_share = _sigma_share(sigmas[0], sigmas[1], realised, len(tune) / tune.rows_a_window)
    spread = max(float(np.std(realised - _mixed(sigmas[0], sigmas[1], sigma_share))), 1e-3)
    unit = LOGISTIC_STD / spread
    odds = (margin + offset for margin in margins)
    scores = np.column_stack((*odds, *(unit * (log_sigma - log_tau) for log_sigma in sigmas)))
    weights, intercept = np.full(4, EQUAL), 0.0
    if not one_class(tune.spike):
        weights, intercept = _stack(scores, tune.spike, tune.rows_a_window)
    return _shares(weights, intercept, offset, unit, sigma_share)


def _shares(weights: F8, intercept: float, offset: float, unit: float, sigma_share: float) -> BlendShares:
    linear, boosted, linear_sigma, boosted_sigma = weights.tolist()
    level = intercept + (linear + boosted) * offset
    return BlendShares(level, linear, boosted, unit * linear_sigma, unit * boosted_sigma, sigma_share)


def _mixed(linear: F8, boosted: F8, share: float) -> F8:
    return share * linear + (1.0 - share) * boosted


def _sigma_share(linear: F8, boosted: F8, realised: F8, windows: float) -> float:
    """Return the share of the linear log sigma with the lowest QLIKE, drawn towards a half."""

    def loss(share: float) -> float:
        gap = realised - _mixed(linear, boosted, share)
        return float(np.mean(np.exp(2.0 * gap) - 2.0 * gap))

    best = float(min(np.linspace(0.0, 1.0, SIGMA_STEPS), key=loss))
    trust = windows / (windows + HALF_TRUSTED_WINDOWS)
    return trust * best + (1.0 - trust) * 0.5


def _stack(scores: F8, spike: npt.NDArray[np.int8], rows_a_window: float) -> tuple[F8, float]:
    """Return shares from 0 and the intercept with the highest posterior."""
    design = np.column_stack((scores, np.ones(len(scores))))
    centre = np.array([EQUAL] * 4 + [0.0])
    precision = np.array([SHARE_STD**-2.0] * 4 + [INTERCEPT_STD**-2.0])

    def loss(line: F8) -> tuple[float, F8]:
        odds = np.clip(design @ line, -MAX_LOG_ODDS, MAX_LOG_ODDS)
        away = line - centre
        value = np.sum(np.logaddexp(0.0, odds) - spike * odds) / rows_a_window
        gradient = design.T @ (1.0 / (1.0 + np.exp(-odds)) - spike) / rows_a_window
        return float(value + 0.5 * np.sum(precision * away**2)), gradient + precision * away

    found = minimize(loss, centre, jac=True, method="L-BFGS-B", bounds=[(0.0, None)] * 4 + [(None, None)])
    return found.x[:4], float(found.x[4])
