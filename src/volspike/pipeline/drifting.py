"""The drift report of what is stored: windows, quality, verdict, Evidently's pages, and one of our own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from volspike.clock import Clock
from volspike.config import Settings
from volspike.errors import NotEnoughDataError
from volspike.evaluation.page import check_page, write_page
from volspike.exchange.candles import FEED as CANDLES
from volspike.exchange.candles import CandleTable
from volspike.exchange.decimals import format_time_ns
from volspike.features.store import NEWEST_NS, finished_files, newest_rows
from volspike.features.window import SECOND_NS
from volspike.labels.dataset import Dataset, join_datasets
from volspike.labels.splits import PURGE_S
from volspike.models.bundle import Bundle
from volspike.models.calibration import ScoredRows
from volspike.models.manifest import Manifest
from volspike.models.registry import queue_report
from volspike.models.standing import Entry, champions_for
from volspike.monitoring.data_quality import (
    StoredRows,
    check_age,
    check_columns,
    check_depth,
    check_rows,
    rows_of_candles,
    rows_of_table,
)
from volspike.monitoring.drift_page import About, QualityRow, headline, pair_findings, render_drift_page
from volspike.monitoring.drift_verdict import DriftScore, DriftVerdict
from volspike.monitoring.drift_windows import Compare, Window, WindowPair, choose_windows, current_ns
from volspike.monitoring.evidently_report import EvidentlyReport, make_evidently_report
from volspike.monitoring.feature_watch import watch_features
from volspike.monitoring.watched import WatchedColumn, watched_columns
from volspike.pipeline.home import Home
from volspike.pipeline.judging import open_model
from volspike.pipeline.stored_data import (
    ALL_NS,
    TRAILING_NS,
    Stored,
    stored_feed,
    stored_for,
    training_data,
)

Say = Callable[[str], None]
# What decides about drift, in the verb and on a schedule.
DECIDE: DriftScore = watch_features


@dataclass(frozen=True)
class DriftRequest:
    """What is to be compared, and where the page goes.

    Attributes
    ----------
    compare : {"early-late", "train-test", "recent"}
        See ``choose_windows``.
    hours : float or None
        Length of the current window.
    reference_ns : (int, int) or None
        First and last event time of the reference of ``recent``, ns; None: the champion's training span,
        without a champion all rows before the current window.
    product, feed : str or None
        Needed where several are stored.
    page : Path or None
        The HTML file; None: below the reports of the data directory, and of an alarm of ``recent`` a second
        time under a dated name. Evidently's files lie beside it.
    """

    compare: Compare = "early-late"
    hours: float | None = None
    reference_ns: tuple[int, int] | None = None
    product: str | None = None
    feed: str | None = None
    page: Path | None = None


@dataclass(frozen=True)
class DriftReport:
    """A drift report, and where its files are.

    Attributes
    ----------
    dataset : Dataset
        What was compared.
    pair : WindowPair
        The windows.
    model : str
        Name and version of the model whose predictions were compared; empty: none.
    columns : tuple of WatchedColumn
        The columns.
    quality : list of QualityRow
        Of both windows.
    verdict : DriftVerdict or None
        volspike's own.
    evidently : EvidentlyReport or None
        None where there is not enough data for it.
    files : dict of str to Path
        ``page``, and where it was run Evidently's ``drift``, ``summary`` and ``json``.
    notes : tuple of str
        What to know of it.
    """

    dataset: Dataset
    pair: WindowPair
    model: str
    columns: tuple[WatchedColumn, ...]
    quality: list[QualityRow]
    verdict: DriftVerdict | None
    evidently: EvidentlyReport | None
    files: dict[str, Path]
    notes: tuple[str, ...]

    @property
    def has_drifted(self) -> bool:
        """Tell whether volspike's own verdict is drift."""
        return self.verdict is not None and self.verdict.alarm

    @property
    def decision(self) -> str:
        """Return the decision in a few words."""
        return headline(self.verdict, self.pair).lower()

    @property
    def tags(self) -> dict[str, str]:
        """Return what the champion's run in MLflow is tagged with: the newest decision, and this one's."""
        return {"drift": self.decision, f"drift_{self.pair.compare.replace('-', '_')}": self.decision}

    def as_dict(self) -> dict[str, Any]:
        """Return the report under the names of the command line."""
        evidently, sides = self.evidently, (self.pair.reference.name, self.pair.current.name)
        return {
            "product": self.dataset.product,
            "feed": self.dataset.feed,
            "compare": self.pair.compare,
            "reference": self.pair.reference.as_dict(),
            "current": self.pair.current.as_dict(),
            "model": self.model,
            "decision": self.decision,
            "verdict": None if self.verdict is None else self.verdict.as_dict(),
            "quality": [
                {"window": name, **asdict(finding)}
                for row in self.quality
                for name, finding in zip(sides, (row.reference, row.current), strict=True)
                if finding is not None
            ],
            "evidently": None
            if evidently is None
            else {
                "groups": evidently.verdicts(),
                "columns": [asdict(column) for column in evidently.columns],
                "left_out": list(evidently.left_out),
                "rows": list(evidently.rows),
            },
            "files": {what: str(path) for what, path in self.files.items()},
            "notes": list(self.notes),
        }


