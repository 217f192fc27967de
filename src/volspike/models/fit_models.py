"""Fit the logistic regression and XGBoost, both heads of each, on the fit slice.

Rows a second apart share most of their minute, so sixty of them count as one window: penalties and the least
weight of a leaf are set against windows. Counted in rows, a model of six hours learns its spikes by heart.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from volspike.labels.dataset import Dataset
from volspike.models.boosted import CLASSIFIER_FILE, SIGMA_FILE
from volspike.models.estimators import boost, class_weights, fit_logit, fit_ridge
from volspike.models.inputs import InputSpec, input_matrix, raw_rows
from volspike.models.linear import LinearWeights
from volspike.models.rows import log_realised
from volspike.models.settings import TrainSettings

F8 = npt.NDArray[np.float64]

RISING = ("log_rv_60s", "log_rv_over_tau")  # more volatility now never means less expected
CLASSIFIER_CHILD, SIGMA_CHILD = 2.0, 20.0  # least hessian of a leaf, in windows
UNTUNED_SHARE = 4  # with no slice to stop on, a quarter of the rounds


def matrix(rows: Dataset, spec: InputSpec) -> F8:
    """Return the inputs of rows, float64[n, p]; NaN is missing."""
    return input_matrix(raw_rows(rows, spec.width), spec)


def fit_linear(fit: Dataset, spec: InputSpec, settings: TrainSettings) -> LinearWeights:
    """Fit the logistic regression and the ridge regression of log sigma; fold the scaling into the weights.

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
    scaled = (x - mean) / scale
    weights = class_weights(fit.spike, settings.class_weight)
    l2 = settings.l2 * fit.rows_a_window
    margin, margin_intercept = fit_logit(scaled, fit.spike, weights, l2)
    sigma, sigma_intercept = fit_ridge(scaled, log_realised(fit), l2)
    return LinearWeights(
        margin=tuple((margin / scale).tolist()),
        sigma=tuple((sigma / scale).tolist()),
        margin_intercept=margin_intercept - float(margin @ (mean / scale)),
        sigma_intercept=sigma_intercept - float(sigma @ (mean / scale)),
        missing=tuple(mean.tolist()),
    )


def fit_boosted(
    fit: Dataset, tune: Dataset | None, spec: InputSpec, settings: TrainSettings
) -> dict[str, bytes]:
    """Fit the classifier and the sigma ensemble; return their UBJSON bytes by file name.

    Parameters
    ----------
    fit : Dataset
        Labelled rows of both classes.
    tune : Dataset or None
        Labelled rows of both classes, on which both ensembles are stopped early; None where there are too few
        to stop on: then they get a quarter of the rounds.
    spec : InputSpec
        How the inputs are made.
    settings : TrainSettings
        Seed, threads, size.
    """
    x, window = matrix(fit, spec), np.full(len(fit), 1.0 / fit.rows_a_window)
    weights = class_weights(fit.spike, settings.class_weight)
    rounds = settings.rounds // UNTUNED_SHARE if tune is None else settings.rounds
    classifier = boost(
        x,
        fit.spike,
        window if weights is None else weights * window,
        None if tune is None else (matrix(tune, spec), tune.spike),
        _parameters("binary:logistic", CLASSIFIER_CHILD, spec, settings),
        rounds,
        settings.patience,
    )
    sigma = boost(
        x,
        log_realised(fit),
        window,
        None if tune is None else (matrix(tune, spec), log_realised(tune)),
        _parameters("reg:squarederror", SIGMA_CHILD, spec, settings),
        rounds,
        settings.patience,
    )
    return {
        CLASSIFIER_FILE: bytes(classifier.save_raw("ubj")),
        SIGMA_FILE: bytes(sigma.save_raw("ubj")),
    }


def _parameters(
    objective: str, child: float, spec: InputSpec, settings: TrainSettings
) -> dict[str, str | int | float]:
    rising = ",".join("1" if name in RISING else "0" for name in spec.names)
    return {
        "objective": objective,
        "eval_metric": "logloss" if objective == "binary:logistic" else "rmse",
        "tree_method": "hist",
        "max_depth": settings.depth,
        "eta": settings.learning_rate,
        "min_child_weight": child,
        "subsample": 0.8,
        "colsample_bytree": 0.8,
        "monotone_constraints": f"({rising})",
        "seed": settings.seed,
        "nthread": settings.threads,
    }
