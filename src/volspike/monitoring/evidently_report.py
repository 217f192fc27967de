"""Evidently's report of two windows: pages for people, JSON for programs, and what it says of each column.

Its default verdict holds single rows for independent. Those a second apart are not, so it alarms on unchanged
data as soon as a window is long enough; it is shown for its pictures, and decides nothing here.
"""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from volspike.monitoring.drift_windows import LEAST_ROWS, WindowPair
from volspike.monitoring.watched import GROUPS, WatchedColumn

if TYPE_CHECKING:
    import pandas as pd

F8 = npt.NDArray[np.float64]
I8 = npt.NDArray[np.int64]

# Evidently divides a distance by the standard deviation or this, whichever is greater: of smaller values it
# would never see a change.
LEAST_STD = 0.001
MOST_ROWS = 5_000  # of a window; more make it slower and say nothing new, a second apart
SPIKE = "spike"
WORTH = (
    "Evidently's distances and p-values are of tests that take rows for independent of each other: they "
    "alarm on unchanged data too, and decide nothing."
)


@dataclass(frozen=True, slots=True)
class EvidentlyColumn:
    """What Evidently says of a column: its score by its method, its threshold, and whether that is drift."""

    name: str
    group: str
    score: float
    threshold: float
    method: str
    drifted: bool

    @property
    def measure(self) -> str:
        """Return what its score is: the p of a test, as of a short reference, or a distance."""
        return "p" if self.method.endswith("p_value") else "distance"


@dataclass(frozen=True, slots=True)
class EvidentlyReport:
    """Evidently's report.

    Attributes
    ----------
    columns : tuple of EvidentlyColumn
        Those it could judge.
    left_out : tuple of str
        Those without two finite values in each window: not enough data.
    rows : (int, int)
        Rows of reference and current window that it was given, evenly spaced.
    drift_html, summary_html : str
        Its pages, whole in themselves: drift by column, and the summary of the data.
    json : str
        Both as one JSON object, under ``drift`` and ``summary``.
    """

    columns: tuple[EvidentlyColumn, ...]
    left_out: tuple[str, ...]
    rows: tuple[int, int]
    drift_html: str
    summary_html: str
    json: str

    def verdicts(self) -> dict[str, dict[str, int | bool]]:
        """Return by group how many columns it calls drifted, and whether that is half or more: its rule."""
        found: dict[str, dict[str, int | bool]] = {}
        for group in GROUPS:
            flags = [column.drifted for column in self.columns if column.group == group]
            if flags:
                drifted = sum(flags)
                found[group] = {
                    "drifted": drifted,
                    "columns": len(flags),
                    "says_drift": 2 * drifted >= len(flags),
                }
        return found