@dataclass(frozen=True)
class _Compared:
    """What is compared: the dataset, the rows it was made of, and the champion with its predictions."""

    dataset: Dataset
    rows: StoredRows
    champion: Bundle | None
    scored: ScoredRows | None


def report_drift(
    home: Home,
    settings: Settings,
    request: DriftRequest,
    clock: Clock,
    say: Say,
    decide: DriftScore | None,
) -> DriftReport:
    """Compare two windows of what is stored, and write the pages; MLflow is to have them with the champion.

    Parameters
    ----------
    clock : Clock
        Dates the pages, and tells how old the newest row is.
    say : callable
        Told in words what is done next.
    decide : DriftScore or None
        Decides whether there is drift; with None nothing is decided, and the report says so.

    Raises
    ------
    NotEnoughDataError
        If nothing is stored that a row can be made of.
    ModelError
        If the champion is unusable, or there are several and none was chosen.
    """
    home.require()
    if request.page is not None:
        check_page(request.page)
    say("reading and labelling what is stored")
    stored = _compared(home, settings, request, say)
    dataset, champion = stored.dataset, stored.champion
    pair = _windows(dataset, request, champion)
    columns = watched_columns(dataset, stored.scored)
    quality = _quality(stored, columns, pair, clock.market_ns())
    verdict = _decided(decide, columns, pair, dataset)
    say("running Evidently")
    evidently = make_evidently_report(columns, pair, clock.market_ns())
    page = request.page or home.reports / f"{_stem(dataset, request)}.html"
    report = DriftReport(
        dataset=dataset,
        pair=pair,
        model="" if champion is None else f"{champion.manifest.name} {champion.manifest.version}",
        columns=columns,
        quality=quality,
        verdict=verdict,
        evidently=evidently,
        files=_file_names(page, evidently),
        notes=_notes(stored, pair, request.compare),
    )
    report = _write_all(report, home, request, clock.market_ns())
    if champion is not None:
        entry = Entry(champion.manifest.name, champion.manifest.version)
        queue_report(home.root, entry, report.files.values(), "drift", report.tags)
    return report


def _stem(dataset: Dataset, request: DriftRequest) -> str:
    return f"drift-{dataset.product}-{dataset.feed}-{request.compare}"


def _windows(dataset: Dataset, request: DriftRequest, champion: Bundle | None) -> WindowPair:
    """Choose the windows; ``recent`` without any span takes all that lies before the late one."""
    span_ns = request.reference_ns or (None if champion is None else champion.manifest.training.span_ns)
    has_reference = request.compare != "recent" or span_ns is not None
    return choose_windows(dataset, request.compare if has_reference else "early-late", request.hours, span_ns)


def _date(event_ns: int) -> str:
    """Return a time for the name of a file, to the second: 20260720T031005."""
    return format_time_ns(event_ns, 0)[:19].replace("-", "").replace(":", "")


def _compared(home: Home, settings: Settings, request: DriftRequest, say: Say) -> _Compared:
    """Read what is stored, as the champion takes it; without a champion as training would."""
    champion = _champion(home, request)
    if champion is None:
        found = training_data(home, settings, request.product, request.feed, say=say)
        return _Compared(found.dataset, _rows(found), None, None)
    parts = _parts(home, settings, request, champion.manifest, say)
    dataset = join_datasets([part.dataset for part in parts]) if len(parts) > 1 else parts[0].dataset
    rows = StoredRows.concat([_rows(part) for part in parts])
    return _Compared(dataset, rows, champion, champion.predictor.predict_batch(dataset))


def _rows(found: Stored) -> StoredRows:
    if isinstance(found.table, CandleTable):
        return rows_of_candles(found.dataset)
    return rows_of_table(found.table)


def _parts(
    home: Home, settings: Settings, request: DriftRequest, manifest: Manifest, say: Say
) -> list[Stored]:
    """Read what is compared: both windows where they are known beforehand, else all that is stored.

    Raises
    ------
    NotEnoughDataError
        If there is nothing of any of it.
    """
    parts: list[Stored] = []
    refused: NotEnoughDataError | None = None
    for span_ns in _spans(home, request, manifest):
        try:
            parts.append(
                stored_for(
                    home,
                    manifest,
                    settings.feature_set,
                    request.product,
                    request.feed,
                    settings.candle_source,
                    say,
                    span_ns=span_ns,
                )
            )
        except NotEnoughDataError as error:
            refused = error
    if not parts and refused is not None:
        raise refused
    return parts


