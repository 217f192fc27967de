"""``volspike evaluate --walk-forward``: what training, day after day, would have predicted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec

from volspike.clock import Clock
from volspike.config import Settings
from volspike.errors import ConfigError, LeakError, NotEnoughDataError
from volspike.evaluation.audit import Audit, audit_folds
from volspike.evaluation.lives import score_lives
from volspike.evaluation.looks import append_look, check_appendable, look_at, looks_at, read_looks
from volspike.evaluation.page import About, check_page, render_page, write_page
from volspike.evaluation.report import Evaluation
from volspike.evaluation.walk_forward import folds, walk_forward
from volspike.evaluation.walk_report import compare_rules, describe_trainings, report_walk, score_alerts
from volspike.exchange.decimals import format_time_ns
from volspike.labels.dataset import Dataset
from volspike.labels.splits import Split
from volspike.models.learner import Learner
from volspike.models.online import OnlinePredictor
from volspike.models.settings import TrainSettings
from volspike.models.train import TrainResult, train
from volspike.models.tuning import tuned_settings
from volspike.pipeline.home import Home
from volspike.pipeline.stored_data import Stored, training_data

DAY_S = 86_400
NS = 1_000_000_000
FIRST_FIT_FRAC = 0.3
MOST_FOLDS = 1_000


@dataclass(frozen=True)
class WalkRequest:
    """What is to be walked through, and where the results go.

    Attributes
    ----------
    product, feed : str or None
        Which stored rows.
    from_ns, until_ns : int or None
        Span of the test rows, from and to before; None: from where three tenths of the rows lie behind, and
        to the end.
    every_days : float
        Time between two trainings.
    page, looks : Path or None
        The HTML file and the log of looks; None: those of the data directory.
    final : bool
        Whether this look is logged.
    """

    product: str | None = None
    feed: str | None = None
    from_ns: int | None = None
    until_ns: int | None = None
    every_days: float = 1.0
    page: Path | None = None
    looks: Path | None = None
    final: bool = False


def walk_models(
    home: Home, settings: Settings, request: WalkRequest, clock: Clock, say: Callable[[str], None]
) -> dict[str, Any]:
    """Train and predict through the stored rows; return the report under the names of the command line.

    Parameters
    ----------
    clock : Clock
        Dates a look.
    say : callable
        Told of each fold.

    Raises
    ------
    NotEnoughDataError
        When no row lies in the span, or a fold has nothing to train on.
    ConfigError
        If the folds are shorter than a row's step, or more than a thousand.
    LeakError
        If the audit of the rows finds a leak and the settings do not allow it; then nothing is trained.
    """
    log = request.looks or home.looks
    stored = training_data(home, settings, request.product, request.feed, say=say)
    dataset = stored.dataset
    page = request.page or home.reports / f"{_page_name(dataset, request)}.html"
    before = read_looks(log)
    check_page(page)
    if request.final:
        check_appendable(log)
    say(stored.words)
    how = TrainSettings(seed=settings.seed, class_weight=settings.class_weight)

    def fit(rows: Dataset, split: Split) -> TrainResult:
        tuned = tuned_settings(rows, split, how, settings.tune_trials, say) if settings.tune_trials else how
        return train(rows, split, tuned)

    from_ns, until_ns = _span(dataset, request)
    every_s = _step_s(dataset, request.every_days, until_ns - from_ns)
    audit = _audited(stored, (from_ns, until_ns, every_s), settings.allow_leaks, say)
    walk = walk_forward(
        dataset,
        from_ns,
        until_ns,
        every_s,
        fit,
        say,
        lambda rows, split: _started(rows, split, how, say),
    )
    evaluation, split = report_walk(walk)
    evaluation = _with_audit(evaluation, audit)
    versions = {name: f"{len(walk.chosen)} trainings" for name in evaluation.models}
    look = None
    if request.final:
        look = look_at(evaluation, dataset, walk.rows, versions, clock.market_ns())
        append_look(log, look)
    about = About(versions, False, looks_at(before, walk.rows))
    return {
        **evaluation.as_dict(),
        "rules": compare_rules(walk),
        "lives": score_lives(walk),
        "alerts": score_alerts(walk),
        **describe_trainings(walk),
        "rows": len(walk.rows),
        "split": split.counts(),
        "dataset_sha256": dataset.sha256,
        "same_rows_as_training": False,
        "page": str(write_page(page, render_page(evaluation, walk.rows, split, about))),
        "looks": about.looks,
        "looks_log": str(log),
        "look": None if look is None else msgspec.to_builtins(look),
    }


def _page_name(dataset: Dataset, request: WalkRequest) -> str:
    """Return a name of its own for each market, tau and span: no page takes the place of another."""
    span = (
        "" if ns is None else f"-{word}-{format_time_ns(ns, 0)[:16].replace(':', '')}"
        for word, ns in (("from", request.from_ns), ("until", request.until_ns))
    )
    every = "" if request.every_days == 1.0 else f"-every-{request.every_days:g}-days"
    return f"walk-forward-{dataset.product}-{dataset.feed}-{dataset.tau.mode}{''.join(span)}{every}"


def _started(rows: Dataset, split: Split, how: TrainSettings, say: Callable[[str], None]) -> Learner | None:
    """Return the online model of a fold, or None where its fit slice can't start one."""
    try:
        online = train(rows, split, replace(how, models=("online",))).bundles["online"].predictor
    except NotEnoughDataError as error:
        say(f"no online model: {error.reason}")
        return None
    assert isinstance(online, OnlinePredictor)
    return online


