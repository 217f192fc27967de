"""What a model that goes on learning while it serves has to offer."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

from volspike.labels.trailing import Context
from volspike.models.predictor import Predictor


@runtime_checkable
class Learner(Predictor, Protocol):
    """A predictor that learns from each label once it has matured. One instance serves one thread.

    Whoever feeds it does so in the order of event time, with one row a second (or a candle), and never before
    the minute of a row is over: see ``evaluation.progressive``.
    """

    def learn(self, context: Context, sigma_future_bps: float, tau_bps: float) -> None:
        """Learn from one matured label.

        Parameters
        ----------
        context : Context
            What the prediction was made from.
        sigma_future_bps : float
            Volatility realised in the minute after it, basis points.
        tau_bps : float
            The tau it was graded with, basis points: a spike reaches it.
        """

    def export_state(self) -> dict[str, Any]:
        """Return all that was learned as JSON-able values; floats survive to the bit."""

    def import_state(self, state: dict[str, Any]) -> None:
        """Go on from what ``export_state`` of the same model gave.

        Raises
        ------
        ModelError
            It is of another model, malformed, or not finite; then nothing has changed.
        """
