"""What alerts cost: one for each false alarm, one for each onset that they did not warn of."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from volspike.evaluation.enough import BLOCK_S
from volspike.evaluation.episodes import AlertSpan, GradedSeconds, hits, judged_alerts, onset_mask
from volspike.labels.targets import HORIZON_S
from volspike.monitoring.paired_blocks import BlockFigures, counted

# A judgement looks at the labels of a minute, each of which looks a minute ahead.
SETTLED_S = 2 * HORIZON_S
# So what happens in a block's last minute is judged by labels of the next block: a look at its end has not
# all of them, and would count what a later look takes back.
JUDGED_UNTIL_S = BLOCK_S - HORIZON_S
MOST_COSTS = 4.0

F8 = npt.NDArray[np.float64]


def cost_differences(
    rows: GradedSeconds, alerts: Sequence[AlertSpan], other: Sequence[AlertSpan]
) -> BlockFigures:
    """Return by how much one side's alerts cost more than the other's, in each block with a labelled row.

    Events in a block's first two minutes are left out: what the block before had to say of itself was not all
    known yet. So are those in its last minute, which are judged by rows of the next: a block's figure is the
    same at its end and ever after. A difference beyond 4 counts as 4.

    Parameters
    ----------
    rows : GradedSeconds
        Graded rows.
    alerts, other : sequence of AlertSpan
        Alerts of both sides in order of opening.
    """
    block = np.unique(rows.second[rows.spike >= 0] // BLOCK_S)
    difference = _costs(rows, alerts, block) - _costs(rows, other, block)
    return BlockFigures(block, np.clip(difference, -MOST_COSTS, MOST_COSTS))


def _costs(rows: GradedSeconds, alerts: Sequence[AlertSpan], block: npt.NDArray[np.int64]) -> F8:
    onsets = rows.second[onset_mask(rows)]
    missed = np.setdiff1d(onsets, np.array([onset for onset, _ in hits(onsets, alerts)], np.int64))
    false = np.array([second for second, false in judged_alerts(rows, alerts) if false], np.float64)
    events = np.concatenate((missed, np.floor(false).astype(np.int64)))
    events = events[counted(events, SETTLED_S) & (events % BLOCK_S < JUDGED_UNTIL_S)] // BLOCK_S
    events = events[np.isin(events, block)]
    return np.bincount(np.searchsorted(block, events), minlength=len(block)).astype(np.float64)
