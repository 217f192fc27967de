"""Three lives of a model through the same rows: frozen, trained anew in each fold, or learning all the while.

    frozen       the models of the first fold, kept to the end
    retrained    the models of each fold, as a walk-forward has them
    online       started on the first fold, then learning from each label once it has matured

Frozen and retrained are told of the champion, and of log-HAR too: that is the form of the online model, so
there the three differ in nothing else. All are graded on the same rows, each with the tau its fold knew.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from volspike.evaluation.gains import GAINS, compare
from volspike.evaluation.progressive import progressive
from volspike.evaluation.scores import score
from volspike.evaluation.walk_forward import CHAMPION, RULE, WalkForward
from volspike.models.calibration import ScoredRows

FROZEN, RETRAINED, ONLINE = "frozen", "retrained", "online"
FORM = "log-har-logit"
FROZEN_FORM, RETRAINED_FORM = "frozen_log_har", "retrained_log_har"
PAIRS = (
    (RETRAINED, FROZEN),
    (ONLINE, FROZEN),
    (ONLINE, RETRAINED),
    (RETRAINED_FORM, FROZEN_FORM),
    (ONLINE, FROZEN_FORM),
    (ONLINE, RETRAINED_FORM),
)
SHOWN = (
    "log_loss",
    "qlike",
    "pr_auc",
    "onset_pr_auc",
    "base_rate",
    "rows",
    "clusters",
    "windows",
    "blocks",
    "enough_data",
)


def score_lives(walk: WalkForward) -> dict[str, Any]:
    """Return the scores of each life, and by how much one beats another.

    Parameters
    ----------
    walk : WalkForward
        Where its first fold started no online model, there is no such life.

    Returns
    -------
    dict
        ``scores``: of each life. ``gains``: ``A_over_B`` to each score's gain with its interval, above 0
        where A is better; None where the rows leave fewer than 10 blocks.
    """
    lives = _lives(walk)
    scored = {name: score(walk.rows, said.p_spike, said.sigma_bps).as_dict() for name, said in lives.items()}
    return {
        "scores": {name: {key: scores[key] for key in SHOWN} for name, scores in scored.items()},
        "gains": {
            f"{ours}_over_{theirs}": _gains(walk, lives[ours], lives[theirs])
            for ours, theirs in PAIRS
            if ours in lives and theirs in lives
        },
    }


def _lives(walk: WalkForward) -> dict[str, ScoredRows]:
    first, form = walk.first, RULE + FORM
    lives = {
        FROZEN: first.bundles[first.champion].predictor.predict_batch(walk.rows),
        RETRAINED: walk.models[CHAMPION],
    }
    if walk.online is not None:
        lives[ONLINE] = progressive(walk.online, walk.rows)
    if form in walk.models:
        lives[FROZEN_FORM] = first.references[FORM].predict_batch(walk.rows)
        lives[RETRAINED_FORM] = walk.models[form]
    return lives


def _gains(walk: WalkForward, ours: ScoredRows, theirs: ScoredRows) -> dict[str, dict[str, Any] | None]:
    gains = compare(walk.rows, ours, theirs)
    return {name: None if (gain := gains[name]) is None else asdict(gain) for name in GAINS}
