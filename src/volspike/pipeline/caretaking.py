"""The caretaker beside a live job: its process is begun and watched, its alarms are told as alerts are."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress

from volspike.alerts.sinks import delivered
from volspike.config import ENV_PREFIX, Settings
from volspike.errors import ModelError
from volspike.logs import get_logger
from volspike.models.standing import standing_of
from volspike.monitoring.journal import JournalEntry, JournalReader
from volspike.pipeline.alarm_file import alarms_of, perhaps_undelivered
from volspike.pipeline.home import Home
from volspike.pipeline.life import Life, life_of
from volspike.records import DriftAlarm

ROUND_S = 10.0
# One that ends by itself is begun again after so long, twice as long each time, up to the last.
_PAUSES_S = (5.0, 300.0)
_FILE = "tend.log"
# The job's own log has no suffix: that is for stages on topics of others.
TOPIC_SUFFIX = ENV_PREFIX + "TOPIC_SUFFIX"
_ALARMS = 20

log = get_logger()


class Caretaking:
    """Keeps ``volspike tend`` running for a job, and follows the journal.

    Parameters
    ----------
    settings : Settings
        Of the job; with ``retrain_every_hours`` 0 there is no caretaker, and the journal is followed still.
    dialect : str
        Of its feed.
    tell : callable
        Told of each drift alarm.

    Attributes
    ----------
    newest : JournalEntry or None
        The newest step in the life of the models since the job began.
    lives : dict of str to Life
        Where the models of each product stand.
    alarms : list of DriftAlarm
        The newest alarms since the job began, oldest first.
    first_after_hours : float
        When the first model of a product is trained, hours of the market; 0 where nobody does that.
    """

    def __init__(self, settings: Settings, dialect: str, tell: Callable[[DriftAlarm], None]) -> None:
        self._settings = settings
        self._dialect = dialect
        self._tell = tell
        self._home = Home(settings.data_dir)
        self._journal = JournalReader(self._home.journal)
        # What was before is told, but for alarms that a death has kept from the file of the alerts.
        self._untold = self._undelivered(perhaps_undelivered(self._news()))
        self.newest: JournalEntry | None = None
        self.lives: dict[str, Life] = {}
        self.alarms: list[DriftAlarm] = []
        self._is_kept = bool(settings.retrain_every_hours) and not settings.model
        trains_first = self._is_kept and settings.promote == "auto"
        self.first_after_hours = settings.retrain_every_hours if trains_first else 0.0
        self._note_lives()

    async def run(self) -> None:
        """Go on until cancelled; then the caretaker is stopped in order."""
        for alarm in self._untold:
            self._tell(alarm)
        if not self._is_kept:
            await self._follow(None)
            return
        pause_s = _PAUSES_S[0]
        while True:
            try:
                process = await self._begin()
            except OSError as error:
                log.error(
                    "the caretaker can't be begun; it is tried again", reason=str(error), after_s=pause_s
                )
            else:
                try:
                    await self._follow(process)
                finally:
                    await _end(process)
                words = "the caretaker has ended; it is begun again"
                log.error(words, code=process.returncode, after_s=pause_s)
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, _PAUSES_S[1])

    async def _begin(self) -> asyncio.subprocess.Process:
        with (self._home.root / _FILE).open("ab") as said:
            return await asyncio.create_subprocess_exec(
                *self._command(),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=said,
                stderr=said,
                env={**os.environ, TOPIC_SUFFIX: ""},
                start_new_session=True,  # Ctrl-C is for the job, which ends it in order
            )

    def _command(self) -> Sequence[str]:
        products = [word for product in self._settings.products for word in ("--product", product)]
        home = ("--data-dir", str(self._home.root), "--dialect", self._dialect)
        # By number: one that is killed while this one starts would else be taken for init.
        ends = ("--every", str(ROUND_S), "--with-parent", str(os.getpid()))
        bus = ("--bus", "embedded")  # where the job writes, whatever the settings say of stages
        return [sys.executable, "-m", "volspike", "tend", *home, *bus, *products, *ends]

    async def _follow(self, process: asyncio.subprocess.Process | None) -> None:
        """Tell what the journal has new, until the process ends; without one, for ever."""
        while process is None or process.returncode is None:
            await asyncio.sleep(1.0)
            for entry in await asyncio.to_thread(self._look):
                self.newest = entry
                for alarm in alarms_of([entry]):
                    self.alarms = [*self.alarms[1 - _ALARMS :], alarm]
                    self._tell(alarm)

    def _undelivered(self, alarms: list[DriftAlarm]) -> list[DriftAlarm]:
        try:
            known = delivered(self._home.alerts)
        except OSError as error:
            log.error("whether alarms were delivered can't be read", reason=str(error))
            return []
        return [alarm for alarm in alarms if (alarm.id, alarm.state) not in known]

    def _look(self) -> list[JournalEntry]:
        """Return what the journal has new, and note where the models stand."""
        fresh = self._news()
        self._note_lives()
        return fresh

    def _note_lives(self) -> None:
        with suppress(ModelError):  # who serves another model then tells of it
            self.lives = {product: self._life(product) for product in self._settings.products}

    def _life(self, product: str) -> Life:
        standing = standing_of(self._home.models, product, self._dialect)
        return life_of(standing, self._journal.of(product, self._dialect), is_tended=self._is_kept)

    def _news(self) -> list[JournalEntry]:
        try:
            return self._journal.news()
        except ModelError as error:
            log.error("the journal can't be read", reason=str(error))
            return []


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is not None:
        return
    process.terminate()
    try:
        await asyncio.wait_for(process.wait(), 10.0)
    except TimeoutError:
        process.kill()
        await process.wait()
