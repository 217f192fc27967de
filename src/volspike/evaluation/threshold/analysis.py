"""The whole analysis of thresholds on one dataset."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from volspike.evaluation.threshold.balance import CandidateBalance, candidate_balance
from volspike.evaluation.threshold.candidates import Build, candidates
from volspike.evaluation.threshold.over_time import TauOverTime, tau_over_time
from volspike.evaluation.threshold.percentiles import Distribution, distribution
from volspike.evaluation.threshold.sensitivity import Sensitivity, score_candidate
from volspike.labels.dataset import Dataset
from volspike.labels.splits import Split, chronological_split
from volspike.labels.tau import TauSpec


@dataclass(frozen=True, slots=True)
class Percentiles:
    """Percentiles of the labelled rows, basis points over a minute.

    Attributes
    ----------
    future_fit, now_fit : Distribution
        Of sigma_future and of RV now on the fit slice.
    future_later : Distribution
        Of sigma_future after it.
    """

    future_fit: Distribution
    now_fit: Distribution
    future_later: Distribution


@dataclass(frozen=True, slots=True, eq=False)
class ThresholdAnalysis:
    """What each threshold makes of a dataset.

    Attributes
    ----------
    adaptive, fixed : Dataset
        The rows under the adaptive tau of the quantile in use, and under the fixed tau of that quantile.
    split : Split
        Of the rows.
    in_use : TauSpec
        What the settings say.
    percentiles : Percentiles
        Of volatility.
    balances : tuple of CandidateBalance
        What each candidate calls a spike.
    scores : tuple of Sensitivity
        How two rules score under each candidate, in the same order.
    over_time : TauOverTime
        The adaptive tau over time.
    """

    adaptive: Dataset
    fixed: Dataset
    split: Split
    in_use: TauSpec
    percentiles: Percentiles
    balances: tuple[CandidateBalance, ...]
    scores: tuple[Sensitivity, ...]
    over_time: TauOverTime

    def as_dict(self) -> dict[str, Any]:
        """Return the figures as a JSON-able dict, without the rows."""
        return {
            "product": self.fixed.product,
            "feed": self.fixed.feed,
            "target": self.fixed.target,
            "step_s": self.fixed.step_s,
            "rows": len(self.fixed),
            "first_ns": int(self.fixed.event_ns[0]),
            "last_ns": int(self.fixed.event_ns[-1]),
            "split": self.split.counts(),
            "in_use": asdict(self.in_use),
            "percentiles": asdict(self.percentiles),
            "candidates": [asdict(balance) for balance in self.balances],
            "sensitivity": [asdict(score) for score in self.scores],
            "over_time": asdict(self.over_time),
        }


def analyse_thresholds(
    build: Build, in_use: TauSpec, progress: Callable[[int], None] = lambda _done: None
) -> ThresholdAnalysis:
    """Compare the thresholds on one dataset.

    Parameters
    ----------
    build : callable
        Makes the dataset under a setting of tau.
    in_use : TauSpec
        What the settings say.
    progress : callable
        Told of each candidate that is done.

    Raises
    ------
    NotEnoughDataError
        If there is no row, or none of the fit slice is labelled.
    """
    fixed = build(TauSpec("fixed", in_use.quantile, in_use.floor_bps))
    adaptive = build(TauSpec("adaptive", in_use.quantile, in_use.floor_bps))
    split = chronological_split(fixed)
    balances, scores = [], []
    for candidate in candidates(in_use):
        labelled = candidate.label(fixed, split.fit, build)
        balances.append(candidate_balance(candidate, labelled, split))
        scores.append(score_candidate(candidate.name, labelled, split))
        progress(1)
    return ThresholdAnalysis(
        adaptive=adaptive,
        fixed=fixed,
        split=split,
        in_use=in_use,
        percentiles=volatility_percentiles(fixed, split),
        balances=tuple(balances),
        scores=tuple(scores),
        over_time=tau_over_time(adaptive, fixed, split),
    )


def volatility_percentiles(rows: Dataset, split: Split) -> Percentiles:
    """Return the percentiles of sigma_future and of RV now, on the fit slice and after it."""
    is_labelled = rows.spike >= 0
    fit = split.fit[is_labelled[split.fit]]
    rest = np.concatenate((split.tune, split.calibrate, split.test))
    later = rest[is_labelled[rest]]
    return Percentiles(
        future_fit=_of(rows.sigma_future_bps, rows, fit),
        now_fit=_of(rows.rv_bps, rows, fit),
        future_later=_of(rows.sigma_future_bps, rows, later),
    )


def _of(volatility_bps: npt.NDArray[np.float64], rows: Dataset, index: npt.NDArray[np.int64]) -> Distribution:
    return distribution(volatility_bps[index], rows.second[index], rows.run[index])
