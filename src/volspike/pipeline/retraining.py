"""A retraining: on the recent rows, one at a time, into the shadow of the champion.

1. *lease*: the lock file names this process. A death here leaves a lease that is nobody's.
2. *started* goes into the journal. A death from here on is found by the next start, which says *abandoned*.
3. *train* in memory. A death leaves no trace.
4. *save* the bundles and tell MLflow. A bundle is there whole or not at all, and its version is a hash of
   what it is: made again of the same rows, it is the same bundle.
5. *place* it: one rename makes it the challenger, or the champion where there was none.
6. *told* in the journal. A death in front of it leaves a challenger that stands there without the line: the
   caretaker adds it (``journal_mending.mend_journal``) at the next graded half hour, and its trial goes on.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from volspike.clock import Clock
from volspike.config import Settings
from volspike.errors import ModelError, VolspikeError
from volspike.exchange.candles import FEED as CANDLES
from volspike.exchange.decimals import format_time_ns
from volspike.models.bundle import load_bundle
from volspike.models.manifest import Manifest
from volspike.models.standing import Entry, Standing, change_standing, place_challenger, standing_of
from volspike.monitoring.journal import (
    BY_ALARM,
    BY_SCHEDULE,
    CHALLENGER,
    DRIFT_ALARM,
    PROMOTED,
    RETIRED,
    RETRAIN_ABANDONED,
    RETRAIN_FAILED,
    RETRAIN_STARTED,
    JournalEntry,
    append_entry,
    newest,
    not_ahead,
    read_journal,
)
from volspike.monitoring.lease import lease
from volspike.pipeline.attempts import unended
from volspike.pipeline.home import Home
from volspike.pipeline.learnable import check_learnable
from volspike.pipeline.missing_rows import store_missing_rows
from volspike.pipeline.served_models import unfit
from volspike.pipeline.stored_data import tau_spec
from volspike.pipeline.training import train_models
from volspike.pipeline.who_serves import served_manifest

DAY_NS = 86_400_000_000_000
Step = Callable[[str], None]


@dataclass(frozen=True)
class Request:
    """What is to be retrained, why, and when it is by the clock of the market (ns)."""

    product: str
    feed: str
    by: str
    market_ns: int


@dataclass(frozen=True)
class Retrained:
    """What came of it: ``challenger``, or ``champion`` where there was none, and the model."""

    place: str
    model: str
    version: str
    report: dict[str, Any]


def retrain(
    home: Home,
    settings: Settings,
    request: Request,
    clock: Clock,
    say: Callable[[str], None],
    reached: Step = lambda _step: None,
    *,
    replay: bool = False,
) -> Retrained:
    """Train on the last ``retrain_days`` of stored rows and place the best model.

    Parameters
    ----------
    clock : Clock
        Of the wall: it times the lease.
    say : callable
        Told in words what is done next.
    reached : callable
        Called with the name of each step: where tests make a process die.
    replay : bool
        Whether rows that are archived only are stored first.

    Raises
    ------
    BusyError
        When another process is retraining in this data directory.
    VolspikeError
        When it fails; the journal says why, and the models stay what they were.
    """
    with lease(home.retrain_lock, "retraining", 2 * settings.retrain_limit_s, clock):
        reached("leased")
        note = _Notes(home.journal, request)
        note.abandoned("the process ended in the middle of it")
        note(RETRAIN_STARTED, reason=_why(home, settings, request))
        reached("started")
        try:
            if replay and request.feed != CANDLES:
                say("storing rows that are only archived")
                store_missing_rows(home, settings)
            return _train(home, settings, request, note, say, reached)
        except VolspikeError as error:
            note(RETRAIN_FAILED, reason=str(error))
            raise
        except Exception as error:  # libraries have errors of their own for what they are refused
            named = f"{type(error).__name__}: {error}".splitlines()[0]
            reason = "out of memory" if isinstance(error, MemoryError) else named
            note(RETRAIN_FAILED, reason=reason)
            remedy = "raise retrain_memory_mb, or lower retrain_days"
            raise ModelError("retraining", reason, remedy) from error


def _train(
    home: Home,
    settings: Settings,
    request: Request,
    note: _Notes,
    say: Callable[[str], None],
    reached: Step,
) -> Retrained:
    placing = _Placing(home, settings, request, note, reached)
    trained = train_models(
        home,
        settings,
        request.product,
        request.feed,
        say,
        request.market_ns - round(settings.retrain_days * DAY_NS),
        placing,
        fixed_tau_bps=_tau_to_keep(home, settings, request),
        check=check_learnable,
        serving_version=standing_of(home.models, request.product, request.feed).version,
    )
    if not placing.place:
        reason = "no model may be placed: its audit found a leak, or its target is for study"
        raise ModelError("retraining", reason, "see what training said")
    manifest = trained.result.bundles[trained.result.champion].manifest
    return Retrained(placing.place, manifest.name, manifest.version, trained.as_dict())


class _Placing:
    """Gives the best model its place: in the shadow of what serves, or on the throne where nothing does.

    ``place`` says which, and is empty until then.
    """

    def __init__(self, home: Home, settings: Settings, request: Request, note: _Notes, reached: Step) -> None:
        self._home = home
        self._settings = settings
        self._request = request
        self._note = note
        self._reached = reached
        self.place = ""

    def __call__(self, models: Path, name: str, version: str) -> Standing:
        self._reached("saved")
        entry = Entry(name, version)
        standing = standing_of(models, self._request.product, self._request.feed)
        served = served_manifest(self._home, self._settings, standing)
        if served is None:
            after = change_standing(
                models,
                standing.product,
                standing.feed,
                lambda now: _crowned_first(now, entry),
                lambda _before, _after: self._tell_first(entry),
            )
            self.place = "champion"
        else:
            _check_comparable(served, self._home, entry)
            after = place_challenger(models, name, version, lambda before, _after: self._tell(before, entry))
            self.place = "challenger"
        return after

    def _tell_first(self, entry: Entry) -> None:
        self._reached("placed")
        self._note(PROMOTED, entry, "the first champion")
        self._reached("told")

    def _tell(self, before: Standing, entry: Entry) -> None:
        self._reached("placed")
        if before.challenger not in (None, entry):
            self._note(RETIRED, before.challenger, f"replaced by {entry}")
        self._note(CHALLENGER, entry, _why(self._home, self._settings, self._request))
        self._reached("told")


def _crowned_first(now: Standing, entry: Entry) -> Standing:
    if now.champion is not None:
        reason = f"{now.champion} has become champion meanwhile"
        raise ModelError(
            f"model {entry}", reason, f"try it beside that: volspike retrain --product {now.product}"
        )
    return now.crowned(entry)


def _check_comparable(served: Manifest, home: Home, entry: Entry) -> None:
    """Refuse a model that can't stand in the shadow of what serves: its trial would grade nothing."""
    reason = unfit(served, load_bundle(entry.path(home.models)).manifest, keeps_regime=True)
    if reason:
        raise ModelError(
            f"model {entry}",
            f"it can't be tried beside {served.name} {served.version}: {reason}",
            f"have it serve with volspike promote {entry.name}/{entry.version} --force and restart the job, "
            "or set back the settings that were changed",
        )


