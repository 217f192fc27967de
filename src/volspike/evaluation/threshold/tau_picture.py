"""Tau over time as a picture: the threshold that follows, the one that doesn't, and the volatility."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from volspike.evaluation.plots import BLUE, GREY, INK, RED, new_figure
from volspike.evaluation.threshold.over_time import period_numbers
from volspike.evaluation.threshold.pictures import ABOVE
from volspike.exchange.decimals import format_time_ns
from volspike.labels.dataset import Dataset
from volspike.labels.splits import Split

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BINS = 300
LEAST_STEP = 10
MOST_TICKS = 10

I8 = npt.NDArray[np.int64]


def draw_tau(adaptive: Dataset, fixed: Dataset, split: Split) -> Figure:
    """Draw tau over time, row behind row, so that hours without data take no room.

    Parameters
    ----------
    adaptive, fixed : Dataset
        The same rows under the adaptive tau and under the fixed tau of the fit slice.
    split : Split
        Of the rows; a line marks where fit ends.
    """
    figure, axes = new_figure((7.2, 3.6))
    bins = _bins(period_numbers(adaptive)["session"])
    hours = np.arange(len(adaptive)) * adaptive.step_s / 3600.0
    x = np.array([hours[rows].mean() for rows in bins])
    median, top = (
        np.array([np.quantile(adaptive.rv_bps[rows], share) for rows in bins]) for share in (0.5, 0.95)
    )
    axes.fill_between(x, 0.0, top, color=GREY, alpha=0.3, linewidth=0, label="now, up to P95")
    axes.fill_between(x, 0.0, median, color=GREY, alpha=0.6, linewidth=0, label="median")
    axes.plot(
        x, [adaptive.tau_bps[rows[-1]] for rows in bins], color=BLUE, linewidth=1.6, label="adaptive tau"
    )
    axes.axhline(fixed.fixed_tau_bps, color=RED, linewidth=1.2, linestyle="--", label="fixed tau")
    if len(split.fit):
        axes.axvline(hours[split.fit[-1]], color=INK, linewidth=0.8, linestyle=":", label="end of fit")
    ticks = np.unique(np.linspace(0, len(bins) - 1, MOST_TICKS).astype(int))
    times = [format_time_ns(int(adaptive.event_ns[bins[i][0]]))[5:16].replace("T", " ") for i in ticks]
    axes.set_xticks(x[ticks], times, rotation=45, ha="right")
    axes.tick_params(labelsize=8)
    axes.set_ylim(bottom=0.0)
    axes.set_ylabel("bps over a minute")
    axes.legend(**ABOVE, ncols=5)
    figure.suptitle(
        f"Tau over time, adaptive P{100 * adaptive.tau.quantile:g}", fontsize=11, color=INK, x=0.02, ha="left"
    )
    return figure


def _bins(session: I8) -> list[I8]:
    """Return rows in bins of about equal number, none across two sessions."""
    step = max(LEAST_STEP, -(-len(session) // BINS))
    position = np.arange(len(session))
    starts = np.concatenate(([True], np.diff(session) != 0))
    since = position - np.maximum.accumulate(np.where(starts, position, 0))
    return np.split(position, np.flatnonzero(since % step == 0)[1:])
