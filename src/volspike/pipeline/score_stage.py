"""Feature rows to predictions, outcomes and alerts between topics: the stage ``score``."""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping, Sequence
from typing import TypeVar

import msgspec

from volspike.alerts.policy import AlertPolicy
from volspike.bus.port import Log, LogRecord, Outgoing, Place
from volspike.bus.topics import ALERTS, FEATURES, OUTCOMES, PREDICTIONS
from volspike.clock import Clock
from volspike.errors import FeatureError, ModelError, ProtocolError
from volspike.exchange.products import MAX_PRICE_DECIMALS, PriceScales
from volspike.features.fixedpoint import PRICE_LIMIT
from volspike.features.sets import get_feature_set
from volspike.features.window import out_of_order
from volspike.labels.second_journal import SLOTS
from volspike.logs import get_logger
from volspike.models.bundle import Bundle, check_fits, rows_of, takes_rows
from volspike.pipeline.lateness_clock import LatenessClock
from volspike.pipeline.product_stage import PartitionMemory, ProductStage
from volspike.pipeline.score_state import ProductScore, model_of
from volspike.pipeline.served_models import lineup_of, takes_regime, trailing_for, unfit
from volspike.pipeline.standing_watch import Swap
from volspike.pipeline.stretch import Stretch
from volspike.pipeline.written_results import WrittenResults
from volspike.records import FeatureRow, Mark, Prediction, Record
from volspike.scoring.scorer import Scorer

_encode = msgspec.json.Encoder().encode
_BLOB = "head"
# Without a break a feed is never silent for as long, and after one a product may wait for its second row.
AHEAD_NS = 60_000_000_000
# All of such a silence would be closed second by second.
SILENT_NS = 86_400_000_000_000

log = get_logger()


