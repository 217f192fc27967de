"""volspike's own feature rows and labels as rows under audit."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
import numpy.typing as npt

from volspike.evaluation.leaks.rows import AuditRows
from volspike.features.sets import get_feature_set
from volspike.features.table import FeatureTable
from volspike.labels.dataset import Dataset
from volspike.labels.splits import Split
from volspike.labels.stream import usable_ticks

I8 = npt.NDArray[np.int64]
Scalar = TypeVar("Scalar", bound=np.generic)

MOST_TICKS = 300_000
ROW_BITS = 20


def own_rows(subject: str, table: FeatureTable, dataset: Dataset, split: Split) -> AuditRows:
    """Put labels, targets and split of a dataset beside all ticks of the table that it was made of.

    Every tick is a row, so that a label taken from the tick after is found; those without a label of their
    own are unlabelled. Only the last 300,000 ticks are taken.
    """
    ticks = usable_ticks(table)[-MOST_TICKS:]
    time_ns, covered = table.event_ns[ticks], table.covered_since_ns[ticks]
    place = np.searchsorted(time_ns, dataset.event_ns, side="right") - 1
    here = place >= 0
    place, n = place[here], len(ticks)
    mid_sum = table.bid[ticks] + table.ask[ticks]
    return AuditRows(
        subject=subject,
        products=(table.product,),
        product=np.zeros(n, np.int32),
        time_ns=time_ns,
        stretch=np.cumsum(np.diff(covered, prepend=covered[:1]) != 0).astype(np.int32),
        names=get_feature_set(table.feature_set).names,
        values=table.values[ticks],
        label=_spread(dataset.spike[here], place, np.full(n, -1, np.int8)),
        target=_spread(dataset.sigma_future_bps[here], place, np.full(n, np.nan)),
        target_name=dataset.target,
        mid=mid_sum / float(2 * 10**table.price_decimals),
        clock="exchange" if table.event_time_source == "exchange" else "either",
        trade_id=(table.seq[ticks] << ROW_BITS) + table.row[ticks],
        in_test=_parts(split, dataset, here, place, n),
        tau=_spread(dataset.tau_bps[here], place, np.full(n, np.nan)),
        whole_until_ns=_whole_until(table, time_ns),
    )


def _spread(values: npt.NDArray[np.generic], place: I8, into: npt.NDArray[Scalar]) -> npt.NDArray[Scalar]:
    """Put the values of the rows among the ticks."""
    into[place] = values
    return into


def _parts(
    split: Split, dataset: Dataset, here: npt.NDArray[np.bool_], place: I8, n: int
) -> npt.NDArray[np.int8]:
    """Return of each tick whether its row is of test (1), of a part before (0), or of none (-1)."""
    part = np.full(len(dataset), -1, np.int8)
    for name, index in split.parts():
        part[index] = name == "test"
    return _spread(part[here], place, np.full(n, -1, np.int8))


def _whole_until(table: FeatureTable, time_ns: I8) -> I8:
    """Return the last tick or mark of each tick's covered stretch, ns."""
    ends = np.append(np.flatnonzero(np.diff(table.covered_since_ns)), len(table) - 1)
    until: I8 = table.event_ns[ends[np.searchsorted(table.event_ns[ends], time_ns)]]
    return until
