"""The regime values in plain Python: the definition that the compiled form is held to, bit by bit.

Sums of squared returns and the path of the day are exact integers. All other sums are floats taken anew from
the oldest return to the newest, so they too depend on nothing but the returns inside the look-back.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from itertools import accumulate, pairwise

from volspike.features.fixedpoint import RV_BPS_SCALE, wide_to_float
from volspike.features.grid import ClosedSecond
from volspike.features.regime.columns import (
    DAY_S,
    FAST_HALF_LIFE_S,
    FAST_LENGTHS_S,
    HALF_LIVES_BACK,
    HALF_LIVES_S,
    HOUR_S,
    JUMP_LENGTH_S,
    JUMP_MULTIPLE,
    LOOKBACK_S,
    MINUTE_S,
    MINUTES,
    QUARTICITY_LENGTH_S,
    RANGE_LENGTH_S,
    RV_LENGTHS_S,
    SHAPE_LENGTHS_S,
    USUAL_LENGTHS_S,
)
from volspike.features.regime.tables import DAY_MINUTES, DAY_SINES, decay_weights, total_weight

BPS = 1e4
UNIT = 2.0**-60  # of a return
HALF_PI = 1.5707963267948966
FOUR_LN2 = 2.772588722239781
# A day of the largest returns, at the scale 2**46, stays below 2**63.
PATH_SHIFT = 14
PATH_HALF = 1 << (PATH_SHIFT - 1)

Return = tuple[int, int]  # second, q
Past = Sequence[Return]


def regime_values(closed: Iterable[ClosedSecond], last_second: int) -> tuple[float, ...]:
    """Return the regime values at the end of a second.

    Parameters
    ----------
    closed : iterable of ClosedSecond
        Closed seconds in ascending order; those outside ``last_second - 86400 < second <= last_second`` do
        not count.
    last_second : int
        The last closed second, seconds since 1970.

    Returns
    -------
    tuple of float
        One value for each of ``columns.REGIME_COLUMNS``; NaN where missing.
    """
    returns = [(each.second, each.q) for each in closed if each.q is not None and each.second <= last_second]
    past = _since(returns, last_second, LOOKBACK_S)
    return (
        *(rv_bps(past, last_second, length_s) for length_s in RV_LENGTHS_S),
        *(ewma_bps(past, last_second, half_life_s) for half_life_s in HALF_LIVES_S),
        *(value for length_s in SHAPE_LENGTHS_S for value in shape(past, last_second, length_s)),
        *range_values(past, last_second, RANGE_LENGTH_S),
        quarticity_bps(past, last_second),
        vol_of_vol(past, last_second),
        since_jump_s(past, last_second),
        position_frac(past, last_second),
        *(value for length_s in USUAL_LENGTHS_S for value in against(past, last_second, length_s)),
        *(float(len(_since(past, last_second, each))) / float(each) for each in USUAL_LENGTHS_S),
        *time_values(last_second),
    )


def _since(past: Past, last_second: int, length_s: int) -> Past:
    return [(second, q) for second, q in past if second > last_second - length_s]


def _missing(past: Past, length_s: int) -> bool:
    return 2 * len(past) < length_s


def rv_bps(past: Past, last_second: int, length_s: int) -> float:
    """Return the realised volatility of a look-back, scaled to 60 s."""
    inside = _since(past, last_second, length_s)
    if _missing(inside, length_s):
        return math.nan
    return math.sqrt(_sum_squares(inside) * 60.0 / float(len(inside))) * RV_BPS_SCALE


def _sum_squares(past: Past) -> float:
    return wide_to_float(sum(q * q for _, q in past))


def ewma_bps(past: Past, last_second: int, half_life_s: int) -> float:
    """Return the exponentially weighted volatility, scaled to 60 s."""
    weights = decay_weights(half_life_s)
    total = squares = 0.0
    for second, q in _since(past, last_second, HALF_LIVES_BACK * half_life_s):
        weight, r = weights[last_second - second], float(q) * UNIT
        total += weight
        squares += weight * (r * r)
    if 2.0 * total < total_weight(half_life_s):
        return math.nan
    return math.sqrt(squares / total * 60.0) * BPS


def shape(past: Past, last_second: int, length_s: int) -> tuple[float, ...]:
    """Return bipower, jump, largest return and its share, down, moved and drift, then ``range_values``."""
    inside = _since(past, last_second, length_s)
    if _missing(inside, length_s):
        return (math.nan,) * 9
    r = [float(q) * UNIT for _, q in inside]
    n, total = float(len(r)), _sum(x * x for x in r)
    down = _sum(x * x for x in r if x < 0.0)
    largest = max(abs(q) for _, q in inside)
    top = float(largest) * UNIT
    return (
        *_bipower(inside, r, total),
        float(largest) * RV_BPS_SCALE,
        top * top / total if total else 0.0,
        down / total if total else 0.5,
        float(sum(q != 0 for _, q in inside)) / n,
        abs(_sum(r)) / math.sqrt(total) if total else 0.0,
        *range_values(past, last_second, length_s),
    )


def _sum(values: Iterable[float]) -> float:
    # Not ``sum``: from Python 3.12 on it compensates for rounding.
    total = 0.0
    for value in values:
        total += value
    return total


def _bipower(inside: Past, r: Sequence[float], total: float) -> tuple[float, float]:
    """Return bipower volatility and jump share; NaN where no return follows another."""
    # Returns of two runs are never a second apart: the first second of a run has none.
    follows = [b == a + 1 for (a, _), (b, _) in pairwise(inside)]
    if not any(follows):
        return math.nan, math.nan
    products = _sum(abs(a) * abs(b) for (a, b), pair in zip(pairwise(r), follows, strict=True) if pair)
    pairs = float(sum(follows))
    volatility = math.sqrt(HALF_PI * products * 60.0 / pairs) * BPS
    share = 1.0 - HALF_PI * products * float(len(r)) / (pairs * total) if total else 0.0
    return volatility, share if share > 0.0 else 0.0


def range_values(past: Past, last_second: int, length_s: int) -> tuple[float, float]:
    """Return the Parkinson volatility, scaled to 60 s, and its ratio to realised volatility."""
    inside = _since(past, last_second, length_s)
    if _missing(inside, length_s):
        return math.nan, math.nan
    r = [float(q) * UNIT for _, q in inside]
    path = list(accumulate(r, initial=0.0))
    reach, total = max(path) - min(path), _sum(x * x for x in r)
    parkinson = reach * math.sqrt(60.0 / (FOUR_LN2 * float(len(r)))) * BPS
    return parkinson, reach / math.sqrt(FOUR_LN2 * total) if total else 0.0


def quarticity_bps(past: Past, last_second: int) -> float:
    """Return the fourth root of the realised quarticity, scaled to 60 s."""
    inside = _since(past, last_second, QUARTICITY_LENGTH_S)
    if _missing(inside, QUARTICITY_LENGTH_S):
        return math.nan
    squares = [(float(q) * UNIT) * (float(q) * UNIT) for _, q in inside]
    fourth = _sum(x * x for x in squares)
    return math.sqrt(math.sqrt(fourth / (3.0 * float(len(inside)))) * 60.0) * BPS


def vol_of_vol(past: Past, last_second: int) -> float:
    """Return the variation of the volatility of the last minutes, the newest first."""
    ends = [last_second - MINUTE_S * k for k in range(MINUTES)]
    each = [rv_bps([(second, q) for second, q in past if second <= end], end, MINUTE_S) for end in ends]
    known = [value for value in each if not math.isnan(value)]
    if 2 * len(known) < MINUTES:
        return math.nan
    mean = _sum(known) / float(len(known))
    spread = _sum((value - mean) * (value - mean) for value in known)
    return math.sqrt(spread / float(len(known) - 1)) / mean if mean else 0.0


def since_jump_s(past: Past, last_second: int) -> float:
    """Return the seconds since the last jump began, at most the look-back."""
    inside = _since(past, last_second, JUMP_LENGTH_S)
    if _missing(inside, JUMP_LENGTH_S):
        return math.nan
    limit = JUMP_MULTIPLE * math.sqrt(_sum_squares(inside) / float(len(inside)))
    jumps = [second for second, q in inside if float(abs(q)) > limit]
    return float(last_second - jumps[-1] + 1) if jumps else float(JUMP_LENGTH_S)


def position_frac(past: Past, last_second: int) -> float:
    """Return the place of the mid between the day's low and high."""
    inside = _since(past, last_second, DAY_S)
    if _missing(inside, DAY_S):
        return math.nan
    path = list(accumulate(((q + PATH_HALF) >> PATH_SHIFT for _, q in inside), initial=0))
    low, high = min(path), max(path)
    return float(path[-1] - low) / float(high - low) if high > low else 0.5


def against(past: Past, last_second: int, length_s: int) -> tuple[float, ...]:
    """Return volatilities of the last seconds and minutes against that of a long look-back."""
    usual = rv_bps(past, last_second, length_s)
    now = ewma_bps(past, last_second, FAST_HALF_LIFE_S)
    return tuple(
        share(value, usual) for value in (now, *(rv_bps(past, last_second, each) for each in FAST_LENGTHS_S))
    )


def share(value: float, usual: float) -> float:
    """Return value / (value + usual), 0.5 where both are 0; NaN where either is."""
    both = value + usual
    if math.isnan(both):
        return math.nan
    return value / both if both else 0.5


def time_values(last_second: int) -> tuple[float, float, float]:
    """Return sine and cosine of the time of day, and the time within the hour."""
    minute = last_second // MINUTE_S % DAY_MINUTES
    cosine = DAY_SINES[(minute + DAY_MINUTES // 4) % DAY_MINUTES]
    return float(DAY_SINES[minute]), float(cosine), float(last_second % HOUR_S) / float(HOUR_S)
