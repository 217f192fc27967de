"""How scores are shown: one row a model and part, the reference below, thin figures marked."""

from __future__ import annotations

from typing import Any

from volspike.cli.output import cell_text, console, show_table

COLUMNS = (
    ("log_loss", "log-loss"),
    ("brier", "Brier"),
    ("qlike", "QLIKE"),
    ("pr_auc", "PR-AUC"),
    ("base_rate", "base"),
    ("lift", "lift"),
    ("reference_pr_auc", "ref."),
    ("onset_pr_auc", "onset"),
    ("roc_auc", "ROC"),
    ("f1", "F1"),
    ("precision", "prec."),
    ("recall", "rec."),
    ("clusters", "cl."),
    ("windows", "win."),
)


def show_report(report: dict[str, Any]) -> None:
    """Print the evaluation of every model on every part."""
    rows = [
        (f"{name}{' *' if name == report['champion'] else ''}", part, *_cells(scores))
        for name, parts in report["models"].items()
        for part, scores in parts.items()
    ]
    rows += [
        (f"({report['reference']['name']})", part, *_cells(scores))
        for part, scores in report["reference"]["parts"].items()
    ]
    header = ("model", "part", *(title for _, title in COLUMNS))
    show_table("Scores: * champion, ( ) reference, ! not enough data for any claim", header, rows, words=2)
    _show_words(report)


def _shared_notes(notes: dict[str, list[str]]) -> dict[str, list[str]]:
    """Return the models that each note is about: most notes are about the data, and so about all."""
    shared: dict[str, list[str]] = {}
    for name, words in notes.items():
        for note in words:
            shared.setdefault(note, []).append(name)
    return shared


def _cells(scores: dict[str, Any]) -> list[object]:
    cells: list[object] = [_figure(scores.get(name)) for name, _ in COLUMNS]
    return cells if scores["enough_data"] else [*cells[:-1], f"{cells[-1]} !"]


def _figure(value: object) -> object:
    return f"{value:.3f}".replace("0.", ".", 1) if isinstance(value, float) else value


def _show_words(report: dict[str, Any]) -> None:
    out = console()
    tau = report["tau"]
    fixed, median = cell_text(tau["fixed_bps"]), cell_text(tau["median_bps"])
    out.print(f"tau: {tau['mode']}, fixed {fixed} bps, median {median} bps")
    for name, words in report["gaps"].items():
        out.print(f"{name}: {words}", markup=False)
    for name, reason in report.get("not_fitted", {}).items():
        out.print(f"{name}: {reason}", markup=False)
    for note, names in _shared_notes(report["notes"]).items():
        who = "all models" if len(names) == len(report["notes"]) else ", ".join(names)
        out.print(f"{who}: {note}", markup=False)
    for name, check in report.get("audit", {}).get("checks", {}).items():
        verdict = "ok" if check["passed"] else "FAIL"
        out.print(f"audit {name}: {verdict}, {check['detail']}", markup=False)
