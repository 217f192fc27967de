"""By how much a model's alerts are to be expected to cost more than its reference's, half hour by half hour.

It differs with tau, which follows the last day and is known before a half hour begins: the same model may
alert a lot at one, and hardly at another. So the cost to be expected is learned as a function of tau, from
markets of the same kind that the model has not seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from volspike.config import Settings
from volspike.models.manifest import Manifest
from volspike.monitoring.alert_costs import cost_differences
from volspike.monitoring.graded import BLOCK_S, GradedRows
from volspike.pipeline.trial import watched_sides

F8 = npt.NDArray[np.float64]

GROUPS = 16


@dataclass(frozen=True, eq=False)
class BlockCosts:
    """Of n half hours: tau at the first row, bps, and by how many events the model's alerts cost more."""

    tau_bps: F8
    excess: F8

    @classmethod
    def of(cls, rows: GradedRows, champion: Manifest) -> BlockCosts:
        """Return those that a watch on the champion looks at."""
        own, model, reference = watched_sides(rows, champion, Settings.model_construct())
        assert model.alerts is not None
        assert reference.alerts is not None
        costs = cost_differences(own.graded, model.alerts, reference.alerts)
        first = np.searchsorted(own.second // BLOCK_S, costs.block)
        return cls(own.tau_bps[first], costs.value)


@dataclass(frozen=True, eq=False)
class ExpectedCosts:
    """Mean excess of each group of half hours of like tau; ``from_bps``: where all groups but one begin."""

    from_bps: F8
    mean: F8

    @classmethod
    def learned(cls, markets: Sequence[BlockCosts]) -> ExpectedCosts:
        """Return those of all half hours of some markets."""
        tau_bps = np.concatenate([each.tau_bps for each in markets])
        excess = np.concatenate([each.excess for each in markets])
        groups = np.array_split(np.argsort(tau_bps, kind="stable"), GROUPS)
        return cls(
            np.array([tau_bps[group[0]] for group in groups[1:]]),
            np.array([np.mean(excess[group]) for group in groups]),
        )

    def at(self, tau_bps: F8) -> F8:
        """Return the excess to be expected of half hours that begin with these tau, float64[n]."""
        expected: F8 = self.mean[np.searchsorted(self.from_bps, tau_bps, side="right")]
        return expected


def largest_run(expected: F8) -> float:
    """Return the largest sum of any run of half hours, 0 where none is above."""
    total = np.concatenate(([0.0], np.cumsum(expected)))
    return float(np.max(total - np.minimum.accumulate(total)))
