"""Whether a product's models are to be trained anew: by an alarm of what serves, or by the market's clock."""

from __future__ import annotations

from collections.abc import Sequence

from volspike.config import Settings
from volspike.models.bundle import load_bundle
from volspike.models.standing import Standing
from volspike.monitoring.journal import BY_ALARM, BY_SCHEDULE, DRIFT_ALARM, JournalEntry, newest, not_ahead
from volspike.pipeline.attempts import Attempts, attempts_of
from volspike.pipeline.home import Home
from volspike.pipeline.who_serves import served_manifest

HOUR_NS = 3_600_000_000_000


def due_by(
    home: Home,
    settings: Settings,
    standing: Standing,
    journal: Sequence[JournalEntry],
    graded_since_ns: int,
    now_ns: int,
    *,
    is_served: bool = True,
) -> str | None:
    """Return by what a retraining is due now, an alarm or the schedule; None where none is.

    Parameters
    ----------
    standing : Standing
        Of a product and feed: there is no retraining beside a trial, which takes a model that serves.
    journal : sequence of JournalEntry
        The entries of that product and feed, oldest first.
    graded_since_ns : int
        Since when its predictions are graded, or else it is recorded, market time.
    now_ns : int
        Market time.
    is_served : bool
        Whether a model serves it; else its first one is due.

    Raises
    ------
    ModelError
        When what serves can't be read.
    """
    every_ns = settings.retrain_every_hours * HOUR_NS
    # A first model serves at once: where promotions are somebody's to make, it is theirs to train.
    waits = standing.challenger is not None if is_served else settings.promote == "never"
    if not every_ns or waits:
        return None
    journal = not_ahead(journal, now_ns)
    attempts = attempts_of(journal)
    alarm_ns = _alarm_ns(home, settings, standing, journal)
    if now_ns < attempts.not_before_ns(every_ns, alarm_ns):
        return None
    if alarm_ns and (attempts.done is None or attempts.done.market_ns < alarm_ns):
        return BY_ALARM
    since_ns = _made_ns(home, standing, attempts)
    return BY_SCHEDULE if now_ns >= (graded_since_ns if since_ns is None else since_ns) + every_ns else None


def _alarm_ns(home: Home, settings: Settings, standing: Standing, journal: Sequence[JournalEntry]) -> int:
    """Return when the newest alarm of the model that serves now was raised; 0 without one."""
    if newest(journal, DRIFT_ALARM) is None:
        return 0
    served = served_manifest(home, settings, standing)
    version = None if served is None else served.version
    alarm = newest([each for each in journal if each.version == version], DRIFT_ALARM)
    return 0 if alarm is None else alarm.market_ns


def _made_ns(home: Home, standing: Standing, attempts: Attempts) -> int | None:
    """Return of until when the newest model is; None of one that comes with the package."""
    if attempts.done is not None:
        return attempts.done.market_ns
    if standing.champion is None:
        return None
    return load_bundle(standing.champion.path(home.models)).manifest.training.last_ns
