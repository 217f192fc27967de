"""Evidence by betting: how fast a gambler grows rich who bets that a mean lies above 0.

Each round brings an outcome x >= -1, and a bet b in (0, 1) multiplies the gambler's wealth by 1 + b x. If the
mean of x given the past is at most 0, wealth is not expected to grow, whatever the outcomes depend on: it
reaches 1 / alpha at any time with a chance of at most alpha (Ville 1939). So one may look after every round
and stop when one likes. Nobody knows the best bet beforehand, hence the money is spread evenly over a grid
of bets (Waudby-Smith and Ramdas 2024, "Estimating means of bounded random variables by betting", JRSS B 86).

Wealth is kept in natural logarithms, where it can neither overflow nor be rounded to nothing.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

BETS: npt.NDArray[np.float64] = np.array([0.01, 0.02, 0.04, 0.08, 0.16, 0.3, 0.5, 0.7, 0.9])
LOWEST = -1.0
_ROUNDING = 1e-12
_LOG_BETS = math.log(len(BETS))

F8 = npt.NDArray[np.float64]


def log_factors(x: F8) -> F8:
    """Return the logarithm of what each outcome multiplies each bet's wealth by, float64[..., bets].

    Parameters
    ----------
    x : float64[...]
        Outcomes, each at least -1; that they are bounded above is not needed.

    Raises
    ------
    ValueError
        If an outcome lies below -1 or is not finite: no bet would be safe.
    """
    if not np.all(np.isfinite(x)) or np.any(x < LOWEST - _ROUNDING):
        raise ValueError("an outcome lies below -1 or is not finite")
    factors: F8 = np.log1p(np.maximum(x, LOWEST)[..., None] * BETS)
    return factors


def nested_log_factors(x: F8, lanes: int) -> F8:
    """Return the log-factors of blocks inside which bets are placed step by step, float64[blocks, bets].

    The steps are dealt to the lanes in turn, wealth multiplies along a lane, and a block's factor is the mean
    over the lanes. With two lanes a step may overlap the one before it, whose outcome is still open when its
    bet is placed. A mean of e-values is one, however they depend on each other (Vovk and Wang 2021), and from
    block to block they multiply, since no outcome of a block is open when the next begins.

    Parameters
    ----------
    x : float64[blocks, steps]
        Outcomes in order, each at least -1; 0 where there is none.
    lanes : int
        How many there are, at least 1 and at most as many as steps.
    """
    steps = log_factors(x)
    along = np.stack([np.sum(steps[:, lane::lanes], axis=1) for lane in range(lanes)])
    mean: F8 = np.logaddexp.reduce(along, axis=0) - math.log(lanes)
    return mean


def log_mean(log_wealth: F8) -> F8:
    """Return the logarithm of the mean wealth over the bets, float64[...] of float64[..., bets]."""
    mean: F8 = np.logaddexp.reduce(log_wealth, axis=-1) - _LOG_BETS
    return mean


def log_e_path(factors: F8) -> F8:
    """Return the log e-value after each of n rounds, float64[n]; ``factors`` is float64[n, bets]."""
    return log_mean(np.cumsum(factors, axis=0))


class BettingProcess:
    """The same, a round at a time."""

    def __init__(self) -> None:
        self._log_wealth: F8 = np.zeros(len(BETS))

    def step(self, factors: F8) -> float:
        """Take the log-factors of one round, float64[bets]; return the log e-value after it."""
        self._log_wealth = self._log_wealth + factors
        return float(log_mean(self._log_wealth))