def _spans(home: Home, request: DriftRequest, manifest: Manifest) -> list[tuple[int, int]]:
    """Return from when to when (event time, ns) rows have to be read, each with what trails behind it."""
    if request.compare != "recent" or manifest.feed == CANDLES or not finished_files(home.features):
        return [ALL_NS]
    product = request.product or manifest.product
    feed = request.feed or stored_feed(home, manifest, product)
    newest_ns = newest_rows(home.features, product, feed)[2]
    first_ns, last_ns = request.reference_ns or manifest.training.span_ns
    since_ns = max(0, first_ns - TRAILING_NS)
    until_ns = last_ns + PURGE_S * SECOND_NS  # the labels of its last rows
    current_since_ns = (
        newest_ns - current_ns(last_ns - first_ns, request.compare, request.hours) - TRAILING_NS
    )
    if current_since_ns <= until_ns:
        return [(since_ns, NEWEST_NS)]
    return [(since_ns, until_ns), (current_since_ns, NEWEST_NS)]


def _champion(home: Home, request: DriftRequest) -> Bundle | None:
    """Return the champion of what is asked for, if there is one."""
    product, feed = request.product, request.feed
    if not champions_for(home.models, product, feed):
        return None
    found = open_model(home, "", product, feed)
    own = found.manifest.feed
    serves = feed in (None, own) or not (found.manifest.feed_dependent or CANDLES in (feed, own))
    return found if serves else None


def _quality(
    stored: _Compared, columns: tuple[WatchedColumn, ...], pair: WindowPair, now_ns: int
) -> list[QualityRow]:
    """Check both windows; the age is that of the newest row of all."""
    dataset, scored = stored.dataset, stored.scored

    def findings(window: Window) -> tuple[Any, ...]:
        rows = stored.rows.between(window.first_ns, window.last_ns)
        depth = () if scored is None else (check_depth(scored.outside[window.rows]),)
        made = check_rows(rows, dataset.rows(window.rows))
        return (*made, *depth, *check_columns(columns, window.rows))

    newest_ns = int(stored.rows.event_ns.max()) if len(stored.rows.event_ns) else None
    age = check_age(newest_ns, now_ns, dataset.step_s)
    return pair_findings(findings(pair.reference), (age, *findings(pair.current)))


def _decided(
    decide: DriftScore | None, columns: tuple[WatchedColumn, ...], pair: WindowPair, dataset: Dataset
) -> DriftVerdict | None:
    if decide is None or pair.is_thin:
        return None
    before, now = pair.reference.rows, pair.current.rows
    second, names = dataset.second, [column.name for column in columns]
    reference, current = (
        np.column_stack([column.scaled(column.at(rows)) for column in columns]) for rows in (before, now)
    )
    return decide(second[before], reference, second[now], current, names)


def _notes(stored: _Compared, pair: WindowPair, asked: Compare) -> tuple[str, ...]:
    dataset, champion = stored.dataset, stored.champion
    notes = []
    if champion is None:
        notes.append("there is no champion, so no predictions are compared")
        if pair.compare != asked:
            notes.append("without its training span, the last hours are held against all that lies before")
    else:
        last_ns = champion.manifest.training.last_ns
        for window in (pair.reference, pair.current):
            known = int(np.count_nonzero(dataset.event_ns[window.rows] <= last_ns))
            if known:
                share = 100.0 * known / len(window.rows)
                notes.append(f"{share:.0f} % of {window.name} lies before the end of the model's training")
    if pair.is_thin:
        notes.append("a window has fewer than two rows: record longer, or choose other windows with --hours")
    return tuple(notes)


def _file_names(page: Path, evidently: EvidentlyReport | None) -> dict[str, Path]:
    files = {"page": page}
    if evidently is not None:
        ends = {"drift": "evidently.html", "summary": "evidently-summary.html", "json": "evidently.json"}
        files |= {what: page.with_name(f"{page.stem}-{end}") for what, end in ends.items()}
    return files


def _write_all(report: DriftReport, home: Home, request: DriftRequest, made_ns: int) -> DriftReport:
    """Write the pages; return the report with those that stay: the next one takes the place of the others."""
    _write(report, made_ns)
    if not (request.compare == "recent" and request.page is None and report.has_drifted):
        return report
    # What an alarm was raised on is kept.
    page = home.reports / f"{_stem(report.dataset, request)}-{_date(report.pair.current.last_ns)}.html"
    kept = replace(report, files=_file_names(page, report.evidently))
    _write(kept, made_ns)
    return kept


def _write(report: DriftReport, now_ns: int) -> None:
    """Write the pages, ours last: what it links to is there."""
    evidently, files = report.evidently, report.files
    if evidently is not None:
        write_page(files["drift"], evidently.drift_html)
        write_page(files["summary"], evidently.summary_html)
        write_page(files["json"], evidently.json)
    words = {"drift": "drift by column", "summary": "summary of the data", "json": "both as JSON"}
    about = About(
        product=report.dataset.product,
        feed=report.dataset.feed,
        feature_set=report.dataset.feature_set,
        model=report.model,
        made_ns=now_ns,
        links={words[what]: path.name for what, path in files.items() if what in words},
        notes=report.notes,
    )
    text = render_drift_page(report.columns, report.pair, report.quality, report.verdict, evidently, about)
    write_page(files["page"], text)
