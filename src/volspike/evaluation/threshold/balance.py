"""What a threshold calls a spike: base rate and independent evidence, part by part of the split."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from volspike.evaluation.enough import count_evidence
from volspike.evaluation.episodes import onset_mask
from volspike.evaluation.scores import graded_seconds
from volspike.evaluation.threshold.candidates import Candidate
from volspike.labels.dataset import Dataset
from volspike.labels.splits import Split
from volspike.labels.trailing import increment_bps

WHOLE = "all"


@dataclass(frozen=True, slots=True)
class Balance:
    """Spikes among the labelled rows of a part.

    Attributes
    ----------
    rows, spikes : int
        Labelled rows, and the spikes among them.
    base_rate : float or None
        Their quotient; None without a row.
    onsets, clusters, windows, blocks : int
        See ``episodes`` and ``enough``.
    enough_data : bool
        Whether a score on them can carry a claim.
    """

    rows: int
    spikes: int
    base_rate: float | None
    onsets: int
    clusters: int
    windows: int
    blocks: int
    enough_data: bool


@dataclass(frozen=True, slots=True)
class CandidateBalance:
    """What one candidate makes of the rows.

    Attributes
    ----------
    name : str
        Of the candidate.
    is_in_use : bool
        Whether it is what the settings say.
    tau_low_bps, tau_median_bps, tau_high_bps : float
        Smallest, median and largest tau over the rows, basis points.
    floor_frac : float
        Share of the rows where the floor is what is in force.
    fallback_frac : float
        Share of the rows of an adaptive tau where it is the fixed one, for want of history; else 0.
    parts : mapping of str to Balance
        By part of the split; ``all`` has every row, purged ones among them.
    """

    name: str
    is_in_use: bool
    tau_low_bps: float
    tau_median_bps: float
    tau_high_bps: float
    floor_frac: float
    fallback_frac: float
    parts: Mapping[str, Balance]


def candidate_balance(candidate: Candidate, labelled: Dataset, split: Split) -> CandidateBalance:
    """Count what a candidate calls a spike.

    Parameters
    ----------
    candidate : Candidate
        How tau was set.
    labelled : Dataset
        The rows under it.
    split : Split
        Of the rows. The test part is counted, not scored.
    """
    parts = {name: part_balance(labelled.rows(index)) for name, index in split.parts()}
    return CandidateBalance(
        name=candidate.name,
        is_in_use=candidate.is_in_use,
        tau_low_bps=float(np.min(labelled.tau_bps)),
        tau_median_bps=float(np.median(labelled.tau_bps)),
        tau_high_bps=float(np.max(labelled.tau_bps)),
        floor_frac=_floor_frac(candidate, labelled, split),
        fallback_frac=float(np.mean(~labelled.tau_adaptive)) if candidate.spec.mode == "adaptive" else 0.0,
        parts={**parts, WHOLE: part_balance(labelled)},
    )


def part_balance(part: Dataset) -> Balance:
    """Count the spikes of a part and the evidence in them."""
    rows = graded_seconds(part)
    evidence = count_evidence(rows.second, rows.run, rows.spike)
    labelled, spikes = int(np.count_nonzero(rows.spike >= 0)), int(np.count_nonzero(rows.spike == 1))
    return Balance(
        rows=labelled,
        spikes=spikes,
        base_rate=spikes / labelled if labelled else None,
        onsets=int(np.count_nonzero(onset_mask(rows))),
        clusters=evidence.clusters,
        windows=evidence.windows,
        blocks=evidence.blocks,
        enough_data=evidence.enough_data,
    )


def _floor_frac(candidate: Candidate, labelled: Dataset, split: Split) -> float:
    """Return the share of rows whose tau is the floor: that of adaptive mode, or one quote increment.

    A constant has none.
    """
    if candidate.constant_bps is not None:
        return 0.0
    floor_bps = candidate.spec.floor_bps
    if candidate.spec.mode == "fixed":
        floor_bps = increment_bps(labelled.increment, float(np.median(labelled.mid[split.fit])))
    return float(np.mean(labelled.tau_bps <= floor_bps))
