"""How often are models of markets that never change told of drift, or replaced for nothing?

Unlike in ``drift_rates`` nothing is known of the models beforehand: they were trained, on two days and three,
and some are off. So whose claims hold is told by the chances that the market itself knows of the very rows,
and of alerts, whose cost no chance of a row tells, by what they cost at the same tau in fresh markets.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import lru_cache, partial
from multiprocessing import get_context

import numpy as np
import numpy.typing as npt

from benchmarks.burst_chances import BurstChances, expected_losses, hidden_states
from benchmarks.expected_costs import BlockCosts, ExpectedCosts, largest_run
from benchmarks.rate_cells import middle, share
from benchmarks.sheet import Sheet
from benchmarks.whole_lives import DAY_S, START_S, Days, Life, fresh_market, graded, live, wild_seconds
from volspike.config import Settings
from volspike.labels.dataset import Dataset
from volspike.monitoring.calibration_bets import LEAST_RATIO, MOST_RATIO, top_tenth
from volspike.monitoring.comparison import evidence_path
from volspike.monitoring.contender import Contender
from volspike.monitoring.gate import ALPHA
from volspike.monitoring.graded import BLOCK_S, GradedRows
from volspike.monitoring.outcome_watch import TESTS, OutcomeVerdict
from volspike.monitoring.paired_blocks import counted
from volspike.pipeline.trial import EVERY_S, tried_rows, try_challenger, watch_champion

I8 = npt.NDArray[np.int64]

TITLE = "Whole markets without a change: alarms and promotions"
RUNS, POWER_RUNS = 200, 50
QUICK_DAYS = Days(champion=0.5, challenger=0.75, end=1.5, fresh=0.5, known=1.0)
PROCESSES = 2
FRESH_MARKETS = 6
# The defaults, whatever the environment says.
SETTINGS = Settings.model_construct()
FALSE_ALARM_DAYS = SETTINGS.false_alarm_days
NEVER_S, ALWAYS_S = 10**9, 0
LAWS = {"bursts of seconds": NEVER_S, "bursts of minutes": ALWAYS_S}
# The claim of a test holds of a model whose figure lies beyond: above (1) or below (-1). The figure of
# alert_cost is the most that any run of half hours is expected to cost more; below an event that is nothing.
CLAIMED = {
    "log_loss": (1, 0.0),
    "too_many_spikes": (1, MOST_RATIO),
    "too_few_spikes": (-1, LEAST_RATIO),
    "top_too_many": (1, MOST_RATIO),
    "top_too_few": (-1, LEAST_RATIO),
    "alert_cost": (1, 1.0),
}


@dataclass(frozen=True)
class Judged:
    """What became of one market.

    Attributes
    ----------
    alarmed : frozenset of str
        The tests that alarmed up to the end.
    hold : frozenset of str
        Those whose claim holds.
    promoted_block : int or None
        Half hour at whose end the challenger was promoted.
    gain_nats : float
        By how much its mean log-loss on the rows of the trial is to be expected lower.
    """

    alarmed: frozenset[str]
    hold: frozenset[str]
    promoted_block: int | None
    gain_nats: float


def run(quick: bool) -> list[Sheet]:
    """Let all markets run; ``quick``: two that do not change and one that does, short."""
    days = QUICK_DAYS if quick else Days()
    per_law, power_runs = (1, 1) if quick else (RUNS // len(LAWS), POWER_RUNS)
    change_s = round((days.champion + days.challenger) / 2 * DAY_S)
    seeds = [(seed, law_s) for law_s in LAWS.values() for seed in range(per_law)]
    changed = [(seed, change_s) for seed in range(per_law, per_law + power_runs)]
    if quick:
        found = [judge(days, each) for each in seeds]
        late = [changed_alarm(days, each) for each in changed]
    else:
        with ProcessPoolExecutor(PROCESSES, get_context("spawn")) as pool:
            found = list(pool.map(partial(judge, days), seeds))
            late = list(pool.map(partial(changed_alarm, days), changed))
    by_law = {name: found[i * per_law : (i + 1) * per_law] for i, name in enumerate(LAWS)}
    return [alarm_sheet(by_law, days), promotion_sheet(found, days), power_sheet(late, change_s, days)]


def judge(days: Days, market: tuple[int, int]) -> Judged:
    """Let one market (seed, change_s) run that does not change, and judge its decisions by what it knows."""
    life = live(*market, days)
    states = hidden_states(wild_seconds(*market, days.end))
    chances = _chances(days.known, market[1])
    figures = expected_figures(life.rows.thinned(EVERY_S), states, chances)
    figures["alert_cost"] = largest_excess(life, _fresh(days.fresh, market[1]))
    return Judged(
        frozenset(test.name for test in _watched(life, life.rows).tests if test.alarm),
        frozenset(claims_that_hold(figures)),
        first_promotion(life),
        expected_gain(life, states, chances),
    )


def expected_figures(rows: GradedRows, states: I8, chances: BurstChances) -> dict[str, float]:
    """Return the figure of each test on labels that is to be expected of the rows (alerts have none).

    Parameters
    ----------
    rows : GradedRows
        As they are judged.
    states : int64[seconds]
        Hidden states since ``START_S``.
    chances : BurstChances
        Of the market's kind.
    """
    chance = chances.of(states[rows.second - START_S], rows.tau_bps)
    counts = counted(rows.second)
    top = counts & top_tenth(rows.second, rows.p)
    excess = expected_losses(chance, rows.p) - expected_losses(chance, rows.reference_p)
    whole, tenth = (float(np.sum(chance[those]) / np.sum(rows.p[those])) for those in (counts, top))
    return {
        "log_loss": float(np.mean(excess[counts])),
        "too_many_spikes": whole,
        "too_few_spikes": whole,
        "top_too_many": tenth,
        "top_too_few": tenth,
    }


def largest_excess(life: Life, fresh: Sequence[Dataset]) -> float:
    """Return the most events that any run of half hours is to be expected to cost more, given its tau."""
    champion = life.champion.manifest
    markets = [BlockCosts.of(graded(each, life.champion, None), champion) for each in fresh]
    return largest_run(ExpectedCosts.learned(markets).at(BlockCosts.of(life.rows, champion).tau_bps))


def expected_gain(life: Life, states: I8, chances: BurstChances) -> float:
    """Return by how much the challenger's mean log-loss is to be expected lower in its trial, in nats."""
    assert life.challenger is not None
    rows = tried_rows(life.rows, life.champion.manifest, life.challenger.manifest)
    chance = chances.of(states[rows.second - START_S], rows.tau_bps)
    return float(np.mean(expected_losses(chance, rows.p) - expected_losses(chance, rows.challenger_p)))


