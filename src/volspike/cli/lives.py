"""How the three lives of a walk-forward are shown: frozen, retrained and online, and their gains."""

from __future__ import annotations

from typing import Any

from volspike.cli.figures import short_text
from volspike.cli.output import console, show_table
from volspike.cli.scores import GAINS, gain_text

SCORES = (
    ("log_loss", "log-loss"),
    ("qlike", "QLIKE"),
    ("pr_auc", "PR-AUC"),
    ("onset_pr_auc", "onset"),
    ("clusters", "clusters"),
)
NAMES = {"frozen_log_har": "frozen log-HAR", "retrained_log_har": "retrained log-HAR"}


def show_lives(report: dict[str, Any]) -> None:
    """Print the scores of each life, and by how much one beats another."""
    lives = report["lives"]
    rows = [
        (
            NAMES.get(name, name),
            *(short_text(scores[field]) for field, _ in SCORES),
            "" if scores["enough_data"] else "!",
        )
        for name, scores in lives["scores"].items()
    ]
    console().print()
    show_table("Frozen, retrained, online", ("life", *(heading for _, heading in SCORES), ""), rows)
    enough = all(scores["enough_data"] for scores in lives["scores"].values())
    gains = [
        (_pair(name), *(gain_text(of[score], enough) for score in GAINS))
        for name, of in lives["gains"].items()
    ]
    console().print()
    show_table("Gains of one over another, and 95 % intervals", ("lives", *GAINS.values()), gains)


def _pair(name: str) -> str:
    ours, _, theirs = name.partition("_over_")
    return f"{NAMES.get(ours, ours)}\nover {NAMES.get(theirs, theirs)}"
