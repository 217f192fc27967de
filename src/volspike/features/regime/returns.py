"""The covered returns of a day with their running sums, as arrays: what the compiled code works on.

Row i is the i-th return. ``path`` and ``squares`` hold the sums of all returns before a row, so a sum over
any stretch is a difference of two rows. Only ``second`` and ``q`` are memory; the rest is made of them.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

I8 = npt.NDArray[np.int64]

# Of so many points of the path the lowest and the highest are kept, so that a day takes 340 steps.
BLOCK = 256


class Returns(NamedTuple):
    """Returns in ascending order of time, and sums of them; room for m.

    Attributes
    ----------
    second : int64[m]
        The second a return ends with, seconds since 1970.
    q : int64[m]
        Log return at scale ``2**60``.
    path : int64[m + 1]
        Sum of the returns before each row, each rounded to ``2**-46``; modulo ``2**64``.
    squares : int64[m + 1, 3]
        Sum of their squares, words of 192 bits, lowest first.
    low, high : int64[m // BLOCK + 1]
        The lowest and the highest point of each block of the path.
    """

    second: I8
    q: I8
    path: I8
    squares: I8
    low: I8
    high: I8


def with_room(rows: int) -> Returns:
    """Return arrays with room for so many returns; the first sums are 0."""
    return Returns(
        np.empty(rows, np.int64),
        np.empty(rows, np.int64),
        np.zeros(rows + 1, np.int64),
        np.zeros((rows + 1, 3), np.int64),
        np.zeros(rows // BLOCK + 1, np.int64),
        np.zeros(rows // BLOCK + 1, np.int64),
    )
