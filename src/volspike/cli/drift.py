"""``volspike drift``: has the market, the data or what the model says of it changed?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from volspike.cli.figures import age_text, count_text
from volspike.cli.mlflow_outbox import look_at_outbox
from volspike.cli.options import Product, Replay, Source, WithParent, above_zero
from volspike.cli.output import (
    AsJson,
    DataDir,
    cell_text,
    console,
    emit_json,
    failure_fields,
    say,
    show_pairs,
    show_table,
    tell,
)
from volspike.cli.times import minute_given

if TYPE_CHECKING:
    from volspike.config import Settings
    from volspike.monitoring.data_quality import Finding
    from volspike.monitoring.drift_page import QualityRow
    from volspike.monitoring.drift_verdict import ColumnVerdict
    from volspike.monitoring.evidently_report import EvidentlyColumn
    from volspike.pipeline.drifting import DriftReport, DriftRequest

MINUTE_NS = 60_000_000_000


def drift(
    data_dir: DataDir = None,
    compare: Annotated[
        Literal["early-late", "train-test", "recent"],
        typer.Option(help="recent: the champion's training span, or the one given, against the last hours."),
    ] = "early-late",
    hours: Annotated[
        float | None,
        typer.Option(
            help="Hours of the late or last window. (default: a twentieth of all)", callback=above_zero
        ),
    ] = None,
    reference_from: Annotated[
        str, typer.Option(help="Of recent: first minute or date of the reference, UTC.")
    ] = "",
    reference_until: Annotated[str, typer.Option(help="Of recent: the minute after its last, UTC.")] = "",
    product: Product = None,
    feed: Source = None,
    page: Annotated[
        Path | None,
        typer.Option(
            "--page", "--html", help="HTML page to write. (default: reports/drift-PRODUCT-FEED-COMPARE.html)"
        ),
    ] = None,
    fail_on_drift: Annotated[bool, typer.Option("--fail-on-drift", help="Exit 1 if there is drift.")] = False,
    bounded: Annotated[
        bool,
        typer.Option("--bounded", help="Give way to a job: in the time and memory of a retraining, or not."),
    ] = False,
    with_parent: WithParent = None,
    replay: Replay = False,
    as_json: AsJson = False,
) -> None:
    """Compare two windows of the stored rows: features, target, predictions and quality of the data."""
    if bounded:
        from volspike.pipeline.limits import one_thread

        one_thread()
    from volspike.config import load_settings
    from volspike.errors import DriftError
    from volspike.pipeline.drifting import DriftRequest
    from volspike.pipeline.parent import end_with

    end_with(with_parent)
    if compare == "train-test" and hours is not None:
        raise typer.BadParameter("the split decides how long the test part is", param_hint="--hours")
    span = _span(compare, reference_from, reference_until)
    settings = load_settings({"data_dir": data_dir})
    request = DriftRequest(compare, hours, span, product, feed, page)
    if replay:
        from volspike.pipeline.home import Home
        from volspike.pipeline.missing_rows import store_missing_rows

        say("storing rows that are only archived")
        store_missing_rows(Home(settings.data_dir), settings)
    report = (_in_bounds if bounded else _report)(settings, request)
    waiting = look_at_outbox(settings.data_dir, settings.mlflow_uri, sync=True)
    if waiting.words:
        say(f"WARNING: {waiting.words}")
    failure = None
    if fail_on_drift and report.has_drifted:
        subject = f"{report.dataset.product} on {report.dataset.feed}"
        failure = DriftError(subject, "it has drifted", f"see {report.files['page']}")
    if as_json:
        emit_json(report.as_dict() if failure is None else {**report.as_dict(), **failure_fields(failure)})
    else:
        show_drift(report)
    if failure is not None:
        tell(failure)
        raise SystemExit(1)


def _report(settings: Settings, request: DriftRequest) -> DriftReport:
    from volspike.clock import SystemClock
    from volspike.pipeline.drifting import DECIDE, report_drift
    from volspike.pipeline.home import Home

    return report_drift(Home(settings.data_dir), settings, request, SystemClock(), say, DECIDE)


def _in_bounds(settings: Settings, request: DriftRequest) -> DriftReport:
    from volspike.errors import ModelError, VolspikeError
    from volspike.pipeline.limits import bounded

    try:
        with bounded(settings.retrain_limit_s, settings.retrain_memory_mb, "report of drift"):
            return _report(settings, request)
    except VolspikeError:
        raise
    except Exception as error:  # libraries have errors of their own for what they are refused
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        remedy = "raise retrain_memory_mb, or lower retrain_days"
        raise ModelError("report of drift", reason, remedy) from error


def _span(compare: str, first: str, until: str) -> tuple[int, int] | None:
    """Return the first and the last event time (ns) of the reference; an end that is not given is open."""
    if not first and not until:
        return None
    if compare != "recent":
        raise typer.BadParameter(
            "it goes with --compare recent", param_hint="--reference-from, --reference-until"
        )
    first_ns = minute_given(first, "--reference-from") * MINUTE_NS if first else 0
    until_ns = minute_given(until, "--reference-until") * MINUTE_NS if until else 2**62
    if until_ns <= first_ns:
        raise typer.BadParameter("it ends before it begins", param_hint="--reference-until")
    return first_ns, until_ns - 1


def show_drift(report: DriftReport) -> None:
    """Print the verdict, every column, and what of the data is worth a look."""
    pair, looks = report.pair, [row for row in report.quality if row.is_worth_a_look]
    before, now = pair.reference.name, pair.current.name
    show_pairs(f"{report.dataset.product} on {report.dataset.feed}: {now} against {before}", _facts(report))
    columns = ("column", "group", "our verdict", "score", "p", "Evidently's")
    show_table("\ncolumns", columns, _columns(report), 3)
    title = f"\nquality of the data: {len(looks)} of {len(report.quality)} checks are worth a look"
    show_table(title, ("check", "column", before, now), _looks(looks), 2)
    out = console()
    for words in _worth(report):
        out.print(words, markup=False)
    for words, names in _remarks(report).items():
        out.print(f"{', '.join(names)}: {words}", markup=False)
    for note in report.notes:
        out.print(f"note: {note}", markup=False)
    out.print(f"page: {report.files['page']}", markup=False, soft_wrap=True)


def _worth(report: DriftReport) -> list[str]:
    """Return what of the figures decides, and what does not."""
    from volspike.monitoring.drift_page import what_decides, what_evidently_saw
    from volspike.monitoring.evidently_report import WORTH

    pair, evidently = report.pair, report.evidently
    ours = [] if report.verdict is None else [what_decides(pair)]
    return ours if evidently is None else [*ours, f"{WORTH} {what_evidently_saw(evidently, pair)}"]


def _facts(report: DriftReport) -> dict[str, str]:
    facts = {
        window.name: f"{window.count_words}, over {window.hours:.1f} h, "
        f"{count_text(window.evidence.windows, 'separate minute')}, "
        f"{count_text(window.evidence.clusters, 'cluster')} of spikes"
        for window in (report.pair.reference, report.pair.current)
    }
    words = f": {report.verdict.words}" if report.verdict else ""
    return {**facts, "model": report.model or "none", "decision": report.decision + words}


def _looks(looks: list[QualityRow]) -> list[tuple[object, ...]]:
    """Return one line a check: of the columns that it found something in, the worst."""
    lines: list[tuple[object, ...]] = []
    for check in dict.fromkeys(row.check for row in looks):
        rows = [row for row in looks if row.check == check]
        worst = max(rows, key=lambda row: row.worst_share)
        others = f" and {len(rows) - 1} more" if len(rows) > 1 else ""
        lines.append((check, worst.column + others, _found(worst.reference), _found(worst.current)))
    return lines


def _found(finding: Finding | None) -> str | None:
    if finding is None or finding.found is None:
        return None
    if finding.check == "age":
        return age_text(finding.found)
    return f"{finding.found:,.0f} of {count_text(finding.of, finding.unit)}"


def _columns(report: DriftReport) -> list[tuple[object, ...]]:
    theirs = {column.name: column for column in report.evidently.columns} if report.evidently else {}
    ours = {column.name: column for column in report.verdict.columns} if report.verdict else {}
    rows: list[tuple[object, ...]] = []
    for column in report.columns:
        verdict, said = ours.get(column.name), theirs.get(column.name)
        shown = None if said is None else _evidently_told(said)
        told = (None, None, None) if verdict is None else (_told(verdict), verdict.score, verdict.p_value)
        rows.append((column.name, column.group, *told, shown))
    return rows


def _remarks(report: DriftReport) -> dict[str, list[str]]:
    """Return what is to be said of columns, and of which."""
    remarks: dict[str, list[str]] = {}
    for column in report.verdict.columns if report.verdict else ():
        if column.words:
            remarks.setdefault(column.words, []).append(column.name)
    return remarks


def _evidently_told(said: EvidentlyColumn) -> str:
    kind = "p " if said.measure == "p" else ""
    return f"{'drifted' if said.drifted else 'not drifted'} {kind}{cell_text(said.score)}"


def _told(verdict: ColumnVerdict) -> str:
    if verdict.status != "judged":
        return verdict.status
    return "drift" if verdict.drifted else "no drift"
