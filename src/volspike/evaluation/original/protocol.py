"""The original's protocol, and the same rows under the true label.

=======  ==================================  =========================================================
         next row, as published              future
=======  ==================================  =========================================================
label    std at the next row                 std of the tick returns in (t, t + 60 s]
tau      percentile of all rows, test too    the same percentile of the fit slice alone
rows     all, however short their window     those with a whole window, and a whole minute after them
split    70 / 15 / 15 by rows                the same shares, purged by the label and 300 s
=======  ==================================  =========================================================

Columns and models are the same. Nothing is chosen on the validation part, so it is as good a test as the test
part. Over the whole recording there is a score of the rule that nothing is fitted for.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from volspike.evaluation.enough import Evidence, count_evidence
from volspike.evaluation.original.columns import OriginalRows
from volspike.evaluation.original.label import FutureLabels, next_row_spikes
from volspike.evaluation.original.models import LEARN_CLASSES, MODELS, PERSISTENCE, Part, Scorer
from volspike.evaluation.original.threshold import BPS, Threshold
from volspike.evaluation.ranking import average_precision
from volspike.features.grid import last_closed_second_array
from volspike.features.window import SECOND_NS
from volspike.labels.splits import split_times

FIT, VALIDATION, TEST = 0.70, 0.15, 0.15
NO_TAU = "no labelled row is left in the fit part to set tau by"

I8 = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class ModelScore:
    """What a model scored on a part.

    Attributes
    ----------
    pr_auc : float or None
        Average precision; None where ``reason`` says why there is none.
    base_rate : float or None
        Share of spikes, which guessing scores; None without a row.
    enough_data : bool
        Whether the figure can carry a claim.
    reason : str
        Why there is no figure; empty where there is one.
    """

    pr_auc: float | None
    base_rate: float | None
    enough_data: bool
    reason: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Return the score as a JSON-able dict."""
        told = {"pr_auc": self.pr_auc, "base_rate": self.base_rate, "enough_data": self.enough_data}
        return {**told, "reason": self.reason} if self.reason else told


@dataclass(frozen=True, slots=True)
class PartOutcome:
    """What came of one part.

    Attributes
    ----------
    rows, spikes : int
        Labelled rows, and spikes among them.
    span_s : float
        Seconds of market that the rows span, breaks not counted.
    evidence : Evidence
        Independent pieces.
    models : dict of str to ModelScore
        By model.
    """

    rows: int
    spikes: int
    span_s: float
    evidence: Evidence
    models: dict[str, ModelScore]

    def counts(self) -> dict[str, Any]:
        """Return everything but the scores as a JSON-able dict."""
        return {
            "rows": self.rows,
            "spikes": self.spikes,
            "seconds": self.span_s,
            "clusters": self.evidence.clusters,
            "windows": self.evidence.windows,
            "blocks": self.evidence.blocks,
            "enough_data": self.evidence.enough_data,
        }


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one label.

    Attributes
    ----------
    tau_std : float or None
        Tau, a pure number; None where no row could set it.
    fit_rows : int
        Labelled rows that models were fitted on.
    parts : dict of str to PartOutcome
        ``validation`` and ``test`` with every model, ``all`` with persistence alone.
    """

    tau_std: float | None
    fit_rows: int
    parts: dict[str, PartOutcome]

    @property
    def test(self) -> PartOutcome:
        """Return the test part."""
        return self.parts["test"]

    @property
    def persistence(self) -> ModelScore:
        """Return what the current std alone scores on the whole recording."""
        return self.parts["all"].models[PERSISTENCE]

    def models(self) -> dict[str, Any]:
        """Return each model's score, of the part it can be trusted on, and below it those of the others."""
        return {name: self._of_model(name) for name in MODELS}

    def counts(self) -> dict[str, Any]:
        """Return tau and the counts of every part as a JSON-able dict."""
        parts = {name: part.counts() for name, part in self.parts.items()}
        tau_bps = None if self.tau_std is None else self.tau_std * BPS
        return {"tau_bps": tau_bps, "fit_rows": self.fit_rows, **parts}

    def _of_model(self, name: str) -> dict[str, Any]:
        scores = {part: scored.models[name] for part, scored in self.parts.items() if name in scored.models}
        headline = "all" if name == PERSISTENCE else "test"
        others = {part: score.as_dict() for part, score in scores.items() if part != headline}
        return {**scores[headline].as_dict(), "part": headline, **others}


