"""Rules on the volatility state alone: the Z-score rule and every reference, as one linear form.

The state is eight numbers made from the context: the logs of rv now, of the four HAR lags, of tau and of an
EWMA volatility, and the trailing z. Log sigma and the log-odds of a spike are each linear in it. So
persistence is the coefficient 1 on log rv, and its log-odds rise with log(rv / tau).
"""

from __future__ import annotations

import math
from collections.abc import Callable

import msgspec
import numpy as np
import numpy.typing as npt

from volspike.labels.trailing import Context
from volspike.models.kernels import LAGS_S, STATE_SIZE, Line, Served, state_fill, state_rows
from volspike.models.serving import Bounds, Table, Values, serve_state

F8 = npt.NDArray[np.float64]

STATE = (
    "log_rv",
    "log_har_1m",
    "log_har_5m",
    "log_har_30m",
    "log_har_240m",
    "log_tau",
    "z",
    "log_ewma",
)


class StateWeights(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="state"):
    """Weights of a rule on the state.

    Attributes
    ----------
    rule : str
        ``climatology``, ``persistence``, ``ewma``, ``zscore``, ``log-har-ols``, ``log-har-gamma`` or
        ``log-har-logit``.
    margin, sigma : tuple of 8 floats
        Coefficients of the log-odds and of log sigma, in the order of ``STATE``.
    margin_intercept, sigma_intercept : float
        Their constants.
    z_mean, z_std : float
        Mean and deviation of log rv on the fit slice: the z where the trailing one is undefined.
    half_life_s : float
        Half-life of the EWMA in seconds.
    increment : float
        Quote increment in quote currency: no logarithm of less than one of it over the mid.
    least_bps : float
        Nor of less than this volatility: a still minute says little, and its logarithm is far out.
    """

    rule: str
    margin: tuple[float, ...]
    sigma: tuple[float, ...]
    margin_intercept: float
    sigma_intercept: float
    z_mean: float
    z_std: float
    half_life_s: float
    increment: float
    least_bps: float = 0.0

    def __post_init__(self) -> None:
        if len(self.margin) != STATE_SIZE or len(self.sigma) != STATE_SIZE:
            raise ValueError(f"a rule has {STATE_SIZE} coefficients")
        if not (self.z_std > 0.0 and self.half_life_s > 0.0 and self.increment > 0.0):
            raise ValueError("z_std, half_life_s and increment are above 0")
        if not 0.0 <= self.least_bps < math.inf:
            raise ValueError(f"a least volatility of {self.least_bps} bps")


def ewma_shares(half_life_s: float) -> F8:
    """Return the share of an exponential average that falls on each stretch between the HAR lags.

    The stretches are 0-1, 1-5, 5-30 and 30-240 minutes back; the last takes all that is older too.
    """
    edges = np.array([0.0, *LAGS_S[:3], math.inf])
    left = np.exp2(-edges / half_life_s)
    shares: F8 = left[:-1] - left[1:]
    return shares


def state_matrix(
    raw: F8, half_life_s: float, z_mean: float, z_std: float, increment: float, least_bps: float = 0.0
) -> F8:
    """Return the states of many raw rows, float64[n, 8]; NaN where the context is unsound."""
    states: F8 = state_fill(raw, ewma_shares(half_life_s), z_mean, z_std, increment, least_bps)
    return states


class StateHeads:
    """Both heads of a rule on the state; it takes raw rows without features."""

    width = 0

    def __init__(self, weights: StateWeights) -> None:
        self._arguments = (
            ewma_shares(weights.half_life_s),
            weights.z_mean,
            weights.z_std,
            weights.increment,
            weights.least_bps,
            np.array(
                [
                    [*weights.margin, weights.margin_intercept],
                    [*weights.sigma, weights.sigma_intercept],
                ]
            ),
            np.empty(STATE_SIZE),
        )

    def served(self, line: Line, bounds: Bounds) -> Callable[[Values, Context], Served]:
        """Return what predicts one row, calibrated by ``line``, and counts its inputs beyond ``bounds``."""
        shares, *numbers, weights, out = self._arguments
        serve, table = serve_state(), Table(self.width, line, bounds, numbers, (shares, weights, out.copy()))
        return lambda _values, context: serve(table.address, context)

    def rows(self, raw: F8) -> tuple[F8, F8]:
        """Return margins and log sigmas of many raw rows."""
        heads: tuple[F8, F8] = state_rows(raw, *self._arguments)
        return heads

    def inputs(self, raw: F8) -> F8:
        """Return the states of many raw rows."""
        states: F8 = state_fill(raw, *self._arguments[:5])
        return states
