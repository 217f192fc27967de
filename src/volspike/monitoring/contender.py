"""What one of two models said of the same graded rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from volspike.evaluation.episodes import AlertSpan

F8 = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Contender:
    """Predictions of one model for n graded rows.

    Attributes
    ----------
    p : float64[n]
        Probability of a spike; NaN where there is none.
    sigma_bps : float64[n], optional
        Predicted volatility of the next 60 s, basis points; NaN where there is none.
    alerts : sequence of AlertSpan, optional
        The alerts it raised, or would have raised, in order of opening.
    """

    p: F8
    sigma_bps: F8 | None = None
    alerts: Sequence[AlertSpan] | None = None

    @property
    def told(self) -> npt.NDArray[np.bool_]:
        """Tell for which rows there is a probability, bool[n]."""
        told: npt.NDArray[np.bool_] = (self.p >= 0.0) & (self.p <= 1.0)
        return told
