"""By how much a model beats the reference on test, score by score, each with its 95 % interval."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from volspike.evaluation.bootstrap import Blocks, Gain, average_precision_gain, make_blocks, mean_gain
from volspike.evaluation.episodes import onset_mask
from volspike.evaluation.scores import brier_losses, graded_seconds, log_losses
from volspike.evaluation.sigma_scores import qlike_losses
from volspike.labels.dataset import Dataset
from volspike.models.calibration import ScoredRows

GAINS = ("log_loss", "qlike", "pr_auc", "onset_pr_auc", "brier")

Gains = dict[str, Gain | None]
Mask = npt.NDArray[np.bool_]


def compare(test: Dataset, model: ScoredRows, reference: ScoredRows) -> Gains:
    """Compare a model with the reference on the labelled rows of a part.

    Parameters
    ----------
    test : Dataset
        The n rows.
    model, reference : ScoredRows
        Predictions of the same rows.

    Returns
    -------
    dict of str to Gain or None
        By name of the score; above 0 the model is better. None where the rows leave fewer than 10 blocks, and
        for average precision where they are of one class.
    """
    labelled = test.spike >= 0
    y = test.spike[labelled] == 1
    blocks = make_blocks(test.second[labelled])
    if blocks is None:
        return dict.fromkeys(GAINS)
    ours, theirs = (ScoredRows(*(column[labelled] for column in side)) for side in (model, reference))
    realised, floor = test.sigma_future_bps[labelled], test.floor_bps[labelled]
    q, q_theirs = (qlike_losses(realised, side.sigma_bps, floor) for side in (ours, theirs))
    onset = onset_mask(graded_seconds(test))[labelled]
    return {
        "log_loss": mean_gain(log_losses(y, ours.p_spike), log_losses(y, theirs.p_spike), blocks),
        "qlike": mean_gain(q, q_theirs, blocks),
        "pr_auc": _precision_gain(y, np.ones(len(y), np.bool_), ours, theirs, blocks),
        "onset_pr_auc": _precision_gain(onset, ~y | onset, ours, theirs, blocks),
        "brier": mean_gain(brier_losses(y, ours.p_spike), brier_losses(y, theirs.p_spike), blocks),
    }


def _precision_gain(
    y: Mask, rows: Mask, model: ScoredRows, reference: ScoredRows, blocks: Blocks
) -> Gain | None:
    """Compare how the positives ``y`` are ranked among ``rows``; the blocks stay what they were."""
    if not np.any(y[rows]) or np.all(y[rows]):
        return None
    kept = replace(blocks, of=blocks.of[rows])
    return average_precision_gain(y[rows], model.p_spike[rows], reference.p_spike[rows], kept)
