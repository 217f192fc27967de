"""Put the live job together from settings, and take it down in order."""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass
from itertools import count
from pathlib import Path
from typing import Any

from volspike.alerts.dispatcher import AlertDispatcher
from volspike.alerts.policy import AlertPolicy
from volspike.alerts.sinks import AlertSink, NdjsonSink
from volspike.bus.embedded import EmbeddedLog
from volspike.bus.writer import LogWriter
from volspike.clock import Clock
from volspike.config import Settings
from volspike.errors import DamagedLogError, ProtocolError, VolspikeError
from volspike.exchange.client import FeedClient
from volspike.exchange.connecting import check_address
from volspike.exchange.dialects import Dialect
from volspike.exchange.products import PriceScales
from volspike.features.sets import get_tick_set
from volspike.labels.trailing import TrailingState
from volspike.logs import get_logger
from volspike.models.bundle import Bundle
from volspike.pipeline.caretaking import Caretaking
from volspike.pipeline.catch_up import CatchUp, CaughtUp
from volspike.pipeline.clock_check import ClockCheck
from volspike.pipeline.home import Home
from volspike.pipeline.learned_store import keep_learned, resume_learned
from volspike.pipeline.live import LiveParts, LivePipeline, ProductScoring
from volspike.pipeline.log_guard import LogGuard
from volspike.pipeline.log_owner import check_owner
from volspike.pipeline.log_retention import forget_old
from volspike.pipeline.log_tail import newest_predictions
from volspike.pipeline.recovery import recover
from volspike.pipeline.replay import writing_rows
from volspike.pipeline.served_models import (
    P_SPIKE,
    Served,
    alert_policy,
    choose_models,
    lineup_of,
    warm_up,
)
from volspike.pipeline.session_header import header_maker
from volspike.pipeline.stage import FeatureStages
from volspike.pipeline.standing_watch import StandingWatch, Swap
from volspike.pipeline.stored_rows import StoredRows
from volspike.pipeline.trails import Trails
from volspike.recording.archive import ArchiveWriter
from volspike.recording.reader import Archive
from volspike.records import Prediction
from volspike.scoring.scoreboard import Scoreboard
from volspike.scoring.scorer import Scorer

log = get_logger()

WATCH_S = 1.0
KEEP_LEARNED_S = 300
PROBABILITIES = (P_SPIKE, "reference_p_spike")


@dataclass
class LiveJob:
    """A live job that is ready to run.

    Attributes
    ----------
    pipeline : LivePipeline
        What frames are given to.
    client : FeedClient
        What receives them.
    bundles : dict of str to Bundle
        The models served, by product.
    dialect : Dialect
        The feed's dialect.
    caught_up : CaughtUp
        What the start found undone by the job before.
    caretaking : Caretaking or None
        What looks after the models.
    """

    pipeline: LivePipeline
    client: FeedClient
    bundles: dict[str, Bundle]
    dialect: Dialect
    caught_up: CaughtUp
    caretaking: Caretaking | None
    _closing: ExitStack
    _settings: Settings
    _watch: StandingWatch
    _trails: Trails

    async def run(self, stop: asyncio.Event) -> None:
        """Receive until ``stop`` is set, then settle what is open."""
        beside = [asyncio.create_task(self._follow_standings())]
        if self.caretaking is not None:
            beside.append(asyncio.create_task(self.caretaking.run()))
        try:
            await self.client.run(stop)
        finally:
            self.pipeline.finish()
            self._keep_learned()
            for task in beside:
                task.cancel()
            await asyncio.gather(*beside, return_exceptions=True)

    async def _follow_standings(self) -> None:
        """Serve what was promoted, between two frames; it is loaded on another thread."""
        for second in count(1):
            await asyncio.sleep(WATCH_S)
            if second % KEEP_LEARNED_S == 0:
                self._keep_learned()
            for swap in await asyncio.to_thread(self._watch.poll):
                await self.serve(swap)

    def _keep_learned(self) -> None:
        for product, scoring in self.pipeline.scoring.items():
            keep_learned(Home(self._settings.data_dir).learned, product, scoring.scorer)

    async def serve(self, swap: Swap) -> None:
        """Predict a product by another model, or by its first one, from the next frame on."""
        if swap.product in self._trails.unserved:
            await self._trails.begin(swap)
        policies = [alert_policy(swap.bundle, self._settings, name) for name in PROBABILITIES]
        expiry_days = self._settings.model_expiry_days
        self.pipeline.serve(swap.product, lambda scorer: swap.give(scorer, expiry_days), policies)

    def close(self) -> None:
        """Drain the log and the alerts, finish files, let go of the archive."""
        self._closing.close()

    def as_dict(self) -> dict[str, Any]:
        """Return all counts under the names of the command line."""
        status = self.client.status
        manifests = {product: bundle.manifest for product, bundle in self.bundles.items()}
        only = next(iter(manifests.values())) if len(manifests) == 1 else None
        return {
            **self.pipeline.as_dict(),
            "reconnects": status.reconnects,
            "sessions": status.sessions,
            "session_ends": dict(status.reasons),
            "model": None if only is None else only.name,
            "model_version": None if only is None else only.version,
            "models": {product: f"{each.name} {each.version}" for product, each in manifests.items()},
            "caught_up": asdict(self.caught_up),
        }


