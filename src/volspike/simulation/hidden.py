"""The hidden state of the synthetic market (regimes, log-volatility, jumps) and the future it implies.

On a grid of one second. A regime (calm, active, turbulent), common to all products, is a Markov chain. Each
product's log-volatility h (of one second, in basis points) reverts to the level of the regime:
``h' = h + REVERSION * (level - h) + NOISE * z``. Jumps excite further jumps: in each second one happens
with probability ``min(base + excitation, 0.5)``; it adds ``EXCITATION`` to the excitation, which decays by
``DECAY`` a second.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from volspike.simulation.market import SECOND_NS

Floats = NDArray[np.float64]

BLOCK_S = 10
HORIZON_S = 60
PATHS = 2_000
REGIMES = ("calm", "active", "turbulent")

# Chance per second of going from the row's regime to the column's.
TRANSITIONS = np.array(
    [
        [1.0 - 1 / 500, 1 / 600, 1 / 3_000],
        [1 / 240, 1.0 - 1 / 240 - 1 / 360, 1 / 360],
        [1 / 400, 1 / 80, 1.0 - 1 / 80 - 1 / 400],
    ]
)
LEVEL = np.log(np.array([2.4, 7.5, 23.0]) / np.sqrt(60.0))
REVERSION = 1 / 15
NOISE = 0.07
JUMP_BASE = np.array([1 / 7_200, 1 / 900, 1 / 90])
EXCITATION = 0.02
DECAY = 0.95
JUMP_MEDIAN_BPS = 5.0
JUMP_SPREAD = 0.5

_CUMULATIVE = TRANSITIONS.cumsum(axis=1)


class HiddenState(NamedTuple):
    """The state in force during one second; ``log_vol`` and ``excitation`` hold one value a product."""

    regime: int
    log_vol: tuple[float, ...]
    excitation: tuple[float, ...]


class HiddenBlock(NamedTuple):
    """The states of one block of ``BLOCK_S`` seconds, its jumps, and the state of its last second.

    ``regime`` has shape (BLOCK_S,), the others (BLOCK_S, products). A jump happens at ``jump_at`` (a fraction
    of its second) and moves the log-price by ``jump_bps``; where there is none ``jump_bps`` is 0.
    """

    regime: NDArray[np.int8]
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
        calm = HiddenState(0, (float(LEVEL[0]),) * products, (0.0,) * products)
        self._before = [calm]
        self._cached_block = lru_cache(maxsize=4)(self._make_block)
        self._cached_future = lru_cache(maxsize=16)(self._simulate_future)

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
        return HiddenState(int(block.regime[i]), tuple(block.log_vol[i]), tuple(block.excitation[i]))

    def future_volatility_bps(self, product: int, event_ns: int) -> Floats:
        """Return ``PATHS`` draws, sorted, of the volatility over the 60 whole seconds after ``event_ns``."""
        return self._cached_future(product, -(-event_ns // SECOND_NS))

    def _make_block(self, index: int) -> HiddenBlock:
        rng = np.random.default_rng([self._seed, 0, index])
        shape = (BLOCK_S, self._products)
        turn, z = rng.random(BLOCK_S), rng.standard_normal(shape)
        jump, at = rng.random(shape), rng.random(shape)
        sizes = (
            JUMP_MEDIAN_BPS
            * np.exp(JUMP_SPREAD * rng.standard_normal(shape))
            * rng.choice([-1.0, 1.0], shape)
        )
        regimes = np.empty(BLOCK_S, np.int8)
        log_vol, excitation, jumps = np.empty(shape), np.empty(shape), np.zeros(shape)
        before = self._before[index]
        regime, h, excited = before.regime, np.array(before.log_vol), np.array(before.excitation)
        for i in range(BLOCK_S):
            regime = int(next_regime(np.array(regime), turn[i : i + 1])[0])
            h = h + REVERSION * (LEVEL[regime] - h) + NOISE * z[i]
            jumped = jump[i] < np.minimum(JUMP_BASE[regime] + excited, 0.5)
            excited = excited * DECAY + EXCITATION * jumped
            regimes[i], log_vol[i], excitation[i] = regime, h, excited
            jumps[i] = np.where(jumped, sizes[i], 0.0)
        last = HiddenState(regime, tuple(h), tuple(excited))
        return HiddenBlock(regimes, log_vol, excitation, jumps, at, last)

    def _simulate_future(self, product: int, second: int) -> Floats:
        state = self.state_at(second * SECOND_NS)
        rng = np.random.default_rng([self._seed, 2, product, second])
        regime = np.full(PATHS, state.regime)
        h = np.full(PATHS, state.log_vol[product])
        excited = np.full(PATHS, state.excitation[product])
        squares = np.zeros(PATHS)
        for _ in range(HORIZON_S):
            turn, jump = rng.random((2, PATHS))
            z, shock, tail = rng.standard_normal((3, PATHS))
            regime = next_regime(regime, turn)
            h += REVERSION * (LEVEL[regime] - h) + NOISE * z
            jumped = jump < np.minimum(JUMP_BASE[regime] + excited, 0.5)
            excited = excited * DECAY + EXCITATION * jumped
            size = JUMP_MEDIAN_BPS * np.exp(JUMP_SPREAD * tail) * jumped
            squares += (np.exp(h) * shock + size) ** 2
        return np.sort(np.sqrt(squares))
