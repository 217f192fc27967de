"""The label that the prices give: the volatility that really came after each row."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from volspike.evaluation.leaks.rows import AuditRows
from volspike.features.window import SECOND_NS

F8 = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]


def future_volatility(rows: AuditRows) -> list[F8]:
    """Return two measures of the horizon after each sampled row, basis points, float64[m]; NaN where unknown.

    The realised volatility on the 1 s grid, and the deviation of the returns from row to row; neither without
    prices. Where the rows say what came, that alone.
    """
    if rows.came is not None:
        return [rows.came[rows.sample]]
    if rows.seconds is None or rows.tick_returns is None:
        return []
    realised = rows.seconds.volatility_bps(rows.sample, 0, rows.horizon_s)
    deviation = rows.tick_returns.future_std(rows.sample, round(rows.horizon_s * SECOND_NS)) * 1e4
    return [truth for truth in (realised, deviation) if np.any(np.isfinite(truth))]


def spikes_like(sigma: F8, y: Bools) -> Bools:
    """Return which rows spike by this volatility, as many of them as there are positives in ``y``."""
    positives = int(np.count_nonzero(y))
    spikes: Bools = sigma >= np.partition(sigma, len(sigma) - positives)[len(sigma) - positives]
    return spikes
