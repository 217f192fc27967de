"""How scores are shown: the part that counts in few columns; with ``--all`` every part and figure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from volspike.cli.figures import short_text
from volspike.cli.output import cell_text, console, show_table

PARTS = ("test", "calibrate", "tune", "fit")
SHORT = (
    ("log_loss", "log-loss"),
    ("qlike", "QLIKE"),
    ("pr_auc", "PR-AUC"),
    ("reference_pr_auc", "ref."),
    ("lift", "lift"),
    ("clusters", "clusters"),
)
# Two tables, since one would not fit a terminal.
FULL = (
    (
        ("log_loss", "log-loss"),
        ("brier", "Brier"),
        ("qlike", "QLIKE"),
        ("pr_auc", "PR-AUC"),
        ("base_rate", "base"),
        ("lift", "lift"),
        ("reference_pr_auc", "ref."),
    ),
    (
        ("onset_pr_auc", "onset"),
        ("roc_auc", "ROC"),
        ("f1", "F1"),
        ("precision", "prec."),
        ("recall", "rec."),
        ("clusters", "clusters"),
        ("windows", "windows"),
    ),
)
LEGEND = (
    "* champion, ( ) reference, ! not enough data for any claim. Lower log-loss and QLIKE are better, higher "
    "PR-AUC is; lift = PR-AUC / base rate of spikes; ref. = PR-AUC of the reference."
)


def show_report(report: dict[str, Any], everything: bool = False) -> None:
    """Print the evaluation of every model: on the test part, or on every part that has rows."""
    scored = {name: _with_rows(parts) for name, parts in _sides(report).items()}
    parts = [part for part in PARTS if any(part in sides for sides in scored.values())]
    if everything:
        for index, columns in enumerate(FULL):
            _show("Scores" if index == 0 else "and", scored, parts[::-1], columns)
    elif parts:
        _show(f"Scores on the {parts[0]} part (--all: every part)", scored, parts[:1], SHORT)
    console().print(LEGEND, markup=False)
    _show_words(report)


def _sides(report: dict[str, Any]) -> dict[str, dict[str, dict[str, Any]]]:
    champion = report["champion"]
    models = {f"{name}{' *' if name == champion else ''}": parts for name, parts in report["models"].items()}
    return {**models, f"({report['reference']['name']})": report["reference"]["parts"]}


def _with_rows(parts: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {part: scores for part, scores in parts.items() if scores["rows"]}


def _show(
    title: str,
    scored: dict[str, dict[str, dict[str, Any]]],
    parts: list[str],
    columns: tuple[tuple[str, str], ...],
) -> None:
    several = len(parts) > 1
    rows = [
        (
            name,
            *((part.replace("calibrate", "calib."),) if several else ()),
            *(short_text(sides[part].get(field)) for field, _ in columns),
            "" if sides[part]["enough_data"] else "!",
        )
        for name, sides in scored.items()
        for part in parts
        if part in sides
    ]
    header = ("model", *(("part",) if several else ()), *(heading for _, heading in columns), "")
    show_table(title, header, rows, words=2 if several else 1)


def _shared_notes(notes: dict[str, list[str]]) -> dict[str, list[str]]:
    """Return the models that each note is about: most notes are about the data, and so about all."""
    shared: dict[str, list[str]] = {}
    for name, words in notes.items():
        for note in words:
            shared.setdefault(note, []).append(name)
    return shared


def _show_words(report: dict[str, Any]) -> None:
    tau = report["tau"]
    fixed, median = cell_text(tau["fixed_bps"]), cell_text(tau["median_bps"])
    console().print(f"tau: {tau['mode']}, fixed {fixed} bps, median {median} bps")
    _show_lines("From fit to test", (f"{name}: {words}" for name, words in report["gaps"].items()))
    not_fitted = report.get("not_fitted", {})
    _show_lines("Not fitted", (f"{name}: {reason}" for name, reason in not_fitted.items()))
    models = len(report["notes"])
    _show_lines(
        "Notes",
        (
            f"{'all models' if len(names) == models else ', '.join(names)}: {note}"
            for note, names in _shared_notes(report["notes"]).items()
        ),
    )
    _show_lines(
        "Leak audit",
        (
            f"{name}: {'ok' if check['passed'] else 'FAIL'}, {check['detail']}"
            for name, check in report["audit"]["checks"].items()
        ),
    )


def _show_lines(heading: str, lines: Iterable[str]) -> None:
    """Print lines under a heading; none, nothing."""
    out, shown = console(), list(lines)
    if shown:
        out.print(f"\n{heading}", style="bold")
    for line in shown:
        out.print(line, markup=False)
