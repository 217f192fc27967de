"""Where the inputs of a model lay when it was fitted: beyond, it is out of its depth, and says so."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from msgspec import Struct

F8 = npt.NDArray[np.float64]

TAIL = 0.001
WIDER = 0.5  # of the distance between the quantiles, on either side
NOISE = 1e-9  # relative: a rounding error beside a constant is nothing new
UNKNOWN = 1e300  # an input that the fit slice never had: nothing was learned from it


class InputBounds(Struct, frozen=True, forbid_unknown_fields=True):
    """Bounds of each input, in the order of the inputs; a part of the manifest. Empty: nothing is judged.

    Attributes
    ----------
    low, high : tuple of float
        The 0.1 % and 99.9 % quantiles of the fit slice, each moved outwards by half of their distance.
    """

    low: tuple[float, ...] = ()
    high: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if len(self.low) != len(self.high):
            raise ValueError("lowest and highest inputs differ in number")
        if not all(low <= high for low, high in zip(self.low, self.high, strict=True)):
            raise ValueError("a lowest input is above the highest")

    def arrays(self) -> tuple[F8, F8]:
        """Return the bounds as the compiled code takes them, float64[inputs] each."""
        return np.array(self.low, np.float64), np.array(self.high, np.float64)


def fit_bounds(inputs: F8) -> InputBounds:
    """Return the bounds of inputs, float64[n, p], of the fit slice; NaN is missing.

    Notes
    -----
    They are no test of a single row's likelihood: of the fit slice itself next to nothing lies beyond them.
    An input that is never there has no bounds that anything could lie beyond.
    """
    low, high = [], []
    for column in inputs.T:
        known = column[np.isfinite(column)]
        if not len(known):
            low.append(-UNKNOWN)
            high.append(UNKNOWN)
            continue
        first, last = (float(value) for value in np.quantile(known, (TAIL, 1.0 - TAIL)))
        margin = max(WIDER * (last - first), NOISE * max(1.0, abs(first), abs(last)))
        low.append(first - margin)
        high.append(last + margin)
    return InputBounds(tuple(low), tuple(high))
