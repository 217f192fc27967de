"""The gate of promotions: how often a challenger that is no better gets in, and one that is better."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import numpy.typing as npt

from benchmarks.drift_markets import Resting, blurred, rested, too_calm
from benchmarks.rate_cells import middle, share
from benchmarks.sheet import Sheet
from volspike.evaluation.episodes import GradedSeconds
from volspike.monitoring.comparison import Comparison, compare_contenders
from volspike.monitoring.contender import Contender
from volspike.monitoring.gate import ALPHA

F8 = npt.NDArray[np.float64]

DAYS = 20
REST_DAYS = 2
FLOOR_BPS = 0.01
# Noise of the champion and of the challenger, whether the challenger is no better, days of rest at first.
CHALLENGERS = {
    "equal: 0.5, champion 0.5": (0.5, 0.5, True, 0),
    "worse: 1, champion 0.5": (0.5, 1.0, True, 0),
    "equal, a quiet weekend first": (0.5, 0.5, True, REST_DAYS),
    "worse: 0.6, a quiet weekend first": (0.5, 0.6, True, REST_DAYS),
    "better: 0.25, champion 1": (1.0, 0.25, False, 0),
    "a little better: 0, champion 0.5": (0.5, 0.0, False, 0),
}


def promotion_sheet(runs: int, power_runs: int) -> Sheet:
    """Let challengers of known quality run in the shadow for twenty days, looked at every day."""
    rows = tuple(
        _row(name, champion, challenger, rest_days, runs if null else power_runs)
        for name, (champion, challenger, null, rest_days) in CHALLENGERS.items()
    )
    columns = (
        "challenger",
        "pairs",
        "promoted",
        "after (90 %)",
        "e ever >= 20",
        "against the others",
    )
    note = (
        "Log-odds off by noise of that standard deviation; in a quiet weekend (a spike in 5,000 "
        "minutes) the champion is right and the challenger tells 0.3 of it. Looked at each of "
        f"{DAYS} days: at most {100 * ALPHA:g} % of those that are no better may ever be promoted."
    )
    return Sheet("Promotions", columns, rows, note)


def _row(name: str, champion: float, challenger: float, rest_days: int, pairs: int) -> tuple[str, ...]:
    promoted, certain = [], 0
    against: Counter[str] = Counter()
    for seed in range(pairs):
        rng = np.random.default_rng([11, seed])
        rows, p, resting = rested(0, rest_days, DAYS - rest_days, 20_000 + seed)
        sides = _told(p, champion, resting, rng), too_calm(_told(p, challenger, resting, rng), resting)
        whole = _compared(rows, sides, DAYS)
        certain += whole.log_e_most is not None and whole.log_e_most >= math.log(1.0 / ALPHA)
        day = _first_day(rows, sides, whole)
        if day is None:
            against.update(condition.name for condition in whole.conditions if not condition.met)
        else:
            promoted.append(float(day))
    reasons = ", ".join(f"{reason} {count}" for reason, count in against.most_common()) or "-"
    return (
        name,
        str(pairs),
        share(len(promoted), pairs),
        middle(promoted, "d"),
        share(certain, pairs),
        reasons,
    )


def _told(p: F8, noise: float, resting: Resting, rng: np.random.Generator) -> F8:
    return np.where(resting, p, blurred(p, noise, rng))


def _first_day(rows: GradedSeconds, sides: tuple[F8, F8], whole: Comparison) -> int | None:
    """Return the first day after which the challenger is promoted; None where it never is."""
    if whole.log_e_most is None or whole.log_e_most < math.log(1.0 / ALPHA):
        return None  # on no day has there been enough evidence
    return next((day for day in range(1, DAYS + 1) if _compared(rows, sides, day).promote), None)


def _compared(rows: GradedSeconds, sides: tuple[F8, F8], days: int) -> Comparison:
    n = days * 1_440
    seen = GradedSeconds(rows.second[:n], rows.run[:n], rows.spike[:n], rows.step_s)
    champion, challenger = (Contender(side[:n]) for side in sides)
    realised = np.where(seen.spike == 1, 8.0, 2.0)
    return compare_contenders(seen, realised, champion, challenger, FLOOR_BPS, intervals=False)
