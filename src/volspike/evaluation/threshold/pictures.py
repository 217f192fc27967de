"""The comparison of thresholds in pictures, each an SVG that stands alone or in a page."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from volspike.evaluation.plots import BLUE, GREY, INK, RED, new_figure
from volspike.evaluation.threshold.analysis import Percentiles
from volspike.evaluation.threshold.balance import CandidateBalance
from volspike.evaluation.threshold.candidates import percentile_name
from volspike.evaluation.threshold.over_time import TauOverTime
from volspike.evaluation.threshold.percentiles import Distribution
from volspike.evaluation.threshold.sensitivity import Sensitivity
from volspike.evaluation.threshold.words import period_name
from volspike.labels.splits import PARTS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PALE = "#c9d3dd"
PART_STYLES = {"fit": (INK, "o"), "tune": (BLUE, "s"), "calibrate": (GREY, "D"), "test": (RED, "^")}
MOST_TICKS = 12
ABOVE: dict[str, Any] = {
    "frameon": False,
    "fontsize": 8,
    "loc": "lower left",
    "bbox_to_anchor": (0.0, 1.0),
    "borderaxespad": 0.0,
}


def as_svg(figure: Figure) -> str:
    """Return a figure as SVG text without a prolog; the same figure gives the same bytes."""
    from matplotlib import rc_context

    out = io.StringIO()
    with rc_context({"svg.hashsalt": "volspike", "svg.fonttype": "none", "font.family": "sans-serif"}):
        figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None})
    text = out.getvalue()
    return text[text.index("<svg") :]


def draw_percentiles(percentiles: Percentiles) -> Figure:
    """Draw the percentiles of volatility to come and now on fit, with intervals, and of what came later."""
    figure, axes = new_figure((7.2, 3.8))
    curves = (
        (percentiles.now_fit, "now, fit", GREY, "D", -0.12),
        (percentiles.future_fit, "next minute, fit", BLUE, "o", 0.0),
        (percentiles.future_later, "next minute, after fit", RED, "^", 0.12),
    )
    for found, name, colour, marker, shift in curves:
        _percentile_curve(axes, found, name, colour, marker, shift)
    names = [percentile_name(p.quantile) for p in percentiles.future_fit.percentiles]
    axes.set_xticks(range(len(names)), names)
    axes.set_yscale("log")
    _plain_log_ticks(axes)
    axes.set_ylabel("bps over a minute")
    axes.legend(frameon=False, fontsize=8, loc="upper left")
    _titled(figure, "Percentiles of volatility, with 95 % intervals")
    return figure


def _percentile_curve(
    axes: Axes, found: Distribution, name: str, colour: str, marker: str, shift: float
) -> None:
    x = np.arange(len(found.percentiles)) + shift
    value = np.array([p.value_bps for p in found.percentiles])
    low = np.array([np.nan if p.low_bps is None else p.low_bps for p in found.percentiles])
    high = np.array([np.nan if p.high_bps is None else p.high_bps for p in found.percentiles])
    axes.plot(x, value, marker, color=colour, label=name if len(x) else f"{name}: no row", markersize=4)
    axes.vlines(x, low, high, color=colour, linewidth=1.2)


def draw_balance(balances: Sequence[CandidateBalance]) -> Figure:
    """Draw the share of spikes that each threshold leaves in each part; hollow where data is too thin."""
    figure, axes = new_figure((7.2, 1.2 + 0.27 * len(balances)))
    y = np.arange(len(balances))[::-1]
    for part in PARTS:
        colour, marker = PART_STYLES[part]
        rates = [balance.parts[part].base_rate for balance in balances]
        filled = [balance.parts[part].enough_data for balance in balances]
        _dots(axes, y, rates, filled, colour, marker, part)
    axes.set_xscale("symlog", linthresh=0.01)
    axes.set_xlim(-0.001, 1.0)
    ticks = (0.0, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
    axes.set_xticks(ticks, [f"{tick:.0%}" for tick in ticks])
    axes.minorticks_off()
    _name_rows(axes, y, [f"{b.name} *" if b.is_in_use else b.name for b in balances])
    axes.set_xlabel("share of spikes; hollow: not enough data; *: in use")
    figure.legend(*axes.get_legend_handles_labels(), frameon=False, fontsize=8, loc="upper right", ncols=4)
    _titled(figure, "Spikes by part")
    return figure


def draw_sensitivity(scores: Sequence[Sensitivity]) -> Figure:
    """Draw each threshold's lifts, and by how much log-HAR beats persistence; pale where data is too thin."""
    figure, axes = new_figure((7.2, 1.2 + 0.27 * len(scores)))
    axes.remove()
    left, right = figure.subplots(1, 2, sharey=True)
    y = np.arange(len(scores))[::-1]
    enough = [score.balance.enough_data for score in scores]
    _dots(left, y, [score.persistence.lift for score in scores], enough, GREY, "D", "persistence")
    _dots(left, y, [score.log_har.lift for score in scores], enough, BLUE, "o", "log-HAR")
    left.axvline(1.0, color=GREY, linestyle=":", linewidth=1)
    left.set_xscale("log")
    _plain_log_ticks(left, of_x=True)
    left.set_xlabel("lift; 1 is guessing")
    for row, score in zip(y.tolist(), scores, strict=True):
        if (gain := score.over_persistence) is not None:
            colour = BLUE if score.balance.enough_data else PALE
            right.hlines(row, gain.low, gain.high, color=colour, linewidth=1.4)
            right.plot(gain.value, row, "o", color=colour, markersize=4)
    right.axvline(0.0, color=GREY, linestyle=":", linewidth=1)
    right.tick_params(axis="y", length=0, labelleft=False)
    if all(score.over_persistence is None for score in scores):
        right.set_xticks([0.0], ["0"])
        right.text(0.5, 0.5, "too few half hours", transform=right.transAxes, ha="center", color=GREY)
    right.set_xlabel("log-HAR above persistence, PR-AUC")
    _name_rows(left, y, [score.name for score in scores])
    for panel in (left, right):
        panel.spines[["top", "right"]].set_visible(False)
    figure.legend(*left.get_legend_handles_labels(), frameon=False, fontsize=8, loc="upper right", ncols=2)
    _titled(figure, "Scores on tune and calibrate; hollow or pale: not enough data")
    return figure


