"""What one column scores alone, under the label given and under the label that the prices give."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from volspike.evaluation.leaks.contrast import won_frac
from volspike.evaluation.leaks.finding import Finding, Leak
from volspike.evaluation.leaks.rows import AuditRows, has_both
from volspike.evaluation.leaks.shift_search import Match
from volspike.evaluation.leaks.true_label import future_volatility, spikes_like
from volspike.evaluation.ranking import average_precision

F8 = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

EASIER = Leak("too easy a label", (1, 2, 3), "PR-AUC of one column alone under the label given")
MARGIN = 0.25


def persistence(rows: AuditRows, match: Match | None) -> Finding:
    """Compare the score of the best single column under the label given and under the true one.

    The true label is the volatility of the horizon after the row, from the prices, above the quantile that
    gives as many positives as the label given has on the same rows. Of two measures, the realised volatility
    on the 1 s grid and the deviation of the returns from row to row, the one that the column knows better
    counts. Rows that carry the threshold in force are judged by that.
    """
    if not rows.is_labelled:
        return EASIER.unknown("there is no label with 20 rows of each class: name its column with --label")
    truths = future_volatility(rows)
    known = np.logical_and.reduce([np.isfinite(truth) for truth in truths]) if truths else None
    if known is None or not has_both(rows.is_spike[known]):
        name, given = _best(rows, rows.is_spike, np.ones(len(rows.sample), np.bool_))
        words = f"{name} alone scores {given:.3f} at base rate {np.mean(rows.is_spike):.3f}"
        needed = "prices, with" if rows.mid is None and rows.came is None else "more rows that have"
        return EASIER.unknown(
            f"{words}; its score under the true label takes {needed} a whole minute after", given
        )
    y, tau = rows.is_spike[known], None if rows.tau is None else rows.tau[rows.sample][known]
    name, given = _best(rows, rows.is_spike, known)
    labels = [spikes_like(truth, y) if tau is None else truth >= tau for truth in (t[known] for t in truths)]
    column = _column(rows, name)[known]
    true, base = max(
        ((_score(label, column), float(np.mean(label))) for label in labels), key=lambda pair: won_frac(*pair)
    )
    words = (
        f"{name} alone, without training, scores {given:.3f} under this label (base rate {np.mean(y):.3f}) "
        f"and {true:.3f} ({base:.3f}) under the volatility of the next {rows.horizon_s:g} s"
    )
    easier = won_frac(given, float(np.mean(y))) > won_frac(true, base) + MARGIN
    return EASIER.found(given, words) if easier else EASIER.clean(given, words)


def _best(rows: AuditRows, y: Bools, known: Bools) -> tuple[str, float]:
    scores = {name: _score(y[known], _column(rows, name)[known]) for name in _names(rows)}
    best = max(scores, key=lambda name: scores[name])
    return best, scores[best]


def _names(rows: AuditRows) -> tuple[str, ...]:
    return (*rows.names, TRAILING) if rows.seconds is not None else rows.names


TRAILING = "the volatility of the past minute"


def _column(rows: AuditRows, name: str) -> F8:
    if name == TRAILING and rows.seconds is not None:
        return rows.seconds.volatility_bps(rows.sample, -rows.window_s, 0)
    column: F8 = rows.values[rows.sample, rows.names.index(name)]
    return column


def _score(y: Bools, column: F8) -> float:
    """Return the average precision of a column; a missing value ranks last."""
    known = np.isfinite(column)
    lowest = float(np.min(column[known], initial=0.0))
    return average_precision(y, np.where(known, column, lowest - 1.0)) or 0.0
