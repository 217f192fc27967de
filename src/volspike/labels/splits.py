"""Chronological splits with purging; never shuffled."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from volspike.errors import ConfigError
from volspike.features.window import SECOND_NS
from volspike.labels.targets import HORIZON_S

if TYPE_CHECKING:
    from volspike.labels.dataset import Dataset

PARTS = ("fit", "tune", "calibrate", "test")
FRACTIONS = (0.70, 0.075, 0.075, 0.15)
PURGE_S = 300

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


def chronological_split(dataset: Dataset) -> Split:
    """Split a dataset's rows in time order into fit, tune, calibrate and test; see ``split_times``."""
    return split_times(dataset.event_ns)


def split_times(
    event_ns: npt.NDArray[np.int64],
    fractions: tuple[float, float, float, float] = FRACTIONS,
    purge_s: int = PURGE_S,
) -> Split:
    """Split rows in time order into fit, tune, calibrate and test.

    A row at t is purged when its label, which ends at ceil(t) + 60 s, plus ``purge_s`` reaches over the start
    of the next part.

    Parameters
    ----------
    event_ns : int64[n]
        Event times of the rows, ascending, ns.
    fractions : tuple of 4 floats
        Shares of the rows; they sum to 1.
    purge_s : int
        Purge distance in seconds.

    Returns
    -------
    Split
        Parts may be empty where the rows span too little time; see ``Split.counts``.

    Raises
    ------
    ConfigError
        If the fractions are negative or don't sum to 1, or the distance is negative.
    """
    _check(fractions, purge_s)
    n = len(event_ns)
    cuts = [0, *(round(n * sum(fractions[: i + 1])) for i in range(3)), n]
    end_ns = int(event_ns[-1]) + 1 if n else 0
    boundaries = tuple(int(event_ns[cut]) if cut < n else end_ns for cut in cuts[1:4])
    reach = reach_ns(event_ns, purge_s)
    rows = np.arange(n, dtype=np.int64)
    parts = []
    for i in range(4):
        part = rows[cuts[i] : cuts[i + 1]]
        later = next((b for b, cut in zip(boundaries[i:], cuts[i + 1 : 4], strict=True) if cut < n), None)
        parts.append(part if later is None else part[reach[part] <= later])
    fit, tune, calibrate, test = parts
    return Split(fit, tune, calibrate, test, boundaries, n - sum(map(len, parts)))


def reach_ns(event_ns: npt.NDArray[np.int64], purge_s: int) -> npt.NDArray[np.int64]:
    """Return up to when each row's label and the purge distance behind it reach, int64[n], ns."""
    reach: npt.NDArray[np.int64] = (-(-event_ns // SECOND_NS) + HORIZON_S + purge_s) * SECOND_NS
    return reach


def _check(fractions: tuple[float, ...], purge_s: int) -> None:
    if len(fractions) != 4 or min(fractions) < 0 or abs(sum(fractions) - 1.0) > 1e-9:
        raise ConfigError(
            "split fractions", f"{fractions} aren't four shares that sum to 1", "use 0.7 0.075 0.075 0.15"
        )
    if purge_s < 0:
        raise ConfigError("purge", f"{purge_s} s is negative", "use 300 s")
