"""From stored feature rows to registered models, the same for ``train`` and ``demo``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec

from volspike.clock import Clock
from volspike.config import Settings
from volspike.errors import LeakError, ModelError, UnreadableError
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
from volspike.exchange.candles import FEED as CANDLES
from volspike.labels.dataset import Dataset
from volspike.labels.splits import Split, chronological_split
from volspike.labels.targets import LEAKING_TARGETS
from volspike.models.bundle import load_bundle
from volspike.models.card import model_card
from volspike.models.manifest import LIVE_TARGET, Manifest
from volspike.models.mlflow_client import Server
from volspike.models.mlflow_run import Registered
from volspike.models.registry import Crown, register
from volspike.models.settings import KINDS, ON_REQUEST, TrainSettings
from volspike.models.shelf import save_bundle
from volspike.models.standing import Standing, champions, crown_champion, standing_of
from volspike.models.train import TrainResult, train, with_note, with_scores
from volspike.models.tuning import tuned_settings
from volspike.pipeline.evidence_words import describe_parts
from volspike.pipeline.home import Home
from volspike.pipeline.stored_data import training_data

Check = Callable[[Dataset, Split], None]


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
        MLflow versions by model; none while MLflow is away.
    succession : str
        Who was champion before, and who is it now, in words.
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
    succession: str
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
            "succession": self.succession,
            "reference_reason": self.result.reference_reason,
            "bundles": {name: str(path) for name, path in self.saved.items()},
            "mlflow": {
                name: self.registered[name].uri if name in self.registered else None for name in self.saved
            },
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
    fixed_tau_bps: float | None = None,
    check: Check = lambda _dataset, _split: None,
    serving_version: str = "",
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
    fixed_tau_bps : float, optional
        The fixed tau of the model that this one is to be tried against; without it, it is fitted.
    check : callable
        Given the dataset and its split before anything is fitted; may raise.
    serving_version : str
        The version that this one is to be tried against: where that comes out again, there is nothing to try.

    Raises
    ------
    ModelError
        If the best model is the one that serves; then nothing is kept, and nothing was scored.
    LeakError
        If the audit finds a leak and the settings do not allow it; then nothing is kept.
    """
    if settings.target in LEAKING_TARGETS:
        say(f"WARNING: the target {settings.target} leaks: {LEAKING_TARGETS[settings.target]}")
    say("reading and labelling what is stored")
    stored = training_data(home, settings, product, feed, since_ns, say, fixed_tau_bps)
    dataset = stored.dataset
    split = chronological_split(dataset)
    for words in (stored.words, *describe_parts(dataset, split)):
        say(words)
    check(dataset, split)
    test = dataset.rows(split.test)
    looks_before = None
    if clock is not None:
        looks_before = looks_at(read_looks(home.looks), test)
        check_appendable(home.looks)
    say("fitting on the labelled rows of fit")
    kinds = KINDS if crown is crown_champion or settings.retrain_kind == "best" else ON_REQUEST
    how = _how(settings, kinds, dataset, split, say)
    result = train(dataset, split, how)
    _check_new(result, serving_version)
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
    saved = _save(home, result, evaluation, test, looks_before)
    say("registering in MLflow")
    registered, succession = _place(home, settings, result, evaluation, saved, crown, leaks, say)
    look = None if clock is None else _log_look(home, evaluation, result, dataset, test, clock)
    return Trained(dataset, split, result, evaluation, saved, registered, succession, looks_before, look)


def _how(
    settings: Settings, kinds: tuple[str, ...], dataset: Dataset, split: Split, say: Callable[[str], None]
) -> TrainSettings:
    """Return how models are fitted, searched for where that is asked for."""
    how = TrainSettings(seed=settings.seed, class_weight=settings.class_weight, models=kinds)
    if not settings.tune_trials:
        return how
    return tuned_settings(dataset, split, how, settings.tune_trials, say)


