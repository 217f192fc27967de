"""Chronological splits with purging; never shuffled."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from volspike.errors import ConfigError

if TYPE_CHECKING:
    from volspike.labels.dataset import Dataset

PARTS = ("fit", "tune", "calibrate", "test")
FRACTIONS = (0.70, 0.075, 0.075, 0.15)
PURGE_S = 300
HORIZON_S = 60
SECOND_NS = 1_000_000_000

Index = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Split:
    """Row indices of the four parts, each ascending, in time order.

    Attributes
    ----------
    fit, tune, calibrate, test : int64 arrays
        Row indices into the dataset; a part may be empty.
    boundaries_ns : tuple of int
        Event time of the first row of tune, calibrate and test before purging (just after the last row where
        none is left).
    purged : int
        Rows that belong to no part because they lie too close before a boundary.
    """

    fit: Index
    tune: Index
    calibrate: Index
    test: Index
    boundaries_ns: tuple[int, ...] = ()
    purged: int = 0

    def parts(self) -> Iterator[tuple[str, Index]]:
        """Yield (name, row indices) of each part in time order."""
        for name in PARTS:
            yield name, getattr(self, name)

    def counts(self) -> dict[str, int]:
        """Return the number of rows of each part, and of the purged ones."""
        return {name: len(index) for name, index in self.parts()} | {"purged": self.purged}


def chronological_split(
    dataset: Dataset,
    fractions: tuple[float, float, float, float] = FRACTIONS,
    purge_s: int = PURGE_S,
    horizon_s: int = HORIZON_S,
) -> Split:
    """Split a dataset's rows in time order into fit, tune, calibrate and test.

    A row at t is purged when its label, which ends at ceil(t) + ``horizon_s``, plus ``purge_s`` reaches over
    the start of the next part.

    Parameters
    ----------
    dataset : Dataset
        Rows in time order.
    fractions : tuple of 4 floats
        Shares of the rows; they sum to 1.
    purge_s, horizon_s : int
        Purge distance and label horizon in seconds.

    Returns
    -------
    Split
        Parts may be empty where the rows span too little time; see ``Split.counts``.

    Raises
    ------
    ConfigError
        If the fractions are negative or don't sum to 1, or a distance is negative.
    """
    return split_times(dataset.event_ns, fractions, purge_s, horizon_s)


def split_times(
    event_ns: npt.NDArray[np.int64],
    fractions: tuple[float, float, float, float] = FRACTIONS,
    purge_s: int = PURGE_S,
    horizon_s: int = HORIZON_S,
) -> Split:
    """Split ascending event times (int64[n], ns); see ``chronological_split``."""
    _check(fractions, purge_s, horizon_s)
    n = len(event_ns)
    cuts = [0, *(round(n * sum(fractions[: i + 1])) for i in range(3)), n]
    end_ns = int(event_ns[-1]) + 1 if n else 0
    boundaries = tuple(int(event_ns[cut]) if cut < n else end_ns for cut in cuts[1:4])
    # The label of a row at t ends at ceil(t) + horizon.
    reach_ns = (-(-event_ns // SECOND_NS) + horizon_s + purge_s) * SECOND_NS
    rows = np.arange(n, dtype=np.int64)
    parts = []
    for i in range(4):
        part = rows[cuts[i] : cuts[i + 1]]
        later = next((b for b, cut in zip(boundaries[i:], cuts[i + 1 : 4], strict=True) if cut < n), None)
        parts.append(part if later is None else part[reach_ns[part] <= later])
    fit, tune, calibrate, test = parts
    return Split(fit, tune, calibrate, test, boundaries, n - sum(map(len, parts)))


def _check(fractions: tuple[float, ...], purge_s: int, horizon_s: int) -> None:
    if len(fractions) != 4 or min(fractions) < 0 or abs(sum(fractions) - 1.0) > 1e-9:
        raise ConfigError(
            "split fractions", f"{fractions} aren't four shares that sum to 1", "use 0.7 0.075 0.075 0.15"
        )
    if purge_s < 0 or horizon_s < 0:
        raise ConfigError("purge", f"{purge_s} s or {horizon_s} s is negative", "use 300 s and 60 s")
