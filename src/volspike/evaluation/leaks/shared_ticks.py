"""Labels made of a column of this row or of a row close by: leaks 1, 2 and 3."""

from __future__ import annotations

import numpy as np

from volspike.evaluation.leaks.finding import Finding, Leak
from volspike.evaluation.leaks.rows import AuditRows
from volspike.evaluation.leaks.shift_search import Match
from volspike.features.window import SECOND_NS

NEXT_ROW = Leak("next-row label", (1, 3), "share of the label's ticks that the features hold too")
PRESENT = Leak("label is a feature", (2,), "agreement of the label with the feature")
NO_LABEL = "there is no label with 20 rows of each class: name its column with --label"


def next_row_label(rows: AuditRows, match: Match | None) -> Finding:
    """Look for a label that is a column of one of the next five rows.

    The figure is counted from the times: of the rows in the label's window (t' - 60 s, t'], where t' is the
    row the label is taken from, those that lie in the features' (t - 60 s, t] too.
    """
    if not _judged(rows):
        return NEXT_ROW.unknown(NO_LABEL)
    if match is None or match.shift <= 0:
        return NEXT_ROW.clean(
            0.0 if match is None else None, "no column of the next five rows makes the label"
        )
    shared = shared_frac(rows, match.shift)
    what = f"the label is {match.column} {match.where}"
    if shared == 0.0:
        return NEXT_ROW.clean(0.0, f"{what}, whose window begins after this row")
    return NEXT_ROW.found(
        shared,
        f"{what}: {shared:.1%} of its ticks are in this row's features already, so a score on it says how "
        "well the present is known, nothing of the minute to come",
    )


def feature_label(rows: AuditRows, match: Match | None) -> Finding:
    """Look for a label that is a column of its own row, or of one of the five rows before."""
    if not _judged(rows):
        return PRESENT.unknown(NO_LABEL)
    if match is None or match.shift > 0:
        return PRESENT.clean(None, "no column of this row or the five before makes the label")
    return PRESENT.found(
        match.agreement,
        f"the label is a threshold on {match.column} {match.where}, which the model is given: nothing is "
        "predicted",
    )


def shared_frac(rows: AuditRows, shift: int) -> float:
    """Return the share of the ticks of a later row's window that lie in the row's own window, the mean."""
    at = rows.sample[rows.sample + shift < len(rows)]
    at = at[rows.stretch[at + shift] == rows.stretch[at]]
    if not len(at):
        return 0.0
    later = at + shift
    first = rows.first_after(at, rows.time_ns[later] - round(rows.window_s * SECOND_NS))
    # Rows of one stamp count by position: a row's window ends with itself.
    return float(np.mean(np.maximum(later - shift - first + 1, 0) / (later - first + 1)))


def _judged(rows: AuditRows) -> bool:
    return rows.is_labelled or rows.target is not None
