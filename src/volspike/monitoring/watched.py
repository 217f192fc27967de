"""What is watched for drift: the features, the target and the predictions, a column each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from volspike.features.sets import get_feature_set
from volspike.labels.dataset import Dataset
from volspike.models.calibration import ScoredRows

F8 = npt.NDArray[np.float64]
I8 = npt.NDArray[np.int64]

Group = Literal["feature", "target", "prediction"]
GROUPS: tuple[Group, ...] = ("feature", "target", "prediction")
# They tell the time, so a window of any hours but whole days differs in them from any other.
CLOCK_COLUMNS = frozenset({"day_sin", "day_cos", "hour_frac", "minute_of_hour", "minute_of_quarter"})


@dataclass(frozen=True, slots=True, eq=False)
class WatchedColumn:
    """One column.

    Attributes
    ----------
    name, unit, doc : str
        Name, unit (``1`` for a pure number), and what it is in a sentence.
    group : {"feature", "target", "prediction"}
        What it is to a model.
    is_log : bool
        Whether it is looked at in logs: its values are 0 or more.
    low, high : float
        The least and the greatest value it can have.
    values : float64[n]
        One a row; NaN where there is none.
    """

    name: str
    unit: str
    doc: str
    group: Group
    is_log: bool
    low: float
    high: float
    values: F8

    def at(self, rows: I8) -> F8:
        """Return the values of some rows, float64[m]."""
        taken: F8 = self.values[rows]
        return taken

    def scaled(self, values: F8) -> F8:
        """Return values as they are looked at: in logs where that suits, with 0 as the least above it."""
        if not self.is_log:
            return values
        above = self.values[(self.values > 0.0) & np.isfinite(self.values)]
        least = float(above.min()) if len(above) else np.nan
        return np.log(np.where(values >= 0.0, np.maximum(values, least), np.nan))


def watched_columns(dataset: Dataset, scored: ScoredRows | None) -> tuple[WatchedColumn, ...]:
    """Return the columns of a dataset that are watched.

    Parameters
    ----------
    dataset : Dataset
        n rows. Columns that tell the time of day are left out.
    scored : ScoredRows, optional
        Predictions of the same rows.
    """
    columns = [
        feature_column(
            column.name, column.unit, column.doc, column.transform == "log", dataset.features[:, i]
        )
        for i, column in enumerate(get_feature_set(dataset.feature_set).columns)
        if column.name not in CLOCK_COLUMNS
    ]
    columns.append(
        _sigma("sigma_future_bps", "target", "Volatility of the next minute.", dataset.sigma_future_bps)
    )
    spike = np.where(dataset.spike >= 0, dataset.spike, np.nan).astype(np.float64)
    columns.append(WatchedColumn("spike", "1", "Whether it reached tau.", "target", False, 0.0, 1.0, spike))
    if scored is not None:
        p = scored.p_spike
        columns.append(
            WatchedColumn("p_spike", "1", "Probability of a spike.", "prediction", False, 0.0, 1.0, p)
        )
        columns.append(_sigma("sigma_bps", "prediction", "Predicted volatility.", scored.sigma_bps))
    return tuple(columns)


def feature_column(name: str, unit: str, doc: str, is_log: bool, values: F8) -> WatchedColumn:
    """Return a feature with the bounds that its definition gives it."""
    low, high = (0.0, np.inf) if is_log else (-np.inf, np.inf)
    if name.endswith("_frac"):
        low, high = 0.0, 1.0
    elif "imbalance" in name:
        low, high = -1.0, 1.0
    return WatchedColumn(name, unit, doc, "feature", is_log, low, high, values)


def _sigma(name: str, group: Group, doc: str, values: F8) -> WatchedColumn:
    return WatchedColumn(name, "bps", doc, group, True, 0.0, np.inf, values)
