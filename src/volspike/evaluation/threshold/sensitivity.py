"""How scores depend on the threshold: rules fitted on fit, scored on tune and calibrate, never on test."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from volspike.evaluation.bootstrap import Gain, average_precision_gain, make_blocks
from volspike.evaluation.scores import average_precision
from volspike.evaluation.threshold.balance import Balance, part_balance
from volspike.labels.dataset import Dataset
from volspike.labels.splits import Split
from volspike.models.calibration import Calibration, SigmaBand
from volspike.models.fit_rules import FittedRule, fit_rules, fit_scale
from volspike.models.predictor import CalibratedPredictor
from volspike.models.rows import labelled
from volspike.models.state import StateHeads

PERSISTENCE = "persistence"
LOG_HAR = "log-har-ols"

F8 = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class RuleScore:
    """How well a rule ranks the rows.

    Attributes
    ----------
    pr_auc : float or None
        Average precision; None unless there are spikes and others.
    lift : float or None
        It over the base rate.
    """

    pr_auc: float | None
    lift: float | None


@dataclass(frozen=True, slots=True)
class Sensitivity:
    """Scores under one threshold, on tune and calibrate together.

    Attributes
    ----------
    name : str
        Of the candidate.
    balance : Balance
        Of the rows scored.
    persistence, log_har : RuleScore
        RV now over tau; predicted volatility over tau (Corsi's lags in logs, least squares on fit).
    over_guessing, over_persistence : Gain or None
        Average precision of persistence above that of a constant, and of log-HAR above that of persistence;
        None where there is no score, or too few blocks to draw from.
    """

    name: str
    balance: Balance
    persistence: RuleScore
    log_har: RuleScore
    over_guessing: Gain | None
    over_persistence: Gain | None


def score_candidate(name: str, dataset: Dataset, split: Split) -> Sensitivity:
    """Score both rules under one threshold.

    Parameters
    ----------
    name : str
        Of the candidate.
    dataset : Dataset
        The rows labelled by it.
    split : Split
        Of the rows. Nothing of ``test`` is read.

    Raises
    ------
    NotEnoughDataError
        If the fit slice has no labelled row.
    """
    fit = labelled(dataset, split.fit)
    judged = dataset.rows(np.concatenate((split.tune, split.calibrate)))
    rules = fit_rules(fit, fit_scale(fit), (PERSISTENCE, LOG_HAR))
    persistence, log_har = (_ranks(rules[rule], judged) for rule in (PERSISTENCE, LOG_HAR))
    known = judged.spike >= 0
    y, balance = judged.spike[known] == 1, part_balance(judged)
    over_guessing, over_persistence = _gains(judged.second[known], y, persistence[known], log_har[known])
    return Sensitivity(
        name=name,
        balance=balance,
        persistence=_score(y, persistence[known]),
        log_har=_score(y, log_har[known]),
        over_guessing=over_guessing,
        over_persistence=over_persistence,
    )


def _ranks(rule: FittedRule, rows: Dataset) -> F8:
    """Return the rule's probabilities, float64[n], uncalibrated: that changes no rank."""
    predictor = CalibratedPredictor(
        rule.weights.rule, "", "", "", StateHeads(rule.weights), Calibration(), SigmaBand()
    )
    return predictor.predict_batch(rows).p_spike


def _score(y: npt.NDArray[np.bool_], ranks: F8) -> RuleScore:
    pr_auc = average_precision(y, ranks)
    return RuleScore(pr_auc, None if pr_auc is None else pr_auc / float(np.mean(y)))


def _gains(
    second: npt.NDArray[np.int64], y: npt.NDArray[np.bool_], persistence: F8, log_har: F8
) -> tuple[Gain | None, Gain | None]:
    blocks = make_blocks(second)
    if blocks is None or not np.any(y) or np.all(y):
        return None, None
    over_guessing = average_precision_gain(y, persistence, np.zeros(len(y)), blocks)
    return over_guessing, average_precision_gain(y, log_har, persistence, blocks)
