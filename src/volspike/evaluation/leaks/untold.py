"""Leaks that no rows can show: 9 and 10."""

from __future__ import annotations

from volspike.evaluation.leaks.finding import Finding, Leak

RETUNED = Leak("threshold retuned on test", (9,), "")
CHANGED = Leak("split changed until it pleased", (10,), "")


def untold() -> tuple[Finding, ...]:
    """Say of each of these what would tell."""
    return (
        RETUNED.unknown(
            "rows can't show it: the log of the runs would, if it names the rows the threshold was chosen on"
        ),
        CHANGED.unknown(
            "rows can't show it: a record of every run would, or a split fixed before the first score"
        ),
    )