@dataclass(frozen=True, slots=True, eq=False)
class _Labelled:
    """Rows with one of the labels: columns, label, time (ns), stretch, all of the same length."""

    x: npt.NDArray[np.float64]
    y: Bools
    event_ns: I8
    run: npt.NDArray[np.int32]

    def part(self, index: I8) -> Part:
        return Part(self.x[index], self.y[index])


def next_row_outcome(rows: OriginalRows, threshold: Threshold) -> Outcome:
    """Run the original's protocol; ``rows`` are at least one."""
    tau = threshold.of(rows.std)
    assert tau is not None, "there are rows, so there is a percentile"
    event_ns = np.maximum.accumulate(rows.event_ns)  # a subscription's first ticker may be an old one
    labelled = _Labelled(rows.values, next_row_spikes(rows.std, tau), event_ns, rows.stretch)
    every = np.arange(len(rows))
    fit_end = int(len(rows) * FIT)
    test_begin = fit_end + int(len(rows) * VALIDATION)
    parts = {"validation": every[fit_end:test_begin], "test": every[test_begin:], "all": every}
    return _outcome(labelled, tau, every[:fit_end], parts)


def future_outcome(rows: OriginalRows, labels: FutureLabels, threshold: Threshold) -> Outcome:
    """Run the same models on the same columns under the true label."""
    split = split_times(labels.event_ns, (FIT, VALIDATION, 0.0, TEST))
    known = labels.labelled
    fit = split.fit[known[split.fit]]
    tau = threshold.of(labels.sigma_bps[fit] / BPS)
    spikes = np.zeros(len(known), np.bool_) if tau is None else labels.sigma_bps >= tau * BPS
    labelled = _Labelled(rows.values[labels.row], spikes, labels.event_ns, labels.run)
    parts = {"validation": split.tune, "test": split.test, "all": np.arange(len(known))}
    return _outcome(labelled, tau, fit, {name: part[known[part]] for name, part in parts.items()})


def _outcome(labelled: _Labelled, tau: float | None, fit: I8, parts: dict[str, I8]) -> Outcome:
    scorers = _fitted(labelled.part(fit), tau)
    return Outcome(
        tau_std=tau,
        fit_rows=len(fit),
        parts={
            name: _part_outcome(
                labelled, index, {PERSISTENCE: scorers[PERSISTENCE]} if name == "all" else scorers
            )
            for name, index in parts.items()
        },
    )


def _fitted(fit: Part, tau: float | None) -> dict[str, Scorer | str]:
    """Return each model fitted, or why it can't be."""
    reasons = {name: NO_TAU if tau is None else _why_unfitted(name, fit) for name in MODELS}
    return {name: reason or MODELS[name](fit) for name, reason in reasons.items()}


def _why_unfitted(name: str, fit: Part) -> str:
    if name == PERSISTENCE:
        return ""
    if not len(fit.y):
        return "no row in the fit part"
    if name in LEARN_CLASSES and not fit.has_both_classes:
        return f"the fit part is {_one_class(fit)}"
    return ""


def _part_outcome(labelled: _Labelled, index: I8, scorers: dict[str, Scorer | str]) -> PartOutcome:
    part, event_ns, run = labelled.part(index), labelled.event_ns[index], labelled.run[index]
    second = last_closed_second_array(event_ns) + 1
    evidence = count_evidence(second, run, part.y.astype(np.int8))
    return PartOutcome(
        rows=len(part.y),
        spikes=int(np.count_nonzero(part.y)),
        span_s=_span_s(event_ns, run),
        evidence=evidence,
        models={name: _score(scorer, part, evidence.enough_data) for name, scorer in scorers.items()},
    )


def _score(scorer: Scorer | str, part: Part, enough_data: bool) -> ModelScore:
    base_rate = float(np.mean(part.y)) if len(part.y) and scorer != NO_TAU else None
    if isinstance(scorer, str):
        return ModelScore(None, base_rate, enough_data, scorer)
    if not part.has_both_classes:
        return ModelScore(None, base_rate, enough_data, f"the rows are {_one_class(part)}")
    return ModelScore(average_precision(part.y, scorer(part.x)), base_rate, enough_data)


def _one_class(part: Part) -> str:
    return f"of one class: {np.count_nonzero(part.y):,} spikes in {len(part.y):,} rows"


def _span_s(event_ns: I8, run: npt.NDArray[np.int32]) -> float:
    """Return the seconds between the first and the last row of each run, summed."""
    if not len(event_ns):
        return 0.0
    begins = np.flatnonzero(np.diff(run, prepend=run[0] - 1))
    ends = np.append(begins[1:], len(run)) - 1
    return float(np.sum(event_ns[ends] - event_ns[begins])) / SECOND_NS
