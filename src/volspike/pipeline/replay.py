"""Archive to feature rows: every session in replay order, through the code that runs live."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from volspike.errors import FeatureError
from volspike.exchange.products import PriceScales
from volspike.features.columns import FeatureSet
from volspike.features.sets import get_feature_set
from volspike.features.store import FeatureWriter, stored_kinds
from volspike.features.table import FeatureTable
from volspike.pipeline.batch import BatchStages
from volspike.pipeline.home import Home
from volspike.pipeline.ingest import Ingest
from volspike.recording.lock import WriterLock
from volspike.recording.reader import Archive, SessionInfo

PROGRESS_FRAMES = 5_000
Progress = Callable[[int], None]
WriterKey = tuple[str, str, str]


def replay_tables(
    archive: Archive, ingest: Ingest, feature_set: FeatureSet, progress: Progress
) -> Iterator[FeatureTable]:
    """Yield the feature rows of a whole archive in tables; memory is flat at any length.

    Parameters
    ----------
    archive : Archive
        Read in replay order.
    ingest : Ingest
        Fresh; keeps the accounts.
    feature_set : FeatureSet
        Which features.
    progress : callable
        Told now and then how many more frames were read.
    """
    stages = BatchStages(feature_set)
    for session in archive.sessions():
        ingest.begin(session.header)
        yield from session_tables(archive, session, ingest, stages, progress)
    yield from stages.rest()


def session_tables(
    archive: Archive,
    session: SessionInfo,
    ingest: Ingest,
    stages: BatchStages,
    progress: Progress,
) -> Iterator[FeatureTable]:
    """Yield the tables that are filled by a session, which has begun, frame by frame."""
    pending = 0
    for frame in archive.frames(session):
        _, admitted = ingest.take(frame)
        yield from stages.add(admitted)
        pending += 1
        if pending == PROGRESS_FRAMES:
            progress(pending)
            pending = 0
    progress(pending)


def quick_tables(
    archive: Archive,
    ingest: Ingest,
    feature_set: FeatureSet,
    scales: PriceScales,
    progress: Callable[[int], None],
) -> Iterator[FeatureTable]:
    """Yield what ``replay_tables`` yields, in compiled code where numba is installed.

    Parameters
    ----------
    archive, ingest, feature_set, progress
        As of ``replay_tables``.
    scales : PriceScales
        Those of ``ingest``.
    """
    stages = BatchStages(feature_set)
    for session in archive.sessions():
        ingest.begin(session.header)
        yield from quick_session_tables(archive, session, ingest, stages, scales, progress)
    yield from stages.rest()


def quick_session_tables(
    archive: Archive,
    session: SessionInfo,
    ingest: Ingest,
    stages: BatchStages,
    scales: PriceScales,
    progress: Callable[[int], None],
) -> Iterator[FeatureTable]:
    """Yield what ``session_tables`` yields, in compiled code where numba is installed."""
    try:
        from volspike.pipeline.fast_replay import fast_session_tables
    except ModuleNotFoundError as error:
        if error.name != "numba":
            raise
        return session_tables(archive, session, ingest, stages, progress)
    return fast_session_tables(archive, session, ingest, stages, scales, progress)


def replay_features(
    home: Home, feature_set: FeatureSet, scales: PriceScales, progress: Progress
) -> dict[str, Any]:
    """Compute all stored features anew; the old ones stay until the new ones are whole.

    Returns
    -------
    dict
        ``frames``, ``ticks``, ``rows``, ``seconds``, ``ticks_per_second`` and the accounts.

    Raises
    ------
    ArchiveError
        If there is no archive, or another process stores rows of it.
    """
    archive = Archive(home.root)
    ingest = Ingest(scales)
    started_ns = time.perf_counter_ns()
    rows = 0
    with writing_rows(home), _replacing(home.features) as directory:
        writers: dict[WriterKey, FeatureWriter] = {}
        for table in quick_tables(archive, ingest, feature_set, scales, progress):
            _writer(writers, directory, feature_set, table).append(table)
            rows += len(table)
        for writer in writers.values():
            writer.close()
    seconds = (time.perf_counter_ns() - started_ns) / 1e9
    counts = ingest.accounting.as_dict()
    del counts["archived"]
    return {
        **counts,
        "corrupt": archive.corrupt,
        "marks": ingest.accounting.marks,
        "rows": rows,
        "seconds": seconds,
        "ticks_per_second": ingest.accounting.ticks / seconds if seconds else None,
    }


def stored_feature_set(home: Home, default: str) -> FeatureSet:
    """Return the feature set of the stored rows, or the default where none are stored."""
    sets = {name for _, _, name in stored_kinds(home.features)}
    if len(sets) > 1:
        raise FeatureError(
            str(home.features),
            f"it holds several feature sets: {', '.join(sorted(sets))}",
            "run volspike replay",
        )
    return get_feature_set(sets.pop() if sets else default)


def _writer(
    writers: dict[WriterKey, FeatureWriter], directory: Path, feature_set: FeatureSet, table: FeatureTable
) -> FeatureWriter:
    key = (table.product, table.feed, table.event_time_source)
    if key not in writers:
        writers[key] = FeatureWriter(
            directory, table.product, table.feed, feature_set, table.price_decimals, table.event_time_source
        )
    return writers[key]


@contextmanager
def writing_rows(home: Home) -> Iterator[None]:
    """Be the only one who writes feature files while the block runs; the archive may grow meanwhile.

    Raises
    ------
    ArchiveError
        If another process writes them.
    """
    lock = WriterLock(home.features_lock)
    try:
        yield
    finally:
        lock.release()


@contextmanager
def _replacing(directory: Path) -> Iterator[Path]:
    """Give a fresh directory that takes the place of ``directory`` when the block ends well."""
    fresh = directory.with_name(directory.name + ".new")
    old = directory.with_name(directory.name + ".old")
    try:
        for leftover in (fresh, old):
            if leftover.exists():
                shutil.rmtree(leftover)
        fresh.mkdir()
        yield fresh
        if directory.exists():
            os.rename(directory, old)
        os.rename(fresh, directory)
        shutil.rmtree(old, ignore_errors=True)
    except OSError as error:
        raise FeatureError(
            str(directory), f"can't be written ({error.strerror})", "check space and permissions"
        ) from None
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
