"""Put an ingest together: connections, archive, and the publisher to the bus."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterable
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from volspike.bus.embedded import EmbeddedLog
from volspike.bus.opening import open_log
from volspike.bus.port import Log
from volspike.bus.topic_layout import check_layout
from volspike.bus.topics import DEADLETTER, GAPS, TICKS
from volspike.clock import Clock
from volspike.config import Settings
from volspike.errors import BusError, FencedError, UnavailableError, VolspikeError
from volspike.exchange.connecting import check_address
from volspike.exchange.connections import FeedConnections
from volspike.exchange.dialects import Dialect, get_dialect
from volspike.exchange.products import PriceScales
from volspike.exchange.session import FrameSink
from volspike.logs import get_logger
from volspike.pipeline.accounting import Accounting
from volspike.pipeline.archive_id import archive_id
from volspike.pipeline.archive_past import ArchivePast
from volspike.pipeline.clock_check import ClockCheck
from volspike.pipeline.frame_archive import FrameArchive
from volspike.pipeline.frame_records import FrameRecords
from volspike.pipeline.home import Home
from volspike.pipeline.ingest import Ingest
from volspike.pipeline.log_owner import check_owner
from volspike.pipeline.log_retention import forget_old
from volspike.pipeline.publish_position import PublishPosition
from volspike.pipeline.publisher import Publisher
from volspike.pipeline.recorder import Recorder
from volspike.pipeline.session_header import header_maker
from volspike.recording.archive import ArchiveWriter
from volspike.recording.reader import Archive

# Longest wait at the end for a bus that is away.
LAST_PATIENCE_S = 20.0
_WATCH_S = 0.25

log = get_logger()


@dataclass
class IngestJob:
    """An ingest that is ready to run.

    Attributes
    ----------
    connections : FeedConnections
        To the exchange.
    accounting : Accounting
        Of all connections.
    archive : FrameArchive
        Where frames go first.
    publisher : Publisher
        Where their records go then.
    feed : str
        Name of the feed.
    """

    connections: FeedConnections
    accounting: Accounting
    archive: FrameArchive
    publisher: Publisher
    feed: str
    _closing: ExitStack

    async def run(self, stop: asyncio.Event) -> None:
        """Receive until ``stop`` is set, or another process has taken over."""
        watch = asyncio.create_task(self._watch(stop))
        try:
            await self.connections.run(stop)
        finally:
            watch.cancel()

    async def _watch(self, stop: asyncio.Event) -> None:
        while not isinstance(self.publisher.failure, FencedError):
            await asyncio.sleep(_WATCH_S)
        stop.set()

    def close(self) -> None:
        """Publish what is left, and let go of the archive."""
        self.publisher.close(LAST_PATIENCE_S)
        self._closing.close()

    @property
    def failure(self) -> VolspikeError | None:
        """What was not kept, or not yet published."""
        if self.archive.failure is not None or self.publisher.failure is not None:
            return self.archive.failure or self.publisher.failure
        if not self.publisher.is_behind:
            return None
        known = self.publisher.seq >= 0
        published = f"published to {self.publisher.seq:,}" if known else "the bus was away all the time"
        reason = f"frames are archived to {self.archive.last_seq:,}, and {published}"
        return BusError("the bus", reason, "start ingest again when it is back: it goes on from there")

    def as_dict(self) -> dict[str, Any]:
        """Return all counts under the names of the command line."""
        statuses = self.connections.statuses
        return {
            **self.accounting.as_dict(),
            "marks": self.accounting.marks,
            "connections": len(statuses),
            "sessions": sum(status.sessions for status in statuses),
            "reconnects": sum(status.reconnects for status in statuses),
            "session_ends": self.connections.reasons,
            "published": self.publisher.published,
            "read_back": self.publisher.read_back,
            "outages": self.publisher.outages,
            "archived_to": self.archive.last_seq,
            "published_to": self.publisher.seq if self.publisher.seq >= 0 else None,
        }


def open_ingest(settings: Settings, name: str, products_per_connection: int, clock: Clock) -> IngestJob:
    """Open everything an ingest needs; what was opened is closed again when something fails.

    Parameters
    ----------
    settings : Settings
        What to watch, and the bus.
    name : str
        Of the ingest: its position on the bus goes by it, and of two of one name the later takes over.
    products_per_connection : int
        Most products on one connection.
    clock : Clock
        The clock of the feed.

    Raises
    ------
    VolspikeError
        Something is wrong that won't heal by waiting. A broker that is away is no failure: what is archived
        meanwhile is published when it is back.
    """
    home = Home(settings.data_dir)
    dialect = get_dialect("exchange" if settings.dialect == "auto" else settings.dialect)
    address = settings.exchange_url or dialect.url
    check_address(address)
    home.create()
    with ExitStack() as opening:
        writer = ArchiveWriter(home.root, clock)
        opening.callback(writer.close)
        note, own_id = home.published(name), archive_id(home.archive_id)
        position = PublishPosition(name, settings.topic_suffix, note, writer.last_seq, own_id)
        opener = _opener(settings, home, name, clock, position)
        _number_on(writer, _published_seq(opener, position, home, settings, clock))
        scales = PriceScales(settings.price_decimals)
        past = ArchivePast(Archive(home.root), scales, writer.last_seq)
        past.read()
        archive = FrameArchive(writer, past.ingest.accounting)
        publisher = Publisher(
            opener,
            position,
            _past_of(home.root, scales),
            writer.last_seq,
            suffix=settings.topic_suffix,
            pause_s=settings.commit_interval_ms / 1e3,
        )
        opening.callback(publisher.close, 0.0)
        make_sink = _sink_maker(settings, dialect, past.ingest, archive, publisher, clock, home)
        connections = FeedConnections(
            dialect,
            address,
            settings.products,
            clock,
            random.Random(settings.seed),
            make_sink,
            products_per_connection,
        )
        return IngestJob(
            connections, past.ingest.accounting, archive, publisher, dialect.name, opening.pop_all()
        )


def _opener(
    settings: Settings, home: Home, name: str, clock: Clock, position: PublishPosition
) -> Callable[[], Log]:
    def opened() -> Log:
        # Without a name first: a log with one drives out whoever writes under it.
        with closing(open_log(settings, home.log, clock)) as reader:
            check_layout(reader, "ingest", TICKS.name, [GAPS.name, DEADLETTER.name], settings.topic_suffix)
            position.check(reader)
        return open_log(settings, home.log, clock, f"ingest.{name}{settings.topic_suffix}")

    return opened


def _number_on(writer: ArchiveWriter, published_seq: int) -> None:
    """Have a position ahead of its archive (a power cut, files lost) keep its numbers for itself."""
    if published_seq > writer.last_seq:
        log.warning(
            "more frames are published than are archived; new ones are numbered behind both",
            published_to=published_seq,
            archived_to=writer.last_seq,
        )
        writer.last_seq = published_seq


def _published_seq(
    opener: Callable[[], Log], position: PublishPosition, home: Home, settings: Settings, clock: Clock
) -> int:
    """Return how far the bus says the archive is published, 0 while it is away."""
    try:
        with closing(opener()) as bus:
            if isinstance(bus, EmbeddedLog):
                check_owner(bus, "the stages", home.root, settings.topic_suffix)
                forget_old(bus, clock, settings)
            return position.load(bus)
    except UnavailableError as error:
        log.warning("the bus is away; frames are archived, and published when it is back", reason=str(error))
        return 0


def _past_of(root: Path, scales: PriceScales) -> Callable[[int, int], Iterable[FrameRecords]]:
    return lambda after, to: ArchivePast(Archive(root), scales, after).unpublished(to)


def _sink_maker(
    settings: Settings,
    dialect: Dialect,
    ingest: Ingest,
    archive: FrameArchive,
    publisher: Publisher,
    clock: Clock,
    home: Home,
) -> Callable[[tuple[str, ...]], FrameSink]:
    def make(products: tuple[str, ...]) -> FrameSink:
        recorder = Recorder(archive, ingest.beside(), publisher, header_maker(dialect, products))
        newest_ns = ingest.admission.newest_ns(products)
        return ClockCheck(recorder, clock, newest_ns, f"data directory {home.root}")

    return make
