"""The evaluation as one HTML file: it asks the network for nothing, so it can be kept and read anywhere."""

from __future__ import annotations

import errno
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from volspike.errors import ConfigError
from volspike.evaluation.bootstrap import Gain
from volspike.evaluation.days import worst_day
from volspike.evaluation.enough import MIN_BLOCKS, MIN_CLUSTERS, MIN_WINDOWS
from volspike.evaluation.episodes import EpisodeScores, score_episodes
from volspike.evaluation.judgement import Judgement
from volspike.evaluation.page_charts import (
    budget_chart,
    precision_recall_chart,
    reliability_chart,
    sigma_chart,
    style_of,
)
from volspike.evaluation.report import Evaluation, notes_by_models
from volspike.evaluation.score_words import GAIN_NAMES, SCORE_WORDS, TERMS, ScoreWords
from volspike.evaluation.scores import Scores, graded_seconds
from volspike.evaluation.timeline import Timeline, alerts_for, make_timeline
from volspike.exchange.decimals import format_time_ns
from volspike.labels.dataset import Dataset
from volspike.labels.splits import Split

TEMPLATE = "page.html.j2"
NONE = "–"
BAR = 60.0  # half the width of a drawn interval
MOST_DIGITS = 6


@dataclass(frozen=True)
class About:
    """What the page says of the run besides the scores.

    Attributes
    ----------
    versions : dict of str to str
        Versions of the models.
    same_rows : bool
        Whether these are the rows the models were trained on.
    looks : int
        How often the test part was looked at before.
    """

    versions: dict[str, str]
    same_rows: bool
    looks: int


class GainCell(NamedTuple):
    """A gain as text, what it shows (better, worse, open), and its interval from -BAR to BAR."""

    value: str
    interval: str
    tone: str
    low: float
    at: float
    high: float


