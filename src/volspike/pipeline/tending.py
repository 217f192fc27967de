"""The caretaker as a process: opened from settings, and going round until it is told to stop."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack

from volspike.bus.opening import open_log
from volspike.clock import Clock
from volspike.config import Settings
from volspike.errors import BusyError, VolspikeError
from volspike.logs import get_logger
from volspike.models.mlflow_client import Server
from volspike.models.mlflow_sync import sync
from volspike.monitoring.journal import JournalEntry, JournalReader
from volspike.monitoring.ledger import Ledger
from volspike.pipeline.alarm_file import AlarmFile, alarms_of, perhaps_undelivered
from volspike.pipeline.beside import Beside
from volspike.pipeline.caretaker import Caretaker
from volspike.pipeline.grading_topics import TopicGrader
from volspike.pipeline.home import Home
from volspike.pipeline.log_owner import owner_of
from volspike.pipeline.served_models import choose_models
from volspike.recording.lock import held

log = get_logger()


class Tending:
    """A caretaker with what it needs; as a context manager it ends the retraining that it began.

    Parameters
    ----------
    settings : Settings
        Of the job whose models it looks after.
    clock : Clock
        Of the wall.
    alarms : bool
        Whether it delivers drift alarms to the file of the alerts; else that is the job's.

    Attributes
    ----------
    feed : str
        Of the models it looks after.
    rounds : int
        How many there were.
    trouble : VolspikeError or OSError or None
        What went wrong in the newest round.

    Raises
    ------
    BusyError
        Another process looks after the models of the data directory.
    VolspikeError
        The models can't be chosen, or the bus can't be opened.
    """

    def __init__(self, settings: Settings, clock: Clock, *, alarms: bool = True) -> None:
        self._home = Home(settings.data_dir)
        self._home.require()
        self._server = Server.of(settings.mlflow_uri)
        self._journal = JournalReader(self._home.journal)
        self._alarms = AlarmFile(self._home.alerts) if alarms else None
        self.rounds = 0
        self.trouble: VolspikeError | OSError | None = None
        with ExitStack() as opening:
            self._open(settings, clock, opening)
            self._closing = opening.pop_all()

    def _open(self, settings: Settings, clock: Clock, opening: ExitStack) -> None:
        opening.enter_context(held(self._home.tend_lock, _busy(self._home)))
        log_of_job = open_log(settings, self._home.log, clock)
        opening.callback(log_of_job.close)
        ledger = Ledger(self._home.ledger)
        self._beside = Beside(
            self._home,
            settings.retrain_limit_s,
            lambda: clock.monotonic_ns() / 1e9,
            lambda: owner_of(log_of_job, settings.topic_suffix) == "the stages",
        )
        opening.callback(self._beside.close)
        self.feed = choose_models(self._home, settings).dialect.name
        self._caretaker = Caretaker(
            self._home,
            settings,
            self.feed,
            TopicGrader(log_of_job, ledger, settings.topic_suffix),
            ledger,
            self._beside.retrain,
            self._beside.report_drift,
        )
        before = self._journal.news()
        if self._alarms is not None:
            opening.callback(self._alarms.close)
            # What was before is told, but for alarms that a death has kept from the file.
            self._alarms.deliver(perhaps_undelivered(before))

    def __enter__(self) -> Tending:
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.close()

    def step(self, tell: Callable[[JournalEntry], None]) -> None:
        """Do one round, and tell what the journal has new; what goes wrong is logged once and tried again."""
        fresh: list[JournalEntry] = []
        try:
            try:
                self._beside.look(self._caretaker.heard_of_drift)
                self._caretaker.step()
            finally:
                fresh = self._journal.news()
            self.trouble = None
        except (VolspikeError, OSError) as error:
            if str(error) != str(self.trouble):
                log.error("the models could not be looked after; trying again", reason=str(error))
            self.trouble = error
        self.rounds += 1
        self._deliver(fresh)
        for entry in fresh:
            tell(entry)
        if fresh:
            self._sync()

    def _deliver(self, entries: Sequence[JournalEntry]) -> None:
        if self._alarms is not None:
            self._alarms.deliver(alarms_of(entries))

    def _sync(self) -> None:
        """Tell MLflow what has happened; where it is away, that waits until more has."""
        waiting = sync(self._home.root, self._server, apart=True).waiting
        if waiting.words:
            log.warning("mlflow.waiting", reason=waiting.words)


def _busy(home: Home) -> BusyError:
    reason = "another process looks after these models"
    return BusyError(str(home.root), reason, "leave it to that one: volspike run begins one by itself")
