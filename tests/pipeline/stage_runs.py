"""A market on ``ticks.raw``, the stages run over it with interruptions, and what came of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace

import msgspec

from volspike.alerts.policy import AlertPolicy
from volspike.bus.embedded import EmbeddedLog
from volspike.bus.port import Log, Outgoing
from volspike.bus.topics import ALERTS, FEATURES, OUTCOMES, PREDICTIONS, TICKS
from volspike.bus.transactions import ExactlyOnce
from volspike.clock import Clock
from volspike.exchange.products import PriceScales
from volspike.features.columns import FeatureSet
from volspike.features.sets import get_feature_set
from volspike.models.bundle import Bundle
from volspike.models.calibration import Scored
from volspike.models.manifest import TauEntry
from volspike.pipeline.featurize_stage import FeaturizeStage
from volspike.pipeline.score_stage import ScoreStage
from volspike.records import FeatureRow, Mark, Record, Tick
from volspike.scoring.lineup import NEVER_TRAINED
from volspike.simulation.market import MarketTick
from volspike.simulation.synthetic import SyntheticMarket
from volspike.testing.crash_point import CrashError
from volspike.testing.manual_clock import ManualClock

NS = 1_000_000_000
CORE = get_feature_set("core")
PAIRS = ("BTC-USD", "ETH-USD")
PRODUCTS = (*PAIRS, *(f"{pair}{n}" for pair in PAIRS for n in range(5)))
SCALES = PriceScales(dict.fromkeys(PRODUCTS, 2))
BATCH_ROWS = 97
POINTS = (
    "stage.polled",
    "stage.restored",
    "stage.processed",
    "stage.state",
    "stage.hand_over",
    "bus.append.begun",
    "bus.append.inserted",
    "bus.append.before_commit",
    "bus.append.committed",
)


class RvPredictor:
    """The probability is rv's share of rv + tau."""

    feature_set = "core"
    target = "rv"

    def __init__(self, name: str) -> None:
        self.name, self.version = name, "1"

    def predict(self, values, context) -> Scored:
        rv_bps = context.rv_bps
        return Scored(rv_bps / (rv_bps + context.tau_bps), rv_bps + 1.0, rv_bps, rv_bps + 2.0)


def bundle(product: str) -> Bundle:
    manifest = SimpleNamespace(
        name="tiny",
        version="1",
        product=product,
        feed="exchange",
        feed_dependent=False,
        feature_set="core",
        increment=0.01,
        training=SimpleNamespace(span_ns=NEVER_TRAINED),
        tau=TauEntry(mode="adaptive", quantile=0.9, floor_bps=1.0, fixed_bps=4.0),
    )
    return Bundle(manifest, {}, RvPredictor("tiny"), RvPredictor("reference"))


def policy(_: object = None) -> AlertPolicy:
    return AlertPolicy("tiny", 0.4, 0.35, cooldown_s=20, hold_s=3)


def market(
    duration_s: int = 450, seed: int = 7, breaks_s: Sequence[float] = (140.0,), copies: int = 1
) -> list[Tick | Mark]:
    """Return two products (or copies of them) with sweeps under one stamp, quiet marks and breaks."""
    records: list[Tick | Mark] = []
    covered: dict[str, int] = {}
    newest: dict[str, int] = {}
    start_ns = 0
    for seq, event in enumerate(SyntheticMarket(seed, duration_s=duration_s).events()):
        if not isinstance(event, MarketTick):
            start_ns = event.resume_ns
            continue
        for product, last_ns in newest.items():
            if event.event_ns - last_ns > 2 * NS:
                newest[product] = event.event_ns - NS
                records.append(
                    Mark(
                        product=product,
                        feed="exchange",
                        session="s",
                        event_ns=newest[product],
                        covered_since_ns=covered[product],
                        archive_seq=seq,
                        archive_row=0,
                    )
                )
        name, stretch = event.product, sum(event.event_ns >= start_ns + b * NS for b in breaks_s)
        if covered.get(name, 0) < start_ns + (breaks_s[stretch - 1] * NS if stretch else 0):
            covered[name] = event.event_ns
        newest[name] = event.event_ns
        records.append(
            Tick(
                product=name,
                feed="exchange",
                session=f"s{stretch}",
                event_ns=event.event_ns,
                covered_since_ns=covered[name],
                bid=event.bid,
                ask=event.ask,
                price_decimals=event.price_decimals,
                archive_seq=seq,
                archive_row=0,
                identity=f"{name}/{event.trade_id}",
                bid_size=event.bid_size,
                ask_size=event.ask_size,
                price=event.price,
                size=event.size,
                trade_id=event.trade_id,
                volume_24h=10**13 + seq * 10**6,
            )
        )
    if copies == 1:
        return records
    return [
        msgspec.structs.replace(record, product=f"{record.product}{n}")
        for record in records
        for n in range(copies)
    ]


