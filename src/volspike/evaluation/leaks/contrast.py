"""The same model on rows split in time order, and on shuffled ones, which is done nowhere else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from volspike.evaluation.leaks.rows import AuditRows, has_both
from volspike.evaluation.ranking import average_precision
from volspike.features.window import SECOND_NS

F8 = npt.NDArray[np.float64]
I8 = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

SEED = 20_240_229
TREES, BINS = 40, 64
Model = Callable[[F8, F8, F8], F8]


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
        return won_frac(self.shuffled, self.shuffled_base) - won_frac(self.ordered, self.ordered_base)


def won_frac(score: float, base: float) -> float:
    """Return a PR-AUC as the share of what could be won over the base rate; 0 where nothing could."""
    return (score - base) / (1.0 - base) if base < 1.0 else 0.0


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
    return halves if all(has_both(y[side]) for side in sides) else None


def contrast(x: F8, y: Bools, halves: Halves, model: Model) -> Contrast:
    """Fit a model on the earlier and on the shuffled rows, and score the rows held out.

    Parameters
    ----------
    x : float64[m] or float64[m, p]
        Inputs of the sampled rows; NaN is missing.
    y : bool[m]
        Their labels.
    halves : Halves
        The splits.
    model : callable
        Of inputs and labels to fit on, and inputs to predict for: ``boosted_trees`` or ``binned_means``.
    """

    def score(fit: I8, test: I8) -> float:
        p = model(x[fit], y[fit].astype(np.float64), x[test])
        return average_precision(y[test], p) or 0.0

    return Contrast(
        shuffled=score(halves.shuffled_fit, halves.shuffled_test),
        shuffled_base=float(np.mean(y[halves.shuffled_test])),
        ordered=score(halves.early, halves.late),
        ordered_base=float(np.mean(y[halves.late])),
    )


def boosted_trees(x: F8, y: F8, other: F8) -> F8:
    """Return the probabilities (float64) that forty boosted trees, fitted on (x, y), give other rows."""
    import xgboost

    from volspike.models.estimators import boost

    parameters = {"objective": "binary:logistic", "max_depth": 6, "eta": 0.2, "seed": SEED, "nthread": 1}
    booster = boost(x, y, None, None, parameters, TREES, TREES)
    return np.asarray(booster.predict(xgboost.DMatrix(other)), np.float64)


def binned_means(x: F8, y: F8, other: F8) -> F8:
    """Return the mean of y in the bin of x that each other value falls into (float64).

    Sixty-four bins of equal mass: what a tree of depth 6 on one column comes to. A missing value gets the
    mean of all.
    """
    known = np.isfinite(x)
    edges = np.unique(np.quantile(x[known], np.linspace(0.0, 1.0, BINS + 1)[1:-1]))
    of = np.searchsorted(edges, x[known], side="right")
    rows = np.bincount(of, minlength=len(edges) + 1)
    sums = np.bincount(of, y[known], minlength=len(edges) + 1)
    means = np.where(rows > 0, sums / np.maximum(rows, 1), np.mean(y))
    return np.where(np.isfinite(other), means[np.searchsorted(edges, other, side="right")], np.mean(y))
