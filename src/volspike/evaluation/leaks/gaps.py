"""Labels that reach over a gap in the rows: leak 12."""

from __future__ import annotations

import numpy as np

from volspike.evaluation.leaks.finding import Finding, Leak
from volspike.evaluation.leaks.rows import AuditRows, silence_ns
from volspike.evaluation.leaks.shift_search import Match
from volspike.features.window import SECOND_NS

OVER_GAPS = Leak("label over a gap", (12,), "share of the labelled rows whose minute holds a gap")


def gaps(rows: AuditRows, match: Match | None) -> Finding:
    """Look for labelled rows with a gap of more than 15 s (three steps of slower rows) in their horizon.

    The end of the file is no gap: rows whose minute was not over may have been left out.
    """
    labelled = np.flatnonzero(rows.label >= 0)
    limit_s = silence_ns(rows.product, rows.time_ns) / SECOND_NS
    if not len(labelled):
        return OVER_GAPS.unknown("there is no label: name its column with --label")
    over = _reaches_over(rows, labelled)
    count = int(np.count_nonzero(over))
    number = len(np.unique(rows.stretch)) - len(np.unique(rows.product))
    if not count and any(rows.label[part.stop - 1] >= 0 for part in rows.by_product()):
        return OVER_GAPS.unknown(
            "the very last row is labelled: unless rows after it were left out, its minute is not over", 0.0
        )
    if not count:
        return OVER_GAPS.clean(0.0, f"{number:,} gaps in the rows, none of them inside a label")
    frac = count / len(labelled)
    words = (
        f"{count:,} labelled rows have a gap of more than {limit_s:g} s in their next {rows.horizon_s:g} s"
    )
    if len(labelled) == len(rows) and match is None and _could_be_left_out(rows):
        return OVER_GAPS.unknown(
            f"{words}, or rows without a label were left out there: keep them, with the label empty", frac
        )
    return OVER_GAPS.found(frac, f"{words}: what happened meanwhile is not known, so their label is made up")


def _reaches_over(rows: AuditRows, at: np.ndarray) -> np.ndarray:
    """Return whether a row's stretch ends within its horizon, though its product goes on (bool[m])."""
    last_of_stretch = np.append(np.flatnonzero(np.diff(rows.stretch)), len(rows) - 1)
    last = last_of_stretch[np.searchsorted(last_of_stretch, at)]
    goes_on = (last + 1 < len(rows)) & (rows.product[np.minimum(last + 1, len(rows) - 1)] == rows.product[at])
    until_ns = rows.time_ns[last] if rows.whole_until_ns is None else rows.whole_until_ns[at]
    over: np.ndarray = goes_on & (until_ns - rows.time_ns[at] < rows.horizon_s * SECOND_NS)
    return over


def _could_be_left_out(rows: AuditRows) -> bool:
    """Tell whether every gap is long enough to hold the unlabelled rows of a horizon."""
    ends = np.flatnonzero((np.diff(rows.stretch) != 0) & (np.diff(rows.product) == 0))
    shortest_ns = np.min(rows.time_ns[ends + 1] - rows.time_ns[ends])
    return bool(shortest_ns > rows.horizon_s * SECOND_NS)
