"""Is the label a column of this row, of a later row or of an earlier one?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from volspike.evaluation.leaks.rows import FEWEST_OF_A_CLASS, AuditRows
from volspike.evaluation.scores import precision_recall
from volspike.features.window import SECOND_NS

F8 = npt.NDArray[np.float64]
I8 = npt.NDArray[np.int64]

SHIFTS = (0, 1, -1, 2, -2, 3, -3, 4, -4, 5, -5)
SAME = 1e-6
AGREES = 0.98
ROLLING_ROWS = 60


@dataclass(frozen=True, slots=True)
class Match:
    """A column that, moved by some rows, makes the label.

    Attributes
    ----------
    column : str
        Its name.
    shift : int
        How many rows later the value is taken from; negative: earlier.
    agreement : float
        Share of equal values, or F1 of the best threshold on it.
    by_value : bool
        Whether the label's own volatility equals it, and not the label alone.
    """

    column: str
    shift: int
    agreement: float
    by_value: bool

    @property
    def where(self) -> str:
        """Return in words which row it is of."""
        if not self.shift:
            return "of the same row"
        rows = "row" if abs(self.shift) == 1 else f"{abs(self.shift)} rows"
        return f"of the {'next' if self.shift > 0 else 'previous'} {rows}"


def search_shift(rows: AuditRows) -> Match | None:
    """Return the column and shift that make the label best, or None where none makes it to 98 %.

    Values are compared up to a constant factor, so that units do not matter; labels by the best threshold of
    each product. The price's trailing deviations stand in for columns that the file does not hold.
    """
    found = list(_matches(rows))
    return max(found, key=lambda match: (match.by_value, match.agreement, -abs(match.shift)), default=None)


def _matches(rows: AuditRows) -> Iterator[Match]:
    at = rows.sample
    for name, values in _columns(rows):
        for shift in SHIFTS:
            moved = _moved(rows, values, at, shift)
            if rows.target is not None and (equal := _equal_share(rows.target[at], moved)) >= AGREES:
                yield Match(name, shift, equal, by_value=True)
            elif rows.is_labelled and (f1 := _best_f1(rows, moved)) >= AGREES:
                yield Match(name, shift, f1, by_value=False)


def _columns(rows: AuditRows) -> Iterator[tuple[str, F8]]:
    for index, name in enumerate(rows.names):
        yield name, rows.values[:, index]
    if rows.tick_returns is not None:
        window_ns = round(rows.window_s * SECOND_NS)
        yield f"deviation of the trailing {rows.window_s:g} s", rows.tick_returns.trailing_std(window_ns)
        yield f"deviation of the last {ROLLING_ROWS} rows", rows.tick_returns.rolling_std(ROLLING_ROWS)


def _moved(rows: AuditRows, values: F8, at: I8, shift: int) -> F8:
    """Return the values of so many rows later; NaN where that is another product or none."""
    place = at + shift
    inside = (place >= 0) & (place < len(rows))
    place = np.clip(place, 0, len(rows) - 1)
    return np.where(inside & (rows.product[place] == rows.product[at]), values[place], np.nan)


def _equal_share(target: F8, values: F8) -> float:
    known = np.isfinite(target) & np.isfinite(values) & (values != 0.0)
    if np.count_nonzero(known) < 2 * FEWEST_OF_A_CLASS or len(np.unique(values[known])) < FEWEST_OF_A_CLASS:
        return 0.0
    target, values = target[known], values[known]
    factor = np.median(target / values)
    return float(np.mean(np.abs(target - factor * values) <= SAME * np.abs(target)))


def _best_f1(rows: AuditRows, values: F8) -> float:
    """Return the mean, by positives, of the best F1 of a threshold in each product."""
    known = np.isfinite(values)
    total, weight = 0.0, 0
    for number in np.unique(rows.product[rows.sample]):
        mine = known & (rows.product[rows.sample] == number)
        y, score = rows.is_spike[mine], values[mine]
        positives = int(np.count_nonzero(y))
        if min(positives, len(y) - positives) < FEWEST_OF_A_CLASS:
            continue
        total += positives * max(_f1(y, score), _f1(y, -score))
        weight += positives
    return total / weight if weight else 0.0


def _f1(y: npt.NDArray[np.bool_], score: F8) -> float:
    curve = precision_recall(y, score)
    if curve is None:
        return 0.0
    precision, recall = curve
    with np.errstate(invalid="ignore", divide="ignore"):
        f1 = 2.0 * precision * recall / (precision + recall)
    return float(np.nanmax(f1))
