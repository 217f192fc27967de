"""A retraining: on the recent rows, one at a time, into the shadow of the champion.

1. *lease*: the lock file names this process. A death here leaves a lease that is nobody's.
2. *started* goes into the journal. A death from here on is found by the next start, which says *abandoned*.
3. *train* in memory. A death leaves no trace.
4. *save* the bundles and tell MLflow. A bundle is there whole or not at all, and its version is a hash of
   what it is: made again of the same rows, it is the same bundle.
5. *place* it: one rename makes it the challenger, or the champion where there was none.
6. *told* in the journal. A death in front of it leaves a challenger that stands there without the line: the
   caretaker adds it (``promotion.mend_journal``), and its trial goes on.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from volspike.clock import Clock
from volspike.config import Settings
from volspike.errors import ModelError, VolspikeError
from volspike.models.standing import Standing, crown_champion, place_challenger, standing_of
from volspike.monitoring.journal import (
    CHALLENGER,
    PROMOTED,
    RETRAIN_ABANDONED,
    RETRAIN_FAILED,
    RETRAIN_STARTED,
    JournalEntry,
    append_entry,
    newest,
    read_journal,
)
from volspike.monitoring.lease import lease
from volspike.pipeline.home import Home
from volspike.pipeline.promotion import served_manifest
from volspike.pipeline.stored_data import tau_spec
from volspike.pipeline.training import train_models

BY_SCHEDULE = "schedule"
DAY_NS = 86_400_000_000_000
_ENDS = (RETRAIN_STARTED, RETRAIN_ABANDONED, RETRAIN_FAILED, CHALLENGER, PROMOTED)
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
        note(RETRAIN_STARTED, reason=_why(settings, request))
        reached("started")
        try:
            return _train(home, settings, request, note, say, reached)
        except MemoryError as error:
            note(RETRAIN_FAILED, reason="out of memory")
            remedy = "raise retrain_memory_mb, or lower retrain_days"
            raise ModelError("retraining", "out of memory", remedy) from error
        except VolspikeError as error:
            note(RETRAIN_FAILED, reason=str(error))
            raise
        except Exception as error:  # libraries have errors of their own for what they are refused
            reason = f"{type(error).__name__}: {error}".splitlines()[0]
            note(RETRAIN_FAILED, reason=reason)
            raise ModelError(
                "retraining", reason, "raise retrain_memory_mb, or lower retrain_days"
            ) from error


def _train(
    home: Home,
    settings: Settings,
    request: Request,
    note: _Notes,
    say: Callable[[str], None],
    reached: Step,
) -> Retrained:
    placed: list[Standing] = []

    def crown(models: Path, name: str, version: str) -> Standing:
        def tell(_after: Standing) -> None:
            reached("placed")
            if is_first:
                note(PROMOTED, name, version, "the first champion")
            else:
                note(CHALLENGER, name, version, _why(settings, request))
            reached("told")

        reached("saved")
        before = standing_of(models, request.product, request.feed)
        is_first = before.champion is None and served_manifest(home, settings, before) is None
        placed.append((crown_champion if is_first else place_challenger)(models, name, version, tell))
        return placed[-1]

    since_ns = request.market_ns - round(settings.retrain_days * DAY_NS)
    tau_bps = _tau_to_keep(home, settings, request)
    trained = train_models(
        home,
        settings,
        request.product,
        request.feed,
        say,
        since_ns,
        crown,
        fixed_tau_bps=tau_bps,
        serving_version=standing_of(home.models, request.product, request.feed).version,
    )
    if not placed:
        reason = "no model may be placed: its audit found a leak, or its target is for study"
        raise ModelError("retraining", reason, "see what training said")
    manifest = trained.result.bundles[trained.result.champion].manifest
    is_champion = placed[0].challenger is None
    return Retrained(
        "champion" if is_champion else "challenger", manifest.name, manifest.version, trained.as_dict()
    )


def _why(settings: Settings, request: Request) -> str:
    """Return why a model is trained anew, where nobody asked for it."""
    return f"schedule: every {settings.retrain_every_hours:g} h" if request.by == BY_SCHEDULE else ""


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

    def __call__(self, event: str, model: str = "", version: str = "", reason: str = "") -> None:
        asked = self._request
        append_entry(
            self._journal,
            JournalEntry(
                market_ns=asked.market_ns,
                event=event,
                product=asked.product,
                feed=asked.feed,
                model=model,
                version=version,
                by=asked.by,
                reason=reason,
            ),
        )

    def begun(self) -> JournalEntry | None:
        """Return the line of the newest retraining, if it has none of its end."""
        last = newest(read_journal(self._journal, self._request.product, self._request.feed), *_ENDS)
        return last if last is not None and last.event == RETRAIN_STARTED else None

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
