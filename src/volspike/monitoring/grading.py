"""Joins predictions with their outcomes to graded rows, in finished half hours of wall time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from math import nan
from typing import Any, NamedTuple

import numpy as np

from volspike.features.window import last_closed_second
from volspike.monitoring.graded import BLOCK_S, DTYPES, GradedRows
from volspike.records import Outcome, Prediction
from volspike.scoring.scorer import FALLBACK_SUFFIX

NS = 1_000_000_000
# A product that the others of its partition are so far ahead of is silent: nobody waits for it any more.
SILENT_NS = 3_600 * NS


class GradedBlock(NamedTuple):
    """A finished half hour of one product: it begins at the epoch second ``start_s``."""

    product: str
    start_s: int
    rows: GradedRows


@dataclass(slots=True)
class _Product:
    last: Prediction | None = None
    waiting: dict[str, Prediction] = field(default_factory=dict)
    rows: list[tuple[Prediction, Outcome]] = field(default_factory=list)
    block: int | None = None
    first: dict[int, list[int]] = field(default_factory=dict)  # offsets of a block's first records


class Grader:
    """Takes predictions and outcomes as they lie on their topics; gives blocks once they are complete.

    The last prediction of a second stands for it. Late ones say nothing, and are passed over; so is what
    comes again, or is not later than what has been graded. A block is complete when an outcome of a later one
    has come: outcomes of one product come in order of event time. That of a product which has gone silent is,
    once outcomes of other products on the topics are an hour of event time past it.
    """

    def __init__(self) -> None:
        self._products: dict[str, _Product] = {}
        self._newest_ns = 0  # event time of the newest outcome that was taken

    def predicted(self, prediction: Prediction, offset: int) -> None:
        """Take a prediction and the offset that it was read at."""
        if prediction.late:
            return
        product = self._products.setdefault(prediction.product, _Product())
        last = product.last
        if last is not None and prediction.event_ns < last.event_ns:
            return  # whoever writes it has begun again
        product.last = prediction
        if last is not None and _second(last) != _second(prediction):
            product.waiting[last.id] = last
        product.first.setdefault(_block(prediction.event_ns), [offset, -1])

    def knows(self, outcome: Outcome) -> bool:
        """Tell whether all predictions of an outcome's second have been taken, so that it can be."""
        if outcome.unlabelled == "late":
            return True  # its prediction was passed over, and others may not come for long
        if self._is_past(outcome.event_ns):
            return True
        product = self._products.get(outcome.product)
        return product is not None and product.last is not None and outcome.event_ns < product.last.event_ns

    def turned_out(self, outcome: Outcome, offset: int) -> Iterator[GradedBlock]:
        """Take an outcome that is known, and the offset it was read at; yield the blocks it completes."""
        product = self._products.get(outcome.product)
        if outcome.unlabelled == "late":
            return
        self._newest_ns = max(self._newest_ns, outcome.event_ns)
        if product is None:
            return
        block = _block(outcome.event_ns)
        first = product.first.get(block)
        if first is not None and first[1] < 0:
            first[1] = offset
        prediction = _prediction_of(outcome, product)
        if prediction is None:
            return
        if product.block is not None and block > product.block:
            yield GradedBlock(outcome.product, product.block * BLOCK_S, _rows(product.rows))
            product.rows = []
            gone = [made.id for made in product.waiting.values() if _block(made.event_ns) < product.block]
            for name in gone:  # their outcomes will not come any more
                del product.waiting[name]
            for done in [each for each in product.first if each < block]:
                del product.first[done]
        if product.block is None or block >= product.block:
            product.block = block
            product.rows.append((prediction, outcome))

    def silent(self) -> Iterator[GradedBlock]:
        """Forget the products that have gone silent; yield the blocks that this completes.

        All that the topics hold of them has to be taken.
        """
        past = [
            name
            for name, product in self._products.items()
            if product.last is not None and self._is_past(product.last.event_ns)
        ]
        for name in past:
            product = self._products.pop(name)
            if product.block is not None and product.rows:
                yield GradedBlock(name, product.block * BLOCK_S, _rows(product.rows))

    def _is_past(self, event_ns: int) -> bool:
        return event_ns + SILENT_NS < self._newest_ns

    def needed(self) -> tuple[int | None, int | None]:
        """Return the offsets of the oldest prediction and outcome of blocks that are not complete."""
        firsts = [first for product in self._products.values() for first in product.first.values()]
        predictions = [first[0] for first in firsts]
        outcomes = [first[1] for first in firsts if first[1] >= 0]
        return min(predictions, default=None), min(outcomes, default=None)


def _prediction_of(outcome: Outcome, product: _Product) -> Prediction | None:
    """Take what an outcome is of out of what waits; None where that is gone or its second has been graded."""
    last = product.last
    # The last one waits for nothing behind it where the product has gone silent.
    is_last = last is not None and last.id == outcome.prediction_id
    prediction = last if is_last else product.waiting.pop(outcome.prediction_id, None)
    if prediction is None or (product.rows and _second(prediction) <= _second(product.rows[-1][0])):
        return None
    return prediction


def _second(prediction: Prediction) -> int:
    return last_closed_second(prediction.event_ns) + 1


def _block(event_ns: int) -> int:
    return (last_closed_second(event_ns) + 1) // BLOCK_S


def _rows(graded: list[tuple[Prediction, Outcome]]) -> GradedRows:
    columns = zip(*(_row(prediction, outcome) for prediction, outcome in graded), strict=True)
    named: dict[str, Any] = {
        name: np.array(column, dtype) for column, (name, dtype) in zip(columns, DTYPES.items(), strict=True)
    }
    return GradedRows(**named)


def _row(made: Prediction, outcome: Outcome) -> tuple[object, ...]:
    return (
        _second(made),
        made.covered_since_ns,
        -1 if outcome.spike is None else int(outcome.spike),
        made.tau_bps,
        _number(outcome.sigma_future_bps),
        made.mid,
        made.p_spike,
        made.sigma_bps,
        _number(made.reference_p_spike),
        _number(made.reference_sigma_bps),
        _number(made.challenger_p_spike),
        _number(made.challenger_sigma_bps),
        made.model_version,
        made.challenger_version or "",
        made.in_sample,
        made.model.endswith(FALLBACK_SUFFIX),
    )


def _number(value: float | None) -> float:
    return nan if value is None else value
