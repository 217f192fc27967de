"""How much independent evidence a set of rows holds, and whether it can carry a claim.

Rows overlap and spikes cluster, so rows are not counted: clusters, disjoint minutes and blocks are.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

CLUSTER_GAP_S = 600
WINDOW_S = 60
BLOCK_S = 1_800
MIN_CLUSTERS = 20
MIN_WINDOWS = 300
MIN_BLOCKS = 20

I8 = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Evidence:
    """Counts of independent pieces.

    Attributes
    ----------
    clusters : int
        Groups of spike seconds that lie within 10 minutes of each other.
    windows : int
        Disjoint labelled 60 s targets.
    blocks : int
        Half hours of wall time with a labelled row.
    """

    clusters: int
    windows: int
    blocks: int

    @property
    def enough_data(self) -> bool:
        """Tell whether a figure on these rows can carry a claim, promotion or test."""
        return self.clusters >= MIN_CLUSTERS and self.windows >= MIN_WINDOWS and self.blocks >= MIN_BLOCKS

    def __str__(self) -> str:
        counts = ", ".join(
            f"{n} {noun}" if n != 1 else f"1 {noun[:-1]}"
            for n, noun in ((self.clusters, "clusters"), (self.windows, "windows"), (self.blocks, "blocks"))
        )
        return counts if self.enough_data else f"not enough data ({counts})"


def count_evidence(second: I8, run: npt.NDArray[np.int32], spike: npt.NDArray[np.int8]) -> Evidence:
    """Count the evidence in rows of a 1 s grid.

    Parameters
    ----------
    second : int64[n]
        Epoch second of each row, ascending.
    run : int32[n]
        Covered stretch of each row.
    spike : int8[n]
        1 spike, 0 none, -1 unlabelled.
    """
    labelled = spike >= 0
    return Evidence(
        clusters=count_clusters(second[spike == 1]),
        windows=count_windows(second[labelled], run[labelled]),
        blocks=len(np.unique(second[labelled] // BLOCK_S)),
    )


def count_clusters(spike_second: I8) -> int:
    """Count groups of spike seconds (int64[n], ascending), merged where at most 10 minutes lie between."""
    return int(len(spike_second) > 0) + int(np.count_nonzero(np.diff(spike_second) > CLUSTER_GAP_S))


def count_windows(second: I8, run: npt.NDArray[np.int32]) -> int:
    """Count the targets (s, s + 60] of labelled rows that fit in a row without overlap, from the first on."""
    count = 0
    for number in np.unique(run):
        seconds = second[run == number].tolist()
        position = 0
        while position < len(seconds):
            count += 1
            position = bisect_left(seconds, seconds[position] + WINDOW_S, position)
    return count
