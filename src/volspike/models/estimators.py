"""The estimators behind the models: the only file that fits with scikit-learn and XGBoost."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import xgboost
from scipy.optimize import minimize
from scipy.special import expit
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import GammaRegressor, LinearRegression, LogisticRegression, Ridge

F8 = npt.NDArray[np.float64]

# Next to no shrinkage: enough to keep a separable sample finite.
WEAK = 1e-3
_PRECISE = {"maxiter": 2_000, "maxfun": 4_000, "ftol": 1e-13, "gtol": 1e-9}


def fit_logit(
    x: F8,
    y: npt.NDArray[Any],
    weight: F8 | None = None,
    l2: float = WEAK,
    signs: Sequence[int] | None = None,
) -> tuple[F8, float]:
    """Fit a logistic regression with both classes present.

    Parameters
    ----------
    x : float64[n, p]
        Inputs, finite, of order one.
    y : int[n]
        0 or 1.
    weight : float64[n], optional
        Weight of each row.
    l2 : float
        Ridge penalty, against the sum of the row losses.
    signs : sequence of int, optional
        Of each input: 1 where its coefficient may not be below 0, -1 where not above, 0 where it is free.

    Returns
    -------
    (float64[p], float)
        Coefficients and intercept of the log-odds.
    """
    model = LogisticRegression(C=1.0 / l2, solver="newton-cholesky", tol=1e-8, max_iter=200)
    with warnings.catch_warnings():
        # On a separable sample the optimum is far out; where it stops is good enough.
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(x, y, sample_weight=weight)
    line = np.append(np.asarray(model.coef_[0], dtype=np.float64), float(model.intercept_[0]))
    if signs is not None and np.any(line[:-1] * np.asarray(signs) < 0.0):
        line = _signed_logit(x, y, np.ones(len(y)) if weight is None else weight, l2, signs, line)
    return line[:-1], float(line[-1])


def _signed_logit(x: F8, y: npt.NDArray[Any], weight: F8, l2: float, signs: Sequence[int], start: F8) -> F8:
    """Return coefficients and intercept of the same loss within their signs."""
    bounds = [*((0.0 if sign > 0 else None, 0.0 if sign < 0 else None) for sign in signs), (None, None)]
    total = float(np.sum(weight))

    def loss(line: F8) -> tuple[float, F8]:
        margin = x @ line[:-1] + line[-1]
        away = weight * (expit(margin) - y)
        value = np.sum(weight * (np.logaddexp(0.0, margin) - y * margin)) + 0.5 * l2 * line[:-1] @ line[:-1]
        gradient = np.append(x.T @ away + l2 * line[:-1], np.sum(away))
        return float(value) / total, gradient / total

    found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds, options=_PRECISE)
    return np.asarray(found.x, dtype=np.float64)


def fit_ridge(x: F8, y: F8, l2: float) -> tuple[F8, float]:
    """Fit a linear regression with ridge penalty ``l2``; return coefficients float64[p] and intercept."""
    model = Ridge(alpha=l2, solver="cholesky").fit(x, y)
    return np.asarray(model.coef_, dtype=np.float64), float(model.intercept_)


def fit_gamma(x: F8, variance: F8, l2: float) -> tuple[F8, float]:
    """Fit the log of a mean variance, linear in the inputs, by the gamma likelihood: the lowest QLIKE.

    Parameters
    ----------
    x : float64[n, p]
        Inputs, finite, of order one.
    variance : float64[n]
        Realised variances, above 0.
    l2 : float
        Ridge penalty, against the sum of half the row deviances.

    Returns
    -------
    (float64[p], float)
        Coefficients and intercept of **log sigma**, half of those of log variance.

    Notes
    -----
    The gamma deviance is twice QLIKE, so its optimum is a forecast of the mean variance (Patton 2011). A
    regression of log variance on the same inputs forecasts the median, and a few still minutes drag it down.
    """
    scale = float(np.mean(variance))
    model = GammaRegressor(alpha=l2 / len(x), solver="newton-cholesky", tol=1e-6, max_iter=100)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(x, variance / scale)
    coefficients = np.asarray(model.coef_, dtype=np.float64) / 2.0
    return coefficients, 0.5 * (float(model.intercept_) + math.log(scale))


def fit_non_negative(x: F8, y: F8) -> F8:
    """Fit a linear regression with coefficients of 0 or more and no intercept; return them, float64[p]."""
    model = LinearRegression(positive=True, fit_intercept=False).fit(x, y)
    return np.asarray(model.coef_, dtype=np.float64)


def class_weights(y: npt.NDArray[Any], mode: str) -> F8 | None:
    """Return row weights that give both classes the same total for ``balanced``, None for ``none``."""
    if mode == "none":
        return None
    spikes = np.count_nonzero(y)
    return np.where(y == 1, len(y) / (2.0 * spikes), len(y) / (2.0 * (len(y) - spikes)))


def class_offset(y: npt.NDArray[Any], mode: str) -> float:
    """Return what to add to log-odds fitted under ``class_weights`` so that they mean the data's own rate."""
    if mode == "none":
        return 0.0
    spikes = int(np.count_nonzero(y))
    return math.log(spikes / (len(y) - spikes))


def boost(
    x: F8,
    y: npt.NDArray[Any],
    weight: F8 | None,
    tune: tuple[F8, npt.NDArray[Any]] | None,
    parameters: dict[str, Any],
    rounds: int,
    patience: int,
) -> Any:
    """Fit a gradient-boosted ensemble, stopped early on ``tune`` where given.

    Parameters
    ----------
    x, y, weight : arrays
        Inputs (NaN is missing), targets and optional row weights.
    tune : (inputs, targets), optional
        The slice that stops the fit.
    parameters : dict
        XGBoost parameters; they include ``seed`` and ``nthread``, so that the bytes are the same every time.
    rounds, patience : int
        Most trees; trees without gain on ``tune`` before it stops.

    Returns
    -------
    xgboost.Booster
        Cut to the best number of trees, attributes removed.
    """
    fit = xgboost.DMatrix(x, label=y, weight=weight)
    if tune is None:
        return xgboost.train(parameters, fit, rounds, verbose_eval=False)
    booster = xgboost.train(
        parameters,
        fit,
        rounds,
        evals=[(xgboost.DMatrix(tune[0], label=tune[1]), "tune")],
        early_stopping_rounds=patience,
        verbose_eval=False,
    )
    best = booster[: booster.best_iteration + 1]
    best.set_attr(best_iteration=None, best_score=None)
    return best