def _span(dataset: Dataset, request: WalkRequest) -> tuple[int, int]:
    """Return from when to before when the test rows lie, ns."""
    first_ns = int(dataset.event_ns[int(FIRST_FIT_FRAC * len(dataset))])
    return (
        first_ns if request.from_ns is None else request.from_ns,
        int(dataset.event_ns[-1]) + 1 if request.until_ns is None else request.until_ns,
    )


def _step_s(dataset: Dataset, every_days: float, span_ns: int) -> int:
    """Return the length of a fold in seconds: at least a row's step, and not so many of them."""
    every_s = round(every_days * DAY_S)
    least_s = max(dataset.step_s, -(-span_ns // (MOST_FOLDS * NS)))
    if every_s < least_s:
        raise ConfigError(
            "--every-days",
            f"{every_days:g} days are {every_s} s: rows are {dataset.step_s} s apart, to predict are "
            f"{span_ns / NS:,.0f} s",
            f"give {least_s / DAY_S:.3g} or more: a step of the rows, and {MOST_FOLDS:,} trainings at most",
        )
    return every_s


def _audited(
    stored: Stored, span: tuple[int, int, int], allow_leaks: bool, say: Callable[[str], None]
) -> Audit:
    """Look for leaks before anything is trained; tell them, and refuse them where they are not allowed."""
    splits = list(folds(stored.dataset.event_ns, *span))
    if not splits:
        raise NotEnoughDataError(
            stored.dataset.product, "no row in the span to test on", "choose another span"
        )
    say("looking for leaks in the rows")
    audit = audit_folds(stored.dataset, splits, stored.table)
    for name, words in audit.leaks.items():
        say(f"LEAK {name}: {words}")
    if audit.leaks and not allow_leaks:
        raise LeakError(
            "leak audit",
            f"it found {', '.join(audit.leaks)}; nothing was trained or scored",
            "mend what it says, or look all the same with --allow-leaks",
        )
    return audit


def _with_audit(evaluation: Evaluation, audit: Audit) -> Evaluation:
    """Return the evaluation with its audit, and each model marked where that found a leak."""
    if not audit.leaks:
        return replace(evaluation, audit=audit)
    note = f"leaks, scored for study: {', '.join(audit.leaks)}"
    notes = {name: (*evaluation.notes.get(name, ()), note) for name in evaluation.models}
    return replace(evaluation, audit=audit, notes=notes)