def render_page(evaluation: Evaluation, dataset: Dataset, split: Split, about: About) -> str:
    """Return the page.

    Parameters
    ----------
    evaluation : Evaluation
        Of the rows of ``dataset`` in the parts of ``split``.
    dataset, split : Dataset, Split
        What was evaluated.
    about : About
        What else is known of the run.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("volspike", "evaluation"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(TEMPLATE).render(_context(evaluation, dataset, split, about))


def check_page(path: Path) -> None:
    """Make sure that a page can be written, before anything is looked at.

    Raises
    ------
    ConfigError
        If it can't.
    """
    with _writing(path) as temporary:
        temporary.touch()
        temporary.unlink()
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))


def write_page(path: Path, text: str) -> Path:
    """Write a page, whole or not at all; return its path.

    Raises
    ------
    ConfigError
        If it can't be written.
    """
    with _writing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(path)
    return path


@contextmanager
def _writing(path: Path) -> Iterator[Path]:
    """Give a name beside ``path`` to write to; tell what goes wrong in one line, and leave nothing there."""
    temporary = path.with_name(path.name + ".tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
    except OSError as error:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        reason = f"can't be written ({error.strerror})"
        raise ConfigError(str(path), reason, "name another with --html") from None


def _context(evaluation: Evaluation, dataset: Dataset, split: Split, about: About) -> dict[str, Any]:
    test, chosen = dataset.rows(split.test), evaluation.champion
    names = (chosen, *(name for name in evaluation.judged if name != chosen))
    reference = f"{evaluation.reference} (reference)"
    sides: dict[str, tuple[str, Judgement]] = {reference: ("ref", evaluation.reference_judged)}
    sides |= {name: (style_of(n), evaluation.judged[name]) for n, name in enumerate(names)}
    scores = {name: evaluation.models[name]["test"] for name in names}
    scores[reference] = evaluation.reference_scores["test"]
    days = evaluation.judged[chosen].days
    return {
        "chosen": chosen,
        "product": dataset.product,
        "facts": tuple(_facts(evaluation, dataset, test, split, about)),
        "counts": tuple(_counts(scores[reference])),
        "enough_data": scores[reference].enough_data,
        "labelled": scores[reference].rows > 0,
        "names": (*names, reference),
        "models": names,
        "score_rows": [(words, [_score(scores[name], words) for name in scores]) for words in SCORE_WORDS],
        "gain_rows": _gain_rows([evaluation.judged[name] for name in names], scores[reference].enough_data),
        "charts": (
            precision_recall_chart(test, split.test, sides),
            reliability_chart(sides),
            *(() if evaluation.alerts else (budget_chart(sides),)),
            sigma_chart(test, split.test, chosen, evaluation.judged[chosen]),
        ),
        "alert_rows": _alert_rows(evaluation, test),
        "sides": sides,
        "budget_rows": [
            points
            for points in zip(
                evaluation.judged[chosen].budgets, evaluation.reference_judged.budgets, strict=True
            )
            if any(point.open_at is not None for point in points)
        ],
        "no_thresholds": tuple(_no_thresholds({name: sides[name][1] for name in (chosen, reference)})),
        "reference": reference,
        "days": days,
        "worst": worst_day(days),
        "day_scale": max((abs(day.log_loss_gain) for day in days), default=0.0) or 1.0,
        "unlabelled": evaluation.unlabelled,
        "unlabelled_scale": max((group.unlabelled_frac for group in evaluation.unlabelled), default=0.0)
        or 1.0,
        "timeline": _timeline(evaluation, test, split) if len(test) else None,
        "notes": notes_by_models(evaluation.notes),
        "audit": evaluation.audit,
        "terms": TERMS,
        "form": _form,
        "percent": _percent,
    }


def _facts(
    evaluation: Evaluation, dataset: Dataset, test: Dataset, split: Split, about: About
) -> Iterator[tuple[str, str]]:
    every = "second" if dataset.step_s == 1 else f"{dataset.step_s} s"
    yield "market", f"{dataset.product}, {dataset.feed} feed, one row a {every}"
    yield (
        "test part",
        f"{_minute(test, 0)} to {_minute(test, -1)} UTC, {len(test):,} rows" if len(test) else "no row",
    )
    yield (
        "rows",
        "those of training" if about.same_rows else "others than those of training: test is what came after",
    )
    parts = ", ".join(f"{name} {count:,}" for name, count in split.counts().items())
    yield "parts", f"{parts} of {len(dataset):,}"
    median = evaluation.tau["median_bps"]
    told = _form(median, 2) if isinstance(median, float) else NONE
    yield "tau", f"{evaluation.tau['mode']}, median {told} bps"
    yield "features", f"{dataset.feature_set}, target {dataset.target}"
    yield "models", ", ".join(f"{name} {about.versions[name]}" for name in evaluation.models)
    yield "reference", evaluation.reference
    looks = "not before" if not about.looks else f"{about.looks} times before"
    yield "looked at", f"this test part: {looks.replace('1 times', 'once')}, by the log of looks"
    yield "dataset", dataset.sha256[:16]


def _minute(part: Dataset, row: int) -> str:
    return format_time_ns(int(part.event_ns[row]), 0)[:16].replace("T", " ")


def _counts(scores: Scores) -> Iterator[tuple[str, int, int]]:
    """Yield what there is of each kind of evidence, and what a claim needs."""
    yield "clusters of spikes", scores.clusters, MIN_CLUSTERS
    yield "separate minutes", scores.windows, MIN_WINDOWS
    yield "half hours", scores.blocks, MIN_BLOCKS


def _score(scores: Scores, words: ScoreWords) -> str:
    return _form(getattr(scores, words.field), words.digits)


def _gain_rows(judged: Sequence[Judgement], enough: bool) -> list[tuple[str, list[GainCell | None]]]:
    rows = []
    for field, (name, digits) in GAIN_NAMES.items():
        gains = [judgement.gains[field] for judgement in judged]
        reach = max((max(abs(g.low), abs(g.high), abs(g.value)) for g in gains if g), default=0.0) or 1.0
        shown = min(MOST_DIGITS, max(digits, 1 - math.floor(math.log10(reach))))
        rows.append((name, [None if gain is None else _gain(gain, shown, reach, enough) for gain in gains]))
    return rows


def _gain(gain: Gain, digits: int, reach: float, enough: bool) -> GainCell:
    """Return a cell; without enough data nothing is better or worse, whatever the interval says."""
    tone = "better" if enough and gain.low > 0.0 else "worse" if enough and gain.high < 0.0 else "open"
    low, at, high = (round(BAR * value / reach, 1) for value in (gain.low, gain.value, gain.high))
    interval = f"{_form(gain.low, digits, '+')} to {_form(gain.high, digits, '+')}"
    return GainCell(_form(gain.value, digits, "+"), interval, tone, low, at, high)


def _no_thresholds(sides: Mapping[str, Judgement]) -> Iterator[tuple[str, str, str]]:
    """Yield a side, the budgets for which calibrate did not choose its thresholds by onsets, and why not."""
    for name, side in sides.items():
        for reason in sorted({point.reason for point in side.budgets if point.reason}):
            budgets = [point.budget_per_hour for point in side.budgets if point.reason == reason]
            yield name, ", ".join(f"{budget:g}" for budget in budgets), reason


def _timeline(evaluation: Evaluation, test: Dataset, split: Split) -> Timeline:
    name = evaluation.champion
    if evaluation.alerts:
        return make_timeline(test, [(name, evaluation.alerts[name], "")])
    ours, theirs = evaluation.judged[name], evaluation.reference_judged
    return make_timeline(
        test,
        [
            (who, *alerts_for(test, side.scored.p_spike[split.test], side.budgets))
            for who, side in ((name, ours), (evaluation.reference, theirs))
        ],
    )


def _alert_rows(evaluation: Evaluation, test: Dataset) -> list[tuple[str, EpisodeScores]]:
    """Return how the alerts of a walk-forward fared; none elsewhere."""
    rows = graded_seconds(test)
    return [(name, score_episodes(rows, alerts)) for name, alerts in evaluation.alerts.items()]


def _form(value: float | None, digits: int = 3, sign: str = "", unit: str = "") -> str:
    """Return a figure with so many decimals and a true minus, or a dash where there is none."""
    return NONE if value is None else f"{value:{sign},.{digits}f}{unit}".replace("-", "−")


def _percent(value: float | None, digits: int = 0) -> str:
    return NONE if value is None else f"{100.0 * value:.{digits}f} %"
