"""The last step of the flow features: floats made of the window's exact integers.

The definition (``flow``) calls these as they are, the kernel (``kernel_flow``) compiles them: each formula
stands once. Arguments are floats of exact integers, rounded word by word as by ``fixedpoint.wide_to_float``;
only add, subtract, multiply, divide and square root follow, in the order written. NaN is what is undefined.
"""

from __future__ import annotations

import math

from volspike.features.fixedpoint import RETURN_SCALE

# The shorter spans (s) beside the window's 60 s.
MIDDLE_S, SHORT_S = 15, 5

NS_PER_S = 1e9
FIXED_BPS = 1e4 / RETURN_SCALE


def ratio(part: float, whole: float) -> float:
    """Return part / whole, NaN where the whole is not above 0.

    Examples
    --------
    >>> ratio(1.0, 4.0), ratio(0.0, 0.0)
    (0.25, nan)
    """
    return part / whole if whole > 0.0 else math.nan


def fixed_bps(value: float) -> float:
    """Return a fraction at scale ``2**60`` in basis points.

    Examples
    --------
    >>> fixed_bps(2.0**50)
    9.765625
    """
    return value * FIXED_BPS


def mean_gap_s(span_ns: float, k: float) -> float:
    """Return the mean of ``k`` times between ticks (s) that sum to ``span_ns``.

    Examples
    --------
    >>> mean_gap_s(3e9, 2.0)
    1.5
    """
    return span_ns / k / NS_PER_S if k >= 1.0 else math.nan


def gap_cv(dispersion: float, span_ns: float, k: float) -> float:
    """Return the coefficient of variation (ddof 1) of ``k`` times between ticks.

    Parameters
    ----------
    dispersion : float
        ``k * sum(g * g) - sum(g)**2`` of the times g, ns**2.
    span_ns : float
        ``sum(g)``.
    k : float
        How many there are; the result is NaN below two, and where all ticks have one stamp.

    Examples
    --------
    >>> gap_cv(2.0 * (1.0 + 9.0) - 16.0, 4.0, 2.0)  # times of 1 and 3 ns: 2**0.5 over 2
    0.7071067811865476
    """
    if k < 2.0 or span_ns <= 0.0:
        return math.nan
    return math.sqrt(dispersion * (k / (k - 1.0))) / span_ns


def z_score(deviation: float, dispersion: float, n: float) -> float:
    """Return how far one of ``n`` values lies from their mean, in their standard deviations (ddof 1).

    Parameters
    ----------
    deviation : float
        ``n * x - sum(x)``.
    dispersion : float
        ``n * sum(x * x) - sum(x)**2``; the result is NaN where it is 0: nothing has varied.
    n : float
        How many there are.

    Examples
    --------
    >>> z_score(2.0 * 3.0 - 4.0, 2.0 * (1.0 + 9.0) - 16.0, 2.0)  # of 1 and 3, the second
    0.7071067811865475
    """
    if dispersion <= 0.0:
        return math.nan
    return deviation / math.sqrt(dispersion * (n / (n - 1.0)))


def is_sized(bid_size: int, ask_size: int) -> bool:
    """Tell whether both sizes are known and not both are 0."""
    return bid_size >= 0 and ask_size >= 0 and (bid_size > 0 or ask_size > 0)


def queue_imbalance(bid_size: float, ask_size: float) -> float:
    """Return (bid size - ask size) / (bid size + ask size); not both are 0.

    Examples
    --------
    >>> queue_imbalance(300.0, 100.0)
    0.5
    """
    return (bid_size - ask_size) / (bid_size + ask_size)


def microprice_fraction(spread: float, mid_sum: float, imbalance: float) -> float:
    """Return (microprice - mid) / mid.

    The microprice weights each best price by the size on the other side, ``(ask * bid_size + bid * ask_size)
    / (bid_size + ask_size)``, so it lies half the spread times the queue imbalance above the mid (Gatheral
    and Oomen 2010; the weighted mid of Stoikov 2018).

    Parameters
    ----------
    spread, mid_sum : float
        ask - bid and bid + ask, price units.
    imbalance : float
        As ``queue_imbalance``.

    Examples
    --------
    >>> microprice_fraction(2.0, 200.0, 0.5)  # 99 / 101, sizes 3 to 1: 100.5
    0.005
    """
    return spread / mid_sum * imbalance
