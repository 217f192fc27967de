"""Both protocols on one product's recording, in figures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from volspike.errors import NotEnoughDataError
from volspike.evaluation.enough import count_windows
from volspike.evaluation.original.columns import OriginalRows, Recorded, original_rows
from volspike.evaluation.original.label import (
    FutureLabels,
    future_labels,
    next_row_spikes,
    shared_tick_frac,
)
from volspike.evaluation.original.protocol import Outcome, future_outcome, next_row_outcome
from volspike.evaluation.original.threshold import Threshold
from volspike.features.grid import last_closed_second_array


@dataclass(frozen=True, slots=True)
class Reproduction:
    """The original's figure and what is left of it under the true label.

    Attributes
    ----------
    product : str
        Of which product.
    threshold : Threshold
        How tau was set.
    rows, labelled_rows : int
        The original's rows, and those of them that have a true label.
    next_row, future : Outcome
        What came of the two labels.
    shared_tick_frac : float or None
        Share of the next-row label windows' ticks that the features have already seen.
    present_frac : float or None
        Share of rows whose next-row label is the answer to ``current std >= tau``.
    next_row_s : float or None
        Mean time to the next row, seconds: how far the next-row label looks ahead.
    windows : int
        Minutes with a true label that do not overlap, in the whole recording.
    """

    product: str
    threshold: Threshold
    rows: int
    labelled_rows: int
    next_row: Outcome
    future: Outcome
    shared_tick_frac: float | None
    present_frac: float | None
    next_row_s: float | None
    windows: int

    def as_dict(self) -> dict[str, Any]:
        """Return the report under the names of the command line."""
        return {
            "product": self.product,
            "next_row": self.next_row.models(),
            "future": self.future.models(),
            "shared_tick_frac": self.shared_tick_frac,
            "windows": self.windows,
            "windows_test": self.future.test.evidence.windows,
            "enough_data": self.future.test.evidence.enough_data,
            "rows": self.rows,
            "labelled_rows": self.labelled_rows,
            "tau": str(self.threshold),
            "present_frac": self.present_frac,
            "next_row_seconds": self.next_row_s,
            "parts": {"next_row": self.next_row.counts(), "future": self.future.counts()},
        }


def reproduce_original(recorded: Recorded, threshold: Threshold) -> Reproduction:
    """Run both protocols on one product's recording.

    Raises
    ------
    NotEnoughDataError
        If no two tickers follow each other without a break: then there is no row.
    """
    rows = original_rows(recorded)
    if not len(rows):
        tickers = np.count_nonzero(recorded.bid)
        raise NotEnoughDataError(
            recorded.product, f"no row in {tickers} tickers", "record two tickers or more without a break"
        )
    labels = future_labels(recorded, rows)
    next_row = next_row_outcome(rows, threshold)
    return Reproduction(
        product=recorded.product,
        threshold=threshold,
        rows=len(rows),
        labelled_rows=int(np.count_nonzero(labels.labelled)),
        next_row=next_row,
        future=future_outcome(rows, labels, threshold),
        shared_tick_frac=shared_tick_frac(rows),
        present_frac=_present_frac(rows, next_row),
        next_row_s=_next_row_s(rows),
        windows=_windows(labels),
    )


def _present_frac(rows: OriginalRows, next_row: Outcome) -> float | None:
    if len(rows) < 2 or next_row.tau_std is None:
        return None
    label = next_row_spikes(rows.std, next_row.tau_std)[:-1]
    return float(np.mean(label == (rows.std[:-1] >= next_row.tau_std)))


def _next_row_s(rows: OriginalRows) -> float | None:
    gaps_s = np.diff(rows.seconds)[np.diff(rows.stretch) == 0]
    return float(np.mean(gaps_s)) if len(gaps_s) else None


def _windows(labels: FutureLabels) -> int:
    labelled = labels.labelled
    return count_windows(last_closed_second_array(labels.event_ns[labelled]) + 1, labels.run[labelled])
