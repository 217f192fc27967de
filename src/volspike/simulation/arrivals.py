"""Self-exciting arrival times: a Hawkes process with a fast and a slow exponential kernel.

Generated as a branching process (Hawkes and Oakes 1974): immigrants arrive as a Poisson process of the base
rate, and every arrival has, for each kernel, a Poisson number of children at exponential delays.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

KERNELS = ((0.35, 0.005), (0.25, 1.0))
"""(mean number of children, mean delay in seconds) of each kernel."""

BRANCHING = sum(children for children, _ in KERNELS)
"""Mean number of direct children of one arrival: 0.6, so 40 % of arrivals are immigrants."""


class HawkesArrivals:
    """Arrival times, block by block; children that fall into a later block are kept for it."""

    def __init__(self) -> None:
        self._later: Floats = np.empty(0)

    def block(self, rates: Floats, rng: np.random.Generator) -> Floats:
        """Return the sorted arrivals of the next block.

        Parameters
        ----------
        rates : ndarray, shape (seconds,)
            Mean arrivals per second, children included, for each second of the block.
        rng : numpy.random.Generator
            Source of chance.

        Returns
        -------
        ndarray
            Seconds since the block's start, in ``[0, seconds)``.
        """
        immigrants = rng.poisson(rates * (1.0 - BRANCHING))
        starts = np.repeat(np.arange(len(rates), dtype=np.float64), immigrants)
        generation = starts + rng.random(len(starts))
        family = [self._later, generation]
        while len(generation):
            generation = np.concatenate([_children(generation, n, delay, rng) for n, delay in KERNELS])
            family.append(generation)
        everyone = np.sort(np.concatenate(family))
        now = int(np.searchsorted(everyone, float(len(rates))))
        self._later = everyone[now:] - len(rates)
        return everyone[:now]


def _children(parents: Floats, mean_number: float, mean_delay_s: float, rng: np.random.Generator) -> Floats:
    origins = np.repeat(parents, rng.poisson(mean_number, len(parents)))
    return origins + rng.exponential(mean_delay_s, len(origins))
