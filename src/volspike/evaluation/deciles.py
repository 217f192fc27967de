"""Rows in groups of equal mass, from the lowest value to the highest; equal values stay together."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

GROUPS = 10

F8 = npt.NDArray[np.float64]
I8 = npt.NDArray[np.int64]


def equal_mass(values: F8, groups: int = GROUPS) -> list[I8]:
    """Return the positions of each group's rows in their own order, int64 each.

    Parameters
    ----------
    values : float64[n]
        What the rows are ordered by; finite.
    groups : int
        How many groups to make; fewer come out where equal values fill more than one.
    """
    order = np.argsort(values, kind="stable")
    ordered = values[order]
    cuts = {round(len(values) * k / groups) for k in range(1, groups + 1)} - {0}
    ends = {int(np.searchsorted(ordered, ordered[cut - 1], side="right")) for cut in cuts}
    return [np.sort(group) for group in np.split(order, sorted(ends)) if len(group)]
