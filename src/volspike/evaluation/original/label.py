"""The two labels of a row: the original's next row, and the minute that follows.

row i      window of i        [---------------------------------]
           its next-row label  [----------------------------------]      all but one tick shared
           its true label                                        (------- 60 s -------]   none shared
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from volspike.evaluation.original.columns import SNAPSHOT, TICK, OriginalRows, Recorded
from volspike.features.grid import second_grid
from volspike.features.window import MIN_TICKS, WINDOW_NS
from volspike.labels.targets import LABELLED, TickArrays, future_std

Bools = npt.NDArray[np.bool_]
F8 = npt.NDArray[np.float64]
I8 = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class FutureLabels:
    """The true label of the rows that can have one, k of them: whole window, at least 10 ticks.

    Attributes
    ----------
    row : int64[k]
        Position among the original's rows, ascending.
    event_ns : int64[k]
        Time of the tick, ns.
    run : int32[k]
        Number of the covered stretch.
    sigma_bps : float64[k]
        Standard deviation (ddof 1) of the tick returns inside (t, t + 60 s], basis points; NaN where a break
        or the end cuts the minute short, or fewer than 10 ticks lie in it.
    """

    row: I8
    event_ns: I8
    run: npt.NDArray[np.int32]
    sigma_bps: F8

    @property
    def labelled(self) -> Bools:
        """Return which rows have a label, bool[k]."""
        return np.isfinite(self.sigma_bps)


def next_row_spikes(std: F8, tau: float) -> Bools:
    """Return the original's label: whether the next row's std reaches tau.

    As there, the next row is the next one written, also over a break, and the last row, which has none,
    counts as calm (``(df["midprice_return_std"].shift(-1) >= tau).astype(int)``).
    """
    return np.append(std[1:], np.nan) >= tau


def shared_tick_frac(rows: OriginalRows) -> float | None:
    """Return the share of ticks of all next-row label windows that lie in the row's own window too."""
    shared = rows.last[:-1] - np.maximum(rows.first[:-1], rows.first[1:]) + 1
    ticks = rows.last[1:] - rows.first[1:] + 1
    return float(np.sum(np.maximum(shared, 0)) / np.sum(ticks)) if len(ticks) else None


def future_labels(recorded: Recorded, rows: OriginalRows) -> FutureLabels:
    """Label rows with the minute after them: the target ``std`` of ``labels.targets``."""
    known = np.flatnonzero(recorded.kind != SNAPSHOT)
    is_tick = recorded.kind[known] == TICK
    mid_sum = recorded.bid + recorded.ask
    event_ns, cover = recorded.event_ns, recorded.covered_since_ns
    grid = second_grid(event_ns[known], cover[known], mid_sum[known], is_tick)
    tick = known[is_tick]
    ticks = TickArrays(event_ns[tick], grid.event_run[is_tick], mid_sum[tick])
    row = np.flatnonzero(recorded.kind[rows.event] == TICK)
    place = np.searchsorted(tick, rows.event[row])
    ready = _is_ready(ticks.event_ns, cover[tick], place)
    row, place = row[ready], place[ready]
    times, runs = ticks.event_ns[place], ticks.run[place]
    labels = future_std(grid, ticks, times, runs)
    sigma_bps = np.where(labels.unlabelled == LABELLED, labels.sigma_future_bps, np.nan)
    return FutureLabels(row, times, runs, sigma_bps)


def _is_ready(event_ns: I8, covered_since_ns: I8, place: I8) -> Bools:
    """Tell which of the ticks at ``place`` have a whole window of at least 10 ticks."""
    window_ns = event_ns[place] - WINDOW_NS
    ticks = place - np.searchsorted(event_ns, window_ns, side="right") + 1
    ready: Bools = (window_ns >= covered_since_ns[place]) & (ticks >= MIN_TICKS)
    return ready
