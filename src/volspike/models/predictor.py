"""Predict one row, or many, with any model: heads, then calibration, then a check of the result."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

from volspike.errors import ModelError
from volspike.labels.trailing import Context
from volspike.models.calibration import (
    Calibration,
    Scored,
    ScoredRows,
    SigmaBand,
    finish_rows,
    serving_line,
)
from volspike.models.inputs import HasRows, raw_rows
from volspike.models.kernels import Four, Line
from volspike.models.serving import Values

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

    def served(self, line: Line) -> Callable[[Values, Context], Four]:
        """Return what gives (p, sigma, low, high) of one row, calibrated by ``line``; for one thread."""

    def rows(self, raw: F8) -> tuple[F8, F8]:
        """Return margins and log sigmas of many raw rows."""


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
    ) -> None:
        self.name = name
        self.version = version
        self.feature_set = feature_set
        self.target = target
        self._heads = heads
        self._calibration = calibration
        self._band = band
        self._serve = heads.served(serving_line(calibration, band))

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
        p_spike, _, low, high = scored
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
        scored = finish_rows(*self.heads_batch(dataset), self._calibration, self._band)
        sound = (scored.p_spike >= 0.0) & (scored.sigma_low_bps > 0.0) & (scored.sigma_high_bps < math.inf)
        if not sound.all():
            raise self._unsound(int(np.count_nonzero(~sound)))
        return scored

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
