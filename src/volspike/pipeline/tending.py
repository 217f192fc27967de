"""The caretaker as a process: opened from settings, and going round until it is told to stop."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack

from volspike.bus.opening import open_log
from volspike.clock import Clock
from volspike.config import Settings
from volspike.errors import VolspikeError
from volspike.logs import get_logger
from volspike.models.mlflow_client import Server
from volspike.models.mlflow_sync import sync
from volspike.models.standing import Standing
from volspike.monitoring.journal import JournalEntry, read_journal
from volspike.monitoring.ledger import Ledger
from volspike.pipeline.background import Background, Finished
from volspike.pipeline.caretaker import Caretaker
from volspike.pipeline.grading_topics import TopicGrader
from volspike.pipeline.home import Home
from volspike.pipeline.retraining import Request
from volspike.pipeline.served_models import choose_models

# A verb that failed is not tried again sooner: what it lacked is not there yet.
_PAUSE_NS = 300_000_000_000

log = get_logger()


class Tending:
    """A caretaker with what it needs; as a context manager it ends the retraining that it began.

    Parameters
    ----------
    settings : Settings
        Of the job whose models it looks after.
    clock : Clock
        Of the wall.

    Raises
    ------
    VolspikeError
        The models can't be chosen, or the bus can't be opened.
    """

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self._home = Home(settings.data_dir)
        self._home.require()
        self._closing = ExitStack()
        log_of_job = open_log(settings, self._home.log, clock)
        self._closing.callback(log_of_job.close)
        ledger = Ledger(self._home.ledger)
        self._beside = Background(settings.retrain_limit_s, lambda: clock.monotonic_ns() / 1e9)
        self._closing.callback(self._beside.close)
        self._drift_of: Standing | None = None
        self._clock = clock
        self._begun = ("", "")
        self._failed_ns: dict[tuple[str, str], int] = {}
        self._caretaker = Caretaker(
            self._home,
            settings,
            choose_models(self._home, settings).dialect.name,
            TopicGrader(log_of_job, ledger, settings.topic_suffix),
            ledger,
            self._retrain,
            self._report_drift,
        )
        self._server = Server.of(settings.mlflow_uri)
        self._told = len(read_journal(self._home.journal))
        self.rounds = 0
        self.trouble: VolspikeError | None = None

    def __enter__(self) -> Tending:
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.close()

    def step(self, tell: Callable[[JournalEntry], None]) -> None:
        """Do one round, and tell what the journal has new; what goes wrong is logged once and tried again."""
        try:
            self._hear(self._beside.look())
            self._caretaker.step()
            self.trouble = None
        except VolspikeError as error:
            if str(error) != str(self.trouble):
                log.error("the models could not be looked after; trying again", reason=str(error))
            self.trouble = error
        self.rounds += 1
        entries = read_journal(self._home.journal)
        for entry in entries[self._told :]:
            tell(entry)
        if len(entries) > self._told:
            self._sync()
        self._told = len(entries)

    def _retrain(self, request: Request) -> None:
        flags = ("--by", request.by, "--market-ns", str(request.market_ns))
        self._begin("retrain", request.product, request.feed, *flags)

    def _report_drift(self, standing: Standing) -> None:
        if self._begin("drift", standing.product, standing.feed, "--compare", "recent"):
            self._drift_of = standing

    def _begin(self, verb: str, product: str, feed: str, *flags: str) -> bool:
        """Begin a verb beside the job, unless one runs: it is asked for again in the next round."""
        failed_ns = self._failed_ns.get((verb, product))
        paused = failed_ns is not None and self._clock.monotonic_ns() - failed_ns < _PAUSE_NS
        if self._beside.is_busy or paused:
            return False
        self._begun = verb, product
        home = ("--data-dir", str(self._home.root))
        self._beside.begin((verb, *home, "--product", product, "--feed", feed, *flags))
        return True

    def _hear(self, finished: Finished | None) -> None:
        """Take account of a verb that has ended: a retraining tells of itself in the journal."""
        if finished is not None and finished.code:
            self._failed_ns[self._begun] = self._clock.monotonic_ns()
        standing, self._drift_of = (self._drift_of, None) if finished is not None else (None, self._drift_of)
        if finished is not None and standing is not None:
            self._caretaker.heard_of_drift(standing, finished.report)

    def _sync(self) -> None:
        """Tell MLflow what has happened; where it is away, that waits until more has."""
        waiting = sync(self._home.root, self._server, apart=True).waiting
        if waiting.words:
            log.warning("mlflow.waiting", reason=waiting.words)
