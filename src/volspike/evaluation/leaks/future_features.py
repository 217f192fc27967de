"""Features that know more of the future than the past can tell."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from volspike.evaluation.leaks.finding import Finding, Leak
from volspike.evaluation.leaks.price_windows import (
    NEXT_ROW,
    PriceWindows,
    Window,
    beyond,
    price_windows,
    unit_ranks,
)
from volspike.evaluation.leaks.rows import AuditRows
from volspike.evaluation.leaks.shift_search import Match

F8 = npt.NDArray[np.float64]

READS_AHEAD = Leak("feature reads ahead", (), "correlation of a feature with what comes after it")
RECOGNISED = 0.8
LESS_LEFT = 1.5  # how much more the best window behind leaves untold
STRONG, NOTED = 0.45, 0.2
ERRORS, NOTED_ERRORS = 4.0, 3.0  # standard errors over windows that do not overlap
CLOSEST = 1.0 - 1e-9


class _Known(NamedTuple):
    """How strongly a feature goes with something that comes after the row."""

    feature: str
    words: str
    correlation: float
    errors: float = np.inf

    @property
    def is_strong(self) -> bool:
        return self.correlation >= STRONG and self.errors >= ERRORS


def future_features(rows: AuditRows, match: Match | None) -> Finding:
    """Look for features that are made of a window which ends after the row, or know what only such one can.

    A feature is compared (rank correlation) with the volatility, the deviation and the move of the price in
    windows of many lengths around each row. One that goes with a window ending after the row, at 0.8 or more,
    and leaves half as much again untold by the best window that ends with the row or before, was computed
    with it: so a centred window is found, and one moved by a second.

    Of the others, what all windows behind tell is taken away, and of what comes within the horizon too; what
    is left of both is correlated. An order book knows something of the next seconds that the past of the
    price does not (0.2 to 0.33 on recordings); 0.45 is a leak, and in between it can't be told. Both take
    four standard errors over windows that do not touch, the second half an hour of rows. Values alone can
    never prove that a feature does not read ahead.
    """
    needed = (
        "a clean bill needs the program that makes them: cut the ticks off after a row and compute it again"
    )
    if rows.mid is None:
        return READS_AHEAD.unknown(f"there is no price column; {needed}")
    windows = price_windows(rows)
    if windows is None:
        return READS_AHEAD.unknown(f"not enough data: too few rows have a price around them; {needed}")
    features = np.stack([unit_ranks(rows.values[windows.at, i]) for i in range(len(rows.names))])
    made = max(_made_of(rows, windows, features), key=lambda known: known.correlation, default=None)
    if made is not None:
        return READS_AHEAD.found(
            made.correlation,
            f"{made.feature} is made of the {made.words}: it was computed with ticks that had not come yet",
        )
    known = sorted(_beyond_the_past(rows, windows, features), key=lambda known: known.correlation)
    most = next((one for one in reversed(known) if one.is_strong), known[-1] if known else None)
    if most is not None and most.is_strong:
        return READS_AHEAD.found(
            most.correlation,
            f"{most.feature} goes with the {most.words} (correlation {most.correlation:.2f}) beyond all that "
            "the past of the price tells: it was computed with ticks that had not come yet",
        )
    if most is not None and most.correlation >= NOTED:
        return READS_AHEAD.unknown(
            f"{most.feature} goes with the {most.words} (correlation {most.correlation:.2f}) beyond what the "
            f"past of the price tells, as a good feature may, or a leak with noise; {needed}",
            most.correlation,
        )
    figure = None if most is None else most.correlation
    return READS_AHEAD.unknown(f"no feature goes with the future more than the past allows; {needed}", figure)


def _made_of(rows: AuditRows, windows: PriceWindows, features: F8) -> Iterator[_Known]:
    """Yield the features that a window ending after the row explains, and none behind does as well."""
    correlation = np.minimum(np.abs(windows.ranks @ features.T), CLOSEST)
    behind = windows.ends_behind
    for index, name in enumerate(rows.names):
        ahead = int(np.argmax(np.where(behind, 0.0, correlation[:, index])))
        best, past = float(correlation[ahead, index]), float(np.max(correlation[behind, index]))
        window = windows.windows[ahead]
        error = np.sqrt(2.0 / max(windows.count(window) - 3.0, 1.0))
        is_sharper = np.arctanh(best) - np.arctanh(past) > ERRORS * error
        if best >= RECOGNISED and 1.0 - past**2 >= LESS_LEFT * (1.0 - best**2) and is_sharper:
            words = f"{window.words} (correlation {best:.3f}, of what lies behind at most {past:.3f})"
            yield _Known(name, words, best)


def _beyond_the_past(rows: AuditRows, windows: PriceWindows, features: F8) -> Iterator[_Known]:
    """Yield how strongly each feature goes with what comes, once all windows behind have told theirs."""
    if not windows.is_long:
        return
    # What comes later than that may be known by the time of day.
    horizon_s = max(rows.horizon_s, windows.step_s)
    later = [i for i, w in enumerate(windows.windows) if w.from_s == 0.0 and w.until_s <= horizon_s]
    past = windows.ranks[windows.ends_behind]
    past = np.concatenate((past, np.abs(past)))
    came = [(windows.windows[i], windows.ranks[i]) for i in later]
    if rows.is_labelled:
        label = np.where(rows.label[windows.at] >= 0, rows.label[windows.at], np.nan).astype(np.float64)
        came.append((Window("label", 0.0, rows.horizon_s), unit_ranks(label)))
    left = beyond(past, np.stack([ranks for _, ranks in came]))
    correlation = np.abs(beyond(past, features) @ left.T)
    for index, name in enumerate(rows.names):
        for (window, _), value in zip(came, correlation[index].tolist(), strict=True):
            errors = value * float(np.sqrt(windows.count(window)))
            if errors > NOTED_ERRORS:
                yield _Known(name, _words(window), value, errors)


def _words(window: Window) -> str:
    if window is NEXT_ROW:
        return window.words
    return "label" if window.kind == "label" else f"{window.kind} of the next {window.until_s:g} s"