def make_evidently_report(
    columns: Sequence[WatchedColumn], pair: WindowPair, now_ns: int
) -> EvidentlyReport | None:
    """Run Evidently on two windows; None where a window has fewer than two rows, or no column has values.

    Parameters
    ----------
    columns : sequence of WatchedColumn
        What is compared.
    pair : WindowPair
        The windows.
    now_ns : int
        The time that the report carries, ns.
    """
    reference, current = (_thinned(window.rows) for window in (pair.reference, pair.current))
    judged = [column for column in columns if _has_values(column, reference, current)]
    if pair.is_thin or not judged:
        return None
    drift, summary = _run(judged, reference, current, datetime.fromtimestamp(now_ns // 10**9, UTC))
    told = drift.dict()
    return EvidentlyReport(
        columns=tuple(_told(told, {_label(column): column for column in judged})),
        left_out=tuple(column.name for column in columns if column not in judged),
        rows=(len(reference), len(current)),
        drift_html=_with_worth(drift.get_html_str(as_iframe=False)),
        summary_html=summary.get_html_str(as_iframe=False),
        json=json.dumps({"drift": json.loads(drift.json()), "summary": json.loads(summary.json())}),
    )


def _with_worth(page: str) -> str:
    """Say on top of its page, which somebody may open alone, what its verdict is worth."""
    words = f"{WORTH} What decides is volspike's own score, on the page beside this one."
    style = "margin:0;padding:.8rem 1.2rem;background:#fff3cd;color:#333;font:1rem sans-serif"
    return page.replace("<body>", f'<body><p style="{style}">{words}</p>', 1)


def _thinned(rows: I8) -> I8:
    """Return at most ``MOST_ROWS`` of the rows, evenly spaced."""
    if len(rows) <= MOST_ROWS:
        return rows
    return rows[np.linspace(0, len(rows) - 1, MOST_ROWS).astype(np.int64)]


def _has_values(column: WatchedColumn, *windows: I8) -> bool:
    return all(np.count_nonzero(np.isfinite(column.at(rows))) >= LEAST_ROWS for rows in windows)


def _label(column: WatchedColumn) -> str:
    return f"{column.group}: {column.name}"


def _run(columns: Sequence[WatchedColumn], reference: I8, current: I8, at: datetime) -> tuple[Any, Any]:
    """Return Evidently's two finished runs. Importing it takes seconds, so that is done here."""
    os.environ["DO_NOT_TRACK"] = "true"  # read at import: it would report its use over the network
    units = [_unit(column, reference) for column in columns]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its own, of libraries newer than it
        from evidently import DataDefinition, Dataset, Report  # type: ignore[import-untyped]
        from evidently.presets import DataDriftPreset, DataSummaryPreset  # type: ignore[import-untyped]

        definition = DataDefinition(
            numerical_columns=[_label(column) for column in columns if column.name != SPIKE],
            categorical_columns=[_label(column) for column in columns if column.name == SPIKE],
        )
        # Current comes first.
        windows = (current, reference)
        scaled = [Dataset.from_pandas(_scaled(columns, units, rows), definition) for rows in windows]
        plain = [Dataset.from_pandas(_plain(columns, rows), definition) for rows in windows]
        drift = Report([DataDriftPreset()], include_tests=True).run(*scaled, timestamp=at)
        summary = Report([DataSummaryPreset()]).run(*plain, timestamp=at)
        return drift, summary


def _unit(column: WatchedColumn, reference: I8) -> float:
    """Return what a column is divided by to be compared: 1, or its deviation if that is tiny."""
    if column.is_log or column.name == SPIKE:
        return 1.0
    std = float(np.nanstd(_known(column.at(reference))))
    return std if 0.0 < std < LEAST_STD else 1.0


def _scaled(columns: Sequence[WatchedColumn], units: Sequence[float], rows: I8) -> pd.DataFrame:
    """Return the columns as drift is looked for: in logs, or in units of their deviation."""
    import pandas as pd

    return pd.DataFrame(
        {
            _label(column): _cells(column, column.scaled(column.at(rows)) / unit)
            for column, unit in zip(columns, units, strict=True)
        }
    )


def _plain(columns: Sequence[WatchedColumn], rows: I8) -> pd.DataFrame:
    import pandas as pd

    return pd.DataFrame({_label(column): _cells(column, column.at(rows)) for column in columns})


def _cells(column: WatchedColumn, values: F8) -> F8 | npt.NDArray[np.object_]:
    """Return the values; categories as 0 and 1, since Evidently's small pictures draw numbers alone."""
    if column.name != SPIKE:
        return _known(values)
    # Objects: as labels it takes whole numbers of Python, and none of numpy.
    return np.array([None if value != value else int(value) for value in values.tolist()], dtype=object)


def _known(values: F8) -> F8:
    known: F8 = np.where(np.isfinite(values), values, np.nan)
    return known


def _told(told: dict[str, Any], columns: dict[str, WatchedColumn]) -> Iterator[EvidentlyColumn]:
    """Yield what a run says of each column: the scores are its metrics, whether that is drift its tests."""
    failed = {
        test["metric_config"]["metric_id"] for test in told["tests"] if test["status"].value != "SUCCESS"
    }
    for metric in told["metrics"]:
        config = metric["config"]
        if config.get("column") in columns:
            column = columns[config["column"]]
            yield EvidentlyColumn(
                name=column.name,
                group=column.group,
                score=float(metric["value"]),
                threshold=float(config["threshold"]),
                method=config["method"],
                drifted=metric["id"] in failed,
            )