class ScoreStage(ProductStage[ProductScore]):
    """Reads feature rows and marks, writes predictions, outcomes and alerts.

    Behind a hole in the rows a new covered stretch begins: what was pending stays unlabelled (``break``), and
    an open alert closes. Rows behind it are predicted as they are: their windows have seen every tick. Where
    rows are deleted whose results are written, what is pending and open is read from these results.

    A record more than a minute ahead of its product is held until the next one, and becomes a dead letter if
    that one goes back in time: else one wrong stamp would stop the product's clock. So does a record that
    can't be used. Products without a model that fits are passed over; a first one predicts the next row on.

    Whether a prediction is late depends on when it was made. So that restoring repeats it, the state is
    written with every batch in which one is late where those before were not, or the other way round.

    Parameters
    ----------
    reader : Log
        Read to restore.
    bundles : mapping of str to Bundle
        Models by product.
    scales : PriceScales
        Of the products.
    make_policy : callable
        Returns a fresh alert policy for a model.
    clock : Clock
        Of the market.
    suffix : str
        Ends the name of every topic, so that several pipelines fit on one cluster.
    challengers : mapping of str to Bundle
        Models in the shadow of those, by product.
    expiry_days : float
        Age from which predictions of a model are marked stale; 0: never.
    changes : callable
        Asked before each batch what is to serve from it on.
    on_shelf : callable
        Returns a model by name and version, None where it is gone. A partition is restored by the model that
        its state was written by: what that has published must not come again under another version.
    """

    def __init__(
        self,
        reader: Log,
        bundles: Mapping[str, Bundle],
        scales: PriceScales,
        make_policy: Callable[[Bundle], AlertPolicy],
        clock: Clock,
        *,
        suffix: str = "",
        challengers: Mapping[str, Bundle] | None = None,
        expiry_days: float = 0.0,
        changes: Callable[[], Sequence[Swap]] = tuple,
        on_shelf: Callable[[str, str], Bundle | None] = lambda _name, _version: None,
    ) -> None:
        super().__init__(reader, "score", suffix)
        self._bundles = dict(bundles)
        self._challengers = dict(challengers or {})
        self._keeps_regime = {
            product: takes_regime(bundle, self._challengers.get(product))
            for product, bundle in bundles.items()
        }
        self._expiry_days = expiry_days
        self._changes = changes
        self._on_shelf = on_shelf
        self._scales = scales
        self._make_policy = make_policy
        self._clock = LatenessClock(clock)

    def restore(self, place: Place) -> None:
        """Make the partition's memory what it was in front of ``place``, then go on with the model of now."""
        self._look()  # what has served the partition may be new here
        super().restore(place)
        partition = self._partitions[place.partition]
        _serve_all(partition, self._bundles)
        for (product, _), score in partition.products.items():
            if score.bundle.manifest.version != self._bundles[product].manifest.version:
                self._serve(partition, score, self._swap_of(product))

    def process(self, records: Sequence[LogRecord]) -> list[Outgoing]:
        """Take a batch, with the models that are to serve from it on."""
        self._look()
        return super().process(records)

    def _look(self) -> None:
        for swap in self._changes():
            if swap.product not in self._bundles:
                self._begin(swap)
            self._bundles[swap.product] = swap.bundle
            self._challengers.pop(swap.product, None)
            if swap.challenger is not None:
                self._challengers[swap.product] = swap.challenger
            for partition in self._partitions.values():
                for (product, _), score in partition.products.items():
                    if product == swap.product:
                        self._serve(partition, score, swap)

    def _begin(self, first: Swap) -> None:
        """Let a product's first model meet it at its next row; what came before that it has not seen."""
        self._keeps_regime[first.product] = takes_regime(first.bundle, first.challenger)
        for partition in self._partitions.values():
            _serve_all(partition, {first.product})

    def _swap_of(self, product: str) -> Swap:
        return Swap(product, self._bundles[product], self._challengers.get(product))

    def _serve(self, partition: PartitionMemory[ProductScore], score: ProductScore, swap: Swap) -> None:
        score.serve(swap, self._make_policy(swap.bundle), self._expiry_days)
        partition.changed.update(key for key, each in partition.products.items() if each is score)
        partition.write = True  # a restore from before would repeat the rows behind by the model before

    def end(self, partitions: Sequence[tuple[str, int]]) -> list[Outgoing]:
        """Settle what is pending as unlabelled, and close what is open; return what is to be written."""
        out: list[Outgoing] = []
        for _, number in partitions:
            partition = self._partitions[number]
            for key, score in sorted(partition.products.items()):
                if score.held is not None:
                    held, score.held = FEATURES.decode(score.held.value), None
                    self._event(partition, key, held, self._clock.monotonic_ns(), out)
                score.scorer.end()
                self._settle(score, out)
                out += [self._out(ALERTS.name, key[0], each, each.event_ns) for each in score.policy.end()]
                partition.changed.add(key)
            partition.write = True
        return out

    @property
    def _source(self) -> str:
        return FEATURES.name + self._suffix

    def _replay(self, partition: PartitionMemory[ProductScore], place: Place) -> None:
        hole = partition.hole
        with self._clock.repeating(partition.late):
            super()._replay(partition, place)
        if partition.hole != hole:
            self._recall(partition)

    def _recall(self, partition: PartitionMemory[ProductScore]) -> None:
        """Take up what the deleted rows have led to: it is written, and must not come again."""
        scores = partition.products
        if not scores:
            return
        since_ns = min(score.scorer.since_ns for score in scores.values())
        written = WrittenResults(self._reader, self._suffix, partition.number, since_ns)
        for key, score in scores.items():
            product = key[0]
            score.scorer.await_instead(written.pending.get(product, ()))
            predictions = written.predictions.get(product, ())
            score.scorer.resume_band(predictions)
            score.policy.follow(predictions, written.alerts.get(product, ()))
            partition.changed.add(key)

    def _take(self, partition: PartitionMemory[ProductScore], records: Sequence[LogRecord]) -> list[Outgoing]:
        out: list[Outgoing] = []
        received_ns = self._clock.monotonic_ns()
        # With the whole batch read, an outcome that lies in it can be known.
        self._clock.heard(max(record.event_ns for record in records))
        for record in records:
            try:
                event = FEATURES.decode(record.value)
                key = (event.product, event.feed)
                if key not in partition.unserved and not self._holds(partition, key, event, record, out):
                    self._event(partition, key, event, received_ns, out)
            except (ProtocolError, FeatureError) as error:
                out.append(self._dead(record, error))
        return out

    def _holds(
        self,
        partition: PartitionMemory[ProductScore],
        key: tuple[str, str],
        event: FeatureRow | Mark,
        record: LogRecord,
        out: list[Outgoing],
    ) -> bool:
        """Hold a record that is far ahead of its product, until the next one tells if time has passed."""
        score = partition.products.get(key)
        if score is None:
            return False
        if score.held is not None:
            held, score.held = score.held, None
            earlier = FEATURES.decode(held.value)
            partition.changed.add(key)
            if event.event_ns >= earlier.event_ns:
                self._event(partition, key, earlier, self._clock.monotonic_ns(), out)
            else:
                out.append(self._dead(held, _ahead(earlier)))
        ahead_ns = event.event_ns - (score.scorer.newest_ns or event.event_ns)
        if ahead_ns <= AHEAD_NS:
            return False
        if isinstance(event, FeatureRow):
            _check(event, score)
        if ahead_ns > SILENT_NS and event.covered_since_ns == score.stretch.own_ns:
            raise _ahead(event)
        score.held = record
        partition.changed.add(key)
        return True

    def _event(
        self,
        partition: PartitionMemory[ProductScore],
        key: tuple[str, str],
        event: FeatureRow | Mark,
        received_ns: int,
        out: list[Outgoing],
    ) -> None:
        score = partition.products.get(key)
        if score is not None and event.event_ns < score.scorer.newest_ns:
            raise out_of_order(event.event_ns)
        if isinstance(event, Mark):
            # Before the first row of a product, or behind a hole, a mark has no mid to go by.
            if score is not None and score.stretch.hole == partition.hole:
                mark = _covered(event, score.stretch)
                score.scorer.on_mark(mark)
                self._alert(score, mark, None, out)
                self._settle(score, out)
                partition.changed.add(key)
            return
        if score is None:
            score = self._meet(partition, event)
            if score is None:
                return
        _check(event, score)
        if score.stretch.hole != partition.hole:
            score.stretch.resume(event.covered_since_ns, event.event_ns, partition.hole)
        row = _covered(event, score.stretch)
        partition.changed.add(key)
        prediction = score.scorer.on_row(row, received_ns)
        if prediction is not None:
            out.append(self._out(PREDICTIONS.name, key[0], prediction, row.event_ns))
            if prediction.late != partition.late:
                partition.late = prediction.late
                partition.write = True
        self._alert(score, row, prediction, out)
        self._settle(score, out)

    def _meet(self, partition: PartitionMemory[ProductScore], row: FeatureRow) -> ProductScore | None:
        key = (row.product, row.feed)
        score = self._make(self._bundles.get(row.product), row.product, row.feed, row.feature_set)
        if score is None:
            partition.unserved.add(key)
            partition.write = True
            return None
        score.stretch.hole = partition.hole
        partition.products[key] = score
        return score

    def _make(
        self, bundle: Bundle | None, product: str, feed: str, feature_set: str | None
    ) -> ProductScore | None:
        """Return the product's score; without the feature set of a row, for rows that it was given before."""
        if bundle is None:
            return None
        try:
            check_fits(bundle.manifest, feed, product, feature_set or rows_of(bundle.manifest))
        except ModelError as error:
            log.warning("a product is not predicted", product=product, feed=feed, reason=str(error))
            return None
        challenger = self._challengers.get(product)
        # A model of before may take regime columns where those of now do not.
        keeps_regime = self._keeps_regime.get(product, False) or takes_regime(bundle)
        trailing = trailing_for(bundle, self._scales, keeps_regime)
        scorer = Scorer(lineup_of(bundle, challenger, self._expiry_days), trailing, self._clock)
        return ProductScore(bundle, scorer, trailing, self._make_policy(bundle))

    def _alert(
        self,
        score: ProductScore,
        event: FeatureRow | Mark,
        prediction: Prediction | None,
        out: list[Outgoing],
    ) -> None:
        alert = score.policy.step(event.product, event.event_ns, event.covered_since_ns, prediction)
        if alert is not None:
            out.append(self._out(ALERTS.name, event.product, alert, alert.event_ns))

    def _settle(self, score: ProductScore, out: list[Outgoing]) -> None:
        for graded in score.scorer.take_graded():
            outcome = graded.outcome
            out.append(self._out(OUTCOMES.name, outcome.product, outcome, outcome.matured_ns))

    def _out(self, topic: str, product: str, record: Record, event_ns: int) -> Outgoing:
        return Outgoing(topic + self._suffix, product, _encode(record), event_ns)

    def _load(self, partition: PartitionMemory[ProductScore], state: Mapping[str, bytes]) -> None:
        for name in self._store.names(state, _BLOB):
            product, feed, _ = name.rsplit("|", 2)
            head = self._store.unpack(state, name)
            now = self._bundles.get(product)
            score = self._make(now and self._written_by(head, now), product, feed, None)
            if score is not None:
                minutes = [state.get(f"{product}|{feed}|m{slot}") for slot in range(SLOTS)]
                score.restore(head, [each for each in minutes if each])
                partition.products[product, feed] = score

    def _written_by(self, head: bytes, now: Bundle) -> Bundle:
        """Return the model that a state was written by, if it is still there and fits what ``now`` keeps."""
        name, version = model_of(head)
        if not name or version == now.manifest.version:
            return now
        before = self._on_shelf(name, version)
        return now if before is None or unfit(now.manifest, before.manifest, True) else before

    def _write(self, partition: PartitionMemory[ProductScore], key: tuple[str, str]) -> list[Outgoing]:
        score, number, event_ns = partition.products[key], partition.number, partition.newest_ns
        name = "|".join(key)
        minutes = [
            self._store.record(number, f"{name}|m{slot}", value, event_ns)
            for slot, value in score.journal.take()
        ]
        return minutes + self._store.pack(number, f"{name}|{_BLOB}", score.head(), event_ns)


