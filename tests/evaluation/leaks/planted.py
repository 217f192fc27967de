"""A causal market and a feature file of it without a leak, for tests that plant one."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import polars as pl

START_S = 1_700_000_000
WINDOW_S = 60.0
TRAIN = 0.7
Columns = dict[str, np.ndarray]


@lru_cache(maxsize=8)
def _market(seed: int, hours: float) -> Columns:
    rng = np.random.default_rng(seed)
    time_s = np.cumsum(rng.exponential(0.7, int(hours * 3600 / 0.7)))
    return {"time_s": time_s, "mid": _prices(rng, time_s)}


def clean(seed: int, hours: float = 2.0) -> Columns:
    """Return the columns of a file without a leak: irregular ticks, features of the past, a future label.

    The label is the deviation of the returns in (t, t + 60 s] above its 90 % quantile on the first 70 %, and
    missing where that minute is not over.
    """
    rng = np.random.default_rng(seed + 1_000)
    time_s, mid = _market(seed, hours).values()
    sigma = future_std(time_s, mid)
    return {
        "event_time": START_S + np.round(time_s, 6),
        **features(rng, time_s, mid),
        "mid": mid,
        "label": labels(sigma),
    }


def _prices(rng: np.random.Generator, time_s: np.ndarray) -> np.ndarray:
    """Return prices with slowly changing volatility and bursts of some minutes, to the cent."""
    steps = np.diff(time_s, prepend=0.0)
    slow = np.zeros(len(time_s))
    burst = np.zeros(len(time_s))
    for i in range(1, len(time_s)):
        slow[i] = slow[i - 1] * np.exp(-steps[i] / 900) + rng.normal(0, 0.35 * np.sqrt(2 * steps[i] / 900))
        burst[i] = burst[i - 1] * np.exp(-steps[i] / 90) + (rng.random() < steps[i] / 400) * rng.exponential(
            1.0
        )
    returns = 0.5e-4 * np.exp(slow + burst) * np.sqrt(steps) * rng.normal(size=len(time_s))
    return np.round(60_000 * np.exp(np.cumsum(returns)), 2)


def trailing_std(time_s: np.ndarray, mid: np.ndarray) -> np.ndarray:
    first = np.searchsorted(time_s, time_s - WINDOW_S, side="right")
    return _std(mid, first, np.arange(len(time_s)) + 1)


def features(rng: np.random.Generator, time_s: np.ndarray, mid: np.ndarray) -> Columns:
    first = np.searchsorted(time_s, time_s - WINDOW_S, side="right")
    at = np.arange(len(time_s))
    spread = 0.01 * (1 + rng.poisson(1.0, len(time_s)))
    total = np.concatenate(([0.0], np.cumsum(spread)))
    return {
        "return_std": trailing_std(time_s, mid),
        "intensity": (at - first + 1) / WINDOW_S,
        "spread": (total[at + 1] - total[first]) / (at - first + 1),
        "last_return": np.diff(np.log(mid), prepend=np.log(mid[0])),
    }


def future_std(time_s: np.ndarray, mid: np.ndarray) -> np.ndarray:
    at = np.arange(len(time_s)) + 1
    stop = np.searchsorted(time_s, time_s + WINDOW_S, side="right")
    sigma = _std(mid, at, stop)
    sigma[time_s + WINDOW_S > time_s[-1]] = np.nan
    return sigma


def _std(mid: np.ndarray, first: np.ndarray, stop: np.ndarray) -> np.ndarray:
    """Return the standard deviation of the log returns between the ticks of [first, stop)."""
    returns = np.diff(np.log(mid), prepend=np.log(mid[0]))
    sums = np.concatenate(([0.0], np.cumsum(returns)))
    squares = np.concatenate(([0.0], np.cumsum(returns**2)))
    n = np.maximum(stop - first - 1, 0)
    begin = np.minimum(first + 1, stop)
    with np.errstate(divide="ignore", invalid="ignore"):
        variance = (squares[stop] - squares[begin] - (sums[stop] - sums[begin]) ** 2 / n) / (n - 1)
    return np.where(n >= 9, np.sqrt(np.maximum(variance, 0.0)), np.nan)


def labels(sigma: np.ndarray, known: float = TRAIN, quantile: float = 0.9) -> np.ndarray:
    """Return 1, 0 or NaN by a threshold taken from the first so many of the labelled rows."""
    labelled = sigma[np.isfinite(sigma)]
    tau = np.quantile(labelled[: int(known * len(labelled))], quantile)
    return np.where(np.isfinite(sigma), sigma >= tau, np.nan)


def frame(columns: Columns) -> pl.DataFrame:
    return pl.DataFrame(columns)
