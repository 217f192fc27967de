"""Training and test rows that overlap: leak 4."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from volspike.evaluation.leaks.contrast import boosted_trees, contrast, split_both_ways
from volspike.evaluation.leaks.finding import Finding, Leak
from volspike.evaluation.leaks.rows import AuditRows
from volspike.evaluation.leaks.shift_search import Match
from volspike.features.window import SECOND_NS

SHUFFLED = Leak("shuffled split", (4,), "PR-AUC of trees on shuffled rows")
OVERLAP = Leak("shuffled split", (4,), "share of test rows that overlap a training row")
MOST_OVERLAP = 0.1


def shuffled_split(rows: AuditRows, match: Match | None) -> Finding:
    """Judge the split where the file has one, and show what shuffling does to the score of the same trees."""
    shown = _contrast_words(rows)
    if rows.in_test is None:
        words, score = shown or ("there are fewer than 20 labelled rows of a class on a side", None)
        return SHUFFLED.unknown(f"{words}; to judge your split, add a column that says train or test", score)
    overlap = overlap_frac(rows)
    because = f"; {shown[0]}" if shown else ""
    if overlap > MOST_OVERLAP:
        return OVERLAP.found(
            overlap,
            f"{overlap:.0%} of the test rows lie within {rows.window_s + rows.horizon_s:g} s of a training "
            f"row and share its ticks{because}",
        )
    return OVERLAP.clean(overlap, f"{overlap:.1%} of the test rows lie near a training row{because}")


def _contrast_words(rows: AuditRows) -> tuple[str, float] | None:
    halves = split_both_ways(rows) if rows.is_labelled else None
    if halves is None or not rows.names:
        return None
    found = contrast(rows.values[rows.sample], rows.is_spike, halves, boosted_trees)
    return (
        f"the same trees score {found.shuffled:.3f} (base rate {found.shuffled_base:.3f}) on shuffled rows, "
        f"{found.ordered:.3f} ({found.ordered_base:.3f}) split in time",
        found.shuffled,
    )


def overlap_frac(rows: AuditRows) -> float:
    """Return the share of test rows with a training row of the same product within window and horizon."""
    assert rows.in_test is not None, "only asked where there is a split"
    reach_ns = round((rows.window_s + rows.horizon_s) * SECOND_NS)
    near, total = 0, 0
    for part in rows.by_product():
        times, test = rows.time_ns[part], rows.in_test[part]
        near += int(np.count_nonzero(_distance_ns(times[test == 1], times[test == 0]) < reach_ns))
        total += int(np.count_nonzero(test == 1))
    return near / total if total else 0.0


def _distance_ns(test_ns: npt.NDArray[np.int64], train_ns: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """Return how far each test row is from the nearest training row, ns."""
    if not len(train_ns):
        return np.full(len(test_ns), np.inf)
    after = np.searchsorted(train_ns, test_ns)
    right = train_ns[np.minimum(after, len(train_ns) - 1)]
    left = train_ns[np.maximum(after - 1, 0)]
    distance: npt.NDArray[np.int64] = np.minimum(np.abs(right - test_ns), np.abs(test_ns - left))
    return distance.astype(np.float64)
