"""Fit the logistic regression and XGBoost, both heads of each, on the fit slice."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from volspike.labels.dataset import Dataset
from volspike.models.boosted import CLASSIFIER_FILE, SIGMA_FILE
from volspike.models.calibrate import one_class
from volspike.models.estimators import boost, class_weights, fit_logit, fit_ridge
from volspike.models.inputs import InputSpec, input_matrix, raw_rows
from volspike.models.linear import LinearWeights
from volspike.models.rows import log_realised
from volspike.models.settings import TrainSettings

F8 = npt.NDArray[np.float64]

RISING = ("log_rv_60s", "log_rv_over_tau")  # more volatility now never means less expected
CLASSIFIER_CHILD, SIGMA_CHILD = 5.0, 60.0  # least hessian of a leaf: about a minute of rows
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
    margin, margin_intercept = fit_logit(scaled, fit.spike, weights, settings.l2)
    sigma, sigma_intercept = fit_ridge(scaled, log_realised(fit, spec.increment), settings.l2)
    return LinearWeights(
        margin=tuple((margin / scale).tolist()),
        sigma=tuple((sigma / scale).tolist()),
        margin_intercept=margin_intercept - float(margin @ (mean / scale)),
        sigma_intercept=sigma_intercept - float(sigma @ (mean / scale)),
        missing=tuple(mean.tolist()),
    )


def fit_boosted(fit: Dataset, tune: Dataset, spec: InputSpec, settings: TrainSettings) -> dict[str, bytes]:
    """Fit the classifier and the sigma ensemble; return their UBJSON bytes by file name.

    Parameters
    ----------
    fit, tune : Dataset
        Labelled rows; ``fit`` holds both classes. The classifier is stopped early where ``tune`` does too,
        the sigma ensemble where it holds a row; otherwise they get a quarter of the rounds.
    spec : InputSpec
        How the inputs are made.
    settings : TrainSettings
        Seed, threads, size.
    """
    x, x_tune = matrix(fit, spec), matrix(tune, spec)
    weights = class_weights(fit.spike, settings.class_weight)
    stop = None if one_class(tune.spike) else (x_tune, tune.spike)
    classifier = boost(
        x,
        fit.spike,
        weights,
        stop,
        _parameters("binary:logistic", CLASSIFIER_CHILD, spec, settings),
        settings.rounds if stop else settings.rounds // UNTUNED_SHARE,
        settings.patience,
    )
    sigma_stop = (x_tune, log_realised(tune, spec.increment)) if len(tune) else None
    sigma = boost(
        x,
        log_realised(fit, spec.increment),
        None,
        sigma_stop,
        _parameters("reg:squarederror", SIGMA_CHILD, spec, settings),
        settings.rounds if sigma_stop else settings.rounds // UNTUNED_SHARE,
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
