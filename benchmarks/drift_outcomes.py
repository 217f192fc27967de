"""The tests on matured labels: false alarms of sound models, and how fast a change is found."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable

import numpy as np
import numpy.typing as npt

from benchmarks.drift_markets import blurred, joined, minutes, rested, seconds, too_calm
from benchmarks.rate_cells import middle, share
from benchmarks.sheet import Sheet
from volspike.evaluation.enough import BLOCK_S
from volspike.evaluation.episodes import GradedSeconds, open_alerts
from volspike.labels.dataset import Dataset
from volspike.monitoring.contender import Contender
from volspike.monitoring.outcome_watch import FALSE_ALARM_DAYS, OutcomeVerdict, watch_outcomes

F8 = npt.NDArray[np.float64]
Market = tuple[GradedSeconds, F8]

NULL_DAYS, BEFORE_DAYS, AFTER_DAYS = 15, 5, 10
REST_DAYS = 2
SECONDS_DAYS = 2
OPEN_AT, CLOSE_AT = 0.3, 0.2
FIT_FRAC = 0.35


def outcome_sheet(runs: int, power_runs: int) -> Sheet:
    """Watch models of known truth: without a change, and with one after five days."""
    rows = [
        _null("true chances, rows a minute", (minutes(NULL_DAYS, seed) for seed in range(runs)), NULL_DAYS),
        _null(
            "at the bound, rows a minute",
            (minutes(NULL_DAYS, seed, 1.25) for seed in range(runs)),
            NULL_DAYS,
        ),
        _null(
            "true chances, rows a second",
            (seconds(24 * SECONDS_DAYS, seed) for seed in range(runs)),
            SECONDS_DAYS,
        ),
        _rests("true chances, a quiet weekend first", runs, 0),
        _rests("true chances, a quiet weekend on day 3", runs, 2),
    ]
    for ratio in (1.5, 2.0, 3.0, 0.5, 0.25):
        rows.append(_changed(f"spikes {ratio:g} times as frequent", power_runs, ratio, lambda p, _: p))
    for noise in (1.0, 2.0):
        rows.append(_changed(f"log-odds off by {noise:g}", power_runs, 1.0, _blur(noise)))
    columns = ("watched", "days", "alarms", "promised", "delay, h (90 %)", "first by")
    note = (
        f"At most one false alarm in {FALSE_ALARM_DAYS:g} days is asked for; at the bound spikes are 1.25 "
        "times as frequent as told. The reference's log-odds are off by 0.5; in a quiet weekend (a spike in "
        "5,000 minutes) it tells 0.3 of the chance. After "
        f"{BEFORE_DAYS} days of true chances comes the change, and {AFTER_DAYS} days of it."
    )
    return Sheet("Drift on matured labels", columns, tuple(rows), note)


def _blur(noise: float) -> Callable[[F8, np.random.Generator], F8]:
    return lambda p, rng: blurred(p, noise, rng)


def _null(name: str, markets: Iterable[Market], days: float) -> tuple[str, ...]:
    found = [_watched(rows, p, np.random.default_rng(i)) for i, (rows, p) in enumerate(markets)]
    return _unchanged(name, found, days)


def _rests(name: str, runs: int, before_days: int) -> tuple[str, ...]:
    """Watch true chances in a market that rests, beside a reference that tells too little as it does."""
    found = []
    for seed in range(runs):
        rng = np.random.default_rng([6, seed])
        rows, p, resting = rested(before_days, REST_DAYS, NULL_DAYS - REST_DAYS - before_days, seed)
        reference = too_calm(np.where(resting, p, blurred(p, 0.5, rng)), resting)
        found.append(watch_outcomes(rows, _contender(rows, p), _contender(rows, reference)))
    return _unchanged(name, found, NULL_DAYS)


def _unchanged(name: str, found: list[OutcomeVerdict], days: float) -> tuple[str, ...]:
    promised = f"<= {100 * days / FALSE_ALARM_DAYS:.0f} %"
    alarms = sum(verdict.alarm for verdict in found)
    return name, f"{days:g}", share(alarms, len(found)), promised, "-", _first_tests(found)


def _changed(
    name: str, runs: int, ratio: float, change: Callable[[F8, np.random.Generator], F8]
) -> tuple[str, ...]:
    found = []
    for seed in range(runs):
        rng = np.random.default_rng([7, seed])
        before, (after, p) = minutes(BEFORE_DAYS, seed), minutes(AFTER_DAYS, 10_000 + seed, ratio)
        truth = np.concatenate((before[1], p))
        rows, told = joined(before, (after, change(p, rng)))
        found.append(_watched(rows, told, rng, truth))
    since = int(rows.second[0]) // BLOCK_S + BEFORE_DAYS * 48
    late = [v.alarm_block - since for v in found if v.alarm_block is not None and v.alarm_block >= since]
    delay = middle([(blocks + 1) / 2 for blocks in late], "h")
    return name, str(AFTER_DAYS), share(len(late), runs), "", delay, _first_tests(found)


def _watched(rows: GradedSeconds, p: F8, rng: np.random.Generator, truth: F8 | None = None) -> OutcomeVerdict:
    """Watch a model beside a reference that is somewhat worse than the truth."""
    return watch_outcomes(
        rows, _contender(rows, p), _contender(rows, blurred(p if truth is None else truth, 0.5, rng))
    )


def _contender(rows: GradedSeconds, p: F8) -> Contender:
    return Contender(p, None, open_alerts(rows.second, rows.run, p, OPEN_AT, CLOSE_AT))


def _first_tests(found: list[OutcomeVerdict]) -> str:
    """Return how often each test was the first to alarm."""
    first = Counter(
        min((test.alarm_block, test.name) for test in verdict.tests if test.alarm_block is not None)[1]
        for verdict in found
        if verdict.alarm
    )
    return ", ".join(f"{name} {count}" for name, count in first.most_common()) or "-"


def recorded_outcome_sheet(dataset: Dataset) -> Sheet:
    """Watch two logistic models on the recorded minutes, fitted on the first third of them."""
    inputs = np.column_stack((np.log(dataset.har_bps), np.log(dataset.tau_bps)))
    known = np.all(np.isfinite(inputs), axis=1) & (dataset.spike >= 0)
    fit = known & (np.arange(len(known)) < FIT_FRAC * len(known))
    late = known & ~(np.arange(len(known)) < FIT_FRAC * len(known))
    rows = GradedSeconds(dataset.second[late], dataset.run[late], dataset.spike[late], dataset.step_s)
    four, one = (
        _contender(rows, _fitted(inputs[:, lags], dataset.spike, fit, late))
        for lags in ([0, 1, 2, 3, 4], [0, 4])
    )
    found = {
        "log-HAR of four lags, against one lag": watch_outcomes(rows, four, one),
        "one lag, against log-HAR": watch_outcomes(rows, one, four),
    }
    table = [
        (
            name,
            test.name,
            f"{test.figure:.3g}",
            f"e^{test.log_e_most:.1f}",
            f"e^{test.log_threshold:.1f}",
            str(test.alarm),
        )
        for name, verdict in found.items()
        for test in verdict.tests
    ]
    columns = ("model", "test", "figure", "most evidence", "asked for", "alarm")
    evidence = found["one lag, against log-HAR"].evidence
    return Sheet("Drift on matured labels, minutes of July 2026", columns, tuple(table), f"{evidence}.")


def _fitted(
    inputs: F8, spike: npt.NDArray[np.int8], fit: npt.NDArray[np.bool_], late: npt.NDArray[np.bool_]
) -> F8:
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(C=100.0).fit(inputs[fit], spike[fit])
    p: F8 = model.predict_proba(inputs[late])[:, 1]
    return p