def draw_periods(over_time: TauOverTime, kind: str) -> Figure:
    """Draw the share of spikes of each period under the adaptive tau and under the fixed tau of fit.

    Parameters
    ----------
    over_time : TauOverTime
        The figures.
    kind : {"hour", "day", "session"}
        Which periods.
    """
    figure, axes = new_figure((7.2, 3.4))
    periods = [period for period in over_time.periods[kind] if period.labelled]
    x = np.arange(len(periods))
    adaptive, fixed = (
        np.array([getattr(period, name) for period in periods], np.float64)
        for name in ("base_rate", "fixed_base_rate")
    )
    axes.vlines(x, adaptive, fixed, color=PALE, linewidth=1)
    axes.plot(x - 0.1, fixed, "s", color=RED, markersize=4, label=f"fixed, {over_time.fixed_tau_bps:.3g} bps")
    axes.plot(x + 0.1, adaptive, "o", color=BLUE, markersize=4, label="adaptive")
    axes.axhline(1.0 - over_time.quantile, color=GREY, linestyle=":", linewidth=1)
    in_fit = sum(period.part == "fit" for period in periods)
    axes.axvspan(-0.5, in_fit - 0.5, color=PALE, alpha=0.25, linewidth=0, label="fit")
    axes.set_xlim(-0.6, max(len(periods), 1) - 0.4)
    shown = np.unique(np.linspace(0, max(len(periods) - 1, 0), MOST_TICKS).astype(int))[: len(periods)]
    axes.set_xticks(shown, [period_name(periods[i], kind)[5:] for i in shown], rotation=45, ha="right")
    axes.tick_params(labelsize=8)
    axes.yaxis.set_major_formatter("{x:.0%}")
    axes.set_ylabel("share of spikes")
    axes.legend(**ABOVE, ncols=3)
    _titled(figure, f"Spikes {kind} by {kind}: one tau for all time beside one that follows")
    return figure


def _dots(
    axes: Axes,
    y: npt.NDArray[np.int64],
    values: Sequence[float | None],
    filled: Sequence[bool],
    colour: str,
    marker: str,
    name: str,
) -> None:
    x = np.array(values, np.float64)
    faces = [colour if full else "white" for full in filled]
    axes.scatter(x, y, s=22, marker=marker, facecolors=faces, edgecolors=colour, linewidths=1)
    axes.scatter([], [], s=22, marker=marker, color=colour, label=name)  # the legend's


def _name_rows(axes: Axes, y: npt.NDArray[np.int64], names: Sequence[str]) -> None:
    axes.set_yticks(y, names)
    axes.set_ylim(-0.7, len(names) - 0.3)
    axes.set_axisbelow(True)
    axes.tick_params(axis="y", length=0, labelsize=8)
    axes.grid(axis="y", color=PALE, linewidth=0.5, alpha=0.6)


def _plain_log_ticks(axes: Axes, of_x: bool = False) -> None:
    from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

    axis = axes.xaxis if of_x else axes.yaxis
    axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axis.set_minor_formatter(NullFormatter())


def _titled(figure: Figure, title: str) -> None:
    figure.suptitle(title, fontsize=11, color=INK, x=0.02, ha="left")
