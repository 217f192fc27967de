"""The live job in one process: a frame goes in, and before the next one its predictions are out.

The order for each frame: archived, decoded, admitted, window features, prediction, log buffer, alert. The
log, the disk and the people to be told are behind queues of their own, so none of them delays a prediction.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from volspike.alerts.dispatcher import AlertDispatcher
from volspike.alerts.policy import AlertPolicy
from volspike.bus.topics import ALERTS, DEADLETTER, FEATURES, GAPS, OUTCOMES, PREDICTIONS, TICKS
from volspike.clock import Clock
from volspike.errors import VolspikeError
from volspike.exchange.items import Decoded
from volspike.features.admission import Dropped
from volspike.logs import get_logger
from volspike.pipeline.accounting import Accounting
from volspike.pipeline.frame_archive import FrameArchive
from volspike.pipeline.ingest import Ingest, dead_letter
from volspike.pipeline.latency import LatencyHistogram
from volspike.pipeline.log_guard import LogGuard
from volspike.pipeline.stage import FeatureStages
from volspike.recording.archive import ArchiveWriter
from volspike.recording.frame import Frame, SegmentHeader
from volspike.records import Alert, DriftAlarm, FeatureRow, Gap, Mark, Prediction, Tick
from volspike.scoring.scoreboard import Scoreboard
from volspike.scoring.scorer import Scorer

# Outcomes made after a tick of the second just graded, so that the next tick does not wait for all of them.
OUTCOMES_A_TICK = 32

log = get_logger()


@dataclass(slots=True)
class ProductScoring:
    """One product's scorer and scoreboard, and the newest of each record for display."""

    scorer: Scorer
    board: Scoreboard
    row: FeatureRow | None = None
    prediction: Prediction | None = None


@dataclass(slots=True)
class LiveCounts:
    """What the stages after admission have made."""

    features: int = 0
    predictions: int = 0
    stale: int = 0
    outcomes: int = 0
    alerts: int = 0
    unlabelled: Counter[str] = field(default_factory=Counter)
    gaps: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True, slots=True)
class LiveParts:
    """What a live pipeline is made of.

    ``make_scoring`` builds a product's scorer at its first tick, or returns None where no model serves it;
    ``unserved`` is given its ticks and marks then. ``policies`` decide, by product, on published alerts,
    ``reference_policies`` on those the reference would have raised.
    """

    archive: ArchiveWriter
    ingest: Ingest
    stages: FeatureStages
    clock: Clock
    records: LogGuard
    dispatcher: AlertDispatcher
    header: Callable[[str], SegmentHeader]
    make_scoring: Callable[[str], ProductScoring | None] = lambda _product: None
    unserved: Callable[[Tick | Mark], None] = lambda _record: None
    policies: dict[str, AlertPolicy] = field(default_factory=dict)
    reference_policies: dict[str, AlertPolicy] = field(default_factory=dict)


