"""The page in front of a drift report: the verdict, the data's quality and every column, in one HTML file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from volspike.exchange.decimals import format_time_ns
from volspike.monitoring.data_quality import Finding
from volspike.monitoring.drift_plots import HEIGHT, WIDTH, SmallPlot, plot_column
from volspike.monitoring.drift_verdict import JUDGED, ColumnVerdict, DriftVerdict
from volspike.monitoring.drift_windows import Window, WindowPair
from volspike.monitoring.evidently_report import WORTH, EvidentlyColumn, EvidentlyReport
from volspike.monitoring.watched import WatchedColumn

TEMPLATE = "drift_page.html.j2"
FOLDERS = ("monitoring", "evaluation")  # the style is that of evaluations
NONE = "–"
COMPARED = {
    "early-late": "what was stored first against what was stored last",
    "train-test": "the rows models are fitted on against those they are tested on",
    "recent": "the span the champion was trained on, or the one given, against the last hours",
}
DECIDES = (
    "What decides is our score: the largest of all columns against a threshold, both calibrated on blocks "
    "of {before} as long as {now}. Our p is the share of these blocks that score as high in one column "
    "alone; it decides nothing."
)
GROUP_NAMES = {"feature": "Features", "target": "Target", "prediction": "Predictions"}


@dataclass(frozen=True)
class About:
    """What the page says besides what was found.

    Attributes
    ----------
    product, feed, feature_set : str
        What the rows are of.
    model : str
        Whose predictions are compared; empty: none.
    made_ns : int
        When the page was made.
    links : dict of str to str
        Files beside the page, by what they are.
    notes : tuple of str
        What to know of it.
    """

    product: str
    feed: str
    feature_set: str
    model: str
    made_ns: int
    links: Mapping[str, str]
    notes: tuple[str, ...]


class ColumnRow(NamedTuple):
    """A column with its picture and what each side says of it."""

    column: WatchedColumn
    plot: SmallPlot
    ours: ColumnVerdict | None
    theirs: EvidentlyColumn | None


class QualityRow(NamedTuple):
    """A check with what it found in each window; None where it is not made."""

    check: str
    column: str
    reference: Finding | None
    current: Finding | None

    @property
    def is_worth_a_look(self) -> bool:
        """Tell whether either window is."""
        return any(side is not None and side.status == "look" for side in (self.reference, self.current))

    @property
    def worst_share(self) -> float:
        """Return the greater share that it found in a window."""
        sides = (side for side in (self.reference, self.current) if side is not None)
        return max((side.found / side.of for side in sides if side.found is not None), default=0.0)

    @property
    def words(self) -> str:
        """Return what the check counts."""
        side = self.current or self.reference
        return side.words if side else ""


def pair_findings(reference: Sequence[Finding], current: Sequence[Finding]) -> list[QualityRow]:
    """Return the findings of two windows side by side, the current window's order first."""
    before = {(finding.check, finding.column): finding for finding in reference}
    now = {(finding.check, finding.column): finding for finding in current}
    return [QualityRow(*key, before.get(key), now.get(key)) for key in {**now, **before}]


def render_drift_page(
    columns: Sequence[WatchedColumn],
    pair: WindowPair,
    quality: Sequence[QualityRow],
    verdict: DriftVerdict | None,
    evidently: EvidentlyReport | None,
    about: About,
) -> str:
    """Return the page.

    Parameters
    ----------
    columns, pair : sequence of WatchedColumn, WindowPair
        What was compared.
    quality : sequence of QualityRow
        Of both windows.
    verdict : DriftVerdict or None
        volspike's own; None where nobody decides.
    evidently : EvidentlyReport or None
        None where it could not be run.
    about : About
        What else is known.
    """
    from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=ChoiceLoader([PackageLoader("volspike", folder) for folder in FOLDERS]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    theirs = {column.name: column for column in evidently.columns} if evidently else {}
    rows = [
        ColumnRow(column, plot_column(column, pair), _ours(verdict, column.name), theirs.get(column.name))
        for column in columns
    ]
    context: dict[str, Any] = {
        "about": about,
        "compared": COMPARED[pair.compare],
        "compare": pair.compare,
        "made": format_time_ns(about.made_ns, 0).replace("T", " "),
        "windows": (pair.reference, pair.current),
        "span": _span,
        "verdict": verdict,
        "tone": verdict_tone(verdict, pair),
        "headline": headline(verdict, pair),
        "decides": what_decides(pair),
        "evidently": evidently,
        "evidently_worth": WORTH,
        "evidently_saw": what_evidently_saw(evidently, pair) if evidently else "",
        "groups": [(GROUP_NAMES[g], [r for r in rows if r.column.group == g]) for g in GROUP_NAMES],
        "looks": [row for row in quality if row.is_worth_a_look],
        "row_checks": [row for row in quality if not row.column],
        "column_checks": [row for row in quality if row.column],
        "width": WIDTH,
        "height": HEIGHT,
        "figure": figure,
        "judged": JUDGED,
        "plural": plural,
    }
    return environment.get_template(TEMPLATE).render(context)


def headline(verdict: DriftVerdict | None, pair: WindowPair) -> str:
    """Return the decision in a few words."""
    if pair.is_thin or (verdict is not None and verdict.score is None):
        return "Not enough data"
    if verdict is None:
        return "Not decided"
    return "Drift" if verdict.alarm else "No drift"


def what_decides(pair: WindowPair) -> str:
    """Return what a decision rests on, and what not."""
    return DECIDES.format(before=pair.reference.name, now=pair.current.name)


def what_evidently_saw(evidently: EvidentlyReport, pair: WindowPair) -> str:
    """Return how many rows of each window it was given: of a long one some of them, evenly spaced."""
    told = []
    for given, window in zip(evidently.rows, (pair.reference, pair.current), strict=True):
        some = given < len(window.rows)
        of = f"{given:,} of the {len(window.rows):,} rows, evenly spaced" if some else f"all {given:,} rows"
        told.append(f"of {window.name} {of}")
    return f"Evidently was given {'; '.join(told)}."


def verdict_tone(verdict: DriftVerdict | None, pair: WindowPair) -> str:
    """Return the style of the decision: calm only where it was decided that there is no drift."""
    return "enough" if headline(verdict, pair) == "No drift" else "thin"


def _ours(verdict: DriftVerdict | None, name: str) -> ColumnVerdict | None:
    return next((column for column in verdict.columns if column.name == name), None) if verdict else None


def _span(window: Window) -> str:
    if not len(window.rows):
        return "no row"
    first, last = (format_time_ns(ns, 0)[:16].replace("T", " ") for ns in (window.first_ns, window.last_ns))
    return f"{first} to {last} UTC"


def plural(count: int, noun: str, rest: str = "") -> str:
    """Return a count with its noun, in the plural unless there is one."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}{rest}"


def figure(value: float | None, digits: int = 4) -> str:
    """Return a figure to so many significant digits with a true minus, or a dash where there is none."""
    if value is None:
        return NONE
    text = f"{value:,.0f}" if 1_000.0 <= abs(value) < 1e9 else f"{value:.{digits}g}"
    return text.replace("-", "−")