def _why(home: Home, settings: Settings, request: Request) -> str:
    """Return why a model is trained anew, where nobody asked for it."""
    if request.by == BY_SCHEDULE:
        return f"schedule: every {settings.retrain_every_hours:g} h"
    if request.by != BY_ALARM:
        return ""
    champion = standing_of(home.models, request.product, request.feed).version
    journal = read_journal(home.journal, request.product, request.feed)
    before = [each for each in not_ahead(journal, request.market_ns) if champion in ("", each.version)]
    alarm = newest(before, DRIFT_ALARM)
    if alarm is None:
        return ""
    raised = format_time_ns(alarm.market_ns, 0)
    return f"drift alarm on {alarm.by} of {alarm.model} {alarm.version} at {raised}"


def _tau_to_keep(home: Home, settings: Settings, request: Request) -> float | None:
    """Return the fixed tau of the champion, so that the challenger's spikes are its spikes; else None."""
    champion = served_manifest(home, settings, standing_of(home.models, request.product, request.feed))
    if settings.tau_mode != "fixed" or champion is None or champion.tau.spec() != tau_spec(settings):
        return None
    return champion.tau.fixed_bps


class _Notes:
    """Writes the journal of one retraining."""

    def __init__(self, journal: Path, request: Request) -> None:
        self._journal = journal
        self._request = request

    def __call__(self, event: str, entry: Entry | None = None, reason: str = "") -> None:
        asked = self._request
        append_entry(
            self._journal,
            JournalEntry(
                market_ns=asked.market_ns,
                event=event,
                product=asked.product,
                feed=asked.feed,
                model="" if entry is None else entry.name,
                version="" if entry is None else entry.version,
                by=asked.by,
                reason=reason,
            ),
        )

    def begun(self) -> JournalEntry | None:
        """Return the line of the newest retraining, if it has none of its end."""
        return unended(read_journal(self._journal, self._request.product, self._request.feed))

    def abandoned(self, reason: str) -> None:
        """Say of a retraining before that it never ended."""
        if self.begun() is not None:
            self(RETRAIN_ABANDONED, reason=reason)


def note_end(home: Home, request: Request, code: int) -> None:
    """Tell the journal of a retraining whose process has ended with this exit code and told nothing."""
    note = _Notes(home.journal, request)
    begun = note.begun()
    if begun is not None and (begun.market_ns, begun.by) == (request.market_ns, request.by):
        note.abandoned(f"its process ended with code {code}: out of memory or time, or killed")
