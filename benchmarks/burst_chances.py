"""The chance of a spike that a ``ChangingMarket`` knows at each row: what its burst makes of the next minute.

Calms, and bursts from their fifth second on, end at a constant rate. So all that matters is whether a second
is wild, and how old its burst is in the first five. How volatile the next minute is in each of these states
is taken from a long market of the same kind, through the same engine and the same labels.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from benchmarks.changing_market import LEAST_BURST_S
from benchmarks.whole_lives import START_S, labelled_market, wild_seconds
from volspike.evaluation.scores import log_losses

F8 = npt.NDArray[np.float64]
I8 = npt.NDArray[np.int64]

_SEED = 2_000_000  # beyond those of all lives


def hidden_states(wild: npt.NDArray[np.bool_]) -> I8:
    """Return the state of each second, int64[n]: 0 calm, else the age of its burst, 1 to 5 and more."""
    second = np.arange(len(wild))
    begins = wild & ~np.append(False, wild[:-1])
    begin = np.maximum.accumulate(np.where(begins, second, 0))
    age: I8 = np.where(wild, np.minimum(second - begin + 1, LEAST_BURST_S), 0)
    return age


@dataclass(frozen=True, eq=False)
class BurstChances:
    """How volatile the minute behind each state is: ``sigma_bps`` holds one ascending float64[n] a state."""

    sigma_bps: tuple[F8, ...]

    @classmethod
    def learned(cls, days: float, change_s: int) -> BurstChances:
        """Return those of a kind of bursts (see ``ChangingMarket``), from a market of so many days."""
        rows = labelled_market(_SEED, START_S, days, change_s)
        rows = rows.rows(rows.spike >= 0)
        states = hidden_states(wild_seconds(_SEED, change_s, days))[rows.second - START_S]
        each = range(LEAST_BURST_S + 1)
        return cls(tuple(np.sort(rows.sigma_future_bps[states == state]) for state in each))

    def of(self, states: I8, tau_bps: F8) -> F8:
        """Return P(volatility of the next minute >= tau) of each row, float64[n]."""
        chance = np.empty(len(states))
        for state, sigma_bps in enumerate(self.sigma_bps):
            those = states == state
            chance[those] = 1.0 - np.searchsorted(sigma_bps, tau_bps[those]) / len(sigma_bps)
        return chance


def expected_losses(chance: F8, p: F8) -> F8:
    """Return the log-loss to be expected of each probability where the chance is known, float64[n]."""
    of_spike, of_none = (log_losses(np.full(len(p), label), p) for label in (True, False))
    expected: F8 = chance * of_spike + (1.0 - chance) * of_none
    return expected
