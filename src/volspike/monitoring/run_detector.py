"""When did it change? The Shiryaev-Roberts e-detector on bets.

    M_t = (M_{t-1} + 1) * factor_t

is the wealth of gamblers of whom a new one starts with 1 before each block, so it does not matter when the
change comes. As long as nothing has changed M_t - t is not expected to grow. Hence (Shin, Ramdas and Rinaldo
2023, "E-detectors: a nonparametric framework for sequential change detection"), for an alarm at M >= c:

- the mean number of blocks to a false alarm is at least c;
- the chance of one within n blocks is at most n / c.

Several tests share a budget: each of k alarms at k c, and the bounds hold for all of them together, since the
mean of their M is again a detector.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from volspike.evaluation.enough import BLOCK_S
from volspike.monitoring.betting import BETS, log_mean

BLOCKS_A_DAY = 86_400 // BLOCK_S

F8 = npt.NDArray[np.float64]


def log_threshold(false_alarm_days: float, tests: int = 1) -> float:
    """Return the log of the threshold of each of several tests that share a budget of false alarms.

    Parameters
    ----------
    false_alarm_days : float
        So many days of covered time pass on average, at least, until one of them raises a false alarm.
    tests : int
        How many tests there are.

    Raises
    ------
    ValueError
        If the threshold would be below one block.
    """
    threshold = false_alarm_days * BLOCKS_A_DAY * tests
    if not threshold >= 1.0:
        raise ValueError("a false alarm in less than a block of half an hour is none worth having")
    return math.log(threshold)


class RunDetector:
    """The detector, a block at a time."""

    def __init__(self) -> None:
        self._log_sum: F8 = np.full(len(BETS), -math.inf)

    def step(self, factors: F8) -> float:
        """Take the log-factors of one block, float64[bets]; return log M after it."""
        self._log_sum = np.logaddexp(self._log_sum, 0.0) + factors
        return float(log_mean(self._log_sum))


def log_detector_path(factors: F8) -> F8:
    """Return log M after each of n blocks, float64[n]; ``factors`` is float64[n, bets]."""
    detector = RunDetector()
    return np.array([detector.step(row) for row in factors], np.float64)


def first_alarm(path: F8, log_threshold: float) -> int | None:
    """Return where log M (float64[n]) first reaches the threshold; None where it never does."""
    reached = path >= log_threshold
    return int(np.argmax(reached)) if np.any(reached) else None
