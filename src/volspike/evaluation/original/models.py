"""The original's three models on its five columns, and the rule that only repeats the present.

Z-score rule, logistic regression and XGBoost with the original's settings. Its logistic regression saw the
columns unscaled, where the penalty holds the weight of so small a number as the std near 0; here they are
scaled, which can only help it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from volspike.evaluation.original.columns import STD

F8 = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

SEED, ROUNDS, DEPTH, LEARNING_RATE, L2 = 42, 100, 5, 0.1, 1.0
EPSILON = 1e-10  # the original's, in the denominator of z


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """Rows of a slice: the five columns, float64[n, 5], and the label, bool[n]."""

    x: F8
    y: Bools

    @property
    def has_both_classes(self) -> bool:
        """Tell whether there is a spike and a calm row."""
        return bool(np.any(self.y)) and not bool(np.all(self.y))


Scorer = Callable[[F8], F8]


def persistence(fit: Part) -> Scorer:
    """Score by the current std itself: nothing is fitted."""
    return lambda x: x[:, STD]


def zscore(fit: Part) -> Scorer:
    """Score by how many standard deviations of the fit part the current std lies above its mean."""
    mean, scale = fit.x[:, STD].mean(), fit.x[:, STD].std() + EPSILON
    return lambda x: (x[:, STD] - mean) / scale


def logistic(fit: Part) -> Scorer:
    """Score by the log-odds of a logistic regression, both classes weighted the same."""
    from volspike.models.estimators import class_weights, fit_logit

    mean, std = fit.x.mean(axis=0), fit.x.std(axis=0)
    scale = np.where(std > 0, std, 1.0)
    y = fit.y.astype(np.int8)
    weights, intercept = fit_logit((fit.x - mean) / scale, y, class_weights(y, "balanced"), L2)
    return lambda x: (x - mean) / scale @ weights + intercept


def boosted(fit: Part) -> Scorer:
    """Score by the probabilities of XGBoost, spikes weighted as many times as they are rarer."""
    from volspike.models.estimators import boost

    spikes = int(np.count_nonzero(fit.y))
    parameters = {
        "objective": "binary:logistic",
        "max_depth": DEPTH,
        "eta": LEARNING_RATE,
        "scale_pos_weight": (len(fit.y) - spikes) / spikes,
        "seed": SEED,
        "nthread": 1,
    }
    booster = boost(fit.x, fit.y.astype(np.int8), None, None, parameters, ROUNDS, 0)
    return lambda x: np.asarray(booster.inplace_predict(x), np.float64)


PERSISTENCE = "persistence"
MODELS: Mapping[str, Callable[[Part], Scorer]] = MappingProxyType(
    {"zscore": zscore, "logistic": logistic, "xgboost": boosted, PERSISTENCE: persistence}
)
LEARN_CLASSES = frozenset({"logistic", "xgboost"})
