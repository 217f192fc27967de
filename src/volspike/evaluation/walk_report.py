"""The report of a walk-forward: the scores of one split, of predictions that are all out of sample."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from volspike.evaluation.episodes import (
    DEFAULT_OPEN,
    AlertSpan,
    open_alerts,
    score_episodes,
)
from volspike.evaluation.gains import compare
from volspike.evaluation.judgement import judge
from volspike.evaluation.missing_labels import unlabelled_by_sigma
from volspike.evaluation.report import Evaluation, score_parts, tau_of
from volspike.evaluation.scores import graded_seconds
from volspike.evaluation.walk_forward import CHAMPION, REFERENCE, RULE, WalkForward
from volspike.labels.dataset import Dataset
from volspike.labels.splits import Split

FIGURES = re.compile(r"\d[\d.,]*")


def report_walk(walk: WalkForward) -> tuple[Evaluation, Split]:
    """Return the evaluation of a walk-forward, and the split of its rows: all are test.

    The reference is what each fold chose. Each training chose its own alert thresholds, so there is no
    calibrate part to draw an alert-budget curve from: the alerts themselves are there.
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
        reference=_reference(walk),
        reference_scores=score_parts(walk.rows, split, reference, DEFAULT_OPEN, reference),
        champion=CHAMPION,
        tau=_tau_of_folds(walk),
        gaps={},
        judged={
            name: replace(judge(walk.rows, split, walk.models[name], reference), budgets=()) for name in names
        },
        reference_judged=replace(judge(walk.rows, split, reference), budgets=()),
        unlabelled=unlabelled_by_sigma(walk.rows),
        alerts={name: tuple(_alerts(walk, name)) for name in walk.open_at},
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
    """Return how the alerts of each model fared, opened and closed by the thresholds of each fold."""
    rows = graded_seconds(walk.rows)
    scores = {name: asdict(score_episodes(rows, _alerts(walk, name))) for name in walk.open_at}
    return {name: {key: of[key] for key in of if key != "leads_s"} for name, of in scores.items()}


def _alerts(walk: WalkForward, name: str) -> list[AlertSpan]:
    spans: list[AlertSpan] = []
    for fold in range(len(walk.chosen)):
        here = walk.fold == fold
        rows, p_spike = walk.rows, walk.models[name].p_spike[here]
        open_at, close_at = (float(of[name][here][0]) for of in (walk.open_at, walk.close_at))
        spans += _ended(
            open_alerts(rows.second[here], rows.run[here], p_spike, open_at, close_at), rows, here
        )
    return spans


def _ended(spans: list[AlertSpan], rows: Dataset, here: npt.NDArray[np.bool_]) -> Iterator[AlertSpan]:
    """Yield the alerts of a fold; one still open at its end is over there, the next fold judges anew."""
    for span in spans:
        yield (
            span
            if span.close_second is not None
            else AlertSpan(span.open_second, float(rows.second[here][-1]))
        )


def _reference(walk: WalkForward) -> str:
    """Return which rules the folds chose, the most frequent first."""
    return " / ".join(name for name, _ in Counter(chosen[1] for chosen in walk.chosen).most_common())


def _open_at(walk: WalkForward, name: str) -> float:
    """Return the threshold that most folds are near to."""
    return float(np.median(walk.open_at[name]))
