"""Cells of a table of rates."""

from __future__ import annotations

import math
from collections.abc import Sequence

Z_95 = 1.959963984540054


def share(hits: int, runs: int) -> str:
    """Return "hits of runs" as a percentage with its 95 % interval (Wilson 1927)."""
    p, z2 = hits / runs, Z_95**2
    centre = (p + z2 / (2 * runs)) / (1 + z2 / runs)
    reach = Z_95 / (1 + z2 / runs) * math.sqrt(p * (1 - p) / runs + z2 / (4 * runs**2))
    low, high = max(0.0, centre - reach), min(1.0, centre + reach)
    return f"{100 * p:.1f} % ({100 * low:.1f}..{100 * high:.1f})"


def middle(values: Sequence[float], unit: str) -> str:
    """Return the median and the 90 % quantile of values, or a dash without any."""
    if not values:
        return "-"
    ordered = sorted(values)
    return f"{ordered[len(ordered) // 2]:.0f} {unit} ({ordered[len(ordered) * 9 // 10]:.0f})"
