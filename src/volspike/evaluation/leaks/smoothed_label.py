"""Labels whose volatility was smoothed with what lay before the row: leak 5."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from volspike.evaluation.leaks.finding import Finding, Leak
from volspike.evaluation.leaks.rows import AuditRows, has_both
from volspike.evaluation.leaks.seconds import SecondSums
from volspike.evaluation.leaks.shift_search import Match
from volspike.evaluation.leaks.true_label import future_volatility, spikes_like
from volspike.features.window import SECOND_NS

F8 = npt.NDArray[np.float64]

SMOOTHED = Leak("smoothed label", (5,), "share of the label's weight that lies before its row")
BLOCKS = 6
MOST_BEFORE, MOST_BEFORE_OF_CLASSES = 0.1, 0.15
OUTLIERS = 0.99  # a single burst would decide all
FEWEST_WINDOWS = 30


def smoothed_label(rows: AuditRows, match: Match | None) -> Finding:
    """Weigh the seconds before and after a row in its label.

    A variance is a sum of squared returns, so the squared volatility behind a label is regressed, with
    weights of 0 or more, on the squared returns of six equal parts of the window before the row and six of
    the horizon after it. For an honest label all weight lies after the row: more than 0.1 before it is a
    leak. Of a label without its volatility the regression is on whether the row is a positive, and squares
    are taken by their logarithm; as few rows put some weight anywhere, 0.15 more than the true label has on
    them is a leak.
    """
    if rows.seconds is None:
        return SMOOTHED.unknown("that takes a price column, to see which seconds the label depends on")
    if rows.target is None and not rows.is_labelled:
        return SMOOTHED.unknown("there is no label with 20 rows of each class: name its column with --label")
    x = _parts(rows, rows.seconds)
    truths = future_volatility(rows)
    y = rows.is_spike.astype(np.float64) if rows.target is None else rows.target[rows.sample] ** 2
    known = np.isfinite(np.column_stack((x, y, *truths))).all(axis=1)
    windows = len(np.unique(rows.time_ns[rows.sample[known]] // round(rows.horizon_s * SECOND_NS)))
    if windows < FEWEST_WINDOWS or not has_both(rows.is_spike[known]):
        return SMOOTHED.unknown(f"not enough data: {windows} separate minutes, that takes {FEWEST_WINDOWS}")
    x, y = x[known], y[known]
    if rows.target is None:
        x = np.log1p(x)
        labels = [spikes_like(truth[known], rows.is_spike[known]) for truth in truths]
        honest = max(_share_before(x, label.astype(np.float64)) or 0.0 for label in labels)
        return _judged(_share_before(x, y), honest, MOST_BEFORE_OF_CLASSES)
    x, y = np.minimum(x, np.quantile(x, OUTLIERS)), np.minimum(y, np.quantile(y, OUTLIERS))
    return _judged(_share_before(x, y), 0.0, MOST_BEFORE)


def _judged(share: float | None, honest: float, most: float) -> Finding:
    if share is None:
        return SMOOTHED.unknown("the label goes with no second around its row: is the price column its own?")
    words = f"{share:.0%} of what makes the label lies before its row, {honest:.0%} of an honest one"
    if share > honest + most:
        return SMOOTHED.found(share, f"{words}: the features know that part already")
    return SMOOTHED.clean(share, words)


def _parts(rows: AuditRows, seconds: SecondSums) -> F8:
    """Return the squared returns of each part before (latest first) and after the row (bps^2)."""
    back_s, ahead_s = rows.window_s / BLOCKS, rows.horizon_s / BLOCKS
    before = [seconds.volatility_bps(rows.sample, -(i + 1) * back_s, -i * back_s) for i in range(BLOCKS)]
    after = [seconds.volatility_bps(rows.sample, i * ahead_s, (i + 1) * ahead_s) for i in range(BLOCKS)]
    squares: F8 = np.column_stack((*before, *after)) ** 2
    return squares


def _share_before(x: F8, y: F8) -> float | None:
    """Return the share of the parts before in what the weights make of the mean row; None without any."""
    from volspike.models.estimators import fit_non_negative

    centred = x - x.mean(axis=0)
    moved = fit_non_negative(centred, y - y.mean()) * centred.std(axis=0)
    total = float(moved.sum())
    return float(moved[:BLOCKS].sum()) / total if total > 0.0 else None
