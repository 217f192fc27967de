"""Made outcomes whose true chances are known: clustered spikes, on a grid of minutes or seconds."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from volspike.evaluation.episodes import GradedSeconds

F8 = npt.NDArray[np.float64]
START_S = 1_800 * 900_000


def minutes(days: float, seed: int, ratio: float = 1.0) -> tuple[GradedSeconds, F8]:
    """Return rows a minute and the probabilities told; spikes are ``ratio`` times as likely as told."""
    rng = np.random.default_rng(seed)
    n = int(days * 1_440)
    level = np.zeros(n)
    noise = rng.normal(size=n) * 0.2
    for i in range(1, n):
        level[i] = 0.98 * level[i - 1] + noise[i]
    p = 0.6 / (1.0 + np.exp(3.0 - 1.2 * level))
    spike = (rng.random(n) < np.minimum(1.0, ratio * p)).astype(np.int8)
    second = START_S + 60 * np.arange(n, dtype=np.int64)
    return GradedSeconds(second, np.zeros(n, np.int32), spike, 60), p


def seconds(hours: float, seed: int, ratio: float = 1.0) -> tuple[GradedSeconds, F8]:
    """Return rows a second: a spike is an event in (s, s + 60], of a rate known beforehand."""
    rng = np.random.default_rng(seed)
    n = int(hours * 3_600)
    rate = np.where(np.arange(n + 60) % 5_400 < 600, 0.004, 0.0004)
    event = np.concatenate(([0], np.cumsum(rng.random(n + 60) < ratio * rate)))
    total = np.concatenate(([0.0], np.cumsum(-np.log1p(-rate))))
    at = np.arange(n)
    p = -np.expm1(total[at] - total[at + 60])
    spike = (event[at + 60] > event[at]).astype(np.int8)
    second = START_S + np.arange(n, dtype=np.int64)
    return GradedSeconds(second, np.zeros(n, np.int32), spike, 1), p
