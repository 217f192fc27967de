"""Fit the rules on the volatility state: the Z-score rule and the references, all on the fit slice."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

from volspike.labels.dataset import Dataset
from volspike.models.calibrate import one_class
from volspike.models.estimators import fit_gamma, fit_logit, fit_ridge
from volspike.models.inputs import raw_rows
from volspike.models.rows import least_log_sigma, log_realised, moving_quantiles, realised_variance
from volspike.models.state import STATE, StateWeights, state_matrix

F8 = npt.NDArray[np.float64]

REFERENCES = ("climatology", "persistence", "ewma", "zscore", "log-har-ols", "log-har-gamma", "log-har-logit")
HALF_LIVES_S = (15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1200.0, 3600.0)
HAR_INPUTS = ("log_har_1m", "log_har_5m", "log_har_30m", "log_har_240m", "log_tau")
FLOOR_LEVELS = (0.05, 0.1, 0.2, 0.3, 0.4)  # of moving minutes of the fit slice
UNFITTED_SLOPE = 1.0
AT = {name: i for i, name in enumerate(STATE)}


@dataclass(frozen=True)
class StateScale:
    """What the state needs from the fit slice: the fallback z, the EWMA half-life, the least volatilities."""

    z_mean: float
    z_std: float
    half_life_s: float
    increment: float
    least_bps: float = 0.0

    def states(self, rows: Dataset) -> F8:
        """Return the states of rows, float64[n, 8]."""
        numbers = (self.half_life_s, self.z_mean, self.z_std, self.increment, self.least_bps)
        return state_matrix(raw_rows(rows, 0), *numbers)


def fit_scale(fit: Dataset, least_log: float | None = None) -> StateScale:
    """Fit mean and deviation of log rv, and the EWMA half-life with the lowest QLIKE, on the fit slice.

    Parameters
    ----------
    fit : Dataset
        Labelled rows of the fit slice.
    least_log : float, optional
        Log of the volatility below which none is told apart (bps); without it that of ``least_log_sigma``.
    """
    least_bps = math.exp(least_log_sigma(fit) if least_log is None else least_log)
    realised = log_realised(fit)

    def states(half_life_s: float) -> F8:
        return StateScale(0.0, 1.0, half_life_s, fit.increment, least_bps).states(fit)

    log_rv = states(HALF_LIVES_S[0])[:, AT["log_rv"]]
    spread = float(np.std(log_rv))
    return StateScale(
        z_mean=float(np.mean(log_rv)),
        z_std=spread if spread > 0.0 else 1.0,
        half_life_s=min(HALF_LIVES_S, key=lambda each: _qlike(states(each)[:, AT["log_ewma"]], realised)),
        increment=fit.increment,
        least_bps=least_bps,
    )


def _repeating_scale(fit: Dataset) -> StateScale:
    """Fit the scale of rules that repeat a volatility, with the floor under it that QLIKE on fit likes best.

    Without a floor such a rule is judged by its few stillest minutes, and any model beats it.
    """
    realised, log_rv = log_realised(fit), np.log(np.maximum(fit.rv_bps, fit.floor_bps))
    floors = moving_quantiles(fit, FLOOR_LEVELS).tolist()
    return fit_scale(fit, min(floors, key=lambda least: _qlike(np.maximum(log_rv, least), realised)))


def _qlike(log_sigma: F8, log_true: F8) -> float:
    """Return the mean QLIKE at the best constant scale, up to a constant."""
    return 2.0 * float(np.mean(log_sigma)) + math.log(float(np.mean(np.exp(2.0 * (log_true - log_sigma)))))


@dataclass(frozen=True)
class FittedRule:
    """Weights of one rule, and why its log-odds are a guess (empty where they were fitted)."""

    weights: StateWeights
    unfitted: str = ""


def fit_rules(fit: Dataset, scale: StateScale, wanted: Sequence[str] = REFERENCES) -> dict[str, FittedRule]:
    """Fit every rule that the labelled fit rows allow.

    Parameters
    ----------
    fit : Dataset
        Labelled rows of the fit slice, at least one.
    scale : StateScale
        From the same rows.
    wanted : sequence of str
        Out of ``REFERENCES``.

    Returns
    -------
    dict
        By rule name. With labels of one class ``log-har-logit`` is missing, and the other rules carry the
        smoothed base rate and a slope of 1.
    """
    states = scale.states(fit)
    realised = log_realised(fit)
    gamma = cache(lambda: _har_gamma(states, fit))
    floored = cache(lambda: _repeating_scale(fit))
    fitters: dict[str, Callable[[], FittedRule]] = {
        "climatology": lambda: _climatology(fit, realised, scale),
        "persistence": lambda: _repeat("persistence", "log_rv", fit, floored()),
        "ewma": lambda: _repeat("ewma", "log_ewma", fit, floored()),
        "zscore": lambda: _by_z(fit, floored()),
        "log-har-ols": lambda: _by_ratio("log-har-ols", *_har_sigma(states, realised), states, fit, scale),
        "log-har-gamma": lambda: _by_ratio("log-har-gamma", *gamma(), states, fit, scale),
        "log-har-logit": lambda: _har_logit(*gamma(), states, fit, scale),
    }
    if one_class(fit.spike):
        del fitters["log-har-logit"]
    return {name: fitted() for name, fitted in fitters.items() if name in wanted}


def _rule(
    name: str,
    margin: dict[str, float],
    margin_intercept: float,
    sigma: dict[str, float],
    sigma_intercept: float,
    scale: StateScale,
) -> StateWeights:
    return StateWeights(
        rule=name,
        margin=tuple(margin.get(state, 0.0) for state in STATE),
        sigma=tuple(sigma.get(state, 0.0) for state in STATE),
        margin_intercept=margin_intercept,
        sigma_intercept=sigma_intercept,
        z_mean=scale.z_mean,
        z_std=scale.z_std,
        half_life_s=scale.half_life_s,
        increment=scale.increment,
        least_bps=scale.least_bps,
    )


def _log_odds(spike: npt.NDArray[np.int8]) -> float:
    """Return the log-odds of the base rate, half a spike and half a non-spike added (Jeffreys)."""
    spikes = int(np.count_nonzero(spike == 1))
    return math.log((spikes + 0.5) / (len(spike) - spikes + 0.5))


def _one_score(score: F8, spike: npt.NDArray[np.int8]) -> tuple[float, float, str]:
    """Return slope, intercept and why they are a guess: a rule's log-odds must rise with its score."""
    reason = one_class(spike)
    if not reason:
        coefficients, intercept = fit_logit(score[:, None], spike)
        if coefficients[0] > 0.0:
            return float(coefficients[0]), intercept, ""
        reason = "shows no more spikes at higher scores"
    guess = _log_odds(spike) - UNFITTED_SLOPE * float(np.mean(score))
    return UNFITTED_SLOPE, guess, f"the fit slice {reason}: base rate with slope 1"


