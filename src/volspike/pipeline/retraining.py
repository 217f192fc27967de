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

import numpy as np

from volspike.clock import Clock
from volspike.config import Settings
from volspike.errors import ModelError, NotEnoughDataError, VolspikeError
from volspike.evaluation.enough import count_evidence
from volspike.exchange.candles import FEED as CANDLES
from volspike.labels.dataset import Dataset
from volspike.labels.splits import Split
from volspike.models.bundle import load_bundle
from volspike.models.manifest import Manifest
from volspike.models.standing import Entry, Standing, crown_champion, place_challenger, standing_of
from volspike.monitoring.journal import (
    CHALLENGER,
    PROMOTED,
    RETIRED,
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
from volspike.pipeline.missing_rows import store_missing_rows
from volspike.pipeline.promotion import served_manifest
from volspike.pipeline.served_models import unfit
from volspike.pipeline.stored_data import tau_spec
from volspike.pipeline.training import train_models

BY_SCHEDULE = "schedule"
DAY_NS = 86_400_000_000_000
# With fewer separate minutes to fit on, what is learned is chance.
MIN_FIT_WINDOWS = 30
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
        note(RETRAIN_STARTED, reason=_why(settings, request))
        reached("started")
        try:
            if replay and request.feed != CANDLES:
                say("storing rows that are only archived")
                store_missing_rows(home, settings)
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
            gone = before.challenger
            if not is_first and gone not in (None, Entry(name, version)):
                assert gone is not None
                note(RETIRED, gone.name, gone.version, f"replaced by {name} {version}")
            if is_first:
                note(PROMOTED, name, version, "the first champion")
            else:
                note(CHALLENGER, name, version, _why(settings, request))
            reached("told")

        reached("saved")
        before = standing_of(models, request.product, request.feed)
        served = served_manifest(home, settings, before)
        is_first = served is None
        if served is not None:
            _check_comparable(served, home, Entry(name, version))
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
        check=check_learnable,
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


def check_learnable(dataset: Dataset, split: Split) -> None:
    """Refuse rows of which a model would learn nothing: it must not take the place of one on trial.

    Raises
    ------
    NotEnoughDataError
        If fit has no spike or hardly a labelled minute, or tune and calibrate have no labelled row at all.
    """
    fit, rest = dataset.rows(split.fit), dataset.rows(np.concatenate((split.tune, split.calibrate)))
    windows = count_evidence(fit.second, fit.run, fit.spike).windows
    spikes, labelled = (int(np.count_nonzero(found)) for found in (fit.spike == 1, rest.spike >= 0))
    if windows < MIN_FIT_WINDOWS or not spikes or not labelled:
        found = (
            f"fit has {windows} separate labelled minutes and {spikes:,} rows of spikes, "
            f"tune and calibrate {labelled:,} labelled rows"
        )
        raise NotEnoughDataError(
            f"{dataset.product} on {dataset.feed}",
            f"too little to learn from: {found}; {MIN_FIT_WINDOWS} minutes, a spike and a row are needed",
            "record longer, or raise --days or retrain_days",
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
