"""The 90 % band that learns from its own misses: adaptive conformal inference on the log of its width.

    outcome outside the band recorded for it    log_stretch rises by 0.9 of a step
    outcome inside                              log_stretch falls by 0.1 of a step
    band                                        sigma * (end / sigma) ** exp(log_stretch), end of the model

So the share of misses among n outcomes differs from 10 % by the way that the log stretch has gone, over n
steps: by less than 1.4 / (n step), whatever the market does, as long as it stays off its bounds of a quarter
and four times the width (Gibbs & Candes 2021, Adaptive conformal inference under distribution shift,
proposition 4.1; stepping the width in place of the level as Angelopoulos, Candes & Tibshirani 2023, Conformal
PID control for time series prediction, which leaves no scores to be stored).

An outcome enters once its minute is over, one a second: that of the last prediction of the second. Live and
in arrays the same compiled code runs in the same order, so the bits agree.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from volspike.labels.dataset import Dataset
from volspike.models.calibration import Scored, ScoredRows
from volspike.models.kernels import WIDEST, adapt_rows, stepped, stretched

F8 = npt.NDArray[np.float64]

# Sixty outcomes share most of a minute: one minute of misses widens the band by 5 %. The way back has a time
# constant of 50 min, 1 / (0.001 * 0.34): the misses of a normal residual change by 0.34 a unit of log width.
STEP_A_SECOND = 0.001


class AdaptiveBand:
    """How far the band of one model on one product is stretched; fed with its own outcomes in order.

    Parameters
    ----------
    log_stretch : float
        Where it begins; 0 is the band of the model.

    Attributes
    ----------
    log_stretch : float
        Log of the width over the model's, in log sigma; within ``WIDEST`` of 0.
    outcomes, inside : int
        Outcomes taken, and those of them within the band recorded for them.

    Raises
    ------
    ValueError
        The log stretch is not finite or beyond its bounds.
    """

    __slots__ = ("_began_at", "inside", "log_stretch", "outcomes")

    def __init__(self, log_stretch: float = 0.0) -> None:
        if not -WIDEST <= log_stretch <= WIDEST:
            raise ValueError(f"a log stretch of {log_stretch}")
        self._began_at = self.log_stretch = log_stretch
        self.outcomes = 0
        self.inside = 0
        # Compiled or loaded here, so that the first outcome does not wait for it.
        stepped(log_stretch, *stretched(1.0, 0.5, 2.0, log_stretch), 1.0, STEP_A_SECOND)

    def as_dict(self) -> dict[str, float | int | None]:
        """Return where it began (0: the band of the model), where it is, and the coverage of its outcomes."""
        return {
            "began_at": self._began_at,
            "log_stretch": self.log_stretch,
            "outcomes": self.outcomes,
            "coverage_frac": self.inside / self.outcomes if self.outcomes else None,
        }

    def ends_bps(self, scored: Scored) -> tuple[float, float]:
        """Return the ends of the band in force around a prediction of the model, basis points."""
        _, sigma_bps, low_bps, high_bps, _ = scored
        ends: tuple[float, float] = stretched(sigma_bps, low_bps, high_bps, self.log_stretch)
        return ends

    def take(self, low_bps: float, high_bps: float, realised_bps: float) -> None:
        """Take an outcome: the band as recorded, and the volatility it was about, basis points."""
        self.log_stretch = stepped(self.log_stretch, low_bps, high_bps, realised_bps, STEP_A_SECOND)
        self.outcomes += 1
        self.inside += low_bps <= realised_bps <= high_bps


@dataclass(frozen=True, slots=True, eq=False)
class AdaptedRows:
    """Predictions with the band as it would have been served, and its log stretch, float64[n]."""

    scored: ScoredRows
    log_stretch: F8


def adapted(scored: ScoredRows, rows: Dataset) -> AdaptedRows:
    """Return the predictions with the band that serving these rows in order would have recorded.

    Parameters
    ----------
    scored : ScoredRows
        n predictions with the band of the model.
    rows : Dataset
        The n rows, in order, with their outcomes. The first row has the model's band. Of candles a minute
        counts as sixty outcomes, and is known to the next row but one: no row learns from the minute it ends.
    """
    low, high, log_stretch = adapt_rows(
        rows.second,
        rows.sigma_future_bps,
        scored.sigma_bps,
        scored.sigma_low_bps,
        scored.sigma_high_bps,
        STEP_A_SECOND * rows.step_s,
        0.0,
    )
    return AdaptedRows(scored._replace(sigma_low_bps=low, sigma_high_bps=high), log_stretch)


def adapted_parts(scored: ScoredRows, rows: Dataset, parts: Sequence[npt.NDArray[np.int64]]) -> AdaptedRows:
    """Return ``adapted`` with each part beginning at the model's band; a row in none keeps that.

    The outcomes of a slice that the model was fitted on say nothing about the width it needs on another.
    """
    low, high = scored.sigma_low_bps.copy(), scored.sigma_high_bps.copy()
    log_stretch = np.zeros(len(low))
    for part in parts:
        made = adapted(ScoredRows(*(column[part] for column in scored)), rows.rows(part))
        low[part], high[part] = made.scored.sigma_low_bps, made.scored.sigma_high_bps
        log_stretch[part] = made.log_stretch
    return AdaptedRows(scored._replace(sigma_low_bps=low, sigma_high_bps=high), log_stretch)
