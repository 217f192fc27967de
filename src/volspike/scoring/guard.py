"""Keeps one failing model from stopping the stream: a sound prediction, or the reason why there is none."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

from volspike.labels.trailing import Context
from volspike.models.calibration import Scored
from volspike.models.predictor import Predictor


class GuardedPredictor:
    """A predictor whose failures are counted and shown, and never raised.

    Parameters
    ----------
    predictor : Predictor
        The one to run.

    Attributes
    ----------
    failures : Counter of str
        Failed rows by reason: the exception's class, or ``unsound`` for a value that is not finite or a
        probability outside [0, 1].
    last_failure : str or None
        What went wrong at the newest row; None while it works.
    """

    __slots__ = ("_predict", "failures", "last_failure", "name", "version")

    def __init__(self, predictor: Predictor) -> None:
        self._predict = predictor.predict
        self.name = predictor.name
        self.version = predictor.version
        self.failures: Counter[str] = Counter()
        self.last_failure: str | None = None

    def predict(self, values: Sequence[float], context: Context) -> Scored | None:
        """Return a sound prediction, or None."""
        try:
            scored = self._predict(values, context)
            sound = 0.0 <= scored.p_spike <= 1.0 and (
                0.0 <= scored.sigma_low_bps < math.inf
                and 0.0 <= scored.sigma_bps < math.inf
                and 0.0 <= scored.sigma_high_bps < math.inf
            )
        except Exception as error:  # noqa: BLE001 - the supervisor of foreign model code; counted here
            self._failed(type(error).__name__, str(error))
            return None
        if not sound:
            self._failed("unsound", str(scored))
            return None
        self.last_failure = None
        return scored

    def _failed(self, reason: str, detail: str) -> None:
        self.failures[reason] += 1
        self.last_failure = f"{reason}: {detail}"
