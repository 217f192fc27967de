"""Who predicts a product: the model, what it has to beat, and who stands in its shadow."""

from __future__ import annotations

from dataclasses import dataclass

from volspike.models.predictor import Predictor

NEVER_TRAINED = (0, -1)
NEVER_NS = 2**63 - 1


@dataclass(frozen=True)
class Lineup:
    """The models of one product.

    Attributes
    ----------
    predictor : Predictor
        The model.
    reference : Predictor
        What it has to beat; run on every row too.
    trained_ns : (int, int)
        First and last event time of the model's training rows: predictions in there are marked in sample.
    stale_ns : int
        Event time from which on the model is past its expiry: predictions are marked stale.
    challenger : Predictor or None
        Stands in the model's shadow: what it says of a row goes with the prediction, and changes nothing.
    """

    predictor: Predictor
    reference: Predictor
    trained_ns: tuple[int, int] = NEVER_TRAINED
    stale_ns: int = NEVER_NS
    challenger: Predictor | None = None
