"""``volspike audit``: does the label, a feature or the split give the answer away?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from volspike.cli.options import CandleSource, Product, Source, above_zero, check_source
from volspike.cli.output import AsJson, DataDir, console, emit_json, failure_fields, show_table, tell

if TYPE_CHECKING:
    from volspike.errors import LeakError
    from volspike.evaluation.leaks.finding import Finding
    from volspike.pipeline.foreign_roles import Told
    from volspike.pipeline.leak_audit import LeakReport

LEGEND = (
    "leak: a score would say nothing of the future. can't tell: what would be needed is said. All of them: "
    "docs/leaks.md."
)


def audit(
    features: Annotated[
        Path | None,
        typer.Argument(help="Parquet or CSV file of feature rows, or a directory of volspike's own."),
    ] = None,
    label: Annotated[str, typer.Option(help="Column of the label, 0 and 1, or of its volatility.")] = "",
    next_row: Annotated[
        str, typer.Option(help="There is no label column: training takes this column of the next row.")
    ] = "",
    time: Annotated[str, typer.Option(help="Column of the times. (default: by its name)")] = "",
    columns: Annotated[
        str, typer.Option("--features", help="What the model sees, with commas. (default: all but prices)")
    ] = "",
    split: Annotated[str, typer.Option(help="Column that says train or test. (default: by its name)")] = "",
    train_frac: Annotated[
        float, typer.Option(help="Share of the rows that training sees.", min=0.05, max=0.95)
    ] = 0.7,
    window_s: Annotated[
        float, typer.Option(help="Seconds that features look back.", callback=above_zero)
    ] = 60.0,
    horizon_s: Annotated[
        float, typer.Option(help="Seconds that labels look ahead.", callback=above_zero)
    ] = 60.0,
    product: Product = None,
    feed: Source = None,
    source: CandleSource = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Look for leaks in feature rows with a label, anybody's or one's own; exit 1 if one is found."""
    from volspike.config import load_settings
    from volspike.pipeline.foreign_roles import Told
    from volspike.pipeline.leak_audit import audit_leaks

    check_source(source, feed)
    settings = load_settings({"data_dir": data_dir, "candle_source": source})
    named = tuple(filter(None, (name.strip() for name in columns.split(","))))
    told = Told(label, time, next_row, split, named, train_frac, window_s, horizon_s, settings.tau_quantile)
    _check_meant(features, told, product, feed)
    report = audit_leaks(features or settings.data_dir, settings, told, product, feed)
    failure = _failure(report)
    if as_json:
        emit_json(report.as_dict() | ({} if failure is None else failure_fields(failure)))
    else:
        _show(report)
    if failure is not None:
        tell(failure)
        raise SystemExit(1)


def _check_meant(features: Path | None, told: Told, product: str | None, feed: str | None) -> None:
    """Refuse options of a file where own rows are audited, and of own rows where a file is."""
    if features is not None and not features.is_dir():
        own = {"--product": product, "--feed": feed}
        if given := [name for name, value in own.items() if value is not None]:
            words = "it chooses among volspike's own rows, and this is a file"
            raise typer.BadParameter(words, param_hint=", ".join(given))
        return
    plain = dict(type(told)(tau_quantile=told.tau_quantile).options())
    if given := [name for name, value in told.options() if value != plain[name]]:
        words = "it says what a file's columns are; of volspike's own rows that is known"
        raise typer.BadParameter(words, param_hint=", ".join(given))


def _failure(report: LeakReport) -> LeakError | None:
    from volspike.errors import LeakError

    if not report.leaks:
        return None
    found = ", ".join(report.leaks)
    return LeakError(report.subject, f"leaks: {found}", "mend what the audit says before you believe a score")


def _show(report: LeakReport) -> None:
    from volspike.cli.figures import figure

    labelled = f"{report.labelled:,} labelled ({report.label})"
    title = f"{report.subject}: {report.rows:,} rows, {labelled}, base rate {figure(report.base_rate, '.3f')}"
    show_table(title, ("leak", "found", "number", "in words"), [_cells(f) for f in report.findings], words=4)
    console().print(LEGEND, markup=False)
    for note in report.notes:
        console().print(f"note: {note}", markup=False)


def _cells(finding: Finding) -> tuple[object, ...]:
    from rich.markup import escape

    from volspike.cli.figures import short_text

    status = f"[bold red]{finding.status}[/]" if finding.status == "leak" else finding.status
    return finding.leak, status, short_text(finding.figure), escape(finding.words)
