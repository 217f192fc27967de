"""Progress bars on stderr, hidden where nobody looks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def counting(
    doing: str, unit: str, hidden: bool = False, total: int | None = None
) -> Iterator[Callable[[int], None]]:
    """Show a count that grows; yields the function to tell it how many more were done."""
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    from volspike.cli.output import console

    columns = [
        TextColumn("{task.description}"),
        BarColumn(bar_width=30),
        TextColumn("{task.completed:,.0f} " + unit),
        TimeElapsedColumn(),
    ]
    screen = console(stderr=True)
    with Progress(*columns, console=screen, transient=True, disable=hidden or not screen.is_terminal) as bar:
        task = bar.add_task(doing, total=total)
        yield lambda done: bar.advance(task, done)
