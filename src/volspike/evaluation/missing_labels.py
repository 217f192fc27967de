"""Which rows have no label: are they missing just when it is volatile?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from volspike.evaluation.deciles import I8, equal_mass
from volspike.labels.dataset import Dataset
from volspike.labels.targets import LABELLED, UNLABELLED_REASONS


@dataclass(frozen=True, slots=True)
class SigmaBin:
    """Rows of about equal volatility now (bps), how many of them have no label, and why not."""

    rv_low_bps: float
    rv_high_bps: float
    rows: int
    unlabelled: int
    unlabelled_frac: float
    reasons: dict[str, int]


def unlabelled_by_sigma(dataset: Dataset) -> tuple[SigmaBin, ...]:
    """Return ten equal-mass bins of current volatility, calm to wild, with their share of missing labels.

    Rows that were never made, because their window was not whole, are not seen here.
    """
    return tuple(_bin(dataset, group) for group in equal_mass(dataset.rv_bps))


def _bin(dataset: Dataset, group: I8) -> SigmaBin:
    rv_bps, why = dataset.rv_bps[group], dataset.unlabelled[group]
    missing = int(np.count_nonzero(why != LABELLED))
    counts = np.bincount(why, minlength=len(UNLABELLED_REASONS)).tolist()
    return SigmaBin(
        rv_low_bps=float(np.min(rv_bps)),
        rv_high_bps=float(np.max(rv_bps)),
        rows=len(group),
        unlabelled=missing,
        unlabelled_frac=missing / len(group),
        reasons={
            reason: n
            for reason, n in zip(UNLABELLED_REASONS, counts, strict=True)
            if n and reason != UNLABELLED_REASONS[LABELLED]
        },
    )
