"""Rows or ticks that are there twice: leak 8."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from volspike.evaluation.leaks.finding import Finding, Leak
from volspike.evaluation.leaks.rows import AuditRows
from volspike.evaluation.leaks.shift_search import Match

I8 = npt.NDArray[np.int64]

TWICE = Leak("duplicate ticks", (8,), "share of rows that are there more than once")
SHARE = 0.001


def duplicates(rows: AuditRows, match: Match | None) -> Finding:
    """Look for rows equal in every column, and for trade or sequence numbers that occur twice in a product.

    One order can fill many at one instant, so equal times alone are no duplicates. Equal rows count from one
    in a thousand on: of files with coarse stamps a few may be so by chance.
    """
    same_rows = 0.0 if rows.whole_rows is None else _repeated(rows.product.astype(np.int64), rows.whole_rows)
    if same_rows >= SHARE:
        return TWICE.found(
            same_rows,
            f"{same_rows:.1%} of the rows repeat another in every column but the recorder's own: "
            "ticks count twice",
        )
    if rows.trade_id is not None:
        same_ids = _repeated(rows.product.astype(np.int64), rows.trade_id)
        if same_ids >= SHARE:
            return TWICE.found(
                same_ids,
                f"{same_ids:.1%} of the rows repeat a trade number: ticks count twice in every window",
            )
        return TWICE.clean(same_ids, "no trade number and no row is there twice")
    return TWICE.clean(same_rows, "no row is there twice in every column")


def _repeated(product: I8, key: I8) -> float:
    """Return the share of rows whose key was there before in the same product; negative keys are unknown."""
    known = key >= 0
    product, key = product[known], key[known]
    order = np.lexsort((key, product))
    again = (np.diff(key[order]) == 0) & (np.diff(product[order]) == 0)
    return int(np.count_nonzero(again)) / max(len(known), 1)
