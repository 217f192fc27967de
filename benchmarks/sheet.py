"""A table of several markets side by side, for the terminal and as Markdown."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from benchmarks.market_facts import Facts, Value
from volspike.cli.output import show_table
from volspike.evaluation.enough import MIN_WINDOWS

NOT_ENOUGH = "not enough data"
SHOWN_WINDOWS = 5


@dataclass(frozen=True)
class Sheet:
    """A titled table; every row begins with words."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""

    def show(self) -> None:
        """Print it."""
        show_table(self.title, self.columns, self.rows)
        if self.note:
            print(self.note)

    def markdown(self) -> str:
        """Return it as Markdown."""
        lines = [self.columns, ("---", *["---:"] * (len(self.columns) - 1)), *self.rows]
        table = "\n".join("| " + " | ".join(line) + " |" for line in lines)
        return "\n\n".join(part for part in (f"**{self.title}**", table, self.note) if part) + "\n"


def side_by_side(title: str, synthetic: Sequence[Facts], recorded: Mapping[str, Facts], note: str) -> Sheet:
    """Return the facts of the synthetic market, over its seeds, beside those of each recording."""
    rows = [
        (
            name,
            over_seeds([facts[name] for facts in synthetic]),
            *(cell(facts[name]) for facts in recorded.values()),
        )
        for name in synthetic[0]
    ]
    return Sheet(title, ("", "synthetic", *recorded), tuple(rows), note)


def cell(value: Value) -> str:
    """Format a statistic: marked ``!`` where it can carry no claim, and not at all where it says nothing."""
    if math.isnan(value.value) or value.windows < SHOWN_WINDOWS:
        return NOT_ENOUGH
    return number(value.value) + ("" if value.windows >= MIN_WINDOWS else "!")


def over_seeds(values: Sequence[Value]) -> str:
    """Format the statistic of several seeds: the middle one, with lowest and highest."""
    cells = [cell(value) for value in values]
    if NOT_ENOUGH in cells:
        return NOT_ENOUGH
    numbers = sorted(value.value for value in values)
    low, middle, high = (number(numbers[i]) for i in (0, len(numbers) // 2, -1))
    mark = "!" if any(each.endswith("!") for each in cells) else ""
    return f"{middle}{mark}" if len(numbers) == 1 else f"{middle}{mark} ({low}..{high})"


def number(value: float) -> str:
    """Format a number to two digits behind the point, or three figures where it is small or large."""
    if value == 0.0 or 0.1 <= abs(value) < 100.0:
        return f"{value:.2f}"
    return f"{value:,.0f}" if abs(value) >= 100.0 else f"{value:.2g}"
