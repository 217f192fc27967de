"""The report of a walk-forward: the scores of one split, of predictions that are all out of sample."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from volspike.evaluation.episodes import (
    CLOSE_FRAC,
    AlertSpan,
    GradedSeconds,
    open_alerts,
    score_episodes,
)
from volspike.evaluation.gains import compare
from volspike.evaluation.judgement import judge
from volspike.evaluation.missing_labels import unlabelled_by_sigma
from volspike.evaluation.report import Evaluation, score_parts, tau_of
from volspike.evaluation.scores import graded_seconds
from volspike.evaluation.walk_forward import CHAMPION, REFERENCE, RULE, WalkForward
from volspike.labels.splits import Split
from volspike.labels.targets import HORIZON_S

DEFAULT_OPEN = 0.5
FIGURES = re.compile(r"\d[\d.,]*")


def report_walk(walk: WalkForward) -> tuple[Evaluation, Split]:
    """Return the evaluation of a walk-forward, and the split of its rows: all are test.

    The reference is what each fold chose. Without calibrate rows there is no alert-budget curve.
    """
    none = np.empty(0, np.int64)
    split = Split(none, none, none, np.arange(len(walk.rows), dtype=np.int64))
    reference = walk.models[REFERENCE]
    names = [name for name in walk.models if name != REFERENCE and not name.startswith(RULE)]
    models = {
        name: score_parts(walk.rows, split, walk.models[name], _open_at(walk, name), reference)
        for name in names
    }
    evaluation = Evaluation(
        models=models,
        reference=f"chosen a fold ({', '.join(sorted({chosen[1] for chosen in walk.chosen}))})",
        reference_scores=score_parts(walk.rows, split, reference, DEFAULT_OPEN, reference),
        champion=CHAMPION,
        tau=_tau_of_folds(walk),
        gaps={},
        judged={name: judge(walk.rows, split, walk.models[name], reference) for name in names},
        reference_judged=judge(walk.rows, split, reference),
        unlabelled=unlabelled_by_sigma(walk.rows),
        notes=_notes(walk, names),
    )
    return evaluation, split


def describe_trainings(walk: WalkForward) -> dict[str, Any]:
    """Return what each fold's training said of itself, and in a sentence each what no report may hide.

    ``champion_reason`` counts how the champions were chosen, ``not_fitted`` says why a model is missing in
    some fold, and so has no scores.
    """
    trainings, total = walk.trainings, len(walk.trainings)
    missing: dict[str, list[str]] = {}
    for training in trainings:
        for name, reason in training.not_fitted.items():
            missing.setdefault(name, []).append(reason)
    return {
        "folds": [
            {**asdict(training), "rows": int(np.count_nonzero(walk.fold == fold))}
            for fold, training in enumerate(trainings)
        ],
        "champion_reason": "; ".join(_alike([each.champion_reason for each in trainings], total)),
        "reference_reason": "; ".join(_alike([each.reference_reason for each in trainings], total)),
        "not_fitted": {name: "; ".join(_alike(reasons, total)) for name, reasons in missing.items()},
    }


def _alike(texts: Sequence[str], folds: int) -> tuple[str, ...]:
    """Return texts that differ in figures only as one, the last of them, with how many there are."""
    last = {FIGURES.sub("#", text): text for text in texts}
    counts = Counter(FIGURES.sub("#", text) for text in texts)
    return tuple(
        f"{last[kind]} (one fold)" if folds == 1 else f"{last[kind]} (the like in {count} of {folds} folds)"
        for kind, count in counts.most_common()
    )


def _notes(walk: WalkForward, names: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Return what is to be known of each model, in how many folds it was said."""
    notes = [each.notes | {CHAMPION: each.notes[each.champion]} for each in walk.trainings]
    return {name: _alike([note for of in notes for note in of[name]], len(notes)) for name in names}


def _tau_of_folds(walk: WalkForward) -> dict[str, str | float | None]:
    """Return how tau was set: the fixed one of each fold is of its own fit slice."""
    fixed = [training.fixed_bps for training in walk.trainings]
    return {**tau_of(walk.rows), "fixed_low_bps": min(fixed), "fixed_high_bps": max(fixed)}


def compare_rules(walk: WalkForward) -> dict[str, dict[str, Any]]:
    """Return, for each simple rule, its scores, and by how much each model beats it."""
    none = np.empty(0, np.int64)
    split = Split(none, none, none, np.arange(len(walk.rows), dtype=np.int64))
    rules = [name for name in walk.models if name.startswith(RULE)]
    models = [name for name in walk.models if name != REFERENCE and name not in rules]
    return {
        rule.removeprefix(RULE): {
            "scores": score_parts(walk.rows, split, walk.models[rule], DEFAULT_OPEN, walk.models[rule])[
                "test"
            ].as_dict(),
            "gains": {
                name: {
                    score: None if gain is None else asdict(gain)
                    for score, gain in compare(walk.rows, walk.models[name], walk.models[rule]).items()
                }
                for name in models
            },
        }
        for rule in rules
    }


def score_alerts(walk: WalkForward) -> dict[str, dict[str, Any]]:
    """Return how the alerts of each model fared, opened and closed by the thresholds of each fold.

    Nothing for candles: an alert that opens once a minute is none.
    """
    rows = graded_seconds(walk.rows)
    if rows.step_s >= HORIZON_S:
        return {}
    return {name: _alert_scores(walk, rows, name) for name in walk.open_at}


def _alert_scores(walk: WalkForward, rows: GradedSeconds, name: str) -> dict[str, Any]:
    spans: list[AlertSpan] = []
    for fold in range(len(walk.chosen)):
        here = walk.fold == fold
        open_at = float(walk.open_at[name][here][0])
        p_spike = walk.models[name].p_spike[here]
        spans += open_alerts(rows.second[here], rows.run[here], p_spike, open_at, CLOSE_FRAC * open_at)
    scores = asdict(score_episodes(rows, spans))
    return {key: value for key, value in scores.items() if key != "leads_s"}


def _open_at(walk: WalkForward, name: str) -> float:
    """Return the threshold that most folds are near to."""
    return float(np.median(walk.open_at[name]))
