"""The fixed tables behind the regime columns: weights that decay, and the sine of the time of day.

Both are made by additions, multiplications and divisions in a fixed order, so every machine has the same
bits; a library's ``exp2`` or ``sin`` would not promise that.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from volspike.features.regime.columns import HALF_LIVES_BACK, HALF_LIVES_S

F8 = npt.NDArray[np.float64]

DAY_MINUTES = 1_440
_QUARTER = DAY_MINUTES // 4
_MINUTE_RADIANS = 0.004363323129985824  # 2 pi / 1440
_TERMS = 9  # up to x**19 / 19!, which is below 2**-60 at pi / 4

# 2**(-1/H): what a weight loses in a second.
_FACTORS = {10: 0.9330329915368074, 60: 0.9885140203528962, 600: 0.9988454217380301}


def decay_weights(half_life_s: int) -> list[float]:
    """Return the weights of the ages 0 .. 10 half-lives - 1, in seconds: exactly half after each half-life.

    Parameters
    ----------
    half_life_s : int
        10, 60 or 600.

    Examples
    --------
    >>> weights = decay_weights(10)
    >>> weights[0], weights[10], weights[20], len(weights)
    (1.0, 0.5, 0.25, 100)
    """
    weights = [1.0]
    for age in range(1, HALF_LIVES_BACK * half_life_s):
        halved = age >= half_life_s
        weights.append(weights[age - half_life_s] * 0.5 if halved else weights[-1] * _FACTORS[half_life_s])
    return weights


def total_weight(half_life_s: int) -> float:
    """Return the sum of all weights, from the oldest to the newest, as a decay over covered seconds sums."""
    total = 0.0
    for weight in reversed(decay_weights(half_life_s)):
        total += weight
    return total


def _series(square: float, above: int) -> float:
    """Return 1 - x^2/(2 (2 + above)) (1 - x^2/(4 (4 + above)) (1 - ...: sin(x)/x for 1, cos(x) for -1."""
    series = 1.0
    for even in range(2 * _TERMS, 0, -2):
        series = 1.0 - square * series / float(even * (even + above))
    return series


def _sine(minute: int) -> float:
    """Return the sine of a minute of the first quarter by Taylor's series, at no more than pi / 4."""
    if 2 * minute > _QUARTER:
        x = float(_QUARTER - minute) * _MINUTE_RADIANS
        return _series(x * x, -1)
    x = float(minute) * _MINUTE_RADIANS
    return x * _series(x * x, 1)


def day_sines() -> F8:
    """Return the sine of each minute of the day, float64[1440]; a cosine stands 360 minutes later.

    Examples
    --------
    >>> day_sines()[[0, 360, 720]].tolist()
    [0.0, 1.0, 0.0]
    """
    rising = [_sine(minute) for minute in range(_QUARTER + 1)]
    half = rising + rising[-2:0:-1]
    return np.array(half + [0.0 - value for value in half], np.float64)


# The weights of all half-lives one after the other, and where those of each begin.
DECAY: F8 = np.concatenate([np.array(decay_weights(each), np.float64) for each in HALF_LIVES_S])
DECAY_FROM: tuple[int, ...] = tuple(HALF_LIVES_BACK * sum(HALF_LIVES_S[:i]) for i in range(len(HALF_LIVES_S)))
TOTAL_WEIGHTS: tuple[float, ...] = tuple(total_weight(each) for each in HALF_LIVES_S)
DAY_SINES: F8 = day_sines()
