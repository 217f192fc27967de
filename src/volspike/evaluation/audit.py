"""The leak audit of a training run: was anything fitted, or labelled, outside its slice?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from itertools import pairwise

import numpy as np

from volspike.evaluation.scores import Scores
from volspike.labels.dataset import Dataset, fixed_tau
from volspike.labels.splits import HORIZON_S, PURGE_S, SECOND_NS, Split
from volspike.labels.targets import LEAKING_TARGETS
from volspike.models.bundle import Bundle
from volspike.models.rows import labelled, rows_sha256

SUSPICIOUS_PR_AUC = 0.5
SUSPICIOUS_BASE_RATE = 0.15


@dataclass(frozen=True, slots=True)
class Check:
    """One check of the audit: whether it passed, and what was found, in words."""

    passed: bool
    detail: str


@dataclass(frozen=True, slots=True)
class Audit:
    """The checks of a leak audit, by name."""

    checks: dict[str, Check]

    @property
    def passed(self) -> bool:
        """Tell whether every check passed."""
        return all(check.passed for check in self.checks.values())

    def as_dict(self) -> dict[str, object]:
        """Return the audit as a JSON-able dict."""
        return {"passed": self.passed, "checks": {name: asdict(check) for name, check in self.checks.items()}}


def audit_training(
    dataset: Dataset,
    split: Split,
    bundles: Mapping[str, Bundle],
    test_scores: Mapping[str, Scores],
    increment: float,
    purge_s: int = PURGE_S,
) -> Audit:
    """Audit a training run.

    Parameters
    ----------
    dataset, split : Dataset, Split
        What the models were trained on.
    bundles : mapping of str to Bundle
        The models.
    test_scores : mapping of str to Scores
        Their scores on test.
    increment : float
        Quote increment in quote currency.
    purge_s : int
        Least distance in seconds between the end of a label and the next part.

    Returns
    -------
    Audit
        ``order``, ``purge``, ``slices``, ``tau``, ``target`` and ``plausible``.
    """
    return Audit(
        {
            "order": _order(dataset, split),
            "purge": _purge(dataset, split, purge_s),
            "slices": _slices(dataset, split, bundles),
            "tau": _tau(dataset, split, increment),
            "target": _target(dataset),
            "plausible": _plausible(test_scores),
        }
    )


def _order(dataset: Dataset, split: Split) -> Check:
    index = np.concatenate([rows for _, rows in split.parts()])
    ordered = bool(np.all(np.diff(index) > 0)) and bool(np.all(np.diff(dataset.event_ns[index]) > 0))
    detail = "every row of a part is later than every row of the parts before it"
    return Check(ordered, detail if ordered else "rows of the parts overlap in time or are out of order")


def _purge(dataset: Dataset, split: Split, purge_s: int) -> Check:
    times = [dataset.event_ns[rows] for _, rows in split.parts() if len(rows)]
    distances = [int(after[0] - before[-1]) // SECOND_NS - HORIZON_S for before, after in pairwise(times)]
    if not distances:
        return Check(True, "one part only")
    return Check(
        min(distances) >= purge_s,
        f"{min(distances)} s or more from the end of a part's last label to the next part; {purge_s} s asked",
    )


def _slices(dataset: Dataset, split: Split, bundles: Mapping[str, Bundle]) -> Check:
    used = rows_sha256(*(labelled(dataset, rows) for rows in (split.fit, split.tune, split.calibrate)))
    other = [name for name, bundle in bundles.items() if bundle.manifest.training.rows_sha256 != used]
    if other:
        return Check(False, f"trained on other rows than fit, tune and calibrate: {', '.join(other)}")
    return Check(True, "every model was made of the rows of fit, tune and calibrate and of no other")


def _tau(dataset: Dataset, split: Split, increment: float) -> Check:
    fit = labelled(dataset, split.fit)
    typical_mid = float(np.median(dataset.mid[split.fit]))
    own = fixed_tau(fit.sigma_future_bps, dataset.tau, typical_mid, increment)
    if own == dataset.fixed_tau_bps:
        return Check(True, f"the fixed tau, {own:.4g} bps, is that of the fit slice")
    return Check(
        False, f"the fixed tau is {dataset.fixed_tau_bps:.4g} bps, the fit slice alone gives {own:.4g}"
    )


def _target(dataset: Dataset) -> Check:
    reason = LEAKING_TARGETS.get(dataset.target)
    if reason is None:
        return Check(True, f"{dataset.target} shares no tick with the features")
    return Check(False, f"{dataset.target}: {reason}")


def _plausible(test_scores: Mapping[str, Scores]) -> Check:
    """Ask for a closer look where a score is better than what the market has been seen to allow."""
    odd = [
        f"{name} {scores.pr_auc:.3f} at base rate {scores.base_rate:.3f}"
        for name, scores in test_scores.items()
        if scores.enough_data and scores.pr_auc is not None and scores.base_rate is not None
        if scores.pr_auc > SUSPICIOUS_PR_AUC and scores.base_rate <= SUSPICIOUS_BASE_RATE
    ]
    if odd:
        return Check(False, f"too good to pass unseen: {'; '.join(odd)}")
    return Check(True, f"no PR-AUC above {SUSPICIOUS_PR_AUC} at a base rate up to {SUSPICIOUS_BASE_RATE}")
