"""What a promotion asks for: each condition on its own, met or not, in plain words."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from volspike.evaluation.enough import Evidence
from volspike.evaluation.reliability import SLOPE_BOUNDS, TOP_DECILE_BOUNDS
from volspike.models.calibrate import NO_SPREAD, one_class
from volspike.monitoring.contender import Contender

ALPHA = 0.05
_MOST_DIGITS = 17

Calibration = tuple[float | None, float | None]
"""Slope of the recalibration, and observed over predicted spikes in the top decile."""


@dataclass(frozen=True, slots=True)
class Condition:
    """One condition of a promotion.

    Attributes
    ----------
    name : str
        "sound", "varied", "classes", "evidence", "certain", "better" or "calibrated".
    met : bool
        Whether it holds.
    words : str
        What was found.
    """

    name: str
    met: bool
    words: str


def judge(
    *,
    labels: npt.NDArray[np.int8],
    challenger: Contender,
    evidence: Evidence,
    log_e: float | None,
    alpha: float,
    mean_gain: float | None,
    calibrations: tuple[Calibration, ...],
) -> tuple[Condition, ...]:
    """Judge every condition of a promotion.

    Parameters
    ----------
    labels : int8[n]
        Labels of all labelled rows in the shadow, 1 or 0.
    challenger : Contender
        What it said of them.
    evidence : Evidence
        In the rows that both have a probability for.
    log_e : float or None
        Log e-value that the challenger is better.
    alpha : float
        Chance of a promotion for nothing.
    mean_gain : float or None
        Mean gain in log-loss, nats a row.
    calibrations : (Calibration, Calibration)
        Of champion and challenger.
    """
    return (
        _sound(challenger),
        _varied(challenger),
        _classes(labels),
        Condition("evidence", evidence.enough_data, str(evidence)),
        _certain(log_e, alpha),
        _better(mean_gain),
        _calibrated(*calibrations),
    )


def _sound(challenger: Contender) -> Condition:
    rows, bad = len(challenger.p), int(np.count_nonzero(~challenger.told))
    if bad:
        return Condition(
            "sound", False, f"the challenger has no probability from 0 to 1 in {bad} of {rows} rows"
        )
    if challenger.sigma_bps is not None:
        bad = int(np.count_nonzero(~(np.isfinite(challenger.sigma_bps) & (challenger.sigma_bps > 0.0))))
    met = bad == 0
    words = (
        "all its predictions are sound"
        if met
        else f"the challenger has no volatility in {bad} of {rows} rows"
    )
    return Condition("sound", met, words)


def _varied(challenger: Contender) -> Condition:
    if not len(challenger.p):
        return Condition("varied", False, "no outcome yet of rows that both predicted")
    told = challenger.p[challenger.told]
    met = len(told) > 0 and float(np.ptp(told)) > NO_SPREAD
    return Condition("varied", met, "its predictions vary" if met else "the challenger predicts a constant")


def _classes(labels: npt.NDArray[np.int8]) -> Condition:
    reason = one_class(labels)
    return Condition(
        "classes", not reason, f"the shadow {reason}" if reason else "spikes and calm rows are there"
    )


def _certain(log_e: float | None, alpha: float) -> Condition:
    asked = math.log(1.0 / alpha)
    if log_e is None:
        return Condition("certain", False, "there is no finished block to compare")
    met = log_e >= asked
    digits = 1 if met else _digits_apart(1, log_e, asked)
    has = round(log_e, digits) + 0.0  # no -0.0
    found = f"evidence of a lower log-loss e^{has:.{digits}f}, e^{asked:.{digits}f} is asked for"
    return Condition("certain", met, found)


def _better(mean_gain: float | None) -> Condition:
    if mean_gain is None:
        return Condition("better", False, "there is no row to compare")
    found = f"its mean log-loss is {abs(mean_gain):.4g} nats {'lower' if mean_gain > 0.0 else 'higher'}"
    return Condition(
        "better", mean_gain > 0.0, found if mean_gain != 0.0 else "its mean log-loss is the same"
    )


def _calibrated(champion: Calibration, challenger: Calibration) -> Condition:
    """Ask for the bounds of a claim, or for no worse than the champion where that lies outside too."""
    parts = zip(
        ("slope", "top-decile ratio"), (SLOPE_BOUNDS, TOP_DECILE_BOUNDS), champion, challenger, strict=True
    )
    wrong, found = [], []
    for name, (low, high), theirs, ours in parts:
        if ours is None:
            wrong.append(f"the {name} of the challenger's calibration is undefined")
            continue
        found.append(f"{name} {ours:.2f}")
        if not low <= ours <= high and not _no_worse(ours, theirs):
            others = (low, high) if theirs is None else (low, high, theirs)
            digits = _digits_apart(2, ours, *others)
            wrong.append(
                f"the challenger's {name} of {ours:.{digits}f} lies outside {low:g} to {high:g}"
                + ("" if theirs is None else f", the champion's is {theirs:.{digits}f}")
            )
    return Condition(
        "calibrated", not wrong, "; ".join(wrong) if wrong else f"calibrated ({', '.join(found)})"
    )


def _digits_apart(least: int, figure: float, *others: float) -> int:
    """Return with how many decimals a figure does not read as any of the others that it differs from."""
    apart = [other for other in others if other != figure]
    enough = (
        n for n in range(least, _MOST_DIGITS) if round(figure, n) not in [round(other, n) for other in apart]
    )
    return next(enough, _MOST_DIGITS)


def _no_worse(ours: float, theirs: float | None) -> bool:
    if theirs is None or ours <= 0.0 or theirs <= 0.0:
        return False
    return abs(math.log(ours)) <= abs(math.log(theirs))
