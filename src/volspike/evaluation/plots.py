"""The confusion matrix and the precision-recall curve as PNG files."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from volspike.errors import ConfigError
from volspike.evaluation.enough import Evidence
from volspike.evaluation.ranking import precision_recall
from volspike.evaluation.scores import Scores

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK = "#1f2933"
BLUE = "#2f6fae"
GREY = "#8a94a0"
RED = "#b3261e"
DPI = 144


def plot_confusion(path: Path, scores: Scores, model: str, part: str) -> Path:
    """Write the confusion matrix of a model on a part as a PNG; return its path.

    Raises
    ------
    ConfigError
        If it can't be written.
    """
    c = scores.confusion
    counts = np.array([[c.true_negative, c.false_positive], [c.false_negative, c.true_positive]])
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    figure, axes = new_figure((4.6, 4.4))
    axes.imshow(share, cmap="Blues", vmin=0.0, vmax=1.0)
    for row in range(2):
        for column in range(2):
            colour = "white" if share[row, column] > 0.55 else INK
            text = f"{counts[row, column]:,}\n{share[row, column]:.1%}"
            axes.text(column, row, text, ha="center", va="center", color=colour, fontsize=12)
    axes.set_xticks([0, 1], ["quiet", "spike"])
    axes.set_yticks([0, 1], ["quiet", "spike"])
    axes.set_xlabel(f"predicted at p ≥ {scores.threshold:.3g}")
    axes.set_ylabel("actual")
    axes.tick_params(length=0)
    return _finish(figure, axes, path, scores, f"{model}, {part}: confusion")


def plot_precision_recall(
    path: Path,
    scores: Scores,
    y: npt.NDArray[np.bool_],
    p_spike: npt.NDArray[np.float64],
    model: str,
    part: str,
    reference: tuple[str, npt.NDArray[np.float64]] | None = None,
) -> Path:
    """Write the precision-recall curve of a model on a part as a PNG; return its path.

    Parameters
    ----------
    path : Path
        File to write.
    scores : Scores
        Of the same rows; gives the title's counts.
    y : bool[n]
        Spikes among the labelled rows.
    p_spike : float64[n]
        Predictions for them.
    model, part : str
        Names for the title.
    reference : (str, float64[n]), optional
        Name and scores of the reference, drawn in grey.

    Raises
    ------
    ConfigError
        If it can't be written.
    """
    figure, axes = new_figure((5.6, 4.4))
    if reference is not None:
        _curve(axes, y, reference[1], GREY, f"{reference[0]} (AP {_number(scores.reference_pr_auc)})")
    drawn = _curve(axes, y, p_spike, BLUE, f"{model} (AP {_number(scores.pr_auc)})")
    if scores.base_rate is not None:
        axes.axhline(
            scores.base_rate,
            color=GREY,
            linestyle=":",
            linewidth=1,
            label=f"base rate {scores.base_rate:.3f}",
        )
    if not drawn:
        axes.text(0.5, 0.5, "no curve: one class only", ha="center", va="center", color=GREY)
    axes.set(xlim=(0, 1), ylim=(0, 1.02), xlabel="recall", ylabel="precision")
    if axes.get_legend_handles_labels()[0]:
        axes.legend(frameon=False, fontsize=8, loc="upper right")
    return _finish(figure, axes, path, scores, f"{model}, {part}: precision and recall")


def _curve(axes: Axes, y: npt.NDArray[np.bool_], p: npt.NDArray[np.float64], colour: str, label: str) -> bool:
    points = precision_recall(y, p)
    if points is None:
        return False
    precision, recall = points
    axes.step(
        np.append(0.0, recall),
        np.append(precision[0], precision),
        where="pre",
        color=colour,
        label=label,
        linewidth=1.6,
    )
    return True


def new_figure(size: tuple[float, float]) -> tuple[Figure, Axes]:
    """Return a figure of so many inches, and its axes without a frame."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _finish(figure: Figure, axes: Axes, path: Path, scores: Scores, title: str) -> Path:
    base = "no labelled row" if scores.base_rate is None else f"base rate {scores.base_rate:.3f}"
    counts = f"{scores.rows:,} rows, {scores.positives:,} spikes, {base}"
    axes.set_title(counts, fontsize=8, color=INK if scores.enough_data else GREY, loc="left")
    figure.suptitle(title, fontsize=11, color=INK, x=0.02, ha="left")
    if not scores.enough_data:
        mark = str(Evidence(scores.clusters, scores.windows, scores.blocks))
        figure.supxlabel(mark, fontsize=8, color=RED)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # No creation stamp: the same scores give the same bytes.
        figure.savefig(path, dpi=DPI, metadata={"Software": None})
    except OSError as error:
        with suppress(OSError):
            path.unlink()
        reason = f"can't be written ({error.strerror})"
        raise ConfigError(str(path), reason, "make room for pictures there") from error
    return path


def _number(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.3f}"
