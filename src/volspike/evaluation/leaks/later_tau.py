"""A threshold taken from rows that include those to be judged: leak 6."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from volspike.evaluation.leaks.finding import Finding, Leak
from volspike.evaluation.leaks.rows import AuditRows
from volspike.evaluation.leaks.shift_search import Match

Bools = npt.NDArray[np.bool_]

LATER = Leak("tau of later rows", (6,), "share of positives over all labelled rows")
SHARES = (0.01, 0.02, 0.025, 0.03, 0.05, 0.1, 0.15, 0.2, 0.25, 0.5)
ROWS_OFF = 2.0  # a quantile may be interpolated, and may itself count as a positive or not
FEWEST = 2_000


def later_tau(rows: AuditRows, match: Match | None) -> Finding:
    """Look for a threshold that is a round quantile of the whole file.

    A tau fitted as a quantile leaves a round share of positives, 5 % say, on the rows it was fitted on, to
    the row. Where that is all labelled rows, and not the first ``train_frac`` of them, test rows were in it.
    """
    labelled = rows.label >= 0
    y, early = rows.label[labelled] == 1, rows.trained[labelled]
    if len(y) < FEWEST or not rows.is_labelled:
        return LATER.unknown(f"that takes {FEWEST:,} labelled rows, 20 of each class")
    frac = float(np.mean(y))
    tau = _implied_tau(rows)
    product = rows.product[labelled]
    numbers = np.unique(product)
    parts = [np.ones(len(y), np.bool_)]
    if len(numbers) > 1:
        parts += [product == number for number in numbers]
    fitted_on_all = [part for part in parts if np.count_nonzero(part) >= FEWEST and _is_round(y[part])]
    if any(_is_round(y[part & early]) for part in parts):
        return LATER.clean(frac, f"the threshold is a quantile of the first {rows.train_frac:.0%}{tau}")
    if fitted_on_all:
        share = float(np.mean(y[fitted_on_all[0]]))
        return LATER.found(
            share,
            f"exactly {share:.1%} of all rows are positive{tau}: the threshold is a quantile of the whole "
            "file, test rows included",
        )
    return LATER.unknown(
        f"{frac:.2%} positives is no round quantile of the file or of its first {rows.train_frac:.0%}{tau}: "
        "to tell, say from which rows the threshold was taken",
        frac,
    )


def _is_round(y: Bools) -> bool:
    count = int(np.count_nonzero(y))
    return any(abs(count - share * len(y)) <= ROWS_OFF for share in SHARES)


def _implied_tau(rows: AuditRows) -> str:
    """Return in words between which values of the label's volatility the threshold lies, if it is one."""
    if rows.target is None:
        return ""
    known = np.isfinite(rows.target)
    low = np.max(rows.target[known & (rows.label == 0)], initial=-np.inf)
    high = np.min(rows.target[known & (rows.label == 1)], initial=np.inf)
    return f" (tau between {low:.4g} and {high:.4g})" if np.isfinite(low) and low < high < np.inf else ""
