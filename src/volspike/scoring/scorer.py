"""One prediction for each feature row that is ready, and its outcome when the minute is over.

    t = 100.4     s = ceil(t) = 101                              s + 60 = 161
      |--------------|----------------------------------------------|-----|
     row             the minute that is predicted                         first tick or mark beyond 161:
     prediction      r_102 ... r_161                                      outcome, graded with the tau of t

A break of coverage before that leaves the prediction unlabelled ("break"), the end of the stream "end", and a
prediction made when its minute was already over "late".
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any, cast

from volspike.clock import Clock
from volspike.features.grid import mid_price
from volspike.features.sets import TICK_SETS, get_feature_set
from volspike.features.window import MIN_TICKS, last_closed_second
from volspike.labels.stream import column_index
from volspike.labels.targets import Graded, RvLabeller, make_labeller
from volspike.labels.trailing import Context, TrailingState
from volspike.models.adaptive_band import AdaptiveBand
from volspike.models.calibration import Scored
from volspike.models.predictor import Predictor
from volspike.records import FeatureRow, Mark, Prediction
from volspike.scoring.guard import GuardedPredictor
from volspike.scoring.learning import Learning
from volspike.scoring.lineup import Lineup
from volspike.scoring.outcomes import Batch, GradedPrediction, Settled, prediction_id, target_end_ns

FALLBACK_SUFFIX = "!fallback"


class Scorer:
    """Predicts and grades one product.

    Feed it every feature row and every mark of the product in order, ready or not. Each prediction is graded
    exactly once, by the label code that training uses.

    When the model raises or returns an unsound value, the reference answers in its place: the record's
    ``model`` then ends in ``!fallback`` and ``model_state`` says why, until the model works again. If the
    reference fails too, the row stays without a prediction and is counted in ``unpredicted``.

    Parameters
    ----------
    lineup : Lineup
        The product's models.
    trailing : TrailingState
        The product's trailing state, fed by the scorer and by nobody else.
    clock : Clock
        Market time decides ``late``; monotonic time measures the latency.

    Attributes
    ----------
    band : AdaptiveBand
        Of the model; it learns from every outcome before the next prediction. The reference, where it answers
        in the model's place, has its own band, and teaches nothing.
    pending : int
        Predictions whose minute is not over.
    newest_ns : int
        Event time of the newest row or mark, 0 before the first.
    predictions, fallbacks, unpredicted : int
        Rows predicted; of these by the reference; ready rows without any prediction.
    out_of_distribution : int
        Predictions of the model from inputs beyond what it was fitted on.

    Raises
    ------
    FeatureError
        The model's feature set is unknown or has no ``rv_60s``.
    ConfigError
        The model's target can't be graded live.
    """

    _model: GuardedPredictor
    _predictors: list[Predictor]

    def __init__(self, lineup: Lineup, trailing: TrailingState, clock: Clock) -> None:
        self._learning = Learning(())
        self._take(lineup)
        self.band = AdaptiveBand()
        self._trailing = trailing
        self._clock = clock
        target = lineup.predictor.target
        self._labeller: RvLabeller[Batch] = make_labeller(target)
        # The rv target is the same for all rows of a second; others depend on the row's own time.
        self._shares_targets = target == "rv"
        self._batch = Batch(-1, 0, 0, [])
        self._settled: deque[Settled] = deque()
        self.newest_ns = 0
        self._covered_since_ns: int | None = None
        self.pending = 0
        self.predictions = 0
        self.fallbacks = 0
        self.unpredicted = 0
        self.out_of_distribution = 0

    def serve(self, lineup: Lineup) -> None:
        """Predict by another model, or with another challenger, from the next row on.

        What is pending is graded as it was predicted. Both models have the same target and tau, and the
        trailing state holds what the new one takes; see ``pipeline.served_models.unfit``.
        """
        before = self._model
        # A model that goes on, or moves up from the shadow, keeps what it has learned; so does the one that
        # served before, when it comes back.
        known = {each.version: each for each in self._predictors}
        challenger = lineup.challenger
        if challenger is not None:
            challenger = known.get(challenger.version, challenger)
        predictor = known.get(lineup.predictor.version, lineup.predictor)
        self._take(replace(lineup, predictor=predictor, challenger=challenger))
        if before.version == self._model.version:
            self._model = before  # with what it has failed at
        else:
            self.band = AdaptiveBand()

    @property
    def model_state(self) -> str | None:
        """Why the reference stands in for the model at the newest row; None while the model works."""
        return self._model.last_failure

    @property
    def failures(self) -> dict[str, int]:
        """Failed predictions of the model by reason."""
        return dict(self._model.failures)

    @property
    def challenger_failures(self) -> dict[str, int]:
        """Failed predictions of the challenger by reason; empty without one."""
        return {} if self._challenger is None else dict(self._challenger.failures)

    def on_row(self, row: FeatureRow, received_ns: int) -> Prediction | None:
        """Take the feature row of an accepted tick.

        Parameters
        ----------
        row : FeatureRow
            Of this scorer's product.
        received_ns : int
            Monotonic time at which the tick's frame was received.

        Returns
        -------
        Prediction or None
            None while the window is incomplete or holds fewer than 10 ticks. What this tick has settled waits
            in ``take_graded``.
        """
        event_ns, mid_sum, covered_since_ns = row.event_ns, row.bid + row.ask, row.covered_since_ns
        closed = self._trailing.on_tick(event_ns, mid_sum, covered_since_ns)
        # Within a second of one run there is nothing to grade, and targets by the second ignore single ticks.
        if closed or covered_since_ns != self._covered_since_ns or not self._shares_targets:
            self._covered_since_ns = covered_since_ns
            self._settle(self._labeller.on_event(event_ns, mid_sum, closed, self._trailing.run), event_ns)
        self.newest_ns = event_ns
        if not row.complete or row.ticks < MIN_TICKS:
            return None
        return self._predict(row, mid_sum, received_ns)

    def on_mark(self, mark: Mark) -> None:
        """Take a mark: time has passed without a tick, and nothing was missed."""
        closed = self._trailing.on_mark(mark.event_ns, mark.covered_since_ns)
        self._settle(self._labeller.on_event(mark.event_ns, None, closed, self._trailing.run), mark.event_ns)
        self.newest_ns = mark.event_ns

    def take_graded(self, most: int | None = None) -> list[GradedPrediction]:
        """Return, once, the settled predictions.

        In order of event time, but for late ones, which are settled at once.

        Parameters
        ----------
        most : int, optional
            How many of the second settled last: a busy one has thousands, and making all their outcomes at
            once would hold up the next ticks. Those before it are returned whole.
        """
        graded: list[GradedPrediction] = []
        while self._settled:
            settled = self._settled[0]
            room = most if len(self._settled) == 1 else None
            made = [settled.grade(prediction) for prediction in islice(settled.predictions, room)]
            graded += made
            if room is not None and len(made) == room:
                break
            self._settled.popleft()
        return graded

    @property
    def learned(self) -> dict[str, Any]:
        """What models that learn have learned, the previous one among them; empty where none does."""
        return self._learning.export_learned() if self._learning.learned else {}

    def resume_learning(self, learned: dict[str, Any]) -> None:
        """Go on from what ``learned`` gave."""
        self._learning.import_state(learned)

    @property
    def since_ns(self) -> int:
        """Event time (ns) of the oldest pending prediction, or of the newest event if there is none."""
        batches = self._labeller.pending
        return batches[0].predictions[0].event_ns if batches else self.newest_ns

    def await_instead(self, predictions: Iterable[Prediction]) -> None:
        """Forget what is pending and wait for these in its place; the next event has to be behind a break."""
        self._labeller.end()
        self._learning.forget()
        self._batch = Batch(-1, 0, 0, [])
        self.pending = 0
        for prediction in predictions:
            self._await(self._batch_at(prediction.event_ns), prediction)

    def resume_band(self, predictions: Sequence[Prediction]) -> None:
        """Go on with the band of the newest of these predictions, in order, that this model has made.

        Outcomes between it and the end of what was written are not learned from: they are of one minute.
        """
        newest = next((made for made in reversed(predictions) if self._made(made)), None)
        if newest is not None:
            self.band = AdaptiveBand(newest.band_log_stretch)

    def end(self) -> None:
        """Leave what is pending unlabelled: the stream is over."""
        self._settle(self._labeller.end(), self.newest_ns)

    def export_state(self) -> tuple[dict[str, Any], list[Prediction]]:
        """Return the state but for the trailing state's: JSON-able values, and the pending predictions.

        ``take_graded`` must have returned all. Some integers are beyond 64 bits.
        """
        assert not self._settled, "take_graded() comes before export_state()"
        batches = self._labeller.pending
        state = {
            "labeller": self._labeller.export_state(),
            "batches": [(b.run, b.second, b.target_ns, len(b.predictions)) for b in batches],
            "newest_ns": self.newest_ns,
            "covered_since_ns": self._covered_since_ns,
            "counts": [self.predictions, self.fallbacks, self.unpredicted],
            "out_of_distribution": self.out_of_distribution,
            "band": [self._model.version, self.band.log_stretch, self.band.outcomes, self.band.inside],
            "failures": self.failures,
            "last_failure": self._model.last_failure,
            "learning": self._learning.export_state(),
        }
        return state, [prediction for batch in batches for prediction in batch.predictions]

    def import_state(self, state: dict[str, Any], predictions: Sequence[Prediction]) -> None:
        """Take up, into a fresh scorer of the same target, what ``export_state`` gave.

        The trailing state given to the scorer has been restored before. Band and failures of another model
        are left: they say nothing about this one.
        """
        waiting = iter(predictions)
        batches = [
            Batch(run, second, target_ns, list(islice(waiting, count)))
            for run, second, target_ns, count in state["batches"]
        ]
        self._labeller.import_state(state["labeller"], batches)
        if batches:
            self._batch = batches[-1]
        self.pending = len(predictions)
        self.newest_ns = state["newest_ns"]
        self._covered_since_ns = state["covered_since_ns"]
        self.predictions, self.fallbacks, self.unpredicted = state["counts"]
        # States written before there were bands and bounds have neither.
        self.out_of_distribution = state.get("out_of_distribution", 0)
        version, log_stretch, outcomes, inside = state.get("band", ("", 0.0, 0, 0))
        if version == self._model.version:
            self.band = AdaptiveBand(log_stretch)
            self.band.outcomes, self.band.inside = outcomes, inside
            self._model.failures.update(state["failures"])
            self._model.last_failure = state["last_failure"]
        self._learning.import_state(state.get("learning", {}))

    def _take(self, lineup: Lineup) -> None:
        predictor, challenger = lineup.predictor, lineup.challenger
        self._model, self._reference = GuardedPredictor(predictor), GuardedPredictor(lineup.reference)
        self._challenger = None if challenger is None else GuardedPredictor(challenger)
        self._predictors = [predictor] if challenger is None else [predictor, challenger]
        self._learning = self._learning.with_models(self._predictors)
        self._trained_ns, self._stale_ns = lineup.trained_ns, lineup.stale_ns
        self._feature_set = predictor.feature_set
        self._of_seconds = _is_of_seconds(predictor)
        self._challenger_of_seconds = challenger is not None and _is_of_seconds(challenger)
        self._rv_column = column_index(TICK_SETS[0] if self._of_seconds else predictor.feature_set, "rv_60s")

    def _predict(self, row: FeatureRow, mid_sum: int, received_ns: int) -> Prediction | None:
        values = _numbers(row.values)
        rv_bps = values[self._rv_column]
        if not 0.0 <= rv_bps < math.inf:
            self.unpredicted += 1
            return None
        context = self._trailing.context(rv_bps, mid_price(mid_sum, row.price_decimals))
        seen = self._trailing.regime() if self._of_seconds else values
        scored = self._model.predict(seen, context)
        reference = self._reference.predict(seen, context)
        if scored is None and reference is None:
            self.unpredicted += 1
            return None
        batch = self._batch_at(row.event_ns)
        challenged = None if self._challenger is None else self._challenged(values, context)
        prediction = self._record(row, context, scored, reference, challenged, batch.target_ns, received_ns)
        self.predictions += 1
        if prediction.late:
            self._settled.append(Settled(iter((prediction,)), None, "late", row.event_ns, batch.run))
        else:
            self._await(batch, prediction)
            self._learning.saw(batch.run, batch.second, context)
        return prediction

    def _challenged(self, values: Sequence[float], context: Context) -> Scored | None:
        assert self._challenger is not None
        return self._challenger.predict(
            self._trailing.regime() if self._challenger_of_seconds else values, context
        )

    def _record(
        self,
        row: FeatureRow,
        context: Context,
        scored: Scored | None,
        reference: Scored | None,
        challenged: Scored | None,
        target_ns: int,
        received_ns: int,
    ) -> Prediction:
        name = self._model.name
        if scored is None:
            assert reference is not None
            p_spike, sigma_bps, low_bps, high_bps, _ = reference
            is_outside, log_stretch = False, 0.0
            name += FALLBACK_SUFFIX
            self.fallbacks += 1
        else:
            p_spike, sigma_bps, _, _, outside = scored
            low_bps, high_bps = self.band.ends_bps(scored)
            is_outside, log_stretch = outside > 0.0, self.band.log_stretch
            self.out_of_distribution += is_outside
        rv_bps, tau_bps, _, _, mid, is_adaptive = context
        identity, version, challenger = row.identity, self._model.version, self._challenger
        # By position: keywords take longer than all the rest of a record.
        return Prediction(
            prediction_id(identity, version),
            row.product,
            identity,
            row.event_ns,
            name,
            version,
            self._feature_set,
            p_spike,
            rv_bps,
            sigma_bps,
            low_bps,
            high_bps,
            tau_bps,
            "adaptive" if is_adaptive else "fixed",
            mid,
            None if reference is None else reference.p_spike,
            None if reference is None else reference.sigma_bps,
            self._clock.market_ns() > target_ns,
            self._clock.monotonic_ns() - received_ns,
            is_outside,
            log_stretch,
            self._trained_ns[0] <= row.event_ns <= self._trained_ns[1],
            row.covered_since_ns,
            row.event_ns >= self._stale_ns,
            None if challenger is None else challenger.name,
            None if challenger is None else challenger.version,
            None if challenged is None else challenged.p_spike,
            None if challenged is None else challenged.sigma_bps,
        )

    def _batch_at(self, event_ns: int) -> Batch:
        """Return the batch of the predictions made at ``event_ns``: that of its second, or a new one."""
        batch, run = self._batch, self._trailing.run
        second = last_closed_second(event_ns)
        if batch.second != second or batch.run != run or not self._shares_targets:
            batch = self._batch = Batch(run, second, target_end_ns(event_ns), [])
        return batch

    def _await(self, batch: Batch, prediction: Prediction) -> None:
        if not batch.predictions:
            self._labeller.add(batch, prediction.event_ns)
        batch.predictions.append(prediction)
        self.pending += 1

    def _settle(self, graded: Iterable[Graded[Batch]], event_ns: int) -> None:
        learned: Batch | None = None
        realised_bps: float | None = None
        for batch, sigma_future_bps, unlabelled in graded:
            self.pending -= len(batch.predictions)
            waiting = iter(batch.predictions)
            self._settled.append(Settled(waiting, sigma_future_bps, unlabelled, event_ns, batch.run))
            # All batches of a second are due with it, in one call: the last one stands for the second.
            if learned is not None and learned.second != batch.second:
                self._learn(learned, realised_bps)
            learned, realised_bps = batch, sigma_future_bps
        if learned is not None:
            self._learn(learned, realised_bps)

    def _learn(self, batch: Batch, realised_bps: float | None) -> None:
        """Let models and band learn from the outcome of a second's last prediction, where it was theirs."""
        last = batch.predictions[-1]
        self._learning.matured(batch.run, batch.second, realised_bps, last.tau_bps)
        if realised_bps is not None and self._made(last):
            self.band.take(last.sigma_low_bps, last.sigma_high_bps, realised_bps)

    def _made(self, prediction: Prediction) -> bool:
        return prediction.model == self._model.name and prediction.model_version == self._model.version


def _is_of_seconds(predictor: Predictor) -> bool:
    return get_feature_set(predictor.feature_set).source == "seconds"


def _numbers(values: Sequence[float | None]) -> Sequence[float]:
    """Return the values with NaN where JSON had to say null."""
    if None in values:
        return [math.nan if value is None else value for value in values]
    return cast("Sequence[float]", values)
