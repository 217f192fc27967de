"""The next minute of the synthetic market, simulated forward from its hidden state.

The hidden state goes on by the second as in ``hidden``; the efficient price, orders and quotes go on by the
quarter of a second. Orders of one instant count once; later children raise the rate, which is a Hawkes
process with one exponential kernel. Left out, because small: the rounding of prices to cents.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from volspike.simulation.arrivals import KERNELS
from volspike.simulation.hidden import (
    DECAY,
    EXCITATION,
    JUMP_BASE,
    LEVEL,
    draw_jump_sizes,
    jump_chance,
    next_log_vol,
    next_long_run,
    next_regime,
)
from volspike.simulation.quoting import inertia_bps, order_rate, stress_of

Floats = NDArray[np.float64]

HORIZON_S = 60
STEPS = 4
"""Of one second."""

(_AT_ONCE, _), (_LATER, _LATER_DELAY_S) = KERNELS
_BASE = 1.0 - _AT_ONCE - _LATER
_LATER_OF_INSTANT = _LATER / (1.0 - _AT_ONCE)
_FADE = np.exp(-1.0 / (STEPS * _LATER_DELAY_S))


class States(NamedTuple):
    """Hidden states of one product, k of them: see ``hidden.HiddenState``."""

    regime: NDArray[np.int64]
    long_run: Floats
    log_vol: Floats
    excitation: Floats


def future_volatility_bps(
    states: States, orders_per_second: float, paths: int, rng: np.random.Generator
) -> Floats:
    """Draw the realised volatility of the 60 seconds that follow each state.

    Parameters
    ----------
    states : States
        k states at whole seconds. How far the efficient price is from the mid then, and which orders came
        just before, is drawn.
    orders_per_second : float
        Of the product when calm.
    paths : int
        Draws of each state; all states share the same chances, so that differences between them are smooth.
    rng : numpy.random.Generator
        Source of chance.

    Returns
    -------
    float64[k, paths]
        In basis points, each row sorted.
    """
    shape = (len(states.regime), paths)
    regime = _repeated(states.regime, paths)
    long_run, h, excited = (
        _repeated(column, paths) for column in (states.long_run, states.log_vol, states.excitation)
    )
    quotes = _Quotes(stress_of(h), orders_per_second, rng, paths)
    squares = np.zeros(shape)
    for _ in range(HORIZON_S):
        regime = next_regime(regime, np.broadcast_to(rng.random(paths), shape))
        long_run = next_long_run(long_run, rng.standard_normal(paths))
        h = next_log_vol(h, LEVEL[regime] + long_run, rng.standard_normal(paths))
        jumped = rng.random(paths) < jump_chance(JUMP_BASE[regime], excited)
        excited = excited * DECAY + EXCITATION * jumped
        jump_bps, jump_step = draw_jump_sizes(paths, rng) * jumped, rng.integers(0, STEPS, paths)
        stress, step_bps = stress_of(h), np.exp(h) / np.sqrt(STEPS)
        moved = np.zeros(shape)
        for step in range(STEPS):
            drift = step_bps * rng.standard_normal(paths) + jump_bps * (jump_step == step)
            moved += quotes.step(drift, stress, rng)
        squares += moved**2
    return np.sort(np.sqrt(squares), axis=1)


def _repeated(column: NDArray[Any], paths: int) -> NDArray[Any]:
    repeated: NDArray[Any] = np.repeat(column[:, None], paths, axis=1)
    return repeated


class _Quotes:
    """How far the mid has to go, and when it goes: arrays of (states, paths)."""

    def __init__(
        self, stress: Floats, orders_per_second: float, rng: np.random.Generator, paths: int
    ) -> None:
        self._orders_per_second = orders_per_second
        # Of a renewal process whose waits grow with the square of an exponential inertia, met at any time.
        self._inertia = inertia_bps(stress) * rng.gamma(3.0, 1.0, paths)
        self._gap = self._inertia * rng.triangular(-1.0, 0.0, 1.0, paths)
        rate = _BASE * order_rate(stress, orders_per_second)
        self._extra_rate = rate * _LATER_OF_INSTANT / (1.0 - _LATER_OF_INSTANT)

    def step(self, drift_bps: Floats, stress: Floats, rng: np.random.Generator) -> Floats:
        """Move the efficient price; return how far the mid follows."""
        self._gap = self._gap + drift_bps
        rate = _BASE * order_rate(stress, self._orders_per_second) + self._extra_rate
        is_order = rng.random(stress.shape[1]) < -np.expm1(-rate / STEPS)
        follows = is_order & (np.abs(self._gap) >= self._inertia)
        moved = np.where(follows, self._gap, 0.0)
        self._gap = self._gap - moved
        fresh = inertia_bps(stress) * rng.standard_exponential(stress.shape[1])
        self._inertia = np.where(follows, fresh, self._inertia)
        self._extra_rate = self._extra_rate * _FADE + _LATER_OF_INSTANT / _LATER_DELAY_S * is_order
        return moved
