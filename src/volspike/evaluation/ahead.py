"""How much of a bad minute was still to come when the alert opened.

    o            opened                    o + 60
    |--------------|-------------------------|
                   |---- r^2 still ahead ----|    over    r^2 of the whole minute (o, o + 60]

The 1 s returns are those between the mids of the rows: a second without a row had no tick, and no return.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from volspike.labels.dataset import Dataset
from volspike.labels.targets import HORIZON_S

AGREES = 1e-6  # relative; mids are rounded, labels are exact

F8 = npt.NDArray[np.float64]


def shares_ahead(part: Dataset, hits: Iterable[tuple[int, float]]) -> list[float]:
    """Return, for hits, the share of the minute's r^2 still ahead at the opening.

    Parameters
    ----------
    part : Dataset
        The rows that alerts were made and graded on.
    hits : iterable of (int, float)
        Epoch seconds of an onset and of the opening that warned of it: see ``episodes.hits``.

    Returns
    -------
    list of float
        1 for an alert that opened before the minute began. A hit is left out where the mids of the rows do
        not make up the label, as for other targets than ``rv``, or after ticks that gave no row.
    """
    second, squares = part.second, _squares_bps2(part)
    known = [_share(part, second, squares, onset, opened) for onset, opened in hits]
    return [share for share in known if share is not None]


def _share(
    part: Dataset, second: npt.NDArray[np.int64], squares: F8, onset: int, opened: float
) -> float | None:
    if part.step_s >= HORIZON_S:
        return 1.0  # a row a minute: none lies inside
    row = int(np.searchsorted(second, onset))
    later, stop = np.searchsorted(second, (max(opened, onset), onset + HORIZON_S), side="right") - 1
    whole = float(np.sum(squares[row + 1 : stop + 1]))
    label = float(part.sigma_future_bps[row]) ** 2
    if not label > 0.0 or not abs(whole - label) <= AGREES * label:
        return None
    return min(1.0, float(np.sum(squares[later + 1 : stop + 1])) / whole)


def _squares_bps2(part: Dataset) -> F8:
    """Return the squared log return (bps^2) from the row before to each row, float64[n]; 0 over a break."""
    moved = np.diff(np.log(part.mid), prepend=np.log(part.mid[:1])) * 1e4
    same = np.concatenate(([True], part.run[1:] == part.run[:-1]))[: len(part)]
    return np.where(same, moved, 0.0) ** 2
