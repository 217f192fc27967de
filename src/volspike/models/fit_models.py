"""Fit the logistic regression and XGBoost, both heads of each, on the fit slice.

Rows a second apart share most of their minute, so sixty of them count as one window: penalties and the least
weight of a leaf are set against windows. Counted in rows, a model of six hours learns its spikes by heart.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from volspike.evaluation.enough import count_evidence
from volspike.evaluation.scores import graded_seconds
from volspike.labels.dataset import Dataset
from volspike.labels.splits import split_times
from volspike.models.boosted import CLASSIFIER_FILE, SIGMA_FILE
from volspike.models.calibrate import one_class
from volspike.models.estimators import boost, class_weights, fit_gamma, fit_logit
from volspike.models.inputs import HAR_INPUTS, TAU_INPUTS, InputSpec, input_matrix, raw_rows
from volspike.models.linear import LinearWeights
from volspike.models.rows import least_log_sigma, realised_variance
from volspike.models.settings import TrainSettings
from volspike.models.trees import VARIANCE_OBJECTIVE

F8 = npt.NDArray[np.float64]

RISING = ("log_rv_60s", "log_rv_over_tau")  # more volatility now never means less expected
# Together they let the probability of reaching tau only fall as tau rises, input by input, clipped or not.
TAU_SIGNS = {"log_tau": -1} | dict.fromkeys(TAU_INPUTS[1:] + HAR_INPUTS, 1)
CLASSIFIER_OBJECTIVE = "binary:logistic"
CLASSIFIER_CHILD, SIGMA_CHILD = 2.0, 20.0  # least hessian of a leaf, in windows
UNTUNED_SHARE = 4  # with nothing to stop on, a quarter of the rounds
INNER_FRAC = 0.25
BOUND_STD = 4.0  # beyond, an input says no more: a line is not to be trusted far out


def matrix(rows: Dataset, spec: InputSpec) -> F8:
    """Return the inputs of rows, float64[n, p]; NaN is missing."""
    return input_matrix(raw_rows(rows, spec.width), spec)


def fit_linear(fit: Dataset, spec: InputSpec, settings: TrainSettings) -> LinearWeights:
    """Fit the logistic regression and the gamma regression of sigma; fold the scaling into the weights.

    Parameters
    ----------
    fit : Dataset
        Labelled rows of the fit slice, of both classes.
    spec : InputSpec
        How the inputs are made.
    settings : TrainSettings
        ``class_weight`` and ``l2``.
    """
    x = matrix(fit, spec)
    present = np.isfinite(x)
    mean = np.where(present, x, 0.0).sum(axis=0) / np.maximum(present.sum(axis=0), 1)
    x = np.where(present, x, mean)
    std = x.std(axis=0)
    scale = np.where(std > 1e-9, std, 1.0)
    scaled = np.clip((x - mean) / scale, -BOUND_STD, BOUND_STD)
    weights = class_weights(fit.spike, settings.class_weight)
    l2 = settings.l2 * fit.rows_a_window
    signs = [TAU_SIGNS.get(name, 0) for name in spec.names]
    margin, margin_intercept = fit_logit(scaled, fit.spike, weights, l2, signs)
    sigma, sigma_intercept = fit_gamma(scaled, realised_variance(fit, least_log_sigma(fit)), l2)
    return LinearWeights(
        margin=tuple((margin / scale).tolist()),
        sigma=tuple((sigma / scale).tolist()),
        margin_intercept=margin_intercept - float(margin @ (mean / scale)),
        sigma_intercept=sigma_intercept - float(sigma @ (mean / scale)),
        missing=tuple(mean.tolist()),
        low=tuple((mean - BOUND_STD * scale).tolist()),
        high=tuple((mean + BOUND_STD * scale).tolist()),
    )


def fit_boosted(
    fit: Dataset, stop: Dataset | None, spec: InputSpec, settings: TrainSettings
) -> dict[str, bytes]:
    """Fit the classifier and the sigma ensemble; return their UBJSON bytes by file name.

    Parameters
    ----------
    fit : Dataset
        Labelled rows of both classes.
    stop : Dataset or None
        Labelled rows of both classes, later than ``fit``, on which both ensembles are stopped early. Without,
        the number of trees is found on the last quarter of fit, by a model of the first three, where that has
        enough data; else it is a quarter of the rounds.
    spec : InputSpec
        How the inputs are made.
    settings : TrainSettings
        Seed, threads, size.
    """
    heads = {
        CLASSIFIER_FILE: _Head(CLASSIFIER_OBJECTIVE, CLASSIFIER_CHILD, lambda rows: rows.spike),
        SIGMA_FILE: _Head(
            VARIANCE_OBJECTIVE, SIGMA_CHILD, partial(realised_variance, least=least_log_sigma(fit))
        ),
    }
    inner = None if stop is not None else _inner_parts(fit)
    boosters: dict[str, bytes] = {}
    for name, head in heads.items():
        rounds = settings.rounds if stop is not None else settings.rounds // UNTUNED_SHARE
        if inner is not None:
            rounds = _boosted(head, *inner, spec, settings, settings.rounds).num_boosted_rounds()
        boosters[name] = bytes(_boosted(head, fit, stop, spec, settings, rounds).save_raw("ubj"))
    return boosters


class _Head(NamedTuple):
    """What an ensemble is fitted to."""

    objective: str
    child: float
    target: Callable[[Dataset], npt.NDArray[Any]]

    @property
    def is_classifier(self) -> bool:
        return self.objective == CLASSIFIER_OBJECTIVE


def _boosted(
    head: _Head, fit: Dataset, stop: Dataset | None, spec: InputSpec, settings: TrainSettings, rounds: int
) -> Any:
    weight = np.full(len(fit), 1.0 / fit.rows_a_window)
    balance = class_weights(fit.spike, settings.class_weight) if head.is_classifier else None
    return boost(
        matrix(fit, spec),
        head.target(fit),
        weight if balance is None else weight * balance,
        None if stop is None else (matrix(stop, spec), head.target(stop)),
        _parameters(head.objective, head.child, spec, settings),
        rounds,
        settings.patience,
    )


def _inner_parts(fit: Dataset) -> tuple[Dataset, Dataset] | None:
    """Return the first three quarters of fit, purged, and the last; None where those are too thin."""
    parts = split_times(fit.event_ns, (1.0 - INNER_FRAC, 0.0, 0.0, INNER_FRAC))
    head, tail = fit.rows(parts.fit), fit.rows(parts.test)
    if one_class(head.spike) or one_class(tail.spike):
        return None
    seconds = graded_seconds(tail)
    return (head, tail) if count_evidence(seconds.second, seconds.run, seconds.spike).enough_data else None


def _parameters(
    objective: str, child: float, spec: InputSpec, settings: TrainSettings
) -> dict[str, str | int | float]:
    is_classifier = objective == CLASSIFIER_OBJECTIVE
    signs = dict.fromkeys(RISING, 1) | (TAU_SIGNS if is_classifier else {})
    return {
        "objective": objective,
        "eval_metric": "logloss" if is_classifier else "gamma-deviance",
        "tree_method": "hist",
        "max_depth": settings.depth,
        "eta": settings.learning_rate,
        "min_child_weight": child,
        "subsample": 0.8,
        "colsample_bytree": 0.8,
        "monotone_constraints": f"({','.join(str(signs.get(name, 0)) for name in spec.names)})",
        "seed": settings.seed,
        "nthread": settings.threads,
    }