def _serve_all(partition: PartitionMemory[ProductScore], products: Container[str]) -> None:
    """Pass over these products no longer; a restore from before would count rows that nobody predicted."""
    served = {key for key in partition.unserved if key[0] in products}
    if served:
        partition.unserved -= served
        partition.write = True


Event = TypeVar("Event", FeatureRow, Mark)


def _covered(event: Event, stretch: Stretch) -> Event:
    """Return the record with the coverage to go by."""
    if event.covered_since_ns != stretch.own_ns:
        stretch.move(event.covered_since_ns)
    if event.covered_since_ns == stretch.since_ns:
        return event
    # Whether its window is complete is the row's own affair.
    return msgspec.structs.replace(event, covered_since_ns=stretch.since_ns)


def _ahead(event: FeatureRow | Mark) -> FeatureError:
    return FeatureError(event.product, "a record is far ahead of those around it", "correct what wrote it")


def _is_whole(row: FeatureRow) -> bool:
    return len(row.values) == len(get_feature_set(row.feature_set).columns)


def _check(row: FeatureRow, score: ProductScore) -> None:
    """Raise FeatureError for a row that no featurize writes."""
    sound = 0 < row.bid <= row.ask < PRICE_LIMIT and 0 <= row.price_decimals <= MAX_PRICE_DECIMALS
    if not (sound and takes_rows(score.bundle.manifest, row.feature_set) and _is_whole(row)):
        raise FeatureError(
            f"row {row.identity}", "is not of the feature set served", "featurize with that set"
        )
