"""What a prediction is about, its outcome, and predictions on the way from one to the other."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import NamedTuple

import msgspec

from volspike.features.window import SECOND_NS, last_closed_second
from volspike.labels.targets import HORIZON_S
from volspike.records import Outcome, Prediction


def prediction_id(identity: str, model_version: str) -> str:
    """Return the stable id of a prediction: 16 hex digits of the sha256 of tick identity and version."""
    return hashlib.sha256(f"{identity}\n{model_version}".encode()).hexdigest()[:16]


def target_end_ns(event_ns: int) -> int:
    """Return when the minute that a prediction at ``event_ns`` is about is over (ns, boundary s + 60)."""
    return (last_closed_second(event_ns) + 1 + HORIZON_S) * SECOND_NS


def outcome_of(
    prediction: Prediction, sigma_bps: float | None, unlabelled: str | None, matured_ns: int
) -> Outcome:
    """Return the outcome of a prediction.

    Parameters
    ----------
    prediction : Prediction
        Graded with the tau that it carries.
    sigma_bps : float or None
        Realised volatility of its minute, basis points.
    unlabelled : str or None
        Why there is none.
    matured_ns : int
        Event time at which that was known, nanoseconds UTC.
    """
    return Outcome(
        prediction_id=prediction.id,
        product=prediction.product,
        event_ns=prediction.event_ns,
        matured_ns=matured_ns,
        p_spike=prediction.p_spike,
        tau_bps=prediction.tau_bps,
        sigma_future_bps=sigma_bps,
        spike=None if sigma_bps is None else sigma_bps >= prediction.tau_bps,
        unlabelled=unlabelled,
    )


class GradedPrediction(NamedTuple):
    """A prediction with its outcome and the number of the covered stretch it was made in."""

    prediction: Prediction
    outcome: Outcome
    run: int


class Batch(msgspec.Struct, gc=False):
    """Pending predictions that share one target: it is over at ``target_ns``."""

    run: int
    second: int
    target_ns: int
    predictions: list[Prediction]


class Settled(NamedTuple):
    """The grade of a batch, and those of its predictions that no outcome has been made of."""

    predictions: Iterator[Prediction]
    sigma_future_bps: float | None
    unlabelled: str | None
    matured_ns: int
    run: int

    def grade(self, prediction: Prediction) -> GradedPrediction:
        """Return one of them with its outcome."""
        outcome = outcome_of(prediction, self.sigma_future_bps, self.unlabelled, self.matured_ns)
        return GradedPrediction(prediction, outcome, self.run)
