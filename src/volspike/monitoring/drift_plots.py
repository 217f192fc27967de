"""Small pictures of a column in two windows: how its values are spread, the reference beside the current."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from volspike.monitoring.drift_windows import LEAST_ROWS, WindowPair
from volspike.monitoring.watched import WatchedColumn

F8 = npt.NDArray[np.float64]

WIDTH, HEIGHT = 200.0, 46.0
BINS = 32
TAIL = 0.005  # of the values of both windows, drawn at the ends


@dataclass(frozen=True, slots=True)
class SmallPlot:
    """How a column is spread in two windows, as SVG paths of ``WIDTH`` by ``HEIGHT``.

    Attributes
    ----------
    reference, current : str
        The paths; empty where there are too few values.
    low, high : float or None
        Values at the left and the right end, in the column's own unit.
    reference_median, current_median : float or None
        Medians, or of ``spike`` the share of spikes.
    """

    reference: str
    current: str
    low: float | None
    high: float | None
    reference_median: float | None
    current_median: float | None


def plot_column(column: WatchedColumn, pair: WindowPair) -> SmallPlot:
    """Return the picture of a column: the share of each window's values in bins of equal width.

    Both windows share the bins and the height, and of a column in logs the bins are equal in logs.
    """
    sides = [column.at(window.rows) for window in (pair.reference, pair.current)]
    sides = [values[np.isfinite(values)] for values in sides]
    middles = [_middle(column, values) for values in sides]
    scaled = [column.scaled(values) for values in sides]
    scaled = [values[np.isfinite(values)] for values in scaled]
    if min(map(len, scaled)) < LEAST_ROWS:
        return SmallPlot("", "", None, None, *middles)
    ends = [np.quantile(values, (TAIL, 1.0 - TAIL)) for values in scaled]
    low, high = float(min(first for first, _ in ends)), float(max(last for _, last in ends))
    if low == high:
        return SmallPlot("", "", None, None, *middles)
    shares = [_shares(values, low, high) for values in scaled]
    top = max(float(share.max()) for share in shares)
    shown = [float(np.exp(end)) if column.is_log else end for end in (low, high)]
    return SmallPlot(_path(shares[0] / top), _path(shares[1] / top), shown[0], shown[1], *middles)


def _middle(column: WatchedColumn, values: F8) -> float | None:
    if not len(values):
        return None
    return float(np.mean(values) if column.name == "spike" else np.median(values))


def _shares(values: F8, low: float, high: float) -> F8:
    counts, _ = np.histogram(np.clip(values, low, high), BINS, (low, high))
    shares: F8 = counts / len(values)
    return shares


def _path(heights: F8) -> str:
    """Return the outline of bars of these heights, 0 to 1, from left to right."""
    width = WIDTH / len(heights)
    steps = " ".join(f"V{HEIGHT * (1.0 - height):.1f} h{width:.2f}" for height in heights.tolist())
    return f"M0 {HEIGHT:.0f} {steps} V{HEIGHT:.0f}"