def write(log: Log, records: Sequence[Record], suffix: str = "") -> None:
    for start in range(0, len(records), 500):
        log.append(
            [
                Outgoing(TICKS.name + suffix, record.product, TICKS.encode(record), record.event_ns)
                for record in records[start : start + 500]
            ]
        )


def featurize(log: Log, suffix: str = "", features: FeatureSet = CORE) -> FeaturizeStage:
    return FeaturizeStage(log, features, suffix=suffix)


def score(log: Log, clock: Clock, suffix: str = "") -> ScoreStage:
    bundles = {product: bundle(product) for product in PRODUCTS}
    return ScoreStage(log, bundles, SCALES, policy, clock, suffix=suffix)


class Runs:
    """Runs the stages on a log file, each as long as there is something to read.

    ``late_from`` and ``late_to``: offsets of ``ticks.features`` between which every prediction is late.
    """

    def __init__(self, path: Path, late: tuple[int, int] = (0, 0), features: FeatureSet = CORE) -> None:
        self.path = path
        self.features = features
        self.late = late
        self.crashes = 0
        self._logs: list[EmbeddedLog] = []

    def open(self, reached: Callable[[str], None] | None = None) -> EmbeddedLog:
        self._logs.append(EmbeddedLog(self.path, ManualClock(), reached=reached))
        return self._logs[-1]

    def close(self) -> None:
        for log in self._logs:
            log.close()

    def run(self, name: str, reached: Callable[[str], None] | None = None) -> bool:
        """Run a stage until it has read all; False if it crashed, and left everything as it was then."""
        clock, log = ManualClock(), self.open(reached)
        stage = featurize(log, features=self.features) if name == "featurize" else score(log, clock)
        topic = (TICKS if name == "featurize" else FEATURES).name
        try:
            loop = ExactlyOnce(
                log,
                name,
                [topic],
                stage,
                clock,
                batch_rows=BATCH_ROWS,
                poll_s=0.0,
                state_s=3.5,
                reached=reached,
            )
            while (offset := log.group_offset(name, topic) or 0) < log.end_offset(topic):
                clock.advance(NS)
                clock.set_market((1 << 62) if self.late[0] <= offset < self.late[1] else 0)
                loop.step()
            loop.close()
        except CrashError:
            self.crashes += 1
            return False
        return True


def outputs(log: Log) -> dict[str, list]:
    """Return all that was written, in order; predictions without their latency."""
    found: dict[str, list] = {}
    for topic in (FEATURES, PREDICTIONS, OUTCOMES, ALERTS):
        values = [record.value for record in log.read(topic.name, 0, 10**6)]
        if topic is PREDICTIONS:
            values = [msgspec.structs.replace(topic.decode(value), latency_ns=0) for value in values]
        found[topic.name] = values
    return found


def decoded(log: Log, topic) -> list:
    return [topic.decode(record.value) for record in log.read(topic.name, 0, 10**6)]


def rows_of(records: Sequence[FeatureRow | Mark]) -> list[FeatureRow]:
    return [record for record in records if isinstance(record, FeatureRow)]
