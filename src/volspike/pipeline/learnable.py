"""The least that a model has to have to learn from before it may stand in a champion's shadow."""

from __future__ import annotations

import numpy as np

from volspike.errors import NotEnoughDataError
from volspike.evaluation.enough import count_evidence
from volspike.labels.dataset import Dataset
from volspike.labels.splits import Split

# With fewer separate minutes to fit on, what is learned is chance.
MIN_FIT_WINDOWS = 30


def check_learnable(dataset: Dataset, split: Split) -> None:
    """Refuse rows of which a model would learn nothing: it must not take the place of one on trial.

    Raises
    ------
    NotEnoughDataError
        If fit has no spike or hardly a labelled minute, or tune and calibrate have no labelled row at all.
    """
    fit, rest = dataset.rows(split.fit), dataset.rows(np.concatenate((split.tune, split.calibrate)))
    windows = count_evidence(fit.second, fit.run, fit.spike).windows
    spikes, labelled = (int(np.count_nonzero(found)) for found in (fit.spike == 1, rest.spike >= 0))
    if windows < MIN_FIT_WINDOWS or not spikes or not labelled:
        found = (
            f"fit has {windows} separate labelled minutes and {spikes:,} rows of spikes, "
            f"tune and calibrate {labelled:,} labelled rows"
        )
        raise NotEnoughDataError(
            f"{dataset.product} on {dataset.feed}",
            f"too little to learn from: {found}; {MIN_FIT_WINDOWS} minutes, a spike and a row are needed",
            "record longer, or raise --days or retrain_days",
        )
