"""Delayed progressive validation: every row is predicted in order, and learned from once its minute is over.

    row at second s          predicted with what has been learned so far
    row at s + 61 or later   before it is predicted, the label of s is learned from

So no prediction depends on a label that was not known when it was made, and each label is used twice: to
grade the prediction that came before it, and to learn from (Blum, Kalai & Langford 1999, Beating the
hold-out; with delayed labels, Gomes et al. 2017, Adaptive random forests). Of candles the label of a minute
is known to the next row but one. Live, the scorer does the same with the last prediction of each second.
"""

from __future__ import annotations

from collections import deque

import numpy as np

from volspike.labels.dataset import Dataset
from volspike.labels.trailing import Context
from volspike.models.calibration import ScoredRows
from volspike.models.kernels import MATURE_S
from volspike.models.learner import Learner


def progressive(learner: Learner, rows: Dataset) -> ScoredRows:
    """Return the predictions of a model that goes on learning.

    Parameters
    ----------
    learner : Learner
        It begins as it is, and has learned from every row whose minute was over when this returns, at the
        second of the last row.
    rows : Dataset
        The n rows, in time order; those without a label are predicted and not learned from.

    Raises
    ------
    ModelError
        A row has no finite prediction.
    """
    waiting: deque[tuple[int, Context, float, float]] = deque()
    scored = np.empty((len(rows), len(ScoredRows._fields)))
    outcome = zip(
        rows.second.tolist(),
        rows.features.tolist(),
        rows.spike.tolist(),
        rows.sigma_future_bps.tolist(),
        rows.tau_bps.tolist(),
        strict=True,
    )
    for i, (second, values, spike, sigma_bps, tau_bps) in enumerate(outcome):
        while waiting and waiting[0][0] + MATURE_S <= second:
            learner.learn(*waiting.popleft()[1:])
        context = rows.context(i)
        scored[i] = learner.predict(values, context)
        if spike >= 0:
            waiting.append((second, context, sigma_bps, tau_bps))
    return ScoredRows(*np.ascontiguousarray(scored.T))
