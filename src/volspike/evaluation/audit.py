"""The leak audit of a training run: was anything fitted, or labelled, outside its slice?"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import pairwise

import numpy as np

from volspike.evaluation.leaks.examine import examine_own
from volspike.evaluation.leaks.finding import Finding
from volspike.evaluation.leaks.later_tau import LATER
from volspike.evaluation.leaks.untold import CHANGED, RETUNED
from volspike.evaluation.scores import Scores
from volspike.exchange.candles import CandleTable
from volspike.features.table import FeatureTable
from volspike.features.window import SECOND_NS
from volspike.labels.dataset import Dataset, fixed_tau
from volspike.labels.splits import PURGE_S, Index, Split
from volspike.labels.targets import HORIZON_S, LEAKING_TARGETS
from volspike.models.bundle import Bundle
from volspike.models.manifest import REFERENCE_FILE
from volspike.models.rows import labelled, rows_sha256

# Where spikes are rare. With the hidden state itself the synthetic market allows 0.66 at a base rate of 0.07
# (docs/results.md); honest models leave most of what the best simple rule leaves.
SUSPICIOUS_BASE_RATE = 0.15
UNSUSPICIOUS_PR_AUC = 0.5
ATTAINABLE_PR_AUC = 0.75
HONEST_SHARE = 0.25

Refit = Callable[[Dataset], Mapping[str, Bundle]]


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

    @property
    def leaks(self) -> dict[str, str]:
        """Return what was found, by check; a score that only looks too good is no leak by itself."""
        return {name: c.detail for name, c in self.checks.items() if not c.passed and name != "plausible"}

    def as_dict(self) -> dict[str, object]:
        """Return the audit as a JSON-able dict."""
        return {"passed": self.passed, "checks": {name: asdict(check) for name, check in self.checks.items()}}


def audit_training(
    dataset: Dataset,
    split: Split,
    bundles: Mapping[str, Bundle],
    test_scores: Mapping[str, Scores],
    refit: Refit | None = None,
    table: FeatureTable | CandleTable | None = None,
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
    refit : callable, optional
        Trains again on the dataset it is given, with the same split and settings.
    table : FeatureTable or CandleTable, optional
        The rows that the dataset was made of, to be examined themselves.

    Returns
    -------
    Audit
        ``order``, ``purge``, ``slices``, ``refit`` where it can be done, ``tau``, ``target``, ``plausible``;
        with a table also what ``leaks.examine.examine_own`` looks for.
    """
    checks = {
        "order": _order(dataset, split),
        "purge": _purge(dataset, split),
        "slices": _slices(dataset, split, bundles),
        "tau": _tau(dataset, split),
        "target": _target(dataset),
        "plausible": _plausible(test_scores),
    }
    if refit is not None:
        checks["refit"] = _refit(dataset, split, bundles, refit)
    if table is not None:
        found = examine_own(table, dataset, split)
        checks |= {name: _as_check(finding) for name, finding in found.items()}
    return Audit(checks)


def audit_folds(dataset: Dataset, splits: Sequence[Split], table: FeatureTable | CandleTable | None) -> Audit:
    """Audit a walk-forward before it trains: all that rows and splits can show.

    Parameters
    ----------
    dataset : Dataset
        All rows.
    splits : sequence of Split
        Of the folds, in order of time, at least one.
    table : FeatureTable or CandleTable or None
        The rows that the dataset was made of.

    Returns
    -------
    Audit
        ``order`` and ``purge`` of all folds, ``target``, and with a table what ``examine_own`` looks for, by
        the last fold.
    """
    order = [_order(dataset, split) for split in splits]
    purge = [_purge(dataset, split) for split in splits]
    checks = {
        "order": next((check for check in order if not check.passed), order[0]),
        "purge": next((check for check in purge if not check.passed), purge[0]),
        "target": _target(dataset),
    }
    if table is not None:
        found = examine_own(table, dataset, splits[-1])
        checks |= {name: _as_check(finding) for name, finding in found.items()}
    return Audit(checks)


def examine_dataset(table: FeatureTable | CandleTable, dataset: Dataset, split: Split) -> list[Finding]:
    """Return what the audit finds in rows alone, without a model: every leak of docs/leaks.md."""
    tau = _tau(dataset, split)
    rows = [*examine_own(table, dataset, split).values()]
    own_tau = LATER.clean(None, tau.detail) if tau.passed else LATER.found(None, tau.detail)
    return [*rows, own_tau, *_told_by_training()]


def _told_by_training() -> tuple[Finding, ...]:
    """Say where it is told, for rows of volspike's own, what rows alone can't show."""
    return (
        RETUNED.unknown(
            "not of the rows but of a model: volspike chooses thresholds on calibrate, and each training "
            "checks that (slices, refit)"
        ),
        CHANGED.unknown(
            "not of the rows but of the runs: MLflow keeps each, and volspike evaluate --final logs each look"
        ),
    )


def _as_check(finding: Finding) -> Check:
    mark = "can't tell: " if finding.status == "can't tell" else ""
    return Check(finding.status != "leak", mark + finding.words)


