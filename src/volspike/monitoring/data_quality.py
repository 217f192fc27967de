"""Is the data in order? Counts of what is missing, repeated, impossible, broken or old, in plain words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from volspike.features.table import TICK, FeatureTable
from volspike.features.window import MIN_TICKS, SECOND_NS
from volspike.labels.dataset import Dataset
from volspike.monitoring.watched import WatchedColumn

F8 = npt.NDArray[np.float64]
I8 = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

Status = Literal["fine", "look", "not enough data"]
LEAST = 2  # one value has no distribution

# From which share on something is worth a look; 0: a single one is.
LIMITS = {
    "missing": 0.01,
    "outliers": 0.001,
    "out of range": 0.0,
    "repeated": 0.0,
    "out of order": 0.0,
    "incomplete": 0.05,
    "few ticks": 0.05,
    "no row": 0.05,
    "unlabelled": 0.05,
    "out of depth": 0.01,
}
BREAKS_AN_HOUR = 1.0
OUTLIER_DEVIATIONS = 8.0
MAD_TO_STD = 1.4826  # median absolute deviation to standard deviation, of a normal distribution
MINUTE_NS = 60 * SECOND_NS
STALE_STEPS = 300  # rows that should have come by now, and have not
AHEAD_S = 30.0


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found.

    Attributes
    ----------
    check, column : str
        Which check, and of which column; empty: of the rows.
    found : float or None
        How many it found, or an age in seconds; None: not enough data.
    of : int
        Among how many.
    status : {"fine", "look", "not enough data"}
        Whether it is worth a look.
    words : str
        What was found, in words.
    unit : str
        Of what it was found among: a tick or a candle is stored, a row is one a second or a minute.
    """

    check: str
    column: str
    found: float | None
    of: int
    status: Status
    words: str
    unit: str = "row"


@dataclass(frozen=True, slots=True, eq=False)
class StoredRows:
    """The m stored rows of one product and feed that the dataset was made of, in stored order.

    Attributes
    ----------
    event_ns, covered_since_ns : int64[m]
        Time of each, and since when the feed had been whole.
    is_repeated : bool[m]
        Whether it says in everything what the row before says.
    is_whole, has_ticks : bool[m]
        Whether its window is complete, and holds at least 10 ticks.
    """

    event_ns: I8
    covered_since_ns: I8
    is_repeated: Flags
    is_whole: Flags
    has_ticks: Flags

    def between(self, first_ns: int, last_ns: int) -> StoredRows:
        """Return the rows of a span of event time, both ends included."""
        kept = (self.event_ns >= first_ns) & (self.event_ns <= last_ns)
        return StoredRows(*(getattr(self, name)[kept] for name in StoredRows.__slots__))

    @classmethod
    def concat(cls, parts: Sequence[StoredRows]) -> StoredRows:
        """Join rows, in the order given."""
        return cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in cls.__slots__))


def rows_of_table(table: FeatureTable) -> StoredRows:
    """Return the ticks of a table as stored rows."""
    ticks = np.flatnonzero(table.kind == TICK)
    told = (table.event_ns, table.bid, table.ask, table.ticks)
    repeated = np.zeros(len(ticks), np.bool_)
    repeated[1:] = np.logical_and.reduce([np.diff(values[ticks]) == 0 for values in told])
    now, before = table.values[ticks[1:]], table.values[ticks[:-1]]
    repeated[1:] &= ((now == before) | (np.isnan(now) & np.isnan(before))).all(axis=1)
    return StoredRows(
        table.event_ns[ticks],
        table.covered_since_ns[ticks],
        repeated,
        table.complete[ticks],
        table.ticks[ticks] >= MIN_TICKS,
    )


def rows_of_candles(dataset: Dataset) -> StoredRows:
    """Return the minutes of a dataset of candles as stored rows: each is whole."""
    whole = np.ones(len(dataset), np.bool_)
    repeated = np.diff(dataset.event_ns, prepend=dataset.event_ns[:1] - 1) == 0
    return StoredRows(dataset.event_ns, dataset.run.astype(np.int64), repeated, whole, whole)


def check_rows(stored: StoredRows, part: Dataset) -> tuple[Finding, ...]:
    """Check rows as such: repeated, out of order, incomplete, breaks, seconds without a row, no label.

    Parameters
    ----------
    stored : StoredRows
        What is stored of a span.
    part : Dataset
        The rows of the dataset in it.
    """
    return tuple(_row_findings(stored, part))


def _row_findings(stored: StoredRows, part: Dataset) -> Iterator[Finding]:
    n = len(stored.event_ns)
    earlier = int(np.count_nonzero(np.diff(stored.event_ns) < 0))
    few = f"rows with fewer than {MIN_TICKS} ticks in the minute"
    unit = "tick" if part.step_s == 1 else "candle"
    yield _counted("repeated", stored.is_repeated, "rows that say what the row before says", unit)
    yield _share("out of order", earlier, n, "rows older than the row before", unit=unit)
    yield _counted("incomplete", ~stored.is_whole, "rows whose minute the feed was not whole for", unit)
    yield _counted("few ticks", ~stored.has_ticks, few, unit)
    yield _breaks(stored, unit)
    minute = part.event_ns // MINUTE_NS
    minutes = int(minute[-1] - minute[0]) + 1 if len(part) else 0
    without = minutes - len(np.unique(minute))
    yield _share("no row", without, minutes, "minutes without a row to predict from", unit="minute")
    yield _counted("unlabelled", part.spike < 0, "rows whose outcome is not known")


