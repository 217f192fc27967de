"""One worker of a stage: a process that stands between topics, with the counts it shows of itself."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from operator import attrgetter
from typing import Any

from volspike.alerts.dispatcher import AlertDispatcher
from volspike.alerts.sinks import AlertSink, NdjsonSink
from volspike.bus.embedded import EmbeddedLog
from volspike.bus.opening import open_log
from volspike.bus.port import Log, Outgoing
from volspike.bus.topic_layout import check_layout
from volspike.bus.topics import ALERTS, DEADLETTER, FEATURES, OUTCOMES, PREDICTIONS, TICKS
from volspike.bus.transactions import ExactlyOnce
from volspike.clock import Clock, RecordClock, SystemClock
from volspike.config import Settings
from volspike.exchange.products import PriceScales
from volspike.features.sets import get_tick_set
from volspike.logs import get_logger
from volspike.pipeline.featurize_stage import FeaturizeStage
from volspike.pipeline.home import Home
from volspike.pipeline.latency import LatencyHistogram
from volspike.pipeline.log_owner import check_owner
from volspike.pipeline.product_stage import ProductStage
from volspike.pipeline.score_stage import ScoreStage
from volspike.pipeline.served_models import Served, alert_policy, choose_models, on_shelf
from volspike.pipeline.standing_watch import StandingWatch

log = get_logger()
SOURCES = {"featurize": TICKS, "score": FEATURES}
_TOPIC = attrgetter("topic")
_WRITTEN = {"featurize": (FEATURES, DEADLETTER), "score": (PREDICTIONS, OUTCOMES, ALERTS, DEADLETTER)}


class Worker:
    """Runs a stage on a bus.

    Parameters
    ----------
    loop : ExactlyOnce
        Of the stage, ready to run.
    closing : ExitStack
        What is to be closed behind it.
    dispatcher : AlertDispatcher, optional
        Tells the alerts that are committed.
    suffix : str
        Ends the names of the topics.

    Attributes
    ----------
    written : Counter
        Records committed, by topic.
    dead_letters : Counter
        Records that could not be used, by reason.
    transactions : LatencyHistogram
        How long each transaction took.
    """

    def __init__(
        self,
        loop: ExactlyOnce,
        closing: ExitStack,
        dispatcher: AlertDispatcher | None = None,
        suffix: str = "",
    ) -> None:
        self._loop = loop
        self._closing = closing
        self._dispatcher = dispatcher
        self._alerts = ALERTS.name + suffix
        self._predictions = PREDICTIONS.name + suffix
        self._deadletter = DEADLETTER.name + suffix
        self.written: Counter[str] = Counter()
        self.dead_letters: Counter[str] = Counter()
        self.transactions = LatencyHistogram()
        loop.on_commit = self._committed

    def run(self, stopped: Callable[[], bool], *, is_over: bool = False) -> None:
        """Work until ``stopped``, then write the state and leave.

        Parameters
        ----------
        is_over : bool
            Whether the feed is over then, and what is open is to be settled.
        """
        while not stopped():
            self._loop.step()
        self._loop.close(is_over=is_over)

    def close(self) -> None:
        """Let go of the bus."""
        self._closing.close()

    def as_dict(self) -> dict[str, Any]:
        """Return all counts."""
        return {
            "records": self._loop.processed,
            "written": dict(sorted(self.written.items())),
            "deadlettered": self.dead_letters.total(),
            "partitions": self._loop.partitions,
            "rebalances": self._loop.rebalances,
            "undone": self._loop.undone,
            "transactions": self.transactions.count,
            "transaction_us": self.transactions.as_dict(),
        }

    def line(self) -> str:
        """Return the counts in one line."""
        held = _partition_words([partition for _, partition in self._loop.partitions])
        p50 = self.transactions.quantile_us(0.5)
        took = "" if p50 is None else f", a transaction takes {p50 / 1e3:.1f} ms"
        return "".join(
            (
                f"{self._loop.processed:,} records",
                "" if self._dispatcher is None else f", {self.written[self._predictions]:,} predictions",
                f", {dead:,} dead-lettered" if (dead := self.dead_letters.total()) else "",
                f", {held}{took}",
                ", the bus is away: waiting" if self._loop.is_away else "",
            )
        )

    def _committed(self, written: Sequence[Outgoing], took_ns: int) -> None:
        self.transactions.add(took_ns)
        counts = Counter(map(_TOPIC, written))
        self.written.update(counts)
        if not counts.keys() & {self._deadletter, self._alerts}:
            return
        for record in written:
            if record.topic == self._deadletter:
                self.dead_letters[DEADLETTER.decode(record.value).reason] += 1
            elif record.topic == self._alerts and self._dispatcher is not None:
                self._dispatcher.push(ALERTS.decode(record.value))


def open_worker(
    stage: str, settings: Settings, name: str | None, clock: Clock, sinks: Sequence[AlertSink] = ()
) -> Worker:
    """Open everything a worker needs; what was opened is closed again when something fails.

    Parameters
    ----------
    stage : str
        ``featurize`` or ``score``.
    settings : Settings
        The bus, the models, the feature set.
    name : str or None
        Of the worker among those of its stage: a static member of the group. None: any.
    clock : Clock
        Of the market.
    sinks : sequence of AlertSink
        Where alerts go beside the data directory's ``alerts.ndjson``.
    """
    home = Home(settings.data_dir)
    served = choose_models(home, settings)
    suffix = settings.topic_suffix
    if settings.bus == "embedded" or stage == "score":
        home.create()
    with ExitStack() as opening:
        reader = open_log(settings, home.log, clock)
        opening.callback(reader.close)
        written = [topic.name for topic in _WRITTEN[stage]]
        check_layout(reader, stage, SOURCES[stage].name, written, suffix)
        bus = open_log(settings, home.log, clock, name and f"{stage}.{name}{suffix}")
        opening.callback(bus.close)
        if isinstance(bus, EmbeddedLog):
            check_owner(bus, "the stages", home.root, suffix)
        made = _make_stage(stage, reader, served, settings, clock)
        loop = ExactlyOnce(
            bus,
            stage + suffix,
            [SOURCES[stage].name + suffix],
            made,
            clock,
            interval_s=settings.commit_interval_ms / 1e3,
        )
        dispatcher = None
        if stage == "score":
            _tell_unserved(settings, served)
            undelivered = home.root / "alerts-undelivered.ndjson"
            dispatcher = AlertDispatcher((*sinks, NdjsonSink(home.alerts)), undelivered)
            opening.callback(dispatcher.close)
        return Worker(loop, opening.pop_all(), dispatcher, suffix)


def _make_stage(
    stage: str, reader: Log, served: Served, settings: Settings, clock: Clock
) -> ProductStage[Any]:
    if stage == "featurize":
        return FeaturizeStage(reader, get_tick_set(served.feature_set), suffix=settings.topic_suffix)
    home = Home(settings.data_dir)
    return ScoreStage(
        reader,
        served.bundles,
        PriceScales(settings.price_decimals),
        lambda bundle: alert_policy(bundle, settings),
        clock,
        suffix=settings.topic_suffix,
        challengers=served.challengers,
        expiry_days=settings.model_expiry_days,
        changes=StandingWatch(home, settings, served, served.keeps_regime()).poll,
        on_shelf=partial(on_shelf, home),
    )


def _tell_unserved(settings: Settings, served: Served) -> None:
    without = [product for product in settings.products if product not in served.bundles]
    if without:
        log.warning("no model: rows are read, and nothing is predicted", products=", ".join(without))


def market_clock(settings: Settings) -> Clock:
    """Return the clock of the market as the settings want it."""
    return RecordClock() if settings.market_clock == "records" else SystemClock()


def _partition_words(held: list[int]) -> str:
    if not held:
        return "no partition"
    return f"partition{'s' if len(held) > 1 else ''} {', '.join(map(str, held))}"
