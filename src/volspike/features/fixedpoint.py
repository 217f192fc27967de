"""Exact integers for returns, spreads and sizes, and the way back to floats.

A window's sums are sums of integers, so adding and removing ticks leaves no residue and every order of work
gives the same bits. Only IEEE-754 add, subtract, multiply, divide and square root are used, in the order
written here; the compiled kernel repeats that order. No ``log``: its last bit differs between libraries.

Scales: log returns and relative spreads ``2**60``, size imbalances ``2**40``.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from volspike.records import UNKNOWN

RETURN_SCALE = 2.0**60
RELATIVE_SCALE = 2.0**60
IMBALANCE_SCALE = 2.0**40
WORD = 2.0**64

# Two mid sums must add up within int64.
PRICE_LIMIT = 2**61

LN2_FIXED = 799_144_290_325_165_979  # rint(ln 2 * 2**60)
RV_BPS_SCALE = 1e4 / RETURN_SCALE

SHORT_SERIES_LIMIT = 1.0 / 64.0
C3, C5, C7, C9, C11 = 1.0 / 3.0, 1.0 / 5.0, 1.0 / 7.0, 1.0 / 9.0, 1.0 / 11.0
LONG_SERIES = tuple(1.0 / (2 * term + 1) for term in range(17, 0, -1))

_WORD_BITS = 64
_WORD_MASK = 2**_WORD_BITS - 1


def log_return_fixed(mid_sum_before: int, mid_sum_after: int) -> int:
    """Return the log return between two mids as an integer at scale ``2**60``.

    ``ln(m1/m0) = 2*atanh(s)``, ``s = (m1 - m0)/(m1 + m0)``, by the odd series of atanh: terms up to ``s**11``
    for ``|s| <= 1/64``, up to ``s**35`` up to a factor of 2. Larger moves are halved once; beyond a factor of
    4 the return counts as a factor of 4, which keeps 61 squares within 127 bits.

    Parameters
    ----------
    mid_sum_before, mid_sum_after : int
        Bid + ask of the two quotes, in price units, each in ``(0, 2**62)``.

    Returns
    -------
    int
        ``ln(m1/m0) * 2**60``, within one unit or two units in the last place of the float64 return.

    Examples
    --------
    >>> log_return_fixed(200, 200)
    0
    >>> log_return_fixed(20000, 20002) / 2**60
    9.999500033330833e-05
    >>> log_return_fixed(20002, 20000) / 2**60
    -9.999500033330833e-05
    """
    if mid_sum_after > 2 * mid_sum_before:
        return _far_return(mid_sum_before, mid_sum_after)
    if mid_sum_before > 2 * mid_sum_after:
        return -_far_return(mid_sum_after, mid_sum_before)
    return _near_return(mid_sum_before, mid_sum_after)


def _far_return(low: int, high: int) -> int:
    if high > 4 * low:
        return 2 * LN2_FIXED
    return LN2_FIXED + _near_return(2 * low, high)


def _near_return(mid_sum_before: int, mid_sum_after: int) -> int:
    # float(a) / float(b), not a / b: Python divides integers with one rounding, a compiled kernel with three.
    s = float(mid_sum_after - mid_sum_before) / float(mid_sum_after + mid_sum_before)
    z = s * s
    if abs(s) <= SHORT_SERIES_LIMIT:
        p = z * (C3 + z * (C5 + z * (C7 + z * (C9 + z * C11))))
    else:
        p = 0.0
        for coefficient in LONG_SERIES:
            p = z * (coefficient + p)
    return round(2.0 * (s + s * p) * RETURN_SCALE)


def log_returns_fixed(before: npt.NDArray[np.int64], after: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return log returns of many pairs of mid sums; the array form of ``log_return_fixed``.

    Parameters
    ----------
    before, after : ndarray of int64, shape (n,)
        Mid sums in price units, each in ``(0, 2**62)``.

    Returns
    -------
    ndarray of int64, shape (n,)
        Log returns at scale ``2**60``, equal to the scalar form to the bit.

    Examples
    --------
    >>> log_returns_fixed(np.array([200, 200]), np.array([200, 400])).tolist()
    [0, 799144290325165952]
    """
    s = (after - before).astype(np.float64) / (after + before).astype(np.float64)
    z = s * s
    p = z * (C3 + z * (C5 + z * (C7 + z * (C9 + z * C11))))
    returns = np.rint(2.0 * (s + s * p) * RETURN_SCALE).astype(np.int64)
    for i in np.flatnonzero(np.abs(s) > SHORT_SERIES_LIMIT):
        returns[i] = log_return_fixed(int(before[i]), int(after[i]))
    return returns


def relative_spread_fixed(bid: int, ask: int) -> int:
    """Return spread / mid, ``2*(ask - bid)/(bid + ask)``, at scale ``2**60``.

    Examples
    --------
    >>> relative_spread_fixed(7, 9) / 2**60
    0.25
    """
    return round(float(2 * (ask - bid)) / float(bid + ask) * RELATIVE_SCALE)


def imbalance_fixed(bid_size: int, ask_size: int) -> int | None:
    """Return (bid size - ask size) / (bid size + ask size) at scale ``2**40``.

    Parameters
    ----------
    bid_size, ask_size : int
        Sizes at the best prices in ``1e-8`` of the base currency; ``UNKNOWN`` (-1) where not sent.

    Returns
    -------
    int or None
        In ``[-2**40, 2**40]``; None where a size is unknown or both are zero.

    Examples
    --------
    >>> imbalance_fixed(300, 100) / 2**40
    0.5
    >>> imbalance_fixed(300, -1) is None
    True
    """
    if bid_size <= UNKNOWN or ask_size <= UNKNOWN or (bid_size == 0 and ask_size == 0):
        return None
    bid, ask = float(bid_size), float(ask_size)
    return round((bid - ask) / (bid + ask) * IMBALANCE_SCALE)


def wide_to_float(value: int) -> float:
    """Return an integer of any width as a float64, rounded word by word.

    The magnitude is cut into 64-bit words, each rounded to a float, and joined from the top:
    ``float(high) * 2**64 + float(low)``. Python's own ``float(int)`` rounds once, so its last bit may
    differ.

    Examples
    --------
    >>> wide_to_float(-(2**64) * 3)
    -5.5340232221128655e+19
    """
    magnitude = _words_to_float(abs(value))
    return -magnitude if value < 0 else magnitude


def _words_to_float(magnitude: int) -> float:
    if magnitude <= _WORD_MASK:
        return float(magnitude)
    return _words_to_float(magnitude >> _WORD_BITS) * WORD + float(magnitude & _WORD_MASK)


def rv_bps(sum_sq: int) -> float:
    """Return the realised volatility of a sum of squared fixed-point returns.

    Parameters
    ----------
    sum_sq : int
        Sum of squared returns at scale ``2**120``.

    Returns
    -------
    float
        ``sqrt(sum_sq * 2**-120) * 1e4``, basis points.

    Examples
    --------
    >>> rv_bps(log_return_fixed(20000, 20002) ** 2)
    0.9999500033330833
    """
    return math.sqrt(wide_to_float(sum_sq)) * RV_BPS_SCALE
