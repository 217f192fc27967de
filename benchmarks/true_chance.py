"""The chance of a spike that the synthetic market knows, of many rows: the best that anybody could predict.

The next minute of each row follows from the hidden state alone. It is simulated from the knots of a grid of
states, and read between them: so all rows of a day cost no more than some thousand minutes of simulation.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product as combinations
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from volspike.simulation.future import States, future_volatility_bps

F8 = npt.NDArray[np.float64]
I8 = npt.NDArray[np.int64]

EXCITATION_KNOTS = (0.0, 0.01, 0.03, 0.08, 0.2, 0.5)
SEED = 20_260_404
_TOGETHER = 64


class Fineness(NamedTuple):
    """Knots of log-volatility and of the long-run component, and draws of the future at each."""

    log_vol: int = 28
    long_run: int = 6
    paths: int = 2_000


class _Axis(NamedTuple):
    """Where rows lie between two knots: the lower one, and the weight of the upper."""

    knots: F8
    lower: I8
    weight: F8


def true_chances(states: States, tau_bps: F8, orders_per_second: float, fineness: Fineness) -> F8:
    """Return P(realised volatility of the next 60 s >= tau) of each row.

    Parameters
    ----------
    states : States
        Hidden states of n rows.
    tau_bps : float64[n]
        The threshold in force at each.
    orders_per_second : float
        Of the product when calm.
    fineness : Fineness
        Of the grid; all its knots share the same draws, so that the chance is smooth in the state.

    Returns
    -------
    float64[n]
    """
    axes = [
        _axis(states.long_run, _even(states.long_run, fineness.long_run)),
        _axis(states.log_vol, _even(states.log_vol, fineness.log_vol)),
        _axis(states.excitation, np.array(EXCITATION_KNOTS)),
    ]
    knot, weight = _corners(states.regime.astype(np.int64), axes)
    row = np.repeat(np.arange(len(tau_bps)), knot.shape[1])
    at_knot = _at_knots(knot.ravel(), tau_bps[row], axes, orders_per_second, fineness.paths)
    return np.bincount(row, weight.ravel() * at_knot, len(tau_bps)).astype(np.float64, copy=False)


def _even(values: F8, count: int) -> F8:
    return np.linspace(float(values.min()) - 1e-9, float(values.max()) + 1e-9, count)


def _axis(values: F8, knots: F8) -> _Axis:
    lower = np.clip(np.searchsorted(knots, values, "right") - 1, 0, len(knots) - 2)
    weight = np.clip((values - knots[lower]) / (knots[lower + 1] - knots[lower]), 0.0, 1.0)
    return _Axis(knots, lower, weight)


def _corners(regime: I8, axes: Sequence[_Axis]) -> tuple[I8, F8]:
    """Return the knots around each row, numbered, and their weights: [n, 8] both."""
    knots, weights = [], []
    for uppers in combinations((0, 1), repeat=len(axes)):
        knot, weight = regime, np.ones(len(regime))
        for axis, upper in zip(axes, uppers, strict=True):
            knot = knot * len(axis.knots) + axis.lower + upper
            weight = weight * (axis.weight if upper else 1.0 - axis.weight)
        knots.append(knot)
        weights.append(weight)
    return np.stack(knots, axis=1), np.stack(weights, axis=1)


def _at_knots(knot: I8, tau_bps: F8, axes: Sequence[_Axis], orders_per_second: float, paths: int) -> F8:
    """Return the chance at each (knot, tau): each knot that is used is simulated once."""
    used, which = np.unique(knot, return_inverse=True)
    order = np.argsort(which, kind="stable")
    bounds = np.searchsorted(which[order], np.arange(len(used) + 1))
    chance = np.empty(len(knot))
    for start in range(0, len(used), _TOGETHER):
        states = _states(used[start : start + _TOGETHER], axes)
        volatility = future_volatility_bps(states, orders_per_second, paths, np.random.default_rng(SEED))
        for i, drawn in enumerate(volatility, start):
            here = order[bounds[i] : bounds[i + 1]]
            chance[here] = 1.0 - np.searchsorted(drawn, tau_bps[here]) / paths
    return chance


def _states(knot: I8, axes: Sequence[_Axis]) -> States:
    shape = [len(axis.knots) for axis in axes]
    regime, *places = np.unravel_index(knot, (3, *shape))
    long_run, log_vol, excitation = (axis.knots[i] for axis, i in zip(axes, places, strict=True))
    return States(regime.astype(np.int64), long_run, log_vol, excitation)