def _save(
    home: Home, result: TrainResult, evaluation: Evaluation, test: Dataset, looks: int | None
) -> dict[str, Path]:
    """Put every model on the shelf, with its scores and its card; return where, by model."""
    return {
        name: save_bundle(
            with_scores(bundle, evaluation.summary(name), test),
            home.models,
            model_card(bundle.manifest, evaluation, looks),
        )
        for name, bundle in result.bundles.items()
    }


def _place(
    home: Home,
    settings: Settings,
    result: TrainResult,
    evaluation: Evaluation,
    saved: Mapping[str, Path],
    crown: Crown,
    leaks: Mapping[str, str],
    say: Callable[[str], None],
) -> tuple[dict[str, Registered], str]:
    """Give the best model its place, if it may have one, and tell MLflow; return versions and succession."""
    champion = result.bundles[result.champion].manifest
    reason = f"its audit found {', '.join(leaks)}" if leaks else _only_for_study(champion)
    if crown is crown_champion and not reason:
        reason = _is_thinner(champion, home.models)
    before = standing_of(home.models, champion.product, champion.feed)
    server = Server.of(settings.mlflow_uri)
    registration = register(result, evaluation, saved, home.root, None if reason else crown, server)
    if registration.waiting.words:
        say(f"WARNING: {registration.waiting.words}")
    if reason:
        say(f"the champion stays what it was: {reason}")
    after = standing_of(home.models, champion.product, champion.feed)
    return registration.models, _succession(before, after, champion)


def _log_look(
    home: Home, evaluation: Evaluation, result: TrainResult, dataset: Dataset, test: Dataset, clock: Clock
) -> Look | None:
    """Log the look at the test part that scoring it was; None where it has no labelled row."""
    if not evaluation.reference_scores["test"].rows:
        return None
    versions = {name: bundle.manifest.version for name, bundle in result.bundles.items()}
    look = look_at(evaluation, dataset, test, versions, clock.market_ns(), by=TRAIN)
    append_look(home.looks, look)
    return look


def _check_new(result: TrainResult, serving_version: str) -> None:
    best = result.bundles[result.champion].manifest
    if best.version == serving_version:
        raise ModelError(
            f"{best.product} on {best.feed}",
            f"nothing new: the same rows make the same model, {best.name} {best.version}, which serves",
            "record more, or take other rows with --days",
        )


def _succession(before: Standing, after: Standing, candidate: Manifest) -> str:
    """Say who serves from now on, and whom that replaces."""
    was, now = (f"{each.name} {each.version}" if each.name else "" for each in (before, after))
    if (after.name, after.version) != (candidate.name, candidate.version):
        return f"{candidate.name} {candidate.version} does not serve: {now or 'no model'} is champion"
    if was == now:
        return f"{now} stays champion: the same model came out"
    if not was:
        return f"{now} is champion, the first of {candidate.product} on {candidate.feed}"
    return (
        f"{now} is champion and replaces {was}, unproven against it: a training by hand crowns the newest; "
        f"volspike rollback brings {was} back, volspike retrain would have put it on trial first"
    )


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


def _only_for_study(candidate: Manifest) -> str:
    """Return why a model has no place among those that serve; empty where it may have one."""
    if candidate.target != LIVE_TARGET and candidate.feed != CANDLES:
        return f"models of target {candidate.target} are for study"
    return ""


def _is_thinner(candidate: Manifest, models: Path) -> str:
    """Return why a model must not take its champion's place unproven; empty where it may."""
    rivals = champions(models, candidate.product, (candidate.feed,))
    if candidate.enough_data or not rivals:
        return ""
    try:
        if not load_bundle(rivals[0].path(models)).manifest.enough_data:
            return ""
    except UnreadableError as error:  # for the moment perhaps
        return f"it can't be told whether that was trained on enough data, the new models were not: {error}"
    except ModelError:  # one that can't be loaded any more is no rival
        return ""
    return f"{rivals[0].name} {rivals[0].version} was trained on enough data, the new models were not"