def _order(dataset: Dataset, split: Split) -> Check:
    index = np.concatenate([rows for _, rows in split.parts()])
    ordered = bool(np.all(np.diff(index) > 0)) and bool(np.all(np.diff(dataset.event_ns[index]) > 0))
    detail = "every row of a part is later than every row of the parts before it"
    return Check(ordered, detail if ordered else "rows of the parts overlap in time or are out of order")


def _purge(dataset: Dataset, split: Split) -> Check:
    times = [dataset.event_ns[rows] for _, rows in split.parts() if len(rows)]
    distances = [
        (int(after[0]) - (-(-int(before[-1]) // SECOND_NS) + HORIZON_S) * SECOND_NS) // SECOND_NS
        for before, after in pairwise(times)
    ]
    if not distances:
        return Check(True, "one part only")
    return Check(
        min(distances) >= PURGE_S,
        f"{min(distances)} s or more from the end of a part's last label to the next part; {PURGE_S} s asked",
    )


def _slices(dataset: Dataset, split: Split, bundles: Mapping[str, Bundle]) -> Check:
    used = rows_sha256(*(labelled(dataset, rows) for rows in (split.fit, split.tune, split.calibrate)))
    other = [name for name, bundle in bundles.items() if bundle.manifest.training.rows_sha256 != used]
    if other:
        return Check(False, f"trained on other rows than fit, tune and calibrate: {', '.join(other)}")
    return Check(True, "every model was made of the rows of fit, tune and calibrate and of no other")


def _refit(dataset: Dataset, split: Split, bundles: Mapping[str, Bundle], refit: Refit) -> Check:
    """Train again with the test part spoiled, then with the calibrate part too: what may not change?"""
    again = refit(_spoiled(dataset, split.test))
    moved = [name for name in bundles if again[name].manifest.version != bundles[name].manifest.version]
    if moved:
        return Check(False, f"with other rows in test these come out otherwise: {', '.join(moved)}")
    again = refit(_spoiled(dataset, np.concatenate((split.calibrate, split.test))))
    moved = [name for name in bundles if _weights(again[name]) != _weights(bundles[name])]
    if moved:
        return Check(False, f"with other rows in calibrate these get other weights: {', '.join(moved)}")
    return Check(True, "the models do not change with the test part, nor their weights with calibrate")


def _weights(bundle: Bundle) -> dict[str, bytes]:
    return {name: content for name, content in bundle.files.items() if name != REFERENCE_FILE}


def _spoiled(dataset: Dataset, index: Index) -> Dataset:
    """Return the dataset with everything that training reads of these rows turned upside down."""
    factor = np.ones(len(dataset))
    factor[index] = 1.7
    spike, sigma = dataset.spike.copy(), dataset.sigma_future_bps / factor
    spike[index] = np.where(spike[index] >= 0, 1 - spike[index], spike[index])
    return replace(
        dataset,
        features=dataset.features * factor[:, None],
        har_bps=dataset.har_bps * factor[:, None],
        rv_bps=dataset.rv_bps * factor,
        tau_bps=dataset.tau_bps * factor,
        mid=dataset.mid * factor,
        z=dataset.z - (factor - 1.0),
        sigma_future_bps=sigma,
        spike=spike,
    )


def _tau(dataset: Dataset, split: Split) -> Check:
    if dataset.tau_given:
        words = f"the fixed tau, {dataset.fixed_tau_bps:.4g} bps, is that of the champion, not fitted again"
        return Check(True, words)
    fit = labelled(dataset, split.fit)
    typical_mid = float(np.median(dataset.mid[split.fit]))
    own = fixed_tau(fit.sigma_future_bps, dataset.tau, typical_mid, dataset.increment)
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
    """Ask for a closer look where a score is better than the simple rule and the market can explain."""
    judged = {
        name: scores
        for name, scores in test_scores.items()
        if scores.enough_data and scores.pr_auc is not None and scores.base_rate is not None
    }
    if not judged:
        return Check(True, "no score to judge: not enough data on test")
    odd = [f"{name} {_beside(scores)}" for name, scores in judged.items() if _too_good(scores)]
    if odd:
        return Check(False, f"too good to pass unseen: {'; '.join(odd)}")
    best = max(judged, key=lambda name: judged[name].pr_auc or 0.0)
    return Check(True, f"nothing beyond rule and market: at best {best} {_beside(judged[best])}")


def _too_good(scores: Scores) -> bool:
    """Tell whether PR-AUC is above what is attainable, or has too much of what the reference leaves."""
    pr_auc, base_rate = scores.pr_auc or 0.0, scores.base_rate or 0.0
    if base_rate > SUSPICIOUS_BASE_RATE:
        return False
    least = base_rate if scores.reference_pr_auc is None else scores.reference_pr_auc
    explained = max(UNSUSPICIOUS_PR_AUC, least + HONEST_SHARE * (1.0 - least))
    return pr_auc > min(ATTAINABLE_PR_AUC, explained)


def _beside(scores: Scores) -> str:
    reference = "" if scores.reference_pr_auc is None else f", the reference {scores.reference_pr_auc:.3f}"
    return f"{scores.pr_auc:.3f} at base rate {scores.base_rate:.3f}{reference}"