def _breaks(stored: StoredRows, unit: str) -> Finding:
    n = len(stored.event_ns)
    if n < LEAST:
        return _thin("breaks", "", n)
    breaks = int(np.count_nonzero(np.diff(stored.covered_since_ns)))
    hours = float(stored.event_ns.max() - stored.event_ns.min()) / SECOND_NS / 3_600.0
    status: Status = "look" if breaks > max(1.0, BREAKS_AN_HOUR * hours) else "fine"
    return Finding("breaks", "", breaks, n, status, "breaks of the feed", unit)


def check_columns(columns: Sequence[WatchedColumn], rows: I8) -> tuple[Finding, ...]:
    """Check the values of some rows: missing, impossible, outliers. Targets are judged by their rows.

    Parameters
    ----------
    columns : sequence of WatchedColumn
        The columns.
    rows : int64[m]
        Positions of the rows.
    """
    checked = (column for column in columns if column.group != "target")
    return tuple(finding for column in checked for finding in _column_findings(column, column.at(rows)))


def _column_findings(column: WatchedColumn, values: F8) -> Iterator[Finding]:
    name, n = column.name, len(values)
    known = values[np.isfinite(values)]
    if n < LEAST or not len(known):
        yield _thin("missing", name, n, f"{len(known):,} of {n:,} values are there")
    else:
        yield _share("missing", n - len(known), n, "values that are missing or no number", name)
    outside = int(np.count_nonzero((known < column.low) | (known > column.high)))
    bounds = f"not {column.low:g} to {column.high:g}" if column.high < np.inf else f"below {column.low:g}"
    if not len(known):
        yield _thin("out of range", name, 0)
    elif np.isfinite((column.low, column.high)).any():
        yield _share("out of range", outside, len(known), f"values that are impossible, {bounds}", name)
    yield _outliers(column, known)


def _outliers(column: WatchedColumn, known: F8) -> Finding:
    """Count values more than 8 robust standard deviations from the median, on the column's own scale.

    The deviation is 1.4826 times the median absolute one (Hampel, 1974), which outliers do not move.
    """
    check, scaled = "outliers", column.scaled(known)
    scaled = scaled[np.isfinite(scaled)]
    if len(scaled) < LEAST:
        return _thin(check, column.name, len(scaled))
    middle = np.median(scaled)
    deviation = MAD_TO_STD * float(np.median(np.abs(scaled - middle)))
    if deviation == 0.0:
        what = "all values are" if np.ptp(scaled) == 0.0 else "most values are"
        return _thin(check, column.name, len(scaled), f"{what} the same, {float(np.median(known)):.4g}")
    far = int(np.count_nonzero(np.abs(scaled - middle) > OUTLIER_DEVIATIONS * deviation))
    words = f"values more than {OUTLIER_DEVIATIONS:g} robust deviations from the median"
    return _share(check, far, len(scaled), f"{words}{', in logs' * column.is_log}", column.name)


def check_depth(outside: F8) -> Finding:
    """Count predictions some of whose inputs lie beyond what the model was fitted on.

    Parameters
    ----------
    outside : float64[m]
        How many inputs of each row lie there.
    """
    return _counted("out of depth", outside > 0.0, "predictions on inputs beyond the model's bounds")


def check_age(newest_ns: int | None, now_ns: int, step_s: int) -> Finding:
    """Tell how old the newest row is.

    Parameters
    ----------
    newest_ns : int or None
        Its event time, ns; None where there is no row.
    now_ns : int
        The time, ns.
    step_s : int
        Seconds from one row to the next.
    """
    if newest_ns is None:
        return _thin("age", "", 0)
    age_s = (now_ns - newest_ns) / SECOND_NS
    status: Status = "look" if not -AHEAD_S <= age_s <= STALE_STEPS * step_s else "fine"
    days = abs(age_s) / 86_400.0
    words = f"seconds: {days:,.1f} days {'old' if age_s >= 0.0 else 'ahead of the clock'}"
    return Finding("age", "", age_s, 1, status, f"the newest row, {words}")


def _counted(check: str, flags: Flags, words: str, unit: str = "row") -> Finding:
    return _share(check, int(np.count_nonzero(flags)), len(flags), words, unit=unit)


def _share(check: str, found: int, of: int, words: str, column: str = "", unit: str = "row") -> Finding:
    if of < LEAST:
        return _thin(check, column, of)
    status: Status = "look" if found > LIMITS[check] * of else "fine"
    return Finding(check, column, found, of, status, words, unit)


def _thin(check: str, column: str, of: int, words: str = "") -> Finding:
    return Finding(check, column, None, of, "not enough data", words or "too few values to say")
