"""From stored feature rows to registered models, the same for ``train`` and ``demo``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec

from volspike.clock import Clock
from volspike.config import Settings
from volspike.errors import LeakError, ModelError
from volspike.evaluation.looks import (
    TRAIN,
    Look,
    append_look,
    check_appendable,
    look_at,
    looks_at,
    read_looks,
)
from volspike.evaluation.report import Evaluation, evaluate
from volspike.labels.candles import FEED as CANDLES
from volspike.labels.dataset import Dataset
from volspike.labels.splits import Split, chronological_split
from volspike.labels.targets import LEAKING_TARGETS
from volspike.models.bundle import load_bundle
from volspike.models.card import model_card
from volspike.models.manifest import Manifest
from volspike.models.registry import Registered, register
from volspike.models.settings import TrainSettings
from volspike.models.shelf import save_bundle
from volspike.models.standing import Standing, champions, crown_champion
from volspike.models.train import TrainResult, train, with_note, with_scores
from volspike.models.tuning import tuned_settings
from volspike.pipeline.evidence_words import describe_parts
from volspike.pipeline.home import Home
from volspike.pipeline.stored_data import training_data

LIVE_TARGET = "rv"
Crown = Callable[[Path, str, str], Standing]


@dataclass(frozen=True)
class Trained:
    """Everything a training run made.

    Attributes
    ----------
    dataset, split : Dataset, Split
        What it was made from.
    result : TrainResult
        The models.
    evaluation : Evaluation
        Their scores.
    saved : dict of str to Path
        Bundle directories by model.
    registered : dict of str to Registered
        MLflow versions by model.
    looks : int or None
        How often the test part had been looked at before; None where nobody counts.
    look : Look or None
        This look at it, as logged; None where it has no labelled row, or nothing dates it.
    """

    dataset: Dataset
    split: Split
    result: TrainResult
    evaluation: Evaluation
    saved: dict[str, Path]
    registered: dict[str, Registered]
    looks: int | None
    look: Look | None

    def as_dict(self) -> dict[str, Any]:
        """Return the report under the names of the command line."""
        return {
            **self.evaluation.as_dict(),
            "split": self.split.counts(),
            "rows": len(self.dataset),
            "dataset_sha256": self.dataset.sha256,
            "not_fitted": self.result.not_fitted,
            "champion_reason": self.result.champion_reason,
            "reference_reason": self.result.reference_reason,
            "bundles": {name: str(path) for name, path in self.saved.items()},
            "mlflow": {name: entry.uri for name, entry in self.registered.items()},
            "looks": self.looks,
            "look": None if self.look is None else msgspec.to_builtins(self.look),
        }


def train_models(
    home: Home,
    settings: Settings,
    product: str | None,
    feed: str | None,
    say: Callable[[str], None],
    since_ns: int = 0,
    crown: Crown = crown_champion,
    clock: Clock | None = None,
) -> Trained:
    """Train on the stored rows of one product and feed; save, register and give the best its place.

    Parameters
    ----------
    say : callable
        Told in words what is done next.
    since_ns : int
        Older rows (event time, ns) are left out.
    crown : callable
        Gives a model that may have it its place: on the throne, or in the shadow of who sits there.
    clock : Clock, optional
        Dates the look that scoring the test part is, in the log of the data directory; without it none is
        counted or logged: for scores that nobody reads.

    Raises
    ------
    LeakError
        If the audit finds a leak and the settings do not allow it; then nothing is kept.
    """
    if settings.target in LEAKING_TARGETS:
        say(f"WARNING: the target {settings.target} leaks: {LEAKING_TARGETS[settings.target]}")
    say("reading and labelling what is stored")
    stored = training_data(home, settings, product, feed, since_ns)
    dataset = stored.dataset
    split = chronological_split(dataset)
    say(stored.words)
    for words in describe_parts(dataset, split):
        say(words)
    before = None
    if clock is not None:
        before = looks_at(read_looks(home.looks), dataset.rows(split.test))
        check_appendable(home.looks)
    say("fitting on the labelled rows of fit")
    how = TrainSettings(seed=settings.seed, class_weight=settings.class_weight)
    if settings.tune_trials:
        how = tuned_settings(dataset, split, how, settings.tune_trials, say)
    result = train(dataset, split, how)
    say("scoring every part, and training again on spoiled rows for the leak audit")
    evaluation = evaluate(
        result.bundles,
        dataset,
        split,
        result.champion,
        home.reports,
        lambda other: train(other, split, how).bundles,
        stored.table,
    )
    leaks = {} if evaluation.audit is None else evaluation.audit.leaks
    if leaks:
        result, evaluation = _with_leaks(result, evaluation, leaks, settings, say)
    saved = {
        name: save_bundle(
            with_scores(bundle, evaluation.summary(name)),
            home.models,
            model_card(bundle.manifest, evaluation, before),
        )
        for name, bundle in result.bundles.items()
    }
    champion = result.bundles[result.champion].manifest
    say("registering in MLflow")
    reason = f"its audit found {', '.join(leaks)}" if leaks else _not_promoted(champion, home.models)
    is_first = crown is crown_champion
    registered = register(result, evaluation, saved, home.root, promote=is_first and not reason)
    if reason:
        say(f"the champion stays what it was: {reason}")
    else:
        crown(home.models, champion.name, champion.version)
    look = None
    if clock is not None and evaluation.reference_scores["test"].rows:
        versions = {name: bundle.manifest.version for name, bundle in result.bundles.items()}
        test = dataset.rows(split.test)
        look = look_at(evaluation, dataset, test, versions, clock.market_ns(), by=TRAIN)
        append_look(home.looks, look)
    return Trained(dataset, split, result, evaluation, saved, registered, before, look)


def _with_leaks(
    result: TrainResult,
    evaluation: Evaluation,
    leaks: Mapping[str, str],
    settings: Settings,
    say: Callable[[str], None],
) -> tuple[TrainResult, Evaluation]:
    """Tell the leaks and refuse them, or, where they are allowed, note them in every model and the report."""
    for name, words in leaks.items():
        say(f"LEAK {name}: {words}")
    if not settings.allow_leaks:
        raise LeakError(
            "leak audit",
            f"it found {', '.join(leaks)}; no model was kept",
            "mend what it says, or keep the models for study with --allow-leaks",
        )
    note = f"leaks, kept for study: {', '.join(leaks)}"
    bundles = {name: with_note(bundle, note) for name, bundle in result.bundles.items()}
    notes = {name: (*words, note) for name, words in evaluation.notes.items()}
    return replace(result, bundles=bundles, notes=(*result.notes, note)), replace(evaluation, notes=notes)


def _not_promoted(candidate: Manifest, models: Path) -> str:
    """Return why a model must not become champion of its product and feed; empty where it may."""
    if candidate.target != LIVE_TARGET and candidate.feed != CANDLES:
        return f"models of target {candidate.target} are for study"
    rivals = [rival for rival in champions(models, candidate.product) if rival.feed == candidate.feed]
    if candidate.enough_data or not rivals or not _has_enough(rivals[0].path(models)):
        return ""
    return f"{rivals[0].name} {rivals[0].version} was trained on enough data, the new models were not"


def _has_enough(path: Path) -> bool:
    """Tell whether a champion was trained on enough data; one that can't be loaded any more is no rival."""
    try:
        return load_bundle(path).manifest.enough_data
    except ModelError:
        return False
