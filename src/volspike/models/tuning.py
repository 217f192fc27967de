"""Settings of the models by a seeded search: each tried by walking forward inside fit and tune."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from volspike.errors import NotEnoughDataError
from volspike.evaluation.scores import log_losses
from volspike.evaluation.walk_forward import walk_forward
from volspike.labels.dataset import Dataset
from volspike.labels.splits import Split
from volspike.models.calibrate import one_class
from volspike.models.settings import TrainSettings
from volspike.models.train import train

if TYPE_CHECKING:
    from optuna import Trial

FOLDS = 3
FIRST_FIT_FRAC = 0.55
NS = 1_000_000_000
# The blend is made of all that is searched; without it, the best there is.
JUDGED = ("blend", "xgboost", "logistic")


def tune_settings(
    dataset: Dataset, split: Split, settings: TrainSettings, trials: int, say: Callable[[str], None]
) -> TrainSettings:
    """Search the penalty, the depth and the step of the models for the lowest log-loss.

    Parameters
    ----------
    dataset, split : Dataset, Split
        Nothing of calibrate and test is read.
    settings : TrainSettings
        Where the search begins, and its seed; tried first, so the result is never worse on these folds.
    trials : int
        How many settings are tried.
    say : callable
        Told of the best.

    Raises
    ------
    NotEnoughDataError
        If the folds are too thin to score.
    """
    import optuna

    # A trial on folds too thin is told by the error it raises, not by a traceback in a log.
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    rows = dataset.rows(np.concatenate((split.fit, split.tune)))

    def loss(trial: Trial) -> float:
        return _walked(rows, _suggested(trial, settings))

    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=settings.seed))
    study.enqueue_trial({"l2": settings.l2, "depth": settings.depth, "learning_rate": settings.learning_rate})
    study.optimize(loss, n_trials=trials)
    best = study.best_params
    first = study.trials[0].value
    say(f"settings tuned in {trials} trials: log-loss {first:.4f} -> {study.best_value:.4f} with {best}")
    return replace(settings, **best)


def tuned_settings(
    dataset: Dataset, split: Split, settings: TrainSettings, trials: int, say: Callable[[str], None]
) -> TrainSettings:
    """Return ``tune_settings``, or the settings as they were where there is too little to search by."""
    say(f"tuning: {trials} settings, each by walking forward inside fit and tune")
    try:
        return tune_settings(dataset, split, settings, trials, say)
    except NotEnoughDataError as error:
        say(f"not tuned: {error.reason}")
        return settings


def _suggested(trial: Trial, settings: TrainSettings) -> TrainSettings:
    return replace(
        settings,
        l2=trial.suggest_float("l2", 5.0, 500.0, log=True),
        depth=trial.suggest_int("depth", 2, 6),
        learning_rate=trial.suggest_float("learning_rate", 0.02, 0.1, log=True),
    )


def _walked(rows: Dataset, settings: TrainSettings) -> float:
    """Return the log-loss over the last 45 % of rows, in three folds."""
    from_ns, until_ns = int(rows.event_ns[int(FIRST_FIT_FRAC * len(rows))]), int(rows.event_ns[-1]) + 1
    every_s = -(-(until_ns - from_ns) // (FOLDS * NS))
    walk = walk_forward(
        rows,
        from_ns,
        until_ns,
        every_s,
        lambda known, part: train(known, part, settings),
        lambda _words: None,
    )
    labelled = walk.rows.rows(np.flatnonzero(walk.rows.spike >= 0))
    names = [name for name in JUDGED if name in walk.models]
    reason = one_class(labelled.spike)
    if reason or not names:
        remedy = "train without tuning, or record longer"
        raise NotEnoughDataError(
            rows.product, f"what fit and tune leave to score {reason or 'no model'}", remedy
        )
    p_spike = walk.models[names[0]].p_spike[walk.rows.spike >= 0]
    return float(np.mean(log_losses(labelled.spike == 1, p_spike)))
