"""What the stages have written, read back from the topics: counts and scoreboards."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from volspike.alerts.policy import AlertPolicy
from volspike.bus.port import Log, LogRecord
from volspike.bus.topics import ALERTS, FEATURES, OUTCOMES, PREDICTIONS, Topic
from volspike.pipeline.latency import LatencyHistogram
from volspike.records import FeatureRow, Mark, Prediction
from volspike.scoring.outcomes import GradedPrediction
from volspike.scoring.scoreboard import Scoreboard

READ_ROWS = 10_000


def topic_records(log: Log, name: str) -> Iterator[LogRecord]:
    """Yield every record of a topic, partition by partition."""
    for partition in range(log.partitions(name)):
        log.settle(name, partition)
        offset = log.start_offset(name, partition)
        while records := log.read(name, offset, READ_ROWS, partition):
            yield from records
            offset = records[-1].offset + 1


class StageReport:
    """Reads the topics of the stages from their start to their end.

    Parameters
    ----------
    log : Log
        Of the topics.
    suffix : str
        Ends their names.
    reference_policies : mapping of str to AlertPolicy
        By product, what the reference would have alerted on.

    Attributes
    ----------
    counts : dict
        ``features``, ``predictions``, ``outcomes``, ``unlabelled`` by reason, ``out_of_distribution``,
        ``alerts``, and ``latency_us`` of a prediction within score.
    boards : dict of str to Scoreboard
        By product.
    """

    def __init__(self, log: Log, suffix: str, reference_policies: Mapping[str, AlertPolicy]) -> None:
        self._log = log
        self._suffix = suffix
        self._policies = reference_policies
        self.boards: dict[str, Scoreboard] = defaultdict(Scoreboard)
        self._predictions: dict[str, Prediction] = {}
        latency, outside = LatencyHistogram(), 0
        for prediction in self._decoded(PREDICTIONS):
            self._predictions[prediction.identity] = prediction
            latency.add(prediction.latency_ns)
            outside += prediction.out_of_distribution
        runs, features = self._read_rows()
        unlabelled = self._grade(runs)
        self.counts: dict[str, Any] = {
            "features": features,
            "predictions": len(self._predictions),
            "outcomes": self._outcomes,
            "unlabelled": dict(sorted(unlabelled.items())),
            "out_of_distribution": outside,
            "alerts": self._read_alerts(),
            "latency_us": latency.as_dict(),
        }

    def scoreboard(self) -> dict[str, Any]:
        """Return the scoreboards as JSON-able values."""
        return {name: msgspec.to_builtins(board.snapshot()) for name, board in sorted(self.boards.items())}

    def _decoded(self, topic: Topic) -> Iterator[Any]:
        return (topic.decode(record.value) for record in topic_records(self._log, topic.name + self._suffix))

    def _read_rows(self) -> tuple[dict[str, int], int]:
        """Step the reference's alerts; return the covered stretch of each prediction, and how many rows."""
        runs: dict[str, int] = {}
        stretch: dict[str, tuple[int, int]] = {}
        rows = 0
        for event in self._decoded(FEATURES):
            prediction = None
            if isinstance(event, FeatureRow):
                rows += 1
                number, since_ns = stretch.get(event.product, (0, 0))
                if since_ns != event.covered_since_ns:
                    stretch[event.product] = (number + 1, event.covered_since_ns)
                prediction = self._predictions.get(event.identity)
                runs[event.identity] = stretch[event.product][0]
            self._alert_reference(event, prediction)
        return runs, rows

    def _alert_reference(self, event: FeatureRow | Mark, prediction: Prediction | None) -> None:
        policy = self._policies.get(event.product)
        if policy is None:
            return
        alert = policy.step(event.product, event.event_ns, event.covered_since_ns, prediction)
        if alert is not None:
            self.boards[event.product].reference_alerts.add(alert)

    def _grade(self, runs: Mapping[str, int]) -> Counter[str]:
        by_id = {prediction.id: prediction for prediction in self._predictions.values()}
        unlabelled: Counter[str] = Counter()
        self._outcomes = 0
        for outcome in self._decoded(OUTCOMES):
            self._outcomes += 1
            if outcome.unlabelled is not None:
                unlabelled[outcome.unlabelled] += 1
            made = by_id[outcome.prediction_id]
            self.boards[outcome.product].add(GradedPrediction(made, outcome, runs[made.identity]))
        return unlabelled

    def _read_alerts(self) -> int:
        opened = 0
        for alert in self._decoded(ALERTS):
            opened += alert.state == "opened"
            self.boards[alert.product].model_alerts.add(alert)
        return opened
