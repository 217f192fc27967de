"""How verbs speak: one JSON object or tables on stdout, everything else on stderr."""

from __future__ import annotations

import json
import math
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from volspike.errors import VolspikeError

PLAIN_WIDTH = 140  # where output goes to a file or pipe

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout; logs go to stderr.")]


def _directory(text: str) -> Path:
    if not text:
        raise typer.BadParameter("it is empty: is a variable unset?")
    return Path(text)


DataDir = Annotated[
    Path | None,
    typer.Option(
        "--data-dir",
        help="Data directory. (default: volspike-data)",
        show_default=False,
        parser=_directory,
        metavar="PATH",
    ),
]


def emit_json(value: Any) -> None:
    """Print one JSON object on stdout; NaN and infinity become null."""
    sys.stdout.write(json.dumps(_plain(value), indent=2, allow_nan=False) + "\n")
    sys.stdout.flush()


def _plain(value: Any) -> Any:
    if isinstance(value, float):
        return value if value - value == 0 else None
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value


def console(stderr: bool = False) -> Console:
    """Return a rich console on stdout or stderr."""
    from rich.console import Console

    made = Console(stderr=stderr, highlight=False)
    if not made.is_terminal:
        made.width = PLAIN_WIDTH
    return made


def say(text: str) -> None:
    """Print a line for people on stderr."""
    console(stderr=True).print(text, markup=False)


def tell(failure: VolspikeError) -> None:
    """Print an expected failure on stderr, in one line."""
    sys.stderr.write(f"volspike: {' '.join(str(failure).split())}\n")


def failure_fields(failure: VolspikeError) -> dict[str, str]:
    """Return an expected failure as the keys of a JSON object."""
    return {"error": failure.reason, "subject": failure.subject, "remedy": failure.remedy}


def conclude(
    title: str, report: Mapping[str, object], as_json: bool, failure: VolspikeError | None = None
) -> None:
    """Print what a verb found; with a failure, tell that too and exit 1."""
    if as_json:
        emit_json(report if failure is None else {**report, **failure_fields(failure)})
    else:
        show_counts(title, report)
    if failure is not None:
        tell(failure)
        raise SystemExit(1)


def show_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]], words: int = 1) -> None:
    """Print a table on stdout; the first ``words`` columns are left-aligned, figures right."""
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0))
    for index, column in enumerate(columns):
        table.add_column(column, justify="left" if index < words else "right")
    for row in rows:
        table.add_row(*(cell_text(cell) for cell in row))
    _print_below(title, table)


def cell_text(cell: object) -> str:
    """Format a table cell: missing as a dash, floats to four digits or whole, counts with separators."""
    if cell is None:
        return "-"
    if isinstance(cell, bool):
        return "yes" if cell else "no"
    if isinstance(cell, int):
        return f"{cell:,}"
    if not isinstance(cell, float):
        return str(cell)
    return f"{cell:,.0f}" if 1_000 <= abs(cell) < math.inf else f"{cell:.4g}"


def show_counts(title: str, counts: Mapping[str, object]) -> None:
    """Print named counts, one a line, under words instead of keys; nested counts are listed in one cell."""
    show_pairs(title, {name.replace("_", " "): cell_text(_joined(value)) for name, value in counts.items()})


def show_pairs(title: str, pairs: Mapping[str, str] | Sequence[tuple[str, str]]) -> None:
    """Print named texts, one a line; long ones wrap in their column."""
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    for name, text in pairs.items() if isinstance(pairs, Mapping) else pairs:
        table.add_row(name, Text(text, overflow="fold"))
    _print_below(title, table)


def _print_below(title: str, table: Table) -> None:
    """Print a title, never broken in the middle of a path, and what belongs to it."""
    out = console()
    out.print(title, style="bold", markup=False, soft_wrap=True)
    out.print(table)


def _joined(value: object) -> object:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {cell_text(count)}" for name, count in value.items()) or "none"
    if isinstance(value, (list, tuple)):
        return ", ".join(_in_words(item) for item in value)
    return value


def _in_words(item: object) -> str:
    """Return a pair, such as a topic and a partition, as words."""
    return " ".join(map(str, item)) if isinstance(item, (list, tuple)) else str(item)


def program() -> str:
    """Return how this program can be started again: by its name where that is found, else by its path."""
    called = Path(sys.argv[0])
    if called.name == "__main__.py":
        return f"{sys.executable} -m volspike"
    found = shutil.which(called.name)
    return called.name if found and Path(found).resolve() == called.resolve() else str(called)


def configure_logging(level: str) -> None:
    """Show log lines from a level on."""
    import logging

    import structlog

    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()])
    )
