"""The quote increment of a product that no table knows: the step of the prices of the fit slice."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

SURE_PRICES = 20  # so many that have a common divisor by chance, one in a million, do not occur
MOST_FRAC = 1e-4  # of the typical price: a basis point


def price_step(prices: npt.NDArray[np.int64], decimals: int) -> float:
    """Return the quote increment that prices speak for, in quote currency.

    It is their greatest common divisor where that says something: of 20 different prices, or of two or more
    where it is no larger than a basis point. One price all the time is a multiple of itself, and taken for an
    increment it would count a still market as one that moves by its whole price. Elsewhere it is the last
    decimal place that the prices use, or the first below a basis point.

    Parameters
    ----------
    prices : int64[n]
        Prices above 0 at scale ``10**decimals``, n above 0.
    decimals : int
        Decimal places of the integer prices.
    """
    step, typical = int(np.gcd.reduce(prices)), float(np.median(prices))
    distinct = len(np.unique(prices))
    if distinct < SURE_PRICES and (distinct < 2 or step > MOST_FRAC * typical):
        step = _decimal_step(step, typical)
    return float(step) / float(10**decimals)


def _decimal_step(divisor: int, typical: float) -> int:
    """Return the largest power of ten that divides the divisor and is a basis point of typical or less."""
    step = 1
    while divisor % (10 * step) == 0 and 10 * step <= MOST_FRAC * typical:
        step *= 10
    return step
