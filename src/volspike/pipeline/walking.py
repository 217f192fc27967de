"""``volspike evaluate --walk-forward``: what training, day after day, would have predicted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from volspike.clock import Clock
from volspike.config import Settings
from volspike.evaluation.looks import append_look, check_appendable, look_at, looks_at, read_looks
from volspike.evaluation.page import About, check_page, render_page, write_page
from volspike.evaluation.walk_forward import walk_forward
from volspike.evaluation.walk_report import compare_rules, describe_trainings, report_walk, score_alerts
from volspike.labels.dataset import Dataset
from volspike.labels.splits import Split
from volspike.models.settings import TrainSettings
from volspike.models.train import TrainResult, train
from volspike.models.tuning import tuned_settings
from volspike.pipeline.home import Home
from volspike.pipeline.stored_data import training_data

DAY_S = 86_400
FIRST_FIT_FRAC = 0.3


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
    """
    log = request.looks or home.looks
    stored = training_data(home, settings, request.product, request.feed)
    dataset = stored.dataset
    page = request.page or home.reports / f"walk-forward-{dataset.product}-{dataset.feed}.html"
    before = read_looks(log)
    check_page(page)
    if request.final:
        check_appendable(log)
    say(stored.words)
    how = TrainSettings(seed=settings.seed, class_weight=settings.class_weight)

    def fit(rows: Dataset, split: Split) -> TrainResult:
        tuned = tuned_settings(rows, split, how, settings.tune_trials, say) if settings.tune_trials else how
        return train(rows, split, tuned)

    first_ns = int(dataset.event_ns[int(FIRST_FIT_FRAC * len(dataset))])
    walk = walk_forward(
        dataset,
        first_ns if request.from_ns is None else request.from_ns,
        int(dataset.event_ns[-1]) + 1 if request.until_ns is None else request.until_ns,
        round(request.every_days * DAY_S),
        fit,
        say,
    )
    evaluation, split = report_walk(walk)
    versions = {name: f"{len(walk.chosen)} trainings" for name in evaluation.models}
    look = None
    if request.final:
        look = look_at(evaluation, dataset, walk.rows, versions, clock.market_ns())
        append_look(log, look)
    about = About(versions, False, looks_at(before, walk.rows))
    return {
        **evaluation.as_dict(),
        "rules": compare_rules(walk),
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
