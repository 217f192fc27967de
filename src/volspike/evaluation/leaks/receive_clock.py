"""Features computed by the recorder's clock instead of the exchange's: leak 11."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from volspike.evaluation.leaks.finding import Finding, Leak
from volspike.evaluation.leaks.rows import AuditRows
from volspike.evaluation.leaks.shift_search import Match
from volspike.features.window import SECOND_NS

F8 = npt.NDArray[np.float64]
I8 = npt.NDArray[np.int64]

WALL_CLOCK = Leak("receive clock", (11,), "share of windows that count by the receive clock alone")
MARGIN, COUNTS = 0.1, 0.5


def receive_clock(rows: AuditRows, match: Match | None) -> Finding:
    """Look for features whose windows follow the time of receipt.

    With both clocks in the file, a column that counts the rows of the window tells: does it count by the one
    or by the other? With the receive clock alone, event time is lost.
    """
    if rows.receive_ns is None:
        return _by_name(rows)
    counts = _window_counts(rows, rows.receive_ns), _window_counts(rows, rows.time_ns)
    agreed = [tuple(_agreement(rows, index, count) for count in counts) for index in range(len(rows.names))]
    by_receipt, by_event, name = max(
        ((receipt, event, name) for (receipt, event), name in zip(agreed, rows.names, strict=True)),
        default=(0.0, 0.0, ""),
    )
    if by_receipt > max(by_event + MARGIN, COUNTS):
        return WALL_CLOCK.found(
            by_receipt - by_event,
            f"{name} counts the rows of {rows.window_s:g} s by the time of receipt ({by_receipt:.0%} agree), "
            f"not by the exchange's ({by_event:.0%}): live, a slow line would change the features",
        )
    if by_event > COUNTS:
        return WALL_CLOCK.clean(0.0, f"{name} counts its window by the exchange's clock")
    return WALL_CLOCK.unknown("both clocks are there, but no column counts the ticks of its window")


def _by_name(rows: AuditRows) -> Finding:
    if rows.clock == "receive":
        return WALL_CLOCK.found(
            1.0,
            "the only time is that of receipt: when the exchange saw a tick is lost, and delays shift rows",
        )
    if rows.clock == "either":
        return WALL_CLOCK.unknown(
            "its time may be the recorder's and not the exchange's: keep both, under names that say so"
        )
    return WALL_CLOCK.clean(0.0, "its time is the exchange's, by its name")


def _agreement(rows: AuditRows, index: int, count: I8) -> float:
    """Return how often a column is the row count of the window, or that count by second."""
    values = rows.values[:, index]
    return max(_equal(values, count), _equal(values * rows.window_s, count))


def _equal(values: F8, count: I8) -> float:
    return float(np.mean(np.abs(values - count) < 0.5))


def _window_counts(rows: AuditRows, time_ns: I8) -> I8:
    """Return how many rows of the product lie in (t - window, t] by this clock, up to and with each row."""
    counts = np.empty(len(rows), np.int64)
    window_ns = round(rows.window_s * SECOND_NS)
    for part in rows.by_product():
        times = np.maximum.accumulate(time_ns[part])
        first = np.searchsorted(times, times - window_ns, side="right")
        counts[part] = np.arange(len(times)) - first + 1
    return counts
