"""What the price did in windows around each row, some of which end after it, as ranks side by side."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from volspike.evaluation.leaks.rows import AuditRows, thinned
from volspike.features.window import SECOND_NS

F8 = npt.NDArray[np.float64]
I8 = npt.NDArray[np.int64]

MOST_ROWS, FEWEST_ROWS = 6_000, 300
LENGTHS = (1, 2, 5, 10, 30, 60, 120, 300, 600)  # usual steps between rows, a second at least
AHEAD_FRACS = (0.0, 0.1, 0.25, 0.5, 0.75, 1.0)
WINDOWS_A_SPAN = 12
LONG_STEPS = 1_800
LEAST_WHOLE_FRAC = 0.3
KINDS = ("volatility", "deviation", "deviation", "move")


class Window(NamedTuple):
    """A window of the price around a row, from and to seconds relative to it, and what is taken of it."""

    kind: str
    from_s: float
    until_s: float

    @property
    def length_s(self) -> float:
        """Return how long it is, seconds."""
        return self.until_s - self.from_s

    @property
    def words(self) -> str:
        """Return it in words."""
        where = f"{self.from_s:+g} s to {self.until_s:+g} s around the row"
        return f"{self.kind} of the price from {where}" if self.length_s else "return to the next row"


NEXT_ROW = Window("move", 0.0, 0.0)


@dataclass(frozen=True, slots=True, eq=False)
class PriceWindows:
    """Windows of the price around some rows, m of them.

    Attributes
    ----------
    at : int64[m]
        The rows: those around which every window lies inside its stretch.
    windows : tuple of Window
        k of them.
    ranks : float64[k, m]
        Their values as ranks, of mean 0 and length 1.
    span_s : float
        How long all stretches are together, seconds.
    step_s : float
        Usual time between rows, a second at least.
    """

    at: I8
    windows: tuple[Window, ...]
    ranks: F8
    span_s: float
    step_s: float

    @property
    def is_long(self) -> bool:
        """Tell whether the rows are long enough to fit something on all windows: half an hour of seconds."""
        return self.span_s >= LONG_STEPS * self.step_s

    @property
    def ends_behind(self) -> npt.NDArray[np.bool_]:
        """Return which windows end with the row or before it, bool[k]."""
        return np.array([w.until_s <= 0.0 and w is not NEXT_ROW for w in self.windows], np.bool_)

    def count(self, window: Window) -> float:
        """Return how many windows of this length fit into the rows without touching, one at least."""
        return max(1.0, self.span_s / max(window.length_s, 1.0))


def price_windows(rows: AuditRows) -> PriceWindows | None:
    """Return the windows around the labelled rows; None without prices, or where too few rows have them all.

    Lengths are 1 to 600 times a second, or times the usual step of slower rows, and are the fewer the shorter
    the stretches are. They end a step or their own length before or after the row, or in between.
    """
    if rows.tick_returns is None:
        return None
    wanted = rows.sample if len(rows.sample) else np.arange(len(rows))
    steps = np.diff(rows.time_ns)[np.diff(rows.stretch) == 0]
    step_s = max(1.0, round(float(np.median(steps)) / SECOND_NS)) if len(steps) else 1.0
    span_s = float(np.sum(steps)) / SECOND_NS
    lengths = [step_s * length for length in LENGTHS if step_s * length * WINDOWS_A_SPAN <= span_s]
    while lengths:
        reach_ns = round(lengths[-1] * SECOND_NS)
        whole = rows.tick_returns.is_whole(wanted, -reach_ns - round(step_s * SECOND_NS), reach_ns)
        if np.mean(whole) >= LEAST_WHOLE_FRAC:
            at = thinned(wanted[whole], MOST_ROWS)
            return _filled(rows, at, lengths, step_s, span_s) if len(at) >= FEWEST_ROWS else None
        lengths.pop()
    return None


def _filled(rows: AuditRows, at: I8, lengths: list[float], step_s: float, span_s: float) -> PriceWindows:
    assert rows.tick_returns is not None, "there are prices"
    windows, columns = [], []
    for from_s, until_s in _bounds(lengths, step_s):
        values = rows.tick_returns.between(at, round(from_s * SECOND_NS), round(until_s * SECOND_NS))
        windows += [Window(kind, from_s, until_s) for kind in KINDS]
        columns += list(values)
    windows.append(NEXT_ROW)
    columns.append(rows.tick_returns.next_return(at))
    ranks = np.stack([unit_ranks(column) for column in columns])
    return PriceWindows(at, tuple(windows), ranks, span_s, step_s)


def _bounds(lengths: list[float], step_s: float) -> list[tuple[float, float]]:
    ends = [(length, until) for length in lengths for until in (-step_s, step_s)]
    ends += [(length, frac * length) for length in lengths for frac in AHEAD_FRACS]
    return sorted({(round(until - length, 6), round(until, 6)) for length, until in ends})


def unit_ranks(values: F8) -> F8:
    """Return the ranks of values at mean 0 and length 1; equal ones share theirs, missing ones have 0."""
    known = np.isfinite(values)
    ranks = np.zeros(len(values))
    if np.any(known):
        _, inverse, counts = np.unique(values[known], return_inverse=True, return_counts=True)
        ranks[known] = (np.cumsum(counts) - (counts - 1) / 2.0)[inverse]
        ranks[known] -= ranks[known].mean()
    return _unit(ranks)


def _unit(values: F8) -> F8:
    length = float(np.sqrt(values @ values))
    return values / length if length > 1e-9 else np.zeros(len(values))


def beyond(past: F8, values: F8) -> F8:
    """Return what of some values a least-squares fit on others leaves, at length 1.

    Parameters
    ----------
    past : float64[p, m]
        What is known, as unit ranks.
    values : float64[k, m]
        What is to be told by it; what it tells but for a millionth is left as 0.
    """
    basis, size, _ = np.linalg.svd(past.T, full_matrices=False)
    basis = basis[:, size > size[0] * 1e-6]
    left = values - (values @ basis) @ basis.T
    left -= left.mean(axis=1, keepdims=True)
    length = np.sqrt(np.sum(left * left, axis=1, keepdims=True))
    rest: F8 = np.where(length > 1e-3, left / np.maximum(length, 1e-12), 0.0)
    return rest
