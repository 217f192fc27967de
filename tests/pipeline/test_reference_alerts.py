"""What the reference would have alerted follows the same rules as what is published."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from operator import attrgetter
from pathlib import Path

from volspike.alerts.dispatcher import AlertDispatcher
from volspike.alerts.policy import AlertPolicy
from volspike.bus.embedded import EmbeddedLog
from volspike.bus.writer import LogWriter
from volspike.exchange.products import PriceScales
from volspike.features.sets import get_feature_set
from volspike.labels.tau import TauSpec
from volspike.labels.trailing import TrailingState
from volspike.models.calibration import Scored
from volspike.pipeline.ingest import Ingest
from volspike.pipeline.live import LiveParts, LivePipeline, ProductScoring
from volspike.pipeline.log_guard import LogGuard
from volspike.pipeline.stage import FeatureStages
from volspike.recording.archive import ArchiveWriter
from volspike.recording.frame import SegmentHeader
from volspike.scoring.lineup import Lineup
from volspike.scoring.scoreboard import Scoreboard
from volspike.scoring.scorer import Scorer
from volspike.simulation.market import MarketBreak, MarketEvent, MarketTick
from volspike.simulation.scripted import exchange_frames
from volspike.testing.manual_clock import ManualClock

PRODUCT = "BTC-USD"
NS = 1_000_000_000
START_NS = 1_900_000_000 * NS
TICK_S = (*range(1, 80), *range(200, 280))  # a quiet, whole feed between


class Certain:
    """Expects a spike at every row."""

    name, version, feature_set, target = "certain", "1", "core", "rv"

    def predict(self, values: object, context: object) -> Scored:
        return Scored(0.9, 2.0, 1.0, 3.0)


class QuietMarket:
    """A tick a second, with two silent minutes."""

    products = (PRODUCT,)

    def events(self) -> Iterator[MarketEvent]:
        yield MarketBreak("start", START_NS)
        for i, second in enumerate(TICK_S):
            bid = 2_000_000 + i % 7
            yield MarketTick(PRODUCT, START_NS + second * NS, bid, bid + 1, bid, 2, "buy", 1, 1, 1, 1_000 + i)


def live(root: Path, closing: ExitStack) -> LivePipeline:
    clock = ManualClock()
    trailing = TrailingState(TauSpec(), 4.0, PriceScales().decimals(PRODUCT))

    def scoring(_product: str) -> ProductScoring:
        return ProductScoring(Scorer(Lineup(Certain(), Certain()), trailing, clock), Scoreboard())

    archive = ArchiveWriter(root, clock)
    closing.callback(archive.close)
    records = LogGuard(LogWriter(EmbeddedLog(root / "log.db", clock)))
    closing.callback(records.close)
    stages = FeatureStages(get_feature_set("core"), root / "features")
    closing.callback(stages.close)
    dispatcher = AlertDispatcher((), root / "undelivered.ndjson")
    closing.callback(dispatcher.close)
    parts = LiveParts(
        archive=archive,
        ingest=Ingest(PriceScales()),
        stages=stages,
        clock=clock,
        records=records,
        dispatcher=dispatcher,
        header=lambda session: SegmentHeader(
            feed="exchange", dialect="exchange", session=session, products=(PRODUCT,), heartbeats=True
        ),
        make_scoring=scoring,
        policies={PRODUCT: AlertPolicy("certain", 0.5, 0.3)},
        reference_policies={
            PRODUCT: AlertPolicy("certain", 0.5, 0.3, probability=attrgetter("reference_p_spike"))
        },
    )
    return LivePipeline(parts)


def test_silence_closes_an_alert_of_the_reference_too(tmp_path: Path) -> None:
    with ExitStack() as closing:
        pipeline = live(tmp_path, closing)
        pipeline.begin("s")
        for now_ns, frame in exchange_frames(QuietMarket(), 7, START_NS + 290 * NS):
            pipeline.frame("s", now_ns, frame, 0)
        board = pipeline.scoring[PRODUCT].board
    published = board.model_alerts.graded(START_NS)
    assert [span.close_second is None for span in published] == [False, True]
    assert board.reference_alerts.graded(START_NS) == published
