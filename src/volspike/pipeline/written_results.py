"""What score has written and does not remember, read back from its own topics.

Needed where retention has deleted rows between the state and the committed offset: their results were written
together with that offset.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from volspike.bus.port import Log
from volspike.bus.topics import ALERTS, OUTCOMES, PREDICTIONS, Topic
from volspike.records import Alert, Prediction

_READ_ROWS = 5_000


class WrittenResults:
    """Predictions and alerts of a partition since an event time.

    Parameters
    ----------
    log : Log
        Read at once; not kept.
    suffix : str
        Ends the name of every topic.
    partition : int
        Whose products.
    since_ns : int
        Event time, nanoseconds UTC.

    Attributes
    ----------
    predictions : dict of str to list of Prediction
        By product, in order.
    pending : dict of str to list of Prediction
        Of these the ones without an outcome. Of one that is older than the outcomes that retention has left
        it isn't known: it is taken for graded, since nothing may be graded twice.
    alerts : dict of str to list of Alert
        By product, in order.
    """

    def __init__(self, log: Log, suffix: str, partition: int, since_ns: int) -> None:
        self._log = log
        self._suffix = suffix
        self._partition = partition
        self.predictions: dict[str, list[Prediction]] = self._by_product(PREDICTIONS, since_ns)
        self.alerts: dict[str, list[Alert]] = self._by_product(ALERTS, since_ns)
        graded = {o.prediction_id for each in self._by_product(OUTCOMES, since_ns).values() for o in each}
        known_from_ns = self._oldest_outcome_ns()
        self.pending = {
            product: [p for p in each if p.id not in graded and p.event_ns >= known_from_ns]
            for product, each in self.predictions.items()
        }

    def _by_product(self, topic: Topic, since_ns: int) -> dict[str, list[Any]]:
        name = topic.name + self._suffix
        # What was committed last may not be marked so yet.
        self._log.settle(name, self._partition)
        offset = self._log.offset_at(name, since_ns, self._partition)
        found: dict[str, list[Any]] = defaultdict(list)
        while entries := self._log.read(name, offset, _READ_ROWS, self._partition):
            offset = entries[-1].offset + 1
            for entry in entries:
                found[entry.key].append(topic.decode(entry.value))
        return found

    def _oldest_outcome_ns(self) -> float:
        """Return the event time from which on no outcome is deleted."""
        name = OUTCOMES.name + self._suffix
        start = self._log.start_offset(name, self._partition)
        if start == 0:
            return 0
        oldest = self._log.read(name, start, 1, self._partition)
        return oldest[0].event_ns if oldest else float("inf")
