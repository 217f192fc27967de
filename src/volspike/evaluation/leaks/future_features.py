"""Features that know more of the future than of the past."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from volspike.evaluation.leaks.finding import Finding, Leak
from volspike.evaluation.leaks.rows import AuditRows
from volspike.evaluation.leaks.seconds import SecondSums
from volspike.evaluation.leaks.shift_search import Match

F8 = npt.NDArray[np.float64]

READS_AHEAD = Leak("feature reads ahead", (), "correlation of a feature with what comes after it")
STRONG = 0.5
MARGIN = 0.1
ERRORS = 4.0  # standard errors over windows that do not overlap
HORIZONS_S = (1, 10, 60)


class _Reach(NamedTuple):
    """How strongly a feature goes with the same quantity behind it and ahead of it."""

    feature: str
    quantity: str
    ahead: float
    behind: float

    @property
    def excess(self) -> float:
        return self.ahead - self.behind


def future_features(rows: AuditRows, match: Match | None) -> Finding:
    """Look for features that go with the next seconds more than with the last.

    Volatility is much the same read forwards and backwards, so a feature of the past can't know the
    volatility, nor the move, of the next 1, 10 or 60 s better than of the last: more than 0.1 better, at a
    correlation above 0.5 and four standard errors (windows that do not overlap), is a feature that reads
    ahead. Rows whose later ticks can be changed tell it exactly; values alone can never prove that a feature
    does not read ahead.
    """
    needed = (
        "a clean bill needs the program that makes them: cut the ticks off after a row and compute it again"
    )
    if rows.seconds is None:
        return READS_AHEAD.unknown(f"there is no price column; {needed}")
    reaches = [reach for horizon in HORIZONS_S for reach in _reaches(rows, rows.seconds, horizon)]
    ahead = [reach for reach in reaches if reach.ahead > STRONG and reach.excess > MARGIN]
    if not ahead:
        most = max((reach.ahead for reach in reaches), default=None)
        return READS_AHEAD.unknown(f"no feature goes with the future more than with the past; {needed}", most)
    worst = max(ahead, key=lambda reach: reach.excess)
    return READS_AHEAD.found(
        worst.ahead,
        f"{worst.feature} goes with the {worst.quantity} (correlation {worst.ahead:.2f}) more than with the "
        f"last ({worst.behind:.2f}): it was computed with ticks that had not come yet",
    )


def _reaches(rows: AuditRows, seconds: SecondSums, horizon_s: int) -> list[_Reach]:
    at = rows.sample if len(rows.sample) else np.arange(len(rows))
    pairs = {
        f"volatility of the next {horizon_s} s": (
            np.log1p(seconds.volatility_bps(at, 0, horizon_s)),
            np.log1p(seconds.volatility_bps(at, -horizon_s, 0)),
        ),
        f"move of the next {horizon_s} s": (
            seconds.move_bps(at, 0, horizon_s),
            seconds.move_bps(at, -horizon_s, 0),
        ),
    }
    found = []
    for quantity, (after, before) in pairs.items():
        known = np.isfinite(after) & np.isfinite(before)
        windows = len(np.unique(rows.time_ns[at[known]] // (horizon_s * 10**9)))
        for index, name in enumerate(rows.names):
            feature = rows.values[at, index]
            ahead, behind = _correlation(feature, after, known), _correlation(feature, before, known)
            if ahead > ERRORS / np.sqrt(max(windows, 1)):
                found.append(_Reach(name, quantity, ahead, behind))
    return found


def _correlation(feature: F8, quantity: F8, known: npt.NDArray[np.bool_]) -> float:
    """Return the size of the rank correlation; 0 where either does not vary."""
    known = known & np.isfinite(feature)
    if np.count_nonzero(known) < 3:
        return 0.0
    x, y = _ranks(feature[known]), _ranks(quantity[known])
    spread = float(np.std(x) * np.std(y))
    return abs(float(np.mean((x - x.mean()) * (y - y.mean())))) / spread if spread > 0.0 else 0.0


def _ranks(values: F8) -> F8:
    """Return the rank of each value, equal ones with their mean rank."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    ranks: F8 = (np.cumsum(counts) - (counts - 1) / 2.0)[inverse]
    return ranks
