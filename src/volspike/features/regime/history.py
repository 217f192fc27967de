"""The regime values at many seconds of a stored stream: the array form of ``state.RegimeState``."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from volspike.features.grid import SecondArrays
from volspike.features.regime.columns import REGIME_COLUMNS
from volspike.features.regime.kernel import evaluate_each
from volspike.features.regime.returns import with_room

F8 = npt.NDArray[np.float64]
I8 = npt.NDArray[np.int64]


def regime_features(grid: SecondArrays, last_second: I8) -> F8:
    """Compute the regime values at the ends of seconds, each from the seconds closed by then alone.

    Parameters
    ----------
    grid : SecondArrays
        All closed seconds of the stream.
    last_second : int64[n]
        The newest second that is over at each row (``grid.last_closed_second_array``), in any order.

    Returns
    -------
    float64[n, m]
        A column for each of ``REGIME_COLUMNS``, NaN where missing; equal to the online values to the bit.
    """
    second, q = grid.second[grid.has_q], grid.q[grid.has_q]
    rows = with_room(len(q))
    rows.second[:], rows.q[:] = second, q
    out = np.empty((len(last_second), len(REGIME_COLUMNS)))
    evaluate_each(*rows, np.ascontiguousarray(last_second, np.int64), out)
    return out
