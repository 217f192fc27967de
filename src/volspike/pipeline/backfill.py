"""Minute candles into the data directory: from CSV files, or from the exchange, asking for what lacks."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec

from volspike.errors import FeedError, ImportFormatError, VolspikeError
from volspike.exchange.candle_client import MINUTES_A_REQUEST, SOURCE, Answer, CandleClient
from volspike.exchange.candles import MINUTE_NS, CandleTable
from volspike.exchange.decimals import format_time_ns
from volspike.features.candle_store import CandleStore, Span, spans_without
from volspike.pipeline.home import Home
from volspike.recording.candle_csv import read_candle_csv
from volspike.recording.file_system import OsFileSystem, make_directory
from volspike.recording.foreign_file import recording_files
from volspike.recording.lock import WriterLock

REQUESTS_A_WRITE = 10
"""Answers that are stored together: the most that a crash makes the next run ask for again."""

LOCK = "candles.lock"

Progress = Callable[[int], None]


class BackfillReport(msgspec.Struct, kw_only=True):
    """What a backfill brought in; ``lines`` = ``candles`` + all of ``rejected``.

    Attributes
    ----------
    files : int
        CSV files read.
    requests : int
        Requests sent.
    retries : dict of str to int
        Requests that were sent again, by the reason.
    lines : int
        Rows of files that are not blank, or of answers.
    candles : int
        Rows that are sound; those that were stored already with the same figures are neither added nor
        conflicting.
    added : int
        Minutes that are new.
    conflicting : int
        Minutes that were stored with other figures, which stay.
    rejected : dict of str to int
        Rows that can't be used, by reason.
    products : tuple of str
        Whose candles they are.
    first, last : str
        The earliest and latest minute stored of these products from this source, RFC 3339; empty without.
    missing_minutes : int
        Minutes between the first and last of each product that have no candle.
    notes : tuple of str
        What to look at before anything is trained on them.
    """

    files: int = 0
    requests: int = 0
    retries: dict[str, int] = {}
    lines: int = 0
    candles: int = 0
    added: int = 0
    conflicting: int = 0
    rejected: dict[str, int] = {}
    products: tuple[str, ...] = ()
    first: str = ""
    last: str = ""
    missing_minutes: int = 0
    notes: tuple[str, ...] = ()


class _Books:
    """Keeps the account, and the candles until they are saved."""

    def __init__(self, home: Home) -> None:
        self.report = BackfillReport()
        self._directory = home.candles
        self._rejected: Counter[str] = Counter()
        self._stores: dict[tuple[str, str], CandleStore] = {}

    def store(self, product: str, source: str) -> CandleStore:
        if (product, source) not in self._stores:
            self._stores[product, source] = CandleStore(self._directory, product, source)
        return self._stores[product, source]

    def add(self, table: CandleTable, rejected: Mapping[str, int], answered: Sequence[Span] = ()) -> None:
        self._rejected.update(rejected)
        self.report.lines += len(table) + sum(rejected.values())
        self.report.candles += len(table)
        added = self.store(table.product, table.source).add(table, answered)
        self.report.added += added.added
        self.report.conflicting += added.conflicting

    def save(self) -> None:
        for store in self._stores.values():
            store.save()

    def as_report(self) -> BackfillReport:
        tables = [store.table for store in self._stores.values()]
        filled = [table for table in tables if len(table)]
        self.report.rejected = dict(sorted(self._rejected.items()))
        self.report.products = tuple(sorted({table.product for table in filled}))
        if filled:
            self.report.first = format_time_ns(min(int(table.minute[0]) for table in filled) * MINUTE_NS)
            self.report.last = format_time_ns(max(int(table.minute[-1]) for table in filled) * MINUTE_NS)
        self.report.missing_minutes = sum(table.missing_minutes for table in filled)
        self.report.notes = tuple(self._notes())
        return self.report

    def _notes(self) -> Iterator[str]:
        if self.report.conflicting:
            files = ", ".join(store.path.name for store in self._stores.values())
            yield (
                f"{self.report.conflicting:,} minutes were stored with other figures, which stay: if the new "
                f"ones are right, remove {files} in {self._directory} and run it again"
            )
        for store in self._stores.values():
            jumps = store.table.jumps
            if len(jumps):
                yield (
                    f"{store.path.name}: the price moves beyond a factor of two within a day {len(jumps):,} "
                    f"times, first at {format_time_ns(int(jumps[0]) * MINUTE_NS)}: is it one product in one "
                    "unit? Models would be made of these moves"
                )


@contextmanager
def _sole_writer(home: Home) -> Iterator[None]:
    """Hold the lock of the candles; leave nothing behind where nothing was stored."""
    is_new = home.create()
    lock_path = home.candles / LOCK
    try:
        make_directory(OsFileSystem(), home.candles)
        lock = WriterLock(lock_path)
        try:
            yield
        finally:
            if list(home.candles.iterdir()) == [lock_path]:
                lock_path.unlink()
                home.candles.rmdir()
            lock.release()
    finally:
        if is_new and not any(home.root.iterdir()):
            home.root.rmdir()


def backfill_files(
    home: Home, paths: Sequence[Path], product: str, now: int, progress: Progress
) -> BackfillReport:
    """Bring in CSV files, or directories of them; nothing is stored unless every file can be read.

    Parameters
    ----------
    home : Home
        The data directory.
    paths : sequence of Path
        Files and directories; of one minute, what the earlier file says stays.
    product : str
        Of rows that name none; empty where they all do.
    now : int
        Minute since 1970 that is not over: a file knows nothing of it or of later ones.
    progress : callable
        Told now and then how many more candles were read.

    Raises
    ------
    ImportFormatError
        If a file can't be read or is none of candles, or nothing in them can be used.
    FeatureError, ArchiveError
        If what is stored can't be read, or the data directory can't be written.
    """
    files, _ = recording_files(paths, home.root)
    found = []
    for path in files:
        found.append(read_candle_csv(path, product, progress, now))
    if not any(len(table) for table, _ in found):
        reasons: Counter[str] = sum((Counter(rejected) for _, rejected in found), Counter())
        told = ", ".join(f"{reason} {count:,}" for reason, count in sorted(reasons.items()))
        raise ImportFormatError(str(paths[0]), f"no row can be used ({told})", "name files of minute candles")
    with _sole_writer(home):
        books = _Books(home)
        books.report.files = len(files)
        for table, rejected in found:
            books.add(table, rejected)
        books.save()
    return books.as_report()


class ExchangeBackfill:
    """Asks the exchange for the minutes that are not stored yet; made by ``open_backfill``.

    Parameters
    ----------
    home : Home
        The data directory.
    client : CandleClient
        Knows the exchange.
    products : sequence of str
        Whose candles, one after the other.
    span : tuple of (int, int)
        The minutes wanted.

    Attributes
    ----------
    failure : VolspikeError or None
        Why it ended early, other than by being stopped.
    """

    def __init__(self, home: Home, client: CandleClient, products: Sequence[str], span: Span) -> None:
        self._client = client
        self._books = _Books(home)
        self._missing = {
            product: spans_without(span, self._books.store(product, SOURCE).known) for product in products
        }
        self.failure: VolspikeError | None = None

    @property
    def minutes(self) -> int:
        """How many minutes are to be asked for."""
        return sum(end - first for spans in self._missing.values() for first, end in spans)

    @property
    def report(self) -> BackfillReport:
        """What there is so far."""
        report = self._books.as_report()
        report.requests, report.retries = self._client.requests, dict(self._client.retries)
        return report

    async def run(self, stop: asyncio.Event, progress: Progress) -> None:
        """Ask, and store what is answered, until there is nothing left to ask for or ``stop`` is set.

        Raises
        ------
        ArchiveError
            If the data directory can't be written.
        """
        try:
            async with self._client:
                for product, spans in self._missing.items():
                    await self._ask(product, spans, stop, progress)
        except FeedError as error:
            self.failure = error
        finally:
            self._books.save()

    async def _ask(
        self, product: str, spans: Sequence[Span], stop: asyncio.Event, progress: Progress
    ) -> None:
        for number, (first, end) in enumerate(_requests(spans), start=1):
            answer = await _unless(stop, self._client.candles(product, first, end))
            if answer is None:
                return
            self._books.add(answer.table, answer.rejected, [answer.answered])
            progress(end - first)
            if number % REQUESTS_A_WRITE == 0:
                self._books.save()
            if end >= answer.now:
                return  # whatever comes after is not over


@contextmanager
def open_backfill(
    home: Home, client: CandleClient, products: Sequence[str], span: Span
) -> Iterator[ExchangeBackfill]:
    """Open a backfill from the exchange, which is the only one of its data directory.

    Raises
    ------
    FeatureError, ArchiveError, ConfigError
        If what is stored can't be read, another backfill is running, or the directory can't be used.
    """
    with _sole_writer(home):
        yield ExchangeBackfill(home, client, products, span)


def _requests(spans: Sequence[Span]) -> Iterator[Span]:
    for first, end in spans:
        for begin in range(first, end, MINUTES_A_REQUEST):
            yield begin, min(begin + MINUTES_A_REQUEST, end)


async def _unless(stop: asyncio.Event, asking: Coroutine[None, None, Answer]) -> Answer | None:
    """Return the answer, or None if ``stop`` was set before it came."""
    tasks = asyncio.create_task(asking), asyncio.create_task(stop.wait())
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        return tasks[0].result() if tasks[0].done() else None
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
