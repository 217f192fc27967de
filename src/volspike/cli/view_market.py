"""The market in the live view: a line a product, two in a narrow terminal; no number is ever cut."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from volspike.cli.figures import mid_text
from volspike.exchange.decimals import format_time_ns
from volspike.features.sets import get_feature_set
from volspike.pipeline.assembly import LiveJob
from volspike.records import FeatureRow, Prediction

TWO_LINES_BELOW = 96
BAR_CELLS = 16
# What all columns but the bar take.
FIXED_CELLS = 96
HOUR_NS = 3_600_000_000_000
CAPTION = "basis points over a minute; tau a: adaptive, f: fixed, for want of history"
COLUMNS = (
    ("product", 8),
    ("UTC", 8),
    ("mid", 10),
    ("now", 6),
    ("next 60 s", 9),
    ("90 % band", 13),
    ("tau", 8),
    ("p(spike)", 8),
)


def market_view(job: LiveJob, first_ns: Mapping[str, int], width: int) -> RenderableType:
    """Return the newest figures of every product.

    Parameters
    ----------
    first_ns : mapping of str to int
        Event time of each product's first row in this run.
    width : int
        Columns of the terminal.
    """
    rows = sorted(job.pipeline.newest.items())
    if not rows:
        return Text("no tick yet", "dim")
    table = Table(box=box.SIMPLE_HEAD, show_edge=False)
    narrow = width < TWO_LINES_BELOW
    columns = [column for column in COLUMNS if not (narrow and column[0] in ("UTC", "90 % band", "tau"))]
    for name, cells in columns:
        justify = "left" if name in ("product", "p(spike)") else "right"
        table.add_column(name, justify=justify, no_wrap=True, min_width=cells)  # type: ignore[arg-type]
    bar_cells = BAR_CELLS if narrow else max(0, min(BAR_CELLS, width - FIXED_CELLS))
    for product, row in rows:
        scoring = job.pipeline.scoring.get(product)
        newest = None if scoring is None else scoring.prediction
        current = newest if newest is not None and newest.event_ns == row.event_ns else None
        add = _two_lines if narrow else _one_line
        table.add_row(*add(product, row, current, bar_cells))
    return Group(table, Text(CAPTION, "dim"), *_notes(job, first_ns))


def _one_line(
    product: str, row: FeatureRow, newest: Prediction | None, bar_cells: int
) -> tuple[RenderableType, ...]:
    start = (product, _time(row), _mid(row), _now(row))
    return start if newest is None else (*start, *_next(newest), _probability(newest, bar_cells))


def _two_lines(
    product: str, row: FeatureRow, newest: Prediction | None, bar_cells: int
) -> tuple[RenderableType, ...]:
    start = (f"{product}\n{_time(row)}", _mid(row), _now(row))
    if newest is None:
        return start
    sigma, band, tau = _next(newest)
    below = Text(f"\ntau {tau}", "dim")
    return (*start, f"{sigma}\n{band}", _probability(newest, bar_cells).append_text(below))


def _next(newest: Prediction) -> tuple[str, str, str]:
    return (
        f"{newest.sigma_bps:.2f}",
        f"{newest.sigma_low_bps:.1f} - {newest.sigma_high_bps:.1f}",
        f"{newest.tau_bps:.2f} {newest.tau_source[0]}",
    )


def _time(row: FeatureRow) -> str:
    return format_time_ns(row.event_ns, 0)[11:19]


def _mid(row: FeatureRow) -> str:
    return mid_text((row.bid + row.ask) / (2 * 10**row.price_decimals))


def _now(row: FeatureRow) -> str:
    value = row.values[get_feature_set(row.feature_set).names.index("rv_60s")]
    return f"{value:.2f}" if row.complete and value is not None else ""


def _probability(newest: Prediction, bar_cells: int) -> Text:
    p = newest.p_spike
    filled = round(p * bar_cells)
    style = "red" if p >= 0.5 else "yellow" if p >= 0.2 else "green"
    return Text.assemble(f"{p:.3f} ", ("█" * filled, style), ("░" * (bar_cells - filled), "dim"))


def _notes(job: LiveJob, first_ns: Mapping[str, int]) -> Iterator[Text]:
    """Say why a product has no prediction, or what to think of the one it has."""
    for product, row in sorted(job.pipeline.newest.items()):
        hours = (row.event_ns - first_ns.get(product, row.event_ns)) / HOUR_NS
        scoring = job.pipeline.scoring.get(product)
        newest = None if scoring is None else scoring.prediction
        if scoring is None:
            recorded = f"recorded {hours:.1f} h in this run"
            yield Text(f"{product}: no model yet; {recorded}, {first_model_words(job, product)}")
        elif newest is None or newest.event_ns != row.event_ns:
            covered_s = min((row.event_ns - row.covered_since_ns) / 1e9, 60)
            words = f"{product}: window filling, {covered_s:.0f} of 60 s, {row.ticks} ticks"
            yield Text(words, "dim")
        elif newest.out_of_distribution or newest.stale:
            yield Text(f"{product}: {flags_text(newest)}", "yellow")


def first_model_words(job: LiveJob, product: str = "") -> str:
    """Return how a product comes by its first model."""
    if job.caretaking is None or not job.caretaking.first_after_hours:
        return "then volspike train"
    life = job.caretaking.lives.get(product)
    if life is not None and life.has_failed:
        return "its training has failed and is begun again: volspike models says why"
    return f"its first is trained after {job.caretaking.first_after_hours:g} h, or by volspike train"


def flags_text(newest: Prediction) -> str:
    """Return in words what a prediction is marked with; empty if nothing."""
    flags = {
        "unlike the rows of training": newest.out_of_distribution,
        "model past its expiry": newest.stale,
    }
    return ", ".join(words for words, is_set in flags.items() if is_set)