def _climatology(fit: Dataset, realised: F8, scale: StateScale) -> FittedRule:
    level = 0.5 * math.log(float(np.mean(np.exp(2.0 * realised))))
    return FittedRule(_rule("climatology", {}, _log_odds(fit.spike), {}, level, scale))


def _by_ratio(
    name: str, sigma: dict[str, float], constant: float, states: F8, fit: Dataset, scale: StateScale
) -> FittedRule:
    """Rank by sigma over tau; where sigma itself rises faster than tau, by sigma's other inputs alone."""
    ratio = sigma | {"log_tau": min(sigma.get("log_tau", 0.0) - 1.0, 0.0)}
    score = constant + np.sum([weight * states[:, AT[state]] for state, weight in ratio.items()], axis=0)
    slope, intercept, unfitted = _one_score(score, fit.spike)
    margin = {state: slope * weight for state, weight in ratio.items()}
    return FittedRule(_rule(name, margin, intercept + slope * constant, sigma, constant, scale), unfitted)


def _repeat(name: str, state: str, fit: Dataset, scale: StateScale) -> FittedRule:
    return _by_ratio(name, {state: 1.0}, 0.0, scale.states(fit), fit, scale)


def _by_z(fit: Dataset, scale: StateScale) -> FittedRule:
    slope, intercept, unfitted = _one_score(scale.states(fit)[:, AT["z"]], fit.spike)
    return FittedRule(_rule("zscore", {"z": slope}, intercept, {"log_rv": 1.0}, 0.0, scale), unfitted)


def _har_sigma(states: F8, realised: F8) -> tuple[dict[str, float], float]:
    coefficients, intercept = fit_ridge(_har_states(states), realised, l2=1e-3)
    return dict(zip(HAR_INPUTS, coefficients.tolist(), strict=True)), intercept


def _har_gamma(states: F8, fit: Dataset) -> tuple[dict[str, float], float]:
    """Fit the same inputs by the gamma likelihood, which is QLIKE: the harder reference."""
    variance = realised_variance(fit, least_log_sigma(fit))
    coefficients, intercept = fit_gamma(_har_states(states), variance, l2=1e-3)
    return dict(zip(HAR_INPUTS, coefficients.tolist(), strict=True)), intercept


def _har_states(states: F8) -> F8:
    return states[:, [AT[name] for name in HAR_INPUTS]]


def _har_logit(
    sigma: dict[str, float], constant: float, states: F8, fit: Dataset, scale: StateScale
) -> FittedRule:
    signs = [-1 if name == "log_tau" else 0 for name in HAR_INPUTS]
    coefficients, intercept = fit_logit(_har_states(states), fit.spike, signs=signs)
    margin = dict(zip(HAR_INPUTS, coefficients.tolist(), strict=True))
    return FittedRule(_rule("log-har-logit", margin, intercept, sigma, constant, scale))
