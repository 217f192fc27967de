"""Labels whose volatility was smoothed with what lay before the row: leak 5."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from volspike.evaluation.leaks.finding import Finding, Leak
from volspike.evaluation.leaks.rows import FEWEST_OF_A_CLASS, AuditRows
from volspike.evaluation.leaks.seconds import SecondSums
from volspike.evaluation.leaks.shift_search import Match
from volspike.features.window import SECOND_NS

F8 = npt.NDArray[np.float64]

SMOOTHED = Leak("smoothed label", (5,), "share of the label's weight that lies before its row")
BLOCKS = 6
MOST_BEFORE, MOST_BEFORE_OF_CLASSES = 0.1, 0.25
FEWEST_WINDOWS = 30


def smoothed_label(rows: AuditRows, match: Match | None) -> Finding:
    """Weigh the seconds before and after a row in its label.

    A variance is a sum of squared returns, so the squared volatility behind a label is regressed, with
    weights of 0 or more, on the squared returns of six equal parts of the window before the row and six of
    the horizon after it. For an honest label all weight lies after the row. Of a label without its volatility
    the regression is on whether the row is a positive, and squares are taken by their logarithm.
    """
    if rows.seconds is None:
        return SMOOTHED.unknown("that takes a price column, to see which seconds the label depends on")
    before, after = _parts(rows, rows.seconds)
    target = None if rows.target is None else rows.target[rows.sample] ** 2
    if target is None and not rows.is_labelled:
        return SMOOTHED.unknown("there is no label with 20 rows of each class: name its column with --label")
    y = rows.is_spike.astype(np.float64) if target is None else target
    x = np.column_stack((before, after))
    known = np.isfinite(x).all(axis=1) & np.isfinite(y)
    windows = len(np.unique(rows.time_ns[rows.sample[known]] // round(rows.horizon_s * SECOND_NS)))
    if windows < FEWEST_WINDOWS or (target is None and np.count_nonzero(y[known]) < FEWEST_OF_A_CLASS):
        return SMOOTHED.unknown(f"not enough data: {windows} separate minutes, that takes {FEWEST_WINDOWS}")
    share = _share_before(x[known], y[known], take_logs=target is None)
    if share is None:
        return SMOOTHED.unknown("the label goes with no second around its row: is the price column its own?")
    words = f"{share:.0%} of what makes the label lies before its row"
    if share > (MOST_BEFORE_OF_CLASSES if target is None else MOST_BEFORE):
        return SMOOTHED.found(share, f"{words}: the features know that part already")
    return SMOOTHED.clean(share, words)


def _parts(rows: AuditRows, seconds: SecondSums) -> tuple[F8, F8]:
    """Return the squared returns of each part before (latest first) and after the row (bps^2)."""
    before = [
        seconds.volatility_bps(rows.sample, -(i + 1) * rows.window_s / BLOCKS, -i * rows.window_s / BLOCKS)
        ** 2
        for i in range(BLOCKS)
    ]
    after = [
        seconds.volatility_bps(rows.sample, i * rows.horizon_s / BLOCKS, (i + 1) * rows.horizon_s / BLOCKS)
        ** 2
        for i in range(BLOCKS)
    ]
    return np.column_stack(before), np.column_stack(after)


def _share_before(x: F8, y: F8, take_logs: bool) -> float | None:
    """Return the share of the parts before in what the weights make of the mean row; None without any."""
    from scipy.optimize import nnls

    x = np.log1p(x) if take_logs else np.minimum(x, np.quantile(x, 0.99))
    y = y if take_logs else np.minimum(y, np.quantile(y, 0.99))
    centred = x - x.mean(axis=0)
    weights, _ = nnls(centred, y - y.mean())
    moved = weights * centred.std(axis=0)
    total = float(moved.sum())
    return float(moved[:BLOCKS].sum()) / total if total > 0.0 else None
