"""The hidden state of the synthetic market: regimes, a long-run level, log-volatility, jumps.

On a grid of one second. A regime (calm, active, turbulent; a Markov chain of minutes) and a long-run
component (of hours, it reverts to 0), both common to all products, set the level of volatility. Each
product's log-volatility h (of one second, in basis points) reverts to that level:
``h' = h + REVERSION * (level + long_run - h) + NOISE * z``. Jumps excite further jumps: in each second one
happens with probability ``min(base + excitation, 0.5)``; it adds ``EXCITATION`` to the excitation, which
decays by ``DECAY`` a second. The constants are such that the market has the persistence and the tails of the
recordings, see docs/results.md.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from volspike.simulation.market import SECOND_NS

Floats = NDArray[np.float64]
Number = TypeVar("Number", float, NDArray[np.float64])

BLOCK_S = 10
REGIMES = ("calm", "active", "turbulent")

# Chance per second of going from the row's regime to the column's.
TRANSITIONS = np.array(
    [
        [1.0 - 1 / 500, 1 / 600, 1 / 3_000],
        [1 / 240, 1.0 - 1 / 240 - 1 / 360, 1 / 360],
        [1 / 400, 1 / 80, 1.0 - 1 / 80 - 1 / 400],
    ]
)
LEVEL = np.log(np.array([2.0, 4.2, 9.0]) / np.sqrt(60.0))
LONG_RUN_REVERSION = 1 / 10_800
LONG_RUN_NOISE = 0.5 * np.sqrt(2 * LONG_RUN_REVERSION)
REVERSION = 1 / 15
NOISE = 0.12
JUMP_BASE = np.array([1 / 7_200, 1 / 900, 1 / 90])
EXCITATION = 0.02
DECAY = 0.95
JUMP_MEDIAN_BPS = 5.0
JUMP_SPREAD = 0.5

_CUMULATIVE = TRANSITIONS.cumsum(axis=1)


class HiddenState(NamedTuple):
    """The state in force during one second; ``log_vol`` and ``excitation`` hold one value a product."""

    regime: int
    long_run: float
    log_vol: tuple[float, ...]
    excitation: tuple[float, ...]


class HiddenBlock(NamedTuple):
    """The states of one block of ``BLOCK_S`` seconds, its jumps, and the state of its last second.

    ``regime`` and ``long_run`` have shape (BLOCK_S,), the others (BLOCK_S, products). A jump happens at
    ``jump_at`` (a fraction of its second) and moves the log-price by ``jump_bps``; where there is none
    ``jump_bps`` is 0.
    """

    regime: NDArray[np.int8]
    long_run: Floats
    log_vol: Floats
    excitation: Floats
    jump_bps: Floats
    jump_at: Floats
    last: HiddenState


def next_regime(regime: NDArray[np.int64], uniform: Floats) -> NDArray[np.int64]:
    """Step the Markov chain by one second."""
    steps = _CUMULATIVE[regime]
    following: NDArray[np.int64] = (uniform[..., None] >= steps[..., :2]).sum(axis=-1)
    return following


def next_long_run(long_run: Number, z: Number) -> Number:
    """Step the long_run by one second, given a standard normal draw."""
    following: Number = long_run * (1.0 - LONG_RUN_REVERSION) + LONG_RUN_NOISE * z
    return following


def next_log_vol(log_vol: Floats, level: Floats | float, z: Floats) -> Floats:
    """Step the log-volatility by one second towards its level, given a standard normal draw."""
    following: Floats = log_vol + REVERSION * (level - log_vol) + NOISE * z
    return following


def jump_chance(base: Floats | float, excitation: Floats) -> Floats:
    """Return the probability of a jump in one second."""
    chance: Floats = np.minimum(base + excitation, 0.5)
    return chance


def draw_jump_sizes(shape: int | tuple[int, ...], rng: np.random.Generator) -> Floats:
    """Draw signed sizes of jumps, in basis points."""
    sizes: Floats = JUMP_MEDIAN_BPS * np.exp(JUMP_SPREAD * rng.standard_normal(shape))
    signs: Floats = rng.choice([-1.0, 1.0], shape)
    return sizes * signs


class HiddenPath:
    """The hidden path of one seed, block by block; any block can be asked for at any time.

    Only the state at each block's start is kept (a few numbers a minute).

    Parameters
    ----------
    seed : int
        Decides everything.
    products : int
        Number of products.
    start_ns : int
        Beginning of the first block, a whole second.
    """

    def __init__(self, seed: int, products: int, start_ns: int) -> None:
        self._seed = seed
        self._products = products
        self.start_ns = start_ns
        calm = HiddenState(0, 0.0, (float(LEVEL[0]),) * products, (0.0,) * products)
        self._before = [calm]
        self._cached_block = lru_cache(maxsize=4)(self._make_block)

    def block(self, index: int) -> HiddenBlock:
        """Return block ``index``, which begins ``index * BLOCK_S`` seconds after the start."""
        while len(self._before) <= index:
            self._before.append(self._cached_block(len(self._before) - 1).last)
        return self._cached_block(index)

    def state_at(self, event_ns: int) -> HiddenState:
        """Return the state of the last second that began before ``event_ns``."""
        second = max(0, -((self.start_ns - event_ns) // SECOND_NS) - 1)
        block = self.block(second // BLOCK_S)
        i = second % BLOCK_S
        return HiddenState(
            int(block.regime[i]),
            float(block.long_run[i]),
            tuple(block.log_vol[i]),
            tuple(block.excitation[i]),
        )

    def _make_block(self, index: int) -> HiddenBlock:
        rng = np.random.default_rng([self._seed, 0, index])
        shape = (BLOCK_S, self._products)
        turn, z, slow = rng.random(BLOCK_S), rng.standard_normal(shape), rng.standard_normal(BLOCK_S)
        jump, at = rng.random(shape), rng.random(shape)
        sizes = draw_jump_sizes(shape, rng)
        regimes, long_runs = np.empty(BLOCK_S, np.int8), np.empty(BLOCK_S)
        log_vol, excitation, jumps = np.empty(shape), np.empty(shape), np.zeros(shape)
        before = self._before[index]
        regime, long_run = before.regime, before.long_run
        h, excited = np.array(before.log_vol), np.array(before.excitation)
        for i in range(BLOCK_S):
            regime = int(next_regime(np.array(regime), turn[i : i + 1])[0])
            long_run = next_long_run(long_run, slow[i])
            h = next_log_vol(h, LEVEL[regime] + long_run, z[i])
            jumped = jump[i] < jump_chance(JUMP_BASE[regime], excited)
            excited = excited * DECAY + EXCITATION * jumped
            regimes[i], long_runs[i], log_vol[i], excitation[i] = regime, long_run, h, excited
            jumps[i] = np.where(jumped, sizes[i], 0.0)
        last = HiddenState(regime, float(long_run), tuple(h), tuple(excited))
        return HiddenBlock(regimes, long_runs, log_vol, excitation, jumps, at, last)
