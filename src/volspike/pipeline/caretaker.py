"""Looks after the models of a job: grades, watches for drift, has them retrained, promotes the better.

Each round, for each product:

1. what was predicted and how it turned out goes into the graded ledger, by finished half hours;
2. the champion's half hours are tested for drift; an alarm is told once, and asks for a retraining;
3. the challenger's are held against the champion's: it is promoted, goes on, or is retired;
4. a retraining that is due, by the clock of the market or by an alarm, is begun.

A verdict is a function of ledger, standing and journal, and each action is one rename with a line in the
journal behind it. So whoever dies in here is replaced by another who sees the same and goes on.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from volspike.config import Settings
from volspike.errors import ArchiveError, ModelError, UnreadableError, VolspikeError
from volspike.logs import get_logger
from volspike.models.bundle import load_bundle
from volspike.models.manifest import Manifest
from volspike.models.shelf import replace_file, writing
from volspike.models.standing import Entry, Standing, standing_of
from volspike.monitoring.comparison import Comparison
from volspike.monitoring.gate import ALPHA
from volspike.monitoring.graded import BLOCK_S, GradedRows
from volspike.monitoring.journal import (
    BY_FEATURES,
    BY_OUTCOMES,
    BY_TRIAL,
    CHALLENGER,
    DRIFT_ALARM,
    NOT_PROMOTED,
    JournalEntry,
    JournalReader,
    append_entry,
    newest,
    not_ahead,
)
from volspike.monitoring.ledger import Ledger
from volspike.pipeline.grading_topics import TopicGrader
from volspike.pipeline.heard_drift import heard_of
from volspike.pipeline.home import Home
from volspike.pipeline.journal_mending import mend_journal
from volspike.pipeline.promotion import (
    Figures,
    figures_of,
    promote,
    retire,
    step,
)
from volspike.pipeline.retraining import Request
from volspike.pipeline.retraining_due import HOUR_NS, due_by
from volspike.pipeline.served_models import unfit
from volspike.pipeline.trial import EVERY_S, try_challenger, watch_champion
from volspike.pipeline.who_serves import is_unserved, served_manifest
from volspike.recording.recent import RecentArchive, Recorded

NS = 1_000_000_000
# Half hours behind it are not tested any more: it bounds the work. What is bet on a half hour does not depend
# on where a watch begins, given the day before it, so it makes alarms rarer if anything.
WATCH_DAYS = 14
LEAD_IN_S = 86_400

log = get_logger()


@dataclass(frozen=True)
class _Trial:
    """A challenger beside its champion, and how they compare; ``first_ns``: its first row, 0 without one."""

    standing: Standing
    entry: Entry
    champion: Manifest
    comparison: Comparison
    first_ns: int


class Caretaker:
    """Looks after the models of one data directory.

    Parameters
    ----------
    home, settings : Home, Settings
        Of the job.
    feed : str
        The feed it is on.
    grader : TopicGrader
        Reads the job's topics.
    ledger : Ledger
        What the grader writes.
    retrain : callable
        Begins a retraining, and returns at once or when it is done; asked while one runs, it does nothing.
    report_drift : callable
        Begins a report of drift, as ``retrain`` does; ``heard_of_drift`` is told how it ended.
    """

    def __init__(
        self,
        home: Home,
        settings: Settings,
        feed: str,
        grader: TopicGrader,
        ledger: Ledger,
        retrain: Callable[[Request], None],
        report_drift: Callable[[Standing], None] = lambda _standing: None,
    ) -> None:
        self._home = home
        self._settings = settings
        self._feed = feed
        self._grader = grader
        self._ledger = ledger
        self._retrain = retrain
        self._report_drift = report_drift
        self._reader = JournalReader(home.journal)
        # Two intervals back at least, as what is recorded has gaps.
        recent_days = max(settings.retrain_days, 2.0 * settings.retrain_every_hours / 24.0)
        self._archive = RecentArchive(home.root, feed, recent_days)
        self._recorded: dict[str, Recorded] = {}
        self._judged: dict[str, tuple[int | None, Standing]] = {}
        self._mended: dict[str, Standing] = {}  # of which the journal tells all

    def step(self) -> None:
        """Do one round.

        Raises
        ------
        VolspikeError
            The topics or the disk can't be used; the next round tries again.
        """
        self._grader.step()
        troubles = self._look_at_unserved()
        for product in self._settings.products:
            troubles += self._care(product, self._now_ns(product))
        if self._grader.newest_ns:
            self._ledger.forget(self._grader.newest_ns // NS - round(self._keep_days() * 86_400))
        if troubles:
            raise troubles[0]

    def _keep_days(self) -> float:
        """Return how much of the ledger is kept: what is judged, and what the schedules count from."""
        settings = self._settings
        longest_hours = max(settings.retrain_every_hours, settings.drift_every_hours)
        return max(2.0 * max(settings.trial_days, WATCH_DAYS), longest_hours / 24.0 + 1.0)

    def heard_of_drift(self, standing: Standing, report: Mapping[str, Any] | None) -> None:
        """Note in the journal what a report of drift found; an alarm of it counts as those of outcomes do."""
        champion = served_manifest(self._home, self._settings, standing)
        event, words, detail = heard_of(report or {}, is_served=champion is not None)
        served = None if champion is None else Entry(champion.name, champion.version)
        now_ns = self._now_ns(standing.product)
        heard = step(standing, event, served, BY_FEATURES, words, now_ns, detail)
        append_entry(self._home.journal, heard)

    def _care(self, product: str, now_ns: int) -> list[VolspikeError]:
        """Look after a product; return what went wrong: others, and what comes next, have their turn."""
        troubles: list[VolspikeError] = []
        if not now_ns:
            return troubles
        for turn in (self._judge_new, self._schedule_report, self._schedule):
            try:
                turn(self._standing(product), now_ns)
            except VolspikeError as error:
                troubles.append(error)
        return troubles

    def _judge_new(self, standing: Standing, now_ns: int) -> None:
        """Judge the models where the ledger or their standing has changed since the last time."""
        product = standing.product
        newest_s = self._ledger.newest_s(product)
        if newest_s is not None and self._judged.get(product) != (newest_s, standing):
            self._judge(standing, now_ns)
            self._judged[product] = newest_s, self._standing(product)

    def _standing(self, product: str) -> Standing:
        return standing_of(self._home.models, product, self._feed)

    def _journal(self, standing: Standing) -> list[JournalEntry]:
        """Return the lines of a product, but those of a clock that was wrong: they would hold up the rest."""
        told = self._reader.of(standing.product, standing.feed)
        return not_ahead(told, self._now_ns(standing.product))

    def _judge(self, standing: Standing, now_ns: int) -> None:
        if self._mended.get(standing.product) != standing or not self._is_told(standing):
            mend_journal(self._home, standing, now_ns)
            self._mended[standing.product] = standing
        champion = served_manifest(self._home, self._settings, standing)
        if champion is None:
            return
        since_s = now_ns // NS - round(max(self._settings.trial_days, WATCH_DAYS) * 86_400)
        rows = self._ledger.rows(standing.product, since_s - LEAD_IN_S, EVERY_S, set_aside=True)
        self._watch(standing, champion, rows, since_s, now_ns)
        if standing.challenger is not None:
            self._try(standing, standing.challenger, champion, rows, now_ns)

    def _is_told(self, standing: Standing) -> bool:
        """Tell whether the journal has the beginning of a trial; somebody may have removed it meanwhile."""
        return (
            standing.challenger is None or _placed(self._journal(standing), standing.challenger) is not None
        )

    def _watch(
        self, standing: Standing, champion: Manifest, rows: GradedRows, since_s: int, now_ns: int
    ) -> None:
        if _alarm_of(self._journal(standing), champion) is not None:
            return
        verdict = watch_champion(rows, champion, self._settings, since_s)
        if verdict.alarm:
            detail: Figures = {test.name: test.figure for test in verdict.tests if test.alarm}
            served = Entry(champion.name, champion.version)
            alarm = step(standing, DRIFT_ALARM, served, BY_OUTCOMES, verdict.words, now_ns, detail)
            append_entry(self._home.journal, alarm)
            log.warning("drift", product=standing.product, model=str(served), reason=verdict.words)

    def _try(
        self, standing: Standing, entry: Entry, champion: Manifest, rows: GradedRows, now_ns: int
    ) -> None:
        try:
            challenger = load_bundle(entry.path(self._home.models)).manifest
        except UnreadableError as error:
            log.warning("the trial waits for the next half hour", product=standing.product, reason=str(error))
            return
        except ModelError as error:
            retire(self._home, standing, str(error), now_ns, {})
            return
        reason = unfit(champion, challenger, keeps_regime=True)
        if reason:
            retire(self._home, standing, f"no job can try it beside {champion.version}: {reason}", now_ns, {})
            return
        comparison = try_challenger(rows, champion, challenger, self._settings)
        tried_s = rows.second[rows.challenger_version == entry.version]
        first_ns = int(tried_s[0]) * NS if len(tried_s) else 0
        self._decide(_Trial(standing, entry, champion, comparison, first_ns), now_ns)
        try:  # behind the decision, which must not wait for a file that is for people to read
            self._report(standing, comparison)
        except ModelError as error:
            log.error("the comparison is not written", product=standing.product, reason=str(error))

    def _decide(self, trial: _Trial, now_ns: int) -> None:
        """Promote a challenger, retire it, or let its trial go on."""
        standing, entry, comparison = trial.standing, trial.entry, trial.comparison
        if comparison.promote and self._settings.promote == "auto":
            promote(self._home, standing, entry, BY_TRIAL, comparison.words, now_ns, figures_of(comparison))
            log.warning("promoted", product=standing.product, model=str(entry), reason=comparison.words)
        elif self._is_over(trial, now_ns):
            words = f"{comparison.words}; nobody promoted it" if comparison.promote else comparison.words
            retire(self._home, standing, words, now_ns, figures_of(comparison))
        elif comparison.promote:
            self._tell_once(standing, entry, now_ns, comparison)

    def _is_over(self, trial: _Trial, now_ns: int) -> bool:
        """Tell whether a trial is over: by its time, or, while an alarm stands, by what it has shown.

        Its time counts from its first row, if that comes later than its line: one that was trained by hand
        while no job ran is as old as the stored rows.
        """
        journal, comparison = self._journal(trial.standing), trial.comparison
        placed = _placed(journal, trial.entry)
        placed_ns = now_ns if placed is None else placed.market_ns
        age_ns = now_ns - max(placed_ns, trial.first_ns)
        every_ns = self._settings.retrain_every_hours * HOUR_NS
        if age_ns >= self._settings.trial_days * 24 * HOUR_NS:
            return True
        alarm = _alarm_of(journal, trial.champion)
        if comparison.promote or alarm is None or not every_ns or age_ns < every_ns:
            return False
        if placed_ns < alarm.market_ns:
            return True  # made before the alarm, so of what has changed since
        # Behind, or ahead for certain and unfit for another reason: a model of newer rows may do better.
        is_open = 0.0 < (comparison.log_e or 0.0) < math.log(1.0 / ALPHA)
        return comparison.evidence.enough_data and not is_open

    def _tell_once(self, standing: Standing, entry: Entry, now_ns: int, comparison: Comparison) -> None:
        """Say of a challenger that it has proven better, and that somebody has to promote it."""
        told = newest(self._journal(standing), NOT_PROMOTED)
        if told is None or told.version != entry.version:
            words = f"proven better, and the setting promote is never: volspike promote. {comparison.words}"
            figures = figures_of(comparison)
            waits = step(standing, NOT_PROMOTED, entry, BY_TRIAL, words, now_ns, figures)
            append_entry(self._home.journal, waits)

    def _report(self, standing: Standing, comparison: Comparison) -> None:
        """Leave the newest comparison for people and programs."""
        path = trial_report(self._home, standing)
        with writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            replace_file(path, msgspec.json.format(msgspec.json.encode(comparison.as_dict()), indent=2))

    def _schedule_report(self, standing: Standing, now_ns: int) -> None:
        """Have drift reported now and then, once there is something to compare."""
        every_ns = self._settings.drift_every_hours * HOUR_NS
        oldest_s = self._ledger.oldest_s(standing.product)
        if not every_ns or oldest_s is None:
            return
        reports = [each for each in self._journal(standing) if each.by == BY_FEATURES]
        last_ns = reports[-1].market_ns if reports else oldest_s * NS
        if now_ns >= last_ns + every_ns:
            self._report_drift(standing)

    def _schedule(self, standing: Standing, now_ns: int) -> None:
        """Have a retraining begun where one is due."""
        since_ns = self._since_ns(standing.product, now_ns)
        journal, is_served = self._journal(standing), standing.product not in self._recorded
        by = due_by(self._home, self._settings, standing, journal, since_ns, now_ns, is_served=is_served)
        if by is not None:
            self._retrain(Request(standing.product, standing.feed, by, now_ns))

    def _since_ns(self, product: str, now_ns: int) -> int:
        """Return since when a product is graded; of one that no model serves, for how long it is recorded."""
        if product in self._recorded:
            return now_ns - self._recorded[product].length_ns
        oldest_s = self._ledger.oldest_s(product)
        # The first half hour may have begun anywhere in it.
        return now_ns if oldest_s is None else (oldest_s + BLOCK_S) * NS

    def _now_ns(self, product: str) -> int:
        """Return what time it is in the market; for a product that no model serves, by its recording."""
        recorded = self._recorded.get(product)
        return self._grader.newest_ns if recorded is None else recorded.until_ns

    def _look_at_unserved(self) -> list[VolspikeError]:
        """Look how long the products are recorded that no model serves yet; return what went wrong."""
        troubles: list[VolspikeError] = []
        self._recorded = {}
        try:
            unserved = [each for each in self._settings.products if self._is_unserved(each, troubles)]
            recorded = self._archive.look() if unserved else {}
            self._recorded = {each: recorded[each] for each in unserved if each in recorded}
        except ArchiveError as error:
            troubles.append(error)
        return troubles

    def _is_unserved(self, product: str, troubles: list[VolspikeError]) -> bool:
        try:
            return is_unserved(self._home, self._settings, self._standing(product))
        except ModelError as error:
            troubles.append(error)
            return False


def trial_report(home: Home, standing: Standing) -> Path:
    """Return where the newest comparison of a product's challenger is kept."""
    return home.reports / f"trial-{standing.product}-{standing.feed}.json"


def _alarm_of(journal: Sequence[JournalEntry], champion: Manifest) -> JournalEntry | None:
    """Return the alarm on a champion's matured labels, if there was one."""
    of_it = [each for each in journal if each.version == champion.version and each.by == BY_OUTCOMES]
    return newest(of_it, DRIFT_ALARM)


def _placed(journal: Sequence[JournalEntry], entry: Entry) -> JournalEntry | None:
    """Return the line that told of the beginning of a trial."""
    return newest([each for each in journal if each.version == entry.version], CHALLENGER)