class LivePipeline:
    """A ``FrameSink``: takes the frames of a feed client and does everything with them.

    Attributes
    ----------
    counts : LiveCounts
        Records made.
    latency : LatencyHistogram
        Nanoseconds from a frame's receipt until its prediction is handed to the log and the alerts.
    scoring : dict of str to ProductScoring
        By product that a model serves.
    newest : dict of str to FeatureRow
        By product.
    alerts : list of Alert
        The newest 20 records.
    connected : bool
        Whether a connection is open.
    """

    def __init__(self, parts: LiveParts) -> None:
        self._parts = parts
        self._ingest = parts.ingest
        self._archive = FrameArchive(parts.archive, parts.ingest.accounting)
        self._put = parts.records.put
        self.counts = LiveCounts()
        self.latency = LatencyHistogram()
        self.scoring: dict[str, ProductScoring] = {}
        self.newest: dict[str, FeatureRow] = {}
        self.alerts: list[Alert] = []
        self.connected = False
        self._known: set[str] = set()

    @property
    def failures(self) -> dict[str, str]:
        """What has stopped while predictions went on: archive, features or log, and why."""
        return {part: str(error) for part, error in self._stopped().items()}

    @property
    def failure(self) -> VolspikeError | None:
        """The first of ``failures``, or None where everything was kept."""
        return next(iter(self._stopped().values()), None)

    @property
    def out_of_distribution(self) -> int:
        """How many predictions were made of rows unlike those of training."""
        return sum(each.scorer.out_of_distribution for each in self.scoring.values())

    def _stopped(self) -> dict[str, VolspikeError]:
        stopped = {
            "archive": self._archive.failure,
            "features": self._parts.stages.failure,
            "log": self._parts.records.failure,
        }
        return {part: error for part, error in stopped.items() if error is not None}

    @property
    def accounting(self) -> Accounting:
        """Counts up to admission."""
        return self._ingest.accounting

    def newest_ns(self, products: Sequence[str]) -> int:
        """Return the newest event time (ns) taken of any of these products, 0 before the first."""
        return self._ingest.admission.newest_ns(products)

    def begin(self, session: str) -> None:
        """Begin a connection."""
        self.connected = True
        header = self._parts.header(session)
        self._archive.begin(header)
        self._ingest.begin(header)

    def frame(self, session: str, receive_ns: int, raw: bytes, monotonic_ns: int) -> Decoded:
        """Take one frame; everything it causes has been handed on when this returns."""
        frame = Frame(self._archive.append(session, receive_ns, raw), receive_ns, session, raw)
        decoded, admitted = self._ingest.take(frame)
        for answer in admitted:
            if type(answer) is Tick:
                self._tick(answer, monotonic_ns)
            elif type(answer) is Dropped:
                if answer.dead:
                    self._put(DEADLETTER, dead_letter(answer, self._parts.header(session).feed, frame))
            elif type(answer) is Mark:
                self._mark(answer)
            elif type(answer) is Gap:
                self.counts.gaps[answer.reason] += 1
                self._put(GAPS, answer)
        return decoded

    def end(self, session: str, reason: str) -> None:
        """End a connection."""
        self.connected = False
        self._archive.end(session)
        log.info("session ended", session=session, reason=reason)

    def tell(self, alarm: DriftAlarm) -> None:
        """Have an alarm delivered as alerts are."""
        self._parts.dispatcher.push(alarm)

    def serve(self, product: str, take: Callable[[Scorer], None], policies: Sequence[AlertPolicy]) -> None:
        """Have a product served by another model before the next frame; what is open stays open.

        A product that none has served gets a scorer.

        Parameters
        ----------
        product : str
            Which.
        take : callable
            Gives the product's scorer the model.
        policies : (AlertPolicy, AlertPolicy)
            Fresh: of the published alerts and of the reference's.
        """
        scoring = self.scoring.get(product)
        if scoring is not None:
            take(scoring.scorer)
        elif product in self._known:
            self._meet(product)
        for those, policy in zip(
            (self._parts.policies, self._parts.reference_policies), policies, strict=True
        ):
            if product in those:
                policy.import_state(those[product].export_state())
            those[product] = policy

    def finish(self) -> None:
        """Settle what is pending as unlabelled and close what is open; the feed is over."""
        for scoring in self.scoring.values():
            scoring.scorer.end()
            self._settle(scoring)
        for policy in self._parts.policies.values():
            for alert in policy.end():
                self._publish(alert)

    def as_dict(self) -> dict[str, Any]:
        """Return all counts under the names of the command line."""
        counts = self.counts
        return {
            **self._ingest.accounting.as_dict(),
            "features": counts.features,
            "predictions": counts.predictions,
            "outcomes": counts.outcomes,
            "unlabelled": dict(sorted(counts.unlabelled.items())),
            "out_of_distribution": self.out_of_distribution,
            "stale": counts.stale,
            "bands": {
                product: scoring.scorer.band.as_dict() for product, scoring in sorted(self.scoring.items())
            },
            "alerts": counts.alerts,
            "latency_us": self.latency.as_dict(),
            "failures": self.failures,
            "scoreboard": {
                product: msgspec.to_builtins(scoring.board.snapshot())
                for product, scoring in sorted(self.scoring.items())
            },
        }

    def _mark(self, mark: Mark) -> None:
        self._put(TICKS, mark)
        self._put(FEATURES, mark)
        stage = self._parts.stages.of(mark.product, mark.feed)
        if stage is not None and self._archive.failure is None:
            stage.mark(mark)
        scoring = self.scoring.get(mark.product)
        if scoring is None:
            self._parts.unserved(mark)
            return
        scoring.scorer.on_mark(mark)
        self._settle(scoring)
        self._alert(mark, None)
        self._alert_reference(scoring, mark, None)

    def _tick(self, tick: Tick, monotonic_ns: int) -> None:
        stage = self._parts.stages.for_tick(tick)
        # A row that the archive does not hold could never be made again, and its position is given anew.
        row = stage.tick(tick, keep=self._archive.failure is None)
        self.counts.features += 1
        self.newest[tick.product] = row
        self._put(TICKS, tick)
        self._put(FEATURES, row)
        if tick.product not in self._known:
            self._meet(tick.product)
        scoring = self.scoring.get(tick.product)
        if scoring is None:
            self._parts.unserved(tick)
            return
        scoring.row = row
        prediction = scoring.scorer.on_row(row, monotonic_ns)
        if prediction is not None:
            scoring.prediction = prediction
            self.counts.predictions += 1
            self.counts.stale += prediction.stale
            self._put(PREDICTIONS, prediction)
        self._alert(tick, prediction)
        if prediction is not None:
            self.latency.add(self._parts.clock.monotonic_ns() - monotonic_ns)
        self._settle(scoring, OUTCOMES_A_TICK)
        self._alert_reference(scoring, tick, prediction)

    def _meet(self, product: str) -> None:
        self._known.add(product)
        scoring = self._parts.make_scoring(product)
        if scoring is not None:
            self.scoring[product] = scoring

    def _alert(self, at: Tick | Mark, prediction: Prediction | None) -> None:
        policy = self._parts.policies.get(at.product)
        if policy is None:
            return
        alert = policy.step(at.product, at.event_ns, at.covered_since_ns, prediction)
        if alert is not None:
            self._publish(alert)

    def _publish(self, alert: Alert) -> None:
        self.counts.alerts += alert.state == "opened"
        self.alerts.append(alert)
        del self.alerts[:-20]
        self.scoring[alert.product].board.model_alerts.add(alert)
        self._put(ALERTS, alert)
        self._parts.dispatcher.push(alert)

    def _alert_reference(
        self, scoring: ProductScoring, at: Tick | Mark, prediction: Prediction | None
    ) -> None:
        policy = self._parts.reference_policies.get(at.product)
        if policy is None:
            return
        alert = policy.step(at.product, at.event_ns, at.covered_since_ns, prediction)
        if alert is not None:
            scoring.board.reference_alerts.add(alert)

    def _settle(self, scoring: ProductScoring, most: int | None = None) -> None:
        for graded in scoring.scorer.take_graded(most):
            outcome = graded.outcome
            self.counts.outcomes += 1
            if outcome.unlabelled is not None:
                self.counts.unlabelled[outcome.unlabelled] += 1
            scoring.board.add(graded)
            self._put(OUTCOMES, outcome)
