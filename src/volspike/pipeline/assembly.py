"""Put the live job together from settings, and take it down in order."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path
from typing import Any

from volspike.alerts.dispatcher import AlertDispatcher
from volspike.alerts.policy import AlertPolicy
from volspike.alerts.sinks import AlertSink, NdjsonSink
from volspike.bus.embedded import EmbeddedLog
from volspike.bus.port import Retention
from volspike.bus.topics import TOPICS
from volspike.bus.writer import LogWriter
from volspike.clock import Clock
from volspike.config import Settings
from volspike.errors import ModelError
from volspike.exchange.client import FeedClient
from volspike.exchange.dialects import Dialect, get_dialect
from volspike.exchange.products import PriceScales
from volspike.features.sets import get_feature_set
from volspike.labels.tau import TauSpec
from volspike.labels.trailing import TrailingState
from volspike.models.bundle import Bundle, check_fits
from volspike.models.shelf import CHAMPION_FILE
from volspike.pipeline.home import Home
from volspike.pipeline.judging import open_model
from volspike.pipeline.live import LiveParts, LivePipeline, ProductScoring
from volspike.pipeline.log_guard import LogGuard
from volspike.pipeline.recovery import recover
from volspike.pipeline.stage import FeatureStages
from volspike.pipeline.training import LIVE_TARGET
from volspike.recording.archive import ArchiveWriter
from volspike.recording.frame import SegmentHeader
from volspike.records import Tick
from volspike.scoring.scoreboard import Scoreboard
from volspike.scoring.scorer import Scorer

HOUR_NS = 3_600_000_000_000


def open_champion(home: Home, settings: Settings) -> Bundle | None:
    """Return the model to serve; None where none was asked for and none has been trained."""
    if not settings.model and not (home.models / CHAMPION_FILE).exists():
        return None
    return open_model(home, settings.model)


def choose_dialect(settings: Settings, bundle: Bundle | None) -> Dialect:
    """Return the dialect asked for; by default the one the model was trained on, else Exchange.

    Raises
    ------
    ModelError
        If the model can't serve the dialect asked for.
    """
    if settings.dialect != "auto":
        dialect = get_dialect(settings.dialect)
    elif bundle is not None and bundle.manifest.feed_dependent:
        dialect = get_dialect(bundle.manifest.feed)
    else:
        dialect = get_dialect("exchange")
    if bundle is not None:
        manifest = bundle.manifest
        check_fits(manifest, dialect.name, manifest.product, manifest.feature_set)
        if manifest.product not in settings.products:
            raise ModelError(
                f"model {manifest.name} {manifest.version}",
                f"it was trained on {manifest.product}, which is not among {', '.join(settings.products)}",
                f"watch {manifest.product} too, or train another",
            )
        if manifest.target != LIVE_TARGET:
            raise ModelError(
                f"model {manifest.name} {manifest.version}",
                f"its target {manifest.target} is for study, not for live use",
                "train with --target rv",
            )
    return dialect


@dataclass
class LiveJob:
    """A live job that is ready to run.

    Attributes
    ----------
    pipeline : LivePipeline
        What frames are given to.
    client : FeedClient
        What receives them.
    bundle : Bundle or None
        The model served.
    dialect : Dialect
        The feed's dialect.
    """

    pipeline: LivePipeline
    client: FeedClient
    bundle: Bundle | None
    dialect: Dialect
    _closing: ExitStack

    async def run(self, stop: asyncio.Event) -> None:
        """Receive until ``stop`` is set, then settle what is open."""
        try:
            await self.client.run(stop)
        finally:
            self.pipeline.finish()

    def close(self) -> None:
        """Drain the log and the alerts, finish files, let go of the archive."""
        self._closing.close()

    def as_dict(self) -> dict[str, Any]:
        """Return all counts under the names of the command line."""
        status = self.client.status
        return {
            **self.pipeline.as_dict(),
            "reconnects": status.reconnects,
            "sessions": status.sessions,
            "session_ends": dict(status.reasons),
            "model": None if self.bundle is None else self.bundle.manifest.name,
            "model_version": None if self.bundle is None else self.bundle.manifest.version,
        }


def open_live(
    settings: Settings, clock: Clock, sinks: Sequence[AlertSink], url: str = "", seed: int | None = None
) -> LiveJob:
    """Open everything a live job needs; what was opened is closed again when something fails.

    Parameters
    ----------
    settings : Settings
        What to watch and how.
    clock : Clock
        The clock of the feed.
    sinks : sequence of AlertSink
        Where alerts go beside the data directory's ``alerts.ndjson``.
    url : str
        Address of the feed; empty: the setting, else the dialect's production address.
    """
    home = Home(settings.data_dir)
    home.create()
    bundle = open_champion(home, settings)
    dialect = choose_dialect(settings, bundle)
    with ExitStack() as opening:
        parts, trailing = _parts(home, settings, clock, sinks, bundle, dialect, opening)
        pipeline = LivePipeline(parts)
        client = FeedClient(
            dialect,
            url or settings.exchange_url or dialect.url,
            settings.products,
            clock,
            random.Random(settings.seed if seed is None else seed),
            pipeline,
        )
        if bundle is not None:
            _warm_up(bundle, trailing)
        return LiveJob(pipeline, client, bundle, dialect, opening.pop_all())


def _parts(
    home: Home,
    settings: Settings,
    clock: Clock,
    sinks: Sequence[AlertSink],
    bundle: Bundle | None,
    dialect: Dialect,
    opening: ExitStack,
) -> tuple[LiveParts, dict[str, TrailingState]]:
    scales = PriceScales(settings.price_decimals)
    archive = ArchiveWriter(home.root, clock)
    opening.callback(archive.close)
    feature_set = get_feature_set(settings.feature_set if bundle is None else bundle.manifest.feature_set)
    trailing = {} if bundle is None else {bundle.manifest.product: _trailing(bundle, scales)}
    ingest = recover(home, feature_set, scales, trailing)
    stages = FeatureStages(feature_set, home.features)
    opening.callback(stages.close)
    records = LogGuard(LogWriter(_open_log(home.log, clock, settings)))
    opening.callback(records.close)
    dispatcher = AlertDispatcher((*sinks, NdjsonSink(home.alerts)), home.root / "alerts-undelivered.ndjson")
    opening.callback(dispatcher.close)
    parts = LiveParts(
        archive=archive,
        ingest=ingest,
        stages=stages,
        clock=clock,
        records=records,
        dispatcher=dispatcher,
        header=_header_maker(dialect, settings.products),
        make_scoring=_scoring_maker(bundle, trailing, clock),
        policy=None if bundle is None else _policy(bundle, settings, "p_spike"),
        reference_policy=None if bundle is None else _policy(bundle, settings, "reference_p_spike"),
    )
    return parts, trailing


def _open_log(path: Path, clock: Clock, settings: Settings) -> EmbeddedLog:
    log = EmbeddedLog(path, clock)
    kept_ns = int(settings.log_retention_hours * HOUR_NS)
    for topic in TOPICS:
        log.retain(topic, Retention(appended_before_ns=clock.market_ns() - kept_ns))
    return log


def _header_maker(dialect: Dialect, products: tuple[str, ...]) -> Callable[[str], SegmentHeader]:
    served = tuple(dict.fromkeys(dialect.served_as(product) for product in products))

    def header(session: str) -> SegmentHeader:
        return SegmentHeader(
            feed=dialect.name, dialect=dialect.name, session=session, products=served, heartbeats=True
        )

    return header


def _trailing(bundle: Bundle, scales: PriceScales) -> TrailingState:
    entry, product = bundle.manifest.tau, bundle.manifest.product
    spec = TauSpec(entry.mode, entry.quantile, entry.floor_bps)  # type: ignore[arg-type]  # checked there
    return TrailingState(spec, entry.fixed_bps, scales.decimals(product), scales.increment(product))


def _scoring_maker(
    bundle: Bundle | None, trailing: dict[str, TrailingState], clock: Clock
) -> Callable[[Tick], ProductScoring | None]:
    def make(tick: Tick) -> ProductScoring | None:
        state = trailing.get(tick.product)
        if bundle is None or state is None:
            return None
        return ProductScoring(Scorer(bundle.predictor, bundle.reference, state, clock), Scoreboard())

    return make


def _policy(bundle: Bundle, settings: Settings, probability: str) -> AlertPolicy:
    entry = bundle.manifest.alert
    opens = entry.open_at if settings.alert_open is None else settings.alert_open
    closes = min(entry.close_at, opens) if settings.alert_close is None else settings.alert_close
    # The thresholds were chosen without a hold, so that live duty and false alarms mean the same.
    return AlertPolicy(
        bundle.manifest.name,
        opens,
        closes,
        cooldown_s=settings.alert_cooldown_s,
        hold_s=0.0,
        probability=attrgetter(probability),
    )


def _warm_up(bundle: Bundle, trailing: dict[str, TrailingState]) -> None:
    """Run the compiled code once, so that the first tick does not wait for it."""
    context = next(iter(trailing.values())).context(1.0, 1.0)
    values = [1.0] * len(get_feature_set(bundle.manifest.feature_set).columns)
    bundle.predictor.predict(values, context)
    bundle.reference.predict(values, context)
