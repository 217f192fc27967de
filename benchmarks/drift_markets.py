"""Made series and outcomes of which is known whether, when and how they change."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.signal import lfilter

from volspike.evaluation.episodes import GradedSeconds

F8 = npt.NDArray[np.float64]
Resting = npt.NDArray[np.bool_]
START_S = 1_800 * 900_000
STAY_ROWS = 50
REST_CHANCE = 2e-4
REST_SHARE_TOLD = 0.3


def autoregressive(coefficient: float, rows: int, rng: np.random.Generator) -> F8:
    """Return a stationary AR(1) of variance 1, float64[rows]."""
    before = int(20.0 / (1.0 - coefficient))
    noise = rng.normal(size=rows + before) * np.sqrt(1.0 - coefficient**2)
    series: F8 = lfilter([1.0], [1.0, -coefficient], noise)[before:]
    return series


def switching(rows: int, rng: np.random.Generator) -> F8:
    """Return noise whose scale is 1 or 3, with a chance of 1 in 50 to switch at each row, float64[rows].

    It never stands still and yet never changes: the law of its switches is one and the same.
    """
    wild = np.cumsum(rng.random(rows) < 1.0 / STAY_ROWS) % 2 == 1
    return rng.normal(size=rows) * np.where(wild, 3.0, 1.0)


def minutes(days: float, seed: int, ratio: float = 1.0) -> tuple[GradedSeconds, F8]:
    """Return rows a minute and the probabilities told; spikes are ``ratio`` times as likely as told.

    The probability follows an AR(1) in its log-odds, so spikes cluster; it is the true one at a ratio of 1.
    """
    rng = np.random.default_rng(seed)
    n = int(days * 1_440)
    level = lfilter([1.0], [1.0, -0.98], rng.normal(size=n) * 0.2)
    p = 0.6 / (1.0 + np.exp(3.0 - 1.2 * level))
    spike = (rng.random(n) < np.minimum(1.0, ratio * p)).astype(np.int8)
    return _graded(spike, 60), p


def seconds(hours: float, seed: int, ratio: float = 1.0) -> tuple[GradedSeconds, F8]:
    """Return rows a second whose labels overlap; spikes are ``ratio`` times as likely as told.

    A spike is an event in (s, s + 60]. Events come at a rate that is known beforehand, ten minutes high of
    every ninety.
    """
    rng = np.random.default_rng(seed)
    n = int(hours * 3_600)
    rate = np.where(np.arange(n + 60) % 5_400 < 600, 0.004, 0.0004)
    total = np.concatenate(([0.0], np.cumsum(rate)))
    ahead = total[60:][:n] - total[:n]  # expected events in the next minute
    p = -np.expm1(-ahead * ratio) / ratio
    event = np.concatenate(([0], np.cumsum(rng.random(n + 60) < -np.expm1(-rate * ratio))))
    spike = (event[60:][:n] > event[:n]).astype(np.int8)
    return _graded(spike, 1), p


def joined(first: tuple[GradedSeconds, F8], second: tuple[GradedSeconds, F8]) -> tuple[GradedSeconds, F8]:
    """Return the second market's rows after the first one's."""
    spike = np.concatenate((first[0].spike, second[0].spike))
    return _graded(spike, first[0].step_s), np.concatenate((first[1], second[1]))


def rested(before_days: float, rest_days: float, days: float, seed: int) -> tuple[GradedSeconds, F8, Resting]:
    """Return a market a minute that rests for some days; a spike has a chance of 1 in 5,000 there.

    Rows, true probabilities, and which rows (bool[n]) lie in the rest.
    """
    first, last = minutes(before_days, seed), minutes(days, 500_000 + seed)
    calm = np.full(int(rest_days * 1_440), REST_CHANCE)
    spike = (np.random.default_rng([5, seed]).random(len(calm)) < calm).astype(np.int8)
    rows, p = joined(joined(first, (_graded(spike, 60), calm)), last)
    at = np.arange(len(p))
    return rows, p, (at >= len(first[1])) & (at < len(first[1]) + len(calm))


def too_calm(p: F8, resting: Resting) -> F8:
    """Return what a model says that, while the market rests, tells less than a third of the true chance."""
    return np.where(resting, REST_SHARE_TOLD * p, p)


def blurred(p: F8, noise: float, rng: np.random.Generator) -> F8:
    """Return probabilities whose log-odds are off by noise of a standard deviation, float64[n]."""
    odds = np.log(p) - np.log1p(-p) + noise * rng.normal(size=len(p))
    return 1.0 / (1.0 + np.exp(-odds))


def _graded(spike: npt.NDArray[np.int8], step_s: int) -> GradedSeconds:
    second = START_S + step_s * np.arange(len(spike), dtype=np.int64)
    return GradedSeconds(second, np.zeros(len(spike), np.int32), spike, step_s)
