"""Predict one row, or many, with any model: heads, then calibration, then a check of the result."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

from volspike.errors import ModelError
from volspike.labels.trailing import Context
from volspike.models.bounds import InputBounds
from volspike.models.calibration import (
    Calibration,
    Scored,
    ScoredRows,
    SigmaBand,
    finish_rows,
    serving_line,
)
from volspike.models.exceedance import Exceedance
from volspike.models.inputs import HasRows, raw_rows
from volspike.models.kernels import Line, Served, outside_rows
from volspike.models.serving import Bounds, Values

F8 = npt.NDArray[np.float64]


class Predictor(Protocol):
    """What the scorer and the evaluation need of a model or a reference."""

    name: str
    version: str
    feature_set: str
    target: str

    def predict(self, values: Sequence[float], context: Context) -> Scored:
        """Predict from one row's feature values and context."""

    def predict_batch(self, dataset: HasRows) -> ScoredRows:
        """Predict every row of a dataset."""


class Heads(Protocol):
    """The two heads of a model: log-odds of a spike, and log sigma in basis points.

    ``width`` is the number of feature values a raw row begins with.
    """

    width: int

    def served(self, line: Line, bounds: Bounds) -> Callable[[Values, Context], Served]:
        """Return what gives (p, sigma, low, high, inputs beyond their bounds) of one row; for one thread."""

    def rows(self, raw: F8) -> tuple[F8, F8]:
        """Return margins and log sigmas of many raw rows."""

    def inputs(self, raw: F8) -> F8:
        """Return the inputs of many raw rows, float64[n, p]; NaN is missing."""


class CalibratedPredictor:
    """Heads with their calibration. One instance serves one thread: it reuses its buffers.

    Parameters
    ----------
    name, version : str
        Of the model.
    feature_set, target : str
        Name of the feature set whose values it takes; name of the target it predicts.
    heads : Heads
        Log-odds and log sigma.
    calibration : Calibration
        Of the log-odds.
    band : SigmaBand
        Of log sigma.
    bounds : InputBounds
        Inputs beyond them are counted; empty: none is.
    """

    def __init__(
        self,
        name: str,
        version: str,
        feature_set: str,
        target: str,
        heads: Heads,
        calibration: Calibration,
        band: SigmaBand,
        bounds: InputBounds = InputBounds(),  # noqa: B008 - frozen
    ) -> None:
        self.name = name
        self.version = version
        self.feature_set = feature_set
        self.target = target
        self._heads = heads
        self._calibration = calibration
        self._band = band
        self._bounds = bounds.arrays()
        self._exceedance = Exceedance(band.quantiles) if band.quantiles else None
        self._serve = heads.served(serving_line(calibration, band), self._bounds)

    def predict(self, values: Sequence[float], context: Context) -> Scored:
        """Predict the sixty seconds after one row.

        Parameters
        ----------
        values : sequence of float
            Feature values in the order of the feature set; NaN is missing.
        context : Context
            What the recent past says at the row.

        Returns
        -------
        Scored
            All finite, ``p_spike`` within [0, 1].

        Raises
        ------
        ModelError
            When the row or the context is unsound, so that no finite prediction exists; when the number of
            feature values is wrong, or one is no number.
        """
        try:
            scored = self._serve(tuple(values), context)
        except (TypeError, ValueError):
            raise self._unfit(values) from None
        p_spike, _, low, high, _ = scored
        if not (p_spike >= 0.0 and low > 0.0 and high < math.inf):
            raise self._unsound(1)
        return Scored._make(scored)

    def predict_batch(self, dataset: HasRows) -> ScoredRows:
        """Predict every row of a dataset, to the bit as ``predict`` does one by one.

        Raises
        ------
        ModelError
            When a row has no finite prediction.
        """
        raw = raw_rows(dataset, self._heads.width)
        outside = outside_rows(self._heads.inputs(raw), *self._bounds)
        scored = finish_rows(*self._heads.rows(raw), self._calibration, self._band, outside)
        sound = (scored.p_spike >= 0.0) & (scored.sigma_low_bps > 0.0) & (scored.sigma_high_bps < math.inf)
        if not sound.all():
            raise self._unsound(int(np.count_nonzero(~sound)))
        return scored

    def p_above(
        self, values: Sequence[float], context: Context, x_bps: float, log_stretch: float = 0.0
    ) -> float:
        """Return the probability that realised volatility reaches ``x_bps`` in the sixty seconds after a row.

        Parameters
        ----------
        values, context
            See ``predict``.
        x_bps : float
            Any threshold, basis points, finite and above 0.
        log_stretch : float
            Of the band at the time (``AdaptiveBand``): 0 is the band of the model.

        Returns
        -------
        float
            ``p_spike`` at ``context.tau_bps``; never rising in ``x_bps``. See ``exceedance``.

        Raises
        ------
        ModelError
            See ``predict``; and where the model has no distribution.
        ValueError
            The threshold is not finite and above 0.
        """
        scored = self.predict(values, context)
        return self._distribution().of_one(scored, context.tau_bps, x_bps, log_stretch)

    def p_above_batch(self, dataset: HasRows, x_bps: Sequence[float], log_stretch: F8 | None = None) -> F8:
        """Return ``p_above`` of every row at every threshold, float64[len(x_bps), n].

        Parameters
        ----------
        dataset : HasRows
            n rows.
        x_bps : sequence of float
            Thresholds, basis points.
        log_stretch : float64[n], optional
            Of the band at each row; without it the band of the model.
        """
        scored = self.predict_batch(dataset)
        return self._distribution().of_rows(scored, dataset.tau_bps, x_bps, log_stretch)

    def _distribution(self) -> Exceedance:
        if self._exceedance is None:
            raise ModelError(
                f"model {self.name}", "it has no distribution of volatility", "train the model again"
            )
        return self._exceedance

    def heads_batch(self, dataset: HasRows) -> tuple[F8, F8]:
        """Return uncalibrated log-odds and log sigma of every row."""
        return self._heads.rows(raw_rows(dataset, self._heads.width))

    def _unfit(self, values: Sequence[float]) -> ModelError:
        return ModelError(
            "feature values",
            f"{len(values)} values, or one is no number, where the model takes {self._heads.width} numbers",
            "give it rows of its own feature set",
        )

    def _unsound(self, rows: int) -> ModelError:
        return ModelError(
            f"model {self.name}",
            f"no finite prediction for {rows} row(s): volatility, tau, mid or a feature is missing",
            "check the feature rows, or train the model again",
        )
