"""The predictions that a killed job left without an outcome get one, from what the archive holds."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from volspike.bus.port import Log
from volspike.bus.topics import OUTCOMES, PREDICTIONS, Topic
from volspike.features.grid import SecondGrid
from volspike.features.window import SECOND_NS
from volspike.labels.targets import HORIZON_S, RvLabeller
from volspike.pipeline.log_tail import newest_record, unsettled_predictions
from volspike.records import Mark, Prediction, Record, Tick
from volspike.scoring.outcomes import outcome_of

# A minute, the two seconds it may begin and end in, and as much again for products that are behind others.
REACH_NS = 2 * (HORIZON_S + 2) * SECOND_NS


class Unsettled:
    """Grades what is left to grade while the archive is read back, and gives up the rest.

    A minute that was whole in the archive is graded, by the labeller that grades live; a prediction whose
    minute was not over stays unlabelled with ``break``, because a restart is a new session.

    Parameters
    ----------
    log : Log
        Only its last minutes are read; further back only for a product that has been silent for longer.
    put : callable
        Takes the outcomes.

    Attributes
    ----------
    settled : int
        Outcomes made.
    """

    def __init__(self, log: Log, put: Callable[[Topic, Record], None]) -> None:
        self._log = log
        self._put = put
        newest = newest_record(log, PREDICTIONS)
        self._until_ns: int = -1 if newest is None else newest.event_ns
        self._known: set[str] = set()
        self._waiting: dict[str, list[Prediction]] = {}
        self._newest_ns: dict[str, int] = {}
        self._graders: dict[str, tuple[SecondGrid, RvLabeller[Prediction]]] = {}
        self.settled = 0
        if newest is not None:
            self._await(unsettled_predictions(log, self._until_ns - REACH_NS))

    def is_beyond(self, event_ns: int) -> bool:
        """Tell whether everything up to an event time (ns) may be left out."""
        return not self._known or event_ns < self._until_ns - REACH_NS

    def pass_over(self, product: str, newest_ns: int) -> None:
        """Note that ticks and marks of a product were left out, up to an event time (ns)."""
        if newest_ns <= self._until_ns:
            self._newest_ns[product] = newest_ns

    def take(self, record: Tick | Mark) -> None:
        """Take the ticks and marks of live sessions in order."""
        event_ns = record.event_ns
        self.pass_over(record.product, event_ns)
        if not self._known or abs(event_ns - self._until_ns) > REACH_NS:
            return
        grid, labeller = self._grader(record.product)
        mid_sum = None
        if isinstance(record, Tick):
            mid_sum = record.bid + record.ask
            closed = grid.on_tick(event_ns, mid_sum, record.covered_since_ns)
        else:
            closed = grid.on_mark(event_ns, record.covered_since_ns)
        for graded in labeller.on_event(event_ns, mid_sum, closed, grid.run):
            self._settle(graded.key, graded.sigma_future_bps, graded.unlabelled, event_ns)
        if isinstance(record, Tick):
            self._predicted_at(record, labeller)

    def give_up(self, products: Iterable[str]) -> None:
        """Leave the rest unlabelled: the stream was broken off.

        Parameters
        ----------
        products : iterable of str
            Those that the killed job watched. One that had been silent for minutes may have predictions
            further back in the log.
        """
        self._await(self._of_silent_products(products))
        left = [graded.key for _, labeller in self._graders.values() for graded in labeller.end()]
        left += [prediction for waiting in self._waiting.values() for prediction in waiting]
        for prediction in sorted(left, key=lambda prediction: prediction.event_ns):
            newest_ns = self._newest_ns.get(prediction.product, 0)
            self._settle(prediction, None, "break", max(newest_ns, prediction.event_ns))
        self._waiting.clear()

    def _of_silent_products(self, products: Iterable[str]) -> list[Prediction]:
        newest_ns = [self._newest_ns[product] for product in products if product in self._newest_ns]
        oldest_ns = min(newest_ns, default=self._until_ns)
        if oldest_ns > self._until_ns - REACH_NS // 2:
            return []
        return unsettled_predictions(self._log, oldest_ns - REACH_NS)

    def _await(self, predictions: Iterable[Prediction]) -> None:
        for prediction in predictions:
            if prediction.id not in self._known:
                self._known.add(prediction.id)
                self._waiting.setdefault(prediction.identity, []).append(prediction)

    def _grader(self, product: str) -> tuple[SecondGrid, RvLabeller[Prediction]]:
        grader = self._graders.get(product)
        if grader is None:
            grader = self._graders[product] = (SecondGrid(), RvLabeller())
        return grader

    def _predicted_at(self, tick: Tick, labeller: RvLabeller[Prediction]) -> None:
        for prediction in self._waiting.pop(tick.identity, ()):
            if prediction.late:
                self._settle(prediction, None, "late", prediction.event_ns)
            else:
                labeller.add(prediction, prediction.event_ns)

    def _settle(
        self, prediction: Prediction, sigma_bps: float | None, unlabelled: str | None, matured_ns: int
    ) -> None:
        self._put(OUTCOMES, outcome_of(prediction, sigma_bps, unlabelled, matured_ns))
        self.settled += 1
