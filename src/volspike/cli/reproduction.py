"""The report of ``volspike reproduce`` as tables of figures and lines, for a terminal or a page."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from volspike.cli.output import cell_text

LABELS = {
    "next_row": "PR-AUC under the label as published, the next row",
    "future": "PR-AUC under the true label, the 60 s that follow",
}
PARTS = {"validation": "validation", "test": "test", "all": "whole recording"}
MODELS = {
    "zscore": "Z-score rule",
    "logistic": "logistic regression",
    "xgboost": "XGBoost",
    "persistence": "the std now, no model",
}
COUNTS = {"rows": "rows", "spikes": "spikes", "seconds": "seconds they span"}
LABEL_COUNTS = {"next_row": COUNTS, "future": {**COUNTS, "windows": "independent windows"}}
LEGEND = "! not enough data for any claim"


@dataclass(frozen=True)
class LabelTable:
    """One label's table: a title, and lines of a name and a cell for each of ``PARTS``."""

    title: str
    rows: list[tuple[object, ...]]


def title_of(report: dict[str, Any]) -> str:
    """Return what the report is of."""
    return f"{report['product']}, tau {report['tau']}: the same rows under two labels"


def tables_of(report: dict[str, Any]) -> list[LabelTable]:
    """Return the table of each label: PR-AUC of every model, guessing, and the counts."""
    return [_table(report, label, title) for label, title in LABELS.items()]


def remarks_on(report: dict[str, Any]) -> list[str]:
    """Return the legend, and which products were left out."""
    others = [name for name in report["products"] if not name.startswith(f"{report['product']} ")]
    return [LEGEND, *([f"Also recorded: {', '.join(others)}; --product chooses."] if others else [])]


def _table(report: dict[str, Any], label: str, title: str) -> LabelTable:
    counts, of_models = report["parts"][label], report[label]
    scores = [
        (name, *(_cell(_score(of_models[model], part)) for part in PARTS)) for model, name in MODELS.items()
    ]
    guessing = [_score(of_models["persistence"], part)["base_rate"] for part in PARTS]
    figures = [(name, *(counts[part][key] for part in PARTS)) for key, name in LABEL_COUNTS[label].items()]
    tau = "none" if counts["tau_bps"] is None else f"{cell_text(counts['tau_bps'])} bps a tick return"
    return LabelTable(f"{title}; tau {tau}", [*scores, ("guessing (share of spikes)", *guessing), *figures])


def _score(scores: dict[str, Any], part: str) -> dict[str, Any]:
    """Return a model's score on a part; nothing where it has none of it."""
    found: dict[str, Any] = scores if scores["part"] == part else scores.get(part, {"pr_auc": None})
    return found


def _cell(score: dict[str, Any]) -> str | None:
    """Return a PR-AUC to four decimals, with the mark where it can carry no claim."""
    if score["pr_auc"] is None:
        return None
    return f"{score['pr_auc']:.4f}{' ' if score['enough_data'] else '!'}"
