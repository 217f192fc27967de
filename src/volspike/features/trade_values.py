"""The last step of the trade features: floats made of the window's exact integers.

As ``flow_values``: the definition (``trade``) calls these as they are, the kernel (``kernel_trade``) compiles
them, so each formula stands once.
"""

from __future__ import annotations

import math

from volspike.features.fixedpoint import PRICE_LIMIT
from volspike.records import SIZE_DECIMALS

SIZE_UNITS = float(10**SIZE_DECIMALS)
MILLION = 1e6
# The mid is half of bid + ask, by which is divided.
ROLL_BPS = 1e4 * 2.0 * 2.0


def is_priced(price: int) -> bool:
    """Tell whether a trade has a price that sums have room for.

    Examples
    --------
    >>> is_priced(1), is_priced(-1), is_priced(2**61)
    (True, False, False)
    """
    return price > 0 and price < PRICE_LIMIT


def side_of(price: int, mid_sum: int) -> int:
    """Return 1 for a price above the mid, -1 for one below, 0 at the mid.

    The quote rule of Lee and Ready (1991), "Inferring trade direction from intraday data", Journal of Finance
    46(2): a trade above the mid of the quote it met was bought. The quote is that of the tick before, because
    a ticker's own is the one that the trade left behind. Prices at the mid are left out, not guessed.

    Parameters
    ----------
    price : int
        Of a trade.
    mid_sum : int
        Bid + ask of the quote it met.

    Examples
    --------
    >>> side_of(101, 201), side_of(100, 201), side_of(100, 200)
    (1, -1, 0)
    """
    if 2 * price > mid_sum:
        return 1
    return -1 if 2 * price < mid_sum else 0


def volume_or_nan(units: float, sized: float) -> float:
    """Return a volume in the base currency of its 1e-8, NaN where no trade has a size.

    Examples
    --------
    >>> volume_or_nan(2.5e8, 3.0), volume_or_nan(0.0, 0.0)
    (2.5, nan)
    """
    return units / SIZE_UNITS if sized > 0.0 else math.nan


def notional_or_nan(units: float, price_scale: float) -> float:
    """Return a value in the quote currency of price times size, NaN where it is 0: no trade has both.

    Examples
    --------
    >>> notional_or_nan(2e10, 100.0)
    2.0
    """
    return units / (price_scale * SIZE_UNITS) if units > 0.0 else math.nan


def roll_bps(turned: float, triples: float, mid_sum: float) -> float:
    """Return the effective spread implied by the autocovariance of price changes (bps of the mid).

    Roll (1984), "A simple implicit measure of the effective bid-ask spread in an efficient market", Journal
    of Finance 39(4): ``2 * sqrt(-cov)`` of consecutive price changes, whose mean is 0 in his model and is
    taken as 0 here. A covariance of 0 or more implies no spread: the value is 0.

    Parameters
    ----------
    turned : float
        Minus the summed products of consecutive changes, price units squared.
    triples : float
        How many products; the result is NaN without one.
    mid_sum : float
        Bid + ask, price units.

    Examples
    --------
    >>> roll_bps(4.0, 4.0, 2000.0), roll_bps(-4.0, 4.0, 2000.0)  # to and fro by 1 around 1000
    (20.0, 0.0)
    """
    if triples < 1.0:
        return math.nan
    return ROLL_BPS * math.sqrt(turned / triples) / mid_sum if turned > 0.0 else 0.0


def per_million(path_bps: float, notional: float) -> float:
    """Return the length of a price's path (bps) for each million traded, NaN where the notional is.

    Amihud (2002), "Illiquidity and stock returns", Journal of Financial Markets 5(1), as a ratio of sums: a
    mean of each trade's own ratio would be ruled by the smallest trades.

    Examples
    --------
    >>> per_million(30.0, 2e6)
    15.0
    """
    return path_bps / (notional / MILLION)
