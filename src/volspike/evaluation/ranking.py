"""How well a score ranks rows: average precision, the curve behind it, and the area under the ROC curve.

All are None unless both classes are there; rows of equal score are taken together.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

F8 = npt.NDArray[np.float64]
I8 = npt.NDArray[np.int64]
Labels = npt.NDArray[np.bool_]


def average_precision(y: Labels, score: F8) -> float | None:
    """Return the average precision, rows of equal score taken together; None unless both classes are there.

    ``sum((recall_i - recall_{i-1}) * precision_i)`` over the distinct scores from the highest down.
    """
    if not _both_classes(y):
        return None
    true, predicted = _cumulative(y, score)
    gained = np.diff(true, prepend=0)
    return float(np.sum(gained * (true / predicted)) / true[-1])


def precision_recall(y: Labels, score: F8) -> tuple[F8, F8] | None:
    """Return precision and recall at each distinct score from the highest down; None as above."""
    if not _both_classes(y):
        return None
    true, predicted = _cumulative(y, score)
    return true / predicted, true / true[-1]


def roc_auc(y: Labels, score: F8) -> float | None:
    """Return the area under the ROC curve, ties counted half; None unless both classes are there."""
    if not _both_classes(y):
        return None
    true, predicted = _cumulative(y, score)
    false = predicted - true
    area = np.sum(np.diff(false, prepend=0) * (true + np.concatenate(([0], true[:-1]))) / 2.0)
    return float(area / (float(true[-1]) * float(false[-1])))


def _both_classes(y: Labels) -> bool:
    return bool(np.any(y)) and not bool(np.all(y))


def _cumulative(y: Labels, score: F8) -> tuple[I8, I8]:
    """Return (true positives, predicted positives) at each distinct score from the highest down."""
    order, last_of_tie = ranked(score)
    return np.cumsum(y[order], dtype=np.int64)[last_of_tie], last_of_tie + 1


def ranked(score: F8) -> tuple[I8, I8]:
    """Return the rows from the highest score down, and where in that order each distinct score ends."""
    order = np.argsort(-score, kind="stable")
    return order, np.append(np.flatnonzero(np.diff(score[order])), len(score) - 1)