def open_live(
    settings: Settings, clock: Clock, sinks: Sequence[AlertSink], url: str = "", *, tend: bool = False
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
    tend : bool
        Whether the models are looked after by a process beside the job.
    """
    home = Home(settings.data_dir)
    served = choose_models(home, settings)
    address = url or settings.exchange_url or served.dialect.url
    check_address(address)
    home.create()
    with ExitStack() as opening:
        try:
            pipeline, caught_up, watch, trails = _pipeline(home, settings, clock, sinks, served, opening)
        except (DamagedLogError, ProtocolError) as error:  # the latter: a record in the log is damaged
            opening.close()
            _set_aside(home.log, error)
            pipeline, caught_up, watch, trails = _pipeline(home, settings, clock, sinks, served, opening)
        client = FeedClient(
            served.dialect,
            address,
            settings.products,
            clock,
            random.Random(settings.seed),
            ClockCheck(pipeline, clock, pipeline.newest_ns(settings.products), f"data directory {home.root}"),
        )
        return LiveJob(
            pipeline,
            client,
            served.bundles,
            served.dialect,
            caught_up,
            Caretaking(settings, served.dialect.name, pipeline.tell) if tend else None,
            opening.pop_all(),
            settings,
            watch,
            trails,
        )


def _pipeline(
    home: Home,
    settings: Settings,
    clock: Clock,
    sinks: Sequence[AlertSink],
    served: Served,
    opening: ExitStack,
) -> tuple[LivePipeline, CaughtUp, StandingWatch, Trails]:
    scales = PriceScales(settings.price_decimals)
    archive = ArchiveWriter(home.root, clock)
    opening.callback(archive.close)
    opening.enter_context(writing_rows(home))
    stored = StoredRows(home, Archive(home.root))
    records = LogGuard(LogWriter(EmbeddedLog(home.log, clock)))
    opening.callback(records.close)
    feature_set = get_tick_set(served.feature_set)
    # A job that was told its model follows no promotion.
    trails = Trails(served, () if settings.model else settings.products, scales)
    with closing(EmbeddedLog(home.log, clock)) as past:
        check_owner(past, "run", home.root)
        catch_up = CatchUp(past, home.alerts, records.put)
        # A log or rows ahead of the archive (a power cut, a full disk) keep their positions for themselves.
        archive.last_seq = max(archive.last_seq, catch_up.logged_seq, stored.last_seq)
        ingest = recover(home, stored, feature_set, scales, trails.of_all(), catch_up)
        to_tell = catch_up.finish()
        newest = newest_predictions(past, served.bundles)
        forget_old(past, clock, settings)
    stages = FeatureStages(feature_set, home.features)
    opening.callback(stages.close)
    dispatcher = AlertDispatcher((*sinks, NdjsonSink(home.alerts)), home.root / "alerts-undelivered.ndjson")
    opening.callback(dispatcher.close)
    for alert in to_tell:
        dispatcher.push(alert)
    for bundle in (*served.bundles.values(), *served.challengers.values()):
        warm_up(bundle)
    parts = LiveParts(
        archive=archive,
        ingest=ingest,
        stages=stages,
        clock=clock,
        records=records,
        dispatcher=dispatcher,
        header=header_maker(served.dialect, settings.products),
        make_scoring=_scoring_maker(served, settings, trails.served, clock, newest),
        unserved=trails.follow,
        policies=_policies(served, settings, PROBABILITIES[0]),
        reference_policies=_policies(served, settings, PROBABILITIES[1]),
    )
    keeps_regime = {product: state.keeps_regime for product, state in trails.served.items()}
    watch = StandingWatch(home, settings, served, keeps_regime)
    return LivePipeline(parts), catch_up.counts, watch, trails


def _set_aside(path: Path, error: VolspikeError) -> None:
    """Rename a damaged log, with what SQLite keeps beside it."""
    for suffix in ("", "-wal", "-shm"):
        part = path.with_name(path.name + suffix)
        if part.exists():
            os.replace(part, part.with_name(part.name + ".damaged"))
    log.warning("the log is damaged; another is begun with the archive's last day", reason=str(error))


def _scoring_maker(
    served: Served,
    settings: Settings,
    trailing: Mapping[str, TrailingState],
    clock: Clock,
    newest: Mapping[str, Prediction],
) -> Callable[[str], ProductScoring | None]:
    def make(product: str) -> ProductScoring | None:
        if product not in trailing:
            return None
        bundle = served.bundles[product]
        lineup = lineup_of(bundle, served.challengers.get(product), settings.model_expiry_days)
        scorer = Scorer(lineup, trailing[product], clock)
        if product in newest:
            scorer.resume_band((newest[product],))
        resume_learned(Home(settings.data_dir).learned, product, scorer)
        return ProductScoring(scorer, Scoreboard())

    return make


def _policies(served: Served, settings: Settings, probability: str) -> dict[str, AlertPolicy]:
    return {
        product: alert_policy(bundle, settings, probability) for product, bundle in served.bundles.items()
    }