def changed_alarm(days: Days, market: tuple[int, int]) -> tuple[int | None, tuple[str, ...]]:
    """Let one market (seed, change_s) run that changes; return its alarm as ``first_alarm`` does."""
    return first_alarm(live(*market, days, has_trial=False))


@lru_cache(maxsize=len(LAWS))
def _fresh(days: float, change_s: int) -> list[Dataset]:
    return [fresh_market(number, days, change_s, EVERY_S) for number in range(FRESH_MARKETS)]


@lru_cache(maxsize=len(LAWS))
def _chances(days: float, change_s: int) -> BurstChances:
    return BurstChances.learned(days, change_s)


def claims_that_hold(figures: Mapping[str, float]) -> Iterator[str]:
    """Yield the tests whose figure lies beyond what they claim."""
    for name, figure in figures.items():
        sign, bound = CLAIMED[name]
        if sign * (figure - bound) > 0.0:
            yield name


def first_alarm(life: Life) -> tuple[int | None, tuple[str, ...]]:
    """Return the half hour at whose end a look first finds an alarm, and of which tests.

    A look at every half hour is what a caretaker does. An alarm that one look finds all later ones find too,
    so the first is found by halving.
    """
    blocks = np.unique(life.rows.second // BLOCK_S).tolist()
    at = bisect_left(blocks, True, key=lambda block: _watched(life, upto(life.rows, block)).alarm)
    if at == len(blocks):
        return None, ()
    verdict = _watched(life, upto(life.rows, blocks[at]))
    return blocks[at], tuple(test.name for test in verdict.tests if test.alarm)


def first_promotion(life: Life) -> int | None:
    """Return the half hour at whose end a look first promotes the challenger; None where none does.

    Evidence may be there at one look and gone at the next. It is known after each block, and the looks that
    have it are made one by one.
    """
    assert life.challenger is not None
    champion, challenger = life.champion.manifest, life.challenger.manifest
    tried = tried_rows(life.rows, champion, challenger)
    path = evidence_path(tried.graded, Contender(tried.p), Contender(tried.challenger_p))
    for block in path.block[path.value >= math.log(1.0 / ALPHA)].tolist():
        if try_challenger(upto(tried, block), champion, challenger, SETTINGS, intervals=False).promote:
            return int(block)
    return None


def upto(rows: GradedRows, block: int) -> GradedRows:
    """Return the rows that the ledger holds at the end of a half hour (second // 1800)."""
    return rows.where(rows.second < (block + 1) * BLOCK_S)


def _watched(life: Life, rows: GradedRows) -> OutcomeVerdict:
    return watch_champion(rows, life.champion.manifest, SETTINGS)


def alarm_sheet(by_law: dict[str, list[Judged]], days: Days) -> Sheet:
    """Count alarms of claims that are false, and of those that hold."""
    watched_days = days.end - days.champion
    most = watched_days / FALSE_ALARM_DAYS
    every = [each for found in by_law.values() for each in found]
    rows = [_any_row(name, found, most) for name, found in {**by_law, "both": every}.items()]
    rows += [_test_row(name, every, most / len(TESTS)) for name in TESTS]
    note = (
        f"{watched_days:g} days watched, at most one false alarm in {FALSE_ALARM_DAYS:g} days asked for. "
        "Whether a claim is true on the whole is told by the market's own chances of the same rows; that of "
        "alert_cost is false where no run of half hours is to be expected to cost one event more, by what "
        f"alerts cost at the same tau in {FRESH_MARKETS * days.fresh:g} fresh days."
    )
    columns = ("test", "claim false", "alarms", "promised", "claim true", "alarms")
    return Sheet("Whole markets without a change: alarms", columns, tuple(rows), note)


def _any_row(name: str, found: Sequence[Judged], most: float) -> tuple[str, ...]:
    """Count the models with an alarm of a claim that is false, and those with one of a claim that holds."""
    false = [bool(each.alarmed - each.hold) for each in found if len(each.hold) < len(TESTS)]
    true = [bool(each.alarmed & each.hold) for each in found if each.hold]
    return f"any, {name}", *_rate(false), f"<= {100 * most:.0f} %", *_rate(true)


def _test_row(name: str, found: Sequence[Judged], most: float) -> tuple[str, ...]:
    false, true = ([name in e.alarmed for e in found if (name in e.hold) is held] for held in (False, True))
    return name, *_rate(false), f"<= {100 * most:.1f} %", *_rate(true)


def _rate(hits: Sequence[bool]) -> tuple[str, str]:
    return str(len(hits)), share(sum(hits), len(hits)) if hits else "-"


def promotion_sheet(found: Sequence[Judged], days: Days) -> Sheet:
    """Count promotions of challengers that are no better, and of those that are."""
    rows = []
    for name, is_better, promised in (("no better", False, f"<= {100 * ALPHA:g} %"), ("better", True, "")):
        those = [each for each in found if (each.gain_nats > 0.0) is is_better]
        at = [_hours(each.promoted_block, days.challenger) / 24.0 for each in those if each.promoted_block]
        gains = [1e3 * each.gain_nats for each in those]
        gain = f"{np.median(gains):.1f}" if gains else "-"
        rows.append(
            (
                name,
                gain,
                *_rate([each.promoted_block is not None for each in those]),
                promised,
                middle(at, "d"),
            )
        )
    note = (
        f"Trained on {days.challenger:g} days beside a champion of {days.champion:g}, and looked at each "
        f"half hour of {days.end - days.challenger:g} days. Better: by the mean log-loss that the market's "
        "own chances of the same rows lead to."
    )
    columns = ("challenger", "gain, mnat", "markets", "promoted", "promised", "after (90 %)")
    return Sheet("Whole markets without a change: promotions", columns, tuple(rows), note)


def power_sheet(found: Sequence[tuple[int | None, tuple[str, ...]]], change_s: int, days: Days) -> Sheet:
    """Count alarms behind a change from bursts of seconds to bursts of minutes."""
    change_day = change_s / DAY_S
    hours = [(_hours(block, change_day), tests) for block, tests in found if block is not None]
    late = [(hour, tests) for hour, tests in hours if hour > 0.0]
    first = Counter(test for _, tests in late for test in tests)
    words = ", ".join(f"{name} {count}" for name, count in first.most_common()) or "-"
    row = (
        f"{days.end - change_day:g}",
        *_rate([block is not None and _hours(block, change_day) > 0.0 for block, _ in found]),
        str(len(hours) - len(late)),
        middle([hour for hour, _ in late], "h"),
        words,
    )
    columns = ("days behind", "markets", "alarms behind", "before", "delay, h (90 %)", "first by")
    return Sheet("Whole markets that change", columns, (row,))


def _hours(block: int, since_day: float) -> float:
    """Return how long after a day of the market a half hour ends, in hours."""
    return ((block + 1) * BLOCK_S - START_S) / 3_600.0 - 24.0 * since_day
