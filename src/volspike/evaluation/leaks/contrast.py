"""The same trees on rows split in time order, and on shuffled ones, which is done nowhere else."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from volspike.evaluation.leaks.rows import FEWEST_OF_A_CLASS, AuditRows
from volspike.evaluation.scores import average_precision
from volspike.features.window import SECOND_NS

F8 = npt.NDArray[np.float64]
I8 = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

SEED = 20_240_229


@dataclass(frozen=True, slots=True)
class Halves:
    """Two ways to split the sampled rows: positions in the sample."""

    early: I8
    late: I8
    shuffled_fit: I8
    shuffled_test: I8


@dataclass(frozen=True, slots=True)
class Contrast:
    """PR-AUC and base rate on the rows held out, under both splits."""

    shuffled: float
    shuffled_base: float
    ordered: float
    ordered_base: float

    @property
    def gain(self) -> float:
        """Return by how much shuffling raises the share of what could be won over the base rate."""
        return _won(self.shuffled, self.shuffled_base) - _won(self.ordered, self.ordered_base)


def _won(score: float, base: float) -> float:
    return (score - base) / (1.0 - base)


def split_both_ways(rows: AuditRows) -> Halves | None:
    """Split the sample at ``train_frac``, in time with the rows between purged, and at random.

    Rows are purged whose label, or the window of a later row, reaches over the boundary. None where a side
    has fewer than 20 rows of a class.
    """
    y, time_ns = rows.is_spike, rows.time_ns[rows.sample]
    early = rows.trained[rows.sample]
    if not np.any(~early):
        return None
    reach_ns = round((rows.horizon_s + rows.window_s) * SECOND_NS)
    purged = early & (time_ns + reach_ns > int(np.min(time_ns[~early])))
    order = np.random.default_rng(SEED).permutation(len(y))
    cut = int(np.count_nonzero(early))
    halves = Halves(np.flatnonzero(early & ~purged), np.flatnonzero(~early), order[:cut], order[cut:])
    sides = (halves.early, halves.late, halves.shuffled_fit, halves.shuffled_test)
    return halves if all(_has_both(y[side]) for side in sides) else None


def contrast(x: F8, y: Bools, halves: Halves, depth: int, trees: int) -> Contrast:
    """Fit trees on the earlier and on the shuffled rows, and score the rows held out.

    Parameters
    ----------
    x : float64[m, p]
        Inputs of the sampled rows; NaN is missing.
    y : bool[m]
        Their labels.
    halves : Halves
        The splits.
    depth, trees : int
        Of the trees.
    """
    shuffled = _scored(x, y, halves.shuffled_fit, halves.shuffled_test, depth, trees)
    ordered = _scored(x, y, halves.early, halves.late, depth, trees)
    return Contrast(
        shuffled, float(np.mean(y[halves.shuffled_test])), ordered, float(np.mean(y[halves.late]))
    )


def _scored(x: F8, y: Bools, fit: I8, test: I8, depth: int, trees: int) -> float:
    p = fitted(x[fit], y[fit], x[test], depth, trees, "binary:logistic")
    return average_precision(y[test], p) or 0.0


def fitted(x: F8, y: npt.NDArray[np.generic], other: F8, depth: int, trees: int, objective: str) -> F8:
    """Return what boosted trees, fitted on (x, y), predict for other rows (float64)."""
    import xgboost

    from volspike.models.estimators import boost

    parameters = {
        "objective": objective,
        "max_depth": depth,
        "eta": 1.0 if trees == 1 else 0.2,
        "min_child_weight": 1.0,
        "lambda": 1.0,
        "seed": SEED,
        "nthread": 1,
    }
    booster = boost(x, y, None, None, parameters, trees, trees)
    return np.asarray(booster.predict(xgboost.DMatrix(other)), np.float64)


def _has_both(y: Bools) -> bool:
    positives = int(np.count_nonzero(y))
    return min(positives, len(y) - positives) >= FEWEST_OF_A_CLASS
