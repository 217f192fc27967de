r"""The probability that volatility reaches any threshold, from a prediction at one threshold and of sigma.

    log-odds
       |  \                     distribution of log realised sigma around the predicted one: its quantiles
       |    \  *                on the slice of the band, straight lines of log-odds between them
       |      \   *             * what is said: the classifier's p_spike at tau, and the distribution's word
       |        \ tau *           far from it
       |          \      *
       +-------------------- log x

Between quantiles, and beyond the outer ones, the distribution is logistic. Sigma and p_spike are two heads of
a model, which need not agree at tau. Their difference d in log-odds is added with the weight
``exp(-|log(x / tau)| / (s (1 + |d|)))``, s being the flattest part of the distribution in log ratio for one
unit of log-odds: the slope of the added part stays below 1/s, so the probability never rises with x.

A stretch of the band stretches the distribution around sigma: its 5 % and 95 % stay the ends of the band.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

from volspike.errors import ModelError
from volspike.models.calibration import LEVELS, Scored, ScoredRows
from volspike.models.inputs import HasRows
from volspike.models.kernels import p_above, p_above_rows

F8 = npt.NDArray[np.float64]

RANGE_TARGET = "range"
RANGE_OF_SIGMA = math.sqrt(4.0 * math.log(2.0))  # Parkinson 1980: E[range**2] = 4 ln 2 sigma**2


class Exceedance:
    """The distribution of log realised sigma around the predicted one.

    Parameters
    ----------
    quantiles : sequence of float
        Of log realised minus log predicted sigma at ``LEVELS``, rising.
    """

    def __init__(self, quantiles: Sequence[float]) -> None:
        at = np.array(LEVELS)
        self._quantiles = np.array(quantiles, np.float64)
        self._log_odds = np.log((1.0 - at) / at)
        self._scale = float(np.max(np.diff(self._quantiles) / -np.diff(self._log_odds)))

    def of_one(self, scored: Scored, tau_bps: float, x_bps: float, log_stretch: float) -> float:
        """Return the probability of ``x_bps`` or more after one prediction.

        Parameters
        ----------
        scored : Scored
            The prediction; its own interval is not read.
        tau_bps : float
            The threshold its ``p_spike`` is about.
        x_bps : float
            Any threshold, finite and above 0.
        log_stretch : float
            Of the band.

        Raises
        ------
        ValueError
            The threshold is not finite and above 0.
        """
        _check(x_bps)
        p: float = p_above(
            scored.p_spike,
            scored.sigma_bps,
            tau_bps,
            float(x_bps),
            float(log_stretch),
            self._quantiles,
            self._log_odds,
            self._scale,
        )
        return p

    def of_rows(
        self, scored: ScoredRows, tau_bps: F8, x_bps: Sequence[float], log_stretch: F8 | None = None
    ) -> F8:
        """Return ``of_one`` of n predictions at every threshold, float64[len(x_bps), n]."""
        for x in x_bps:
            _check(x)
        n = len(scored.p_spike)
        stretch = np.zeros(n) if log_stretch is None else log_stretch
        thresholds = np.array(x_bps, np.float64)
        p: F8 = p_above_rows(
            scored.p_spike,
            scored.sigma_bps,
            tau_bps,
            thresholds,
            stretch,
            self._quantiles,
            self._log_odds,
            self._scale,
        )
        return p


class HasDistribution(Protocol):
    """What is asked for probabilities of other thresholds (``CalibratedPredictor`` has it)."""

    name: str
    target: str

    def p_above_batch(self, dataset: HasRows, x_bps: Sequence[float], log_stretch: F8 | None = None) -> F8:
        """Return the probability of each threshold at each row, float64[len(x_bps), n]."""


def p_above_columns(
    predictor: HasDistribution,
    rows: HasRows,
    above_bps: Sequence[float],
    range_above_bps: Sequence[float],
    log_stretch: F8 | None = None,
) -> dict[str, F8]:
    """Return probabilities of thresholds by column name, float64[n] each.

    Parameters
    ----------
    predictor : HasDistribution
        The model.
    rows : HasRows
        The n rows.
    above_bps : sequence of float
        Thresholds of the volatility that the model predicts: ``p_above_<x>bps``.
    range_above_bps : sequence of float
        Thresholds of ln(high / low) of the next minute, basis points: ``p_range_above_<x>bps``.
    log_stretch : float64[n], optional
        Of the band at each row.

    Raises
    ------
    ModelError
        A range is asked of a model whose target is none. Volatility on the grid of seconds does not tell it:
        how far a minute's extremes lie apart depends on what happens between the seconds too.
    """
    if range_above_bps and predictor.target != RANGE_TARGET:
        raise ModelError(
            f"model {predictor.name}",
            f"it predicts {predictor.target}, which does not tell the range of a minute",
            "ask a model of candles, or use --above",
        )
    if not above_bps and not range_above_bps:
        return {}
    sigmas = [x / RANGE_OF_SIGMA for x in range_above_bps]
    p = predictor.p_above_batch(rows, [*above_bps, *sigmas], log_stretch)
    names = [f"p_above_{x:.15g}bps" for x in above_bps] + [
        f"p_range_above_{x:.15g}bps" for x in range_above_bps
    ]
    return dict(zip(names, p, strict=True))


def _check(x_bps: float) -> None:
    if not 0.0 < x_bps < math.inf:
        raise ValueError(f"a threshold of {x_bps} bps")
