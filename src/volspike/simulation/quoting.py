"""How volatility shows: in how often orders come, how long quotes stand still, and how wide they are.

``stress`` is the volatility of a second relative to a calm market's. The forms are those of the recordings in
``docs/results.md``: quotes stand while the efficient price stays near them, most often one cent apart; where
it is wilder they move in larger steps and are more often, and further, apart.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from volspike.simulation.hidden import LEVEL

Floats = NDArray[np.float64]

INERTIA_BPS = 0.28
WIDE_FRAC = 0.8
WIDE_HALF = 2.5


def stress_of(log_vol: Floats) -> Floats:
    """Return the volatility relative to the calm level, of log-volatilities (of one second, in bps)."""
    stress: Floats = np.exp(log_vol - LEVEL[0])
    return stress


def order_rate(stress: Floats, orders_per_second: float) -> Floats:
    """Return the mean arrivals a second."""
    rate: Floats = orders_per_second * stress**0.6
    return rate


def inertia_bps(stress: Floats) -> Floats:
    """Return how far the efficient price must go from the mid for the quotes to follow, on average, bps."""
    inertia: Floats = INERTIA_BPS * np.sqrt(stress)
    return inertia


def wide_frac(stress: Floats) -> Floats:
    """Return the probability that the quotes are not as close as they can be."""
    cubed = stress**3
    frac: Floats = WIDE_FRAC * cubed / (cubed + WIDE_HALF)
    return frac
