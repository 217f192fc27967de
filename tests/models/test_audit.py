from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from model_rows import INCREMENT

from volspike.evaluation.audit import audit_training
from volspike.evaluation.report import evaluate
from volspike.labels.dataset import fixed_tau
from volspike.labels.splits import Split
from volspike.models.train import train


@pytest.fixture(scope="module")
def scores(dataset, split, trained):
    report = evaluate(trained.bundles, dataset, split, trained.champion)
    return {name: parts["test"] for name, parts in report.models.items()}


def with_own_tau(dataset, split):
    sigma, typical_mid = dataset.sigma_future_bps[split.fit], float(np.median(dataset.mid[split.fit]))
    return replace(dataset, fixed_tau_bps=fixed_tau(sigma, dataset.tau, typical_mid, INCREMENT))


def failed(audit) -> set[str]:
    return {name for name, check in audit.checks.items() if not check.passed}


def test_invariant_09_an_honest_run_passes_the_audit(dataset, split, trained, scores) -> None:
    audit = audit_training(with_own_tau(dataset, split), split, trained.bundles, scores)
    assert failed(audit) == set()
    assert json.loads(json.dumps(audit.as_dict()))["passed"] is True


def test_invariant_09_the_audit_finds_each_leak(dataset, split, trained, scores) -> None:
    own = with_own_tau(dataset, split)

    def audit(rows=own, parts=split, test=scores):
        return failed(audit_training(rows, parts, trained.bundles, test))

    touching = Split(split.fit, np.append(split.fit[-1] + 60, split.tune), split.calibrate, split.test)
    assert "purge" in audit(parts=touching)
    shuffled = np.random.default_rng(0).permutation(split.fit)
    assert "order" in audit(parts=replace(split, fit=shuffled))
    assert "slices" in audit(parts=replace(split, fit=split.fit[:-1]))
    assert audit(rows=replace(own, target="next-row")) == {"target"}
    assert audit(rows=replace(own, fixed_tau_bps=own.fixed_tau_bps * 1.01)) == {"tau"}
    wonder = {"xgboost": replace(scores["xgboost"], pr_auc=0.99, base_rate=0.05, enough_data=True)}
    assert audit(test=wonder) == {"plausible"}
    # A market that repeats itself: what the simple rule has too is no wonder; a leak in the rule is.
    own_score = replace(scores["xgboost"], base_rate=0.05, enough_data=True)
    for pr_auc, reference, odd in (
        (0.502, 0.494, set()),
        (0.74, 0.70, set()),
        (0.62, 0.3, {"plausible"}),
        (0.99, 0.99, {"plausible"}),
    ):
        judged = {"logistic": replace(own_score, pr_auc=pr_auc, reference_pr_auc=reference)}
        assert audit(test=judged) == odd, pr_auc


def test_invariant_09_fitting_on_later_rows_is_found(dataset, split, settings, trained, scores) -> None:
    own = with_own_tau(dataset, split)

    def honest(rows):
        return train(rows, split, settings).bundles

    def fits_on_test(rows):
        wider = replace(split, fit=np.concatenate((split.fit, split.test)))
        return train(rows, wider, settings).bundles

    def fits_on_calibrate(rows):
        wider = replace(split, fit=np.concatenate((split.fit, split.calibrate)))
        return train(rows, wider, settings).bundles

    found = audit_training(own, split, honest(own), scores, honest)
    assert found.checks["refit"].passed
    found = audit_training(own, split, fits_on_test(own), scores, fits_on_test)
    assert "other rows in test" in found.checks["refit"].detail
    found = audit_training(own, split, fits_on_calibrate(own), scores, fits_on_calibrate)
    assert "other rows in calibrate" in found.checks["refit"].detail
