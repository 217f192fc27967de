"""The caretaker beside a live job: begun, begun again, stopped in order; drift alarms are told, each once."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path

import pytest

from made_bundles import FEED, PRODUCT
from volspike.clock import SystemClock
from volspike.monitoring.journal import DRIFT_ALARM, PROMOTED, JournalEntry, append_entry, read_journal
from volspike.pipeline import caretaking
from volspike.pipeline.alarm_file import AlarmFile, alarms_of
from volspike.pipeline.caretaking import Caretaking
from volspike.pipeline.home import Home
from volspike.pipeline.tending import Tending
from volspike.records import DriftAlarm
from whole_runs import settings_for, until

DAY_NS = 86_400 * 10**9


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home(tmp_path / "data")
    home.create()
    return home


def tell(home: Home, number: int, event: str = DRIFT_ALARM) -> None:
    append_entry(
        home.journal,
        JournalEntry(
            market_ns=number,
            event=event,
            product=PRODUCT,
            feed=FEED,
            model="logistic",
            version=f"{number:012x}",
            by="outcomes",
            reason=f"reason {number}",
        ),
    )


def deliver(home: Home) -> None:
    """Have the alarms of the journal in the file of the alerts, as a job leaves them."""
    file = AlarmFile(home.alerts)
    file.deliver(alarms_of(read_journal(home.journal)))
    file.close()


class Beside:
    """A caretaking whose process is another command."""

    def __init__(self, home: Home, monkeypatch: pytest.MonkeyPatch, *command: str, **given: object) -> None:
        self.told: list[DriftAlarm] = []
        self.caretaking = Caretaking(settings_for(home.root, **given), FEED, self.told.append)
        self.processes: list[asyncio.subprocess.Process] = []
        begin = self.caretaking._begin

        async def noted() -> asyncio.subprocess.Process:
            self.processes.append(await begin())
            return self.processes[-1]

        if command:
            monkeypatch.setattr(self.caretaking, "_command", lambda: command)
        monkeypatch.setattr(self.caretaking, "_begin", noted)
        monkeypatch.setattr(caretaking, "_PAUSES_S", (0.05, 0.1))

    async def while_(self, condition) -> None:
        running = asyncio.create_task(self.caretaking.run())
        try:
            await until(lambda: condition() or running.done())
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)


SLEEPER = (sys.executable, "-c", "import time; time.sleep(600)")


def test_an_alarm_is_told_once_and_only_those_that_come_while_it_runs(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    tell(home, 1)
    deliver(home)
    beside = Beside(home, monkeypatch, *SLEEPER)
    tell(home, 2)
    tell(home, 3, PROMOTED)

    async def run() -> None:
        await beside.while_(lambda: len(beside.told) == 1)

    asyncio.run(run())
    (alarm,) = beside.told
    assert (alarm.product, alarm.model, alarm.model_version) == (PRODUCT, "logistic", f"{2:012x}")
    assert (alarm.event_ns, alarm.reason) == (2, "reason 2")
    assert beside.caretaking.newest is not None
    assert beside.caretaking.newest.event == PROMOTED
    assert beside.processes[0].returncode is not None, "it was stopped with the job"


def test_an_alarm_that_a_death_has_kept_from_the_file_is_told_at_the_start(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    tell(home, 1)
    deliver(home)
    tell(home, 2)
    tell(home, 3, PROMOTED)
    beside = Beside(home, monkeypatch, *SLEEPER)

    async def run() -> None:
        await beside.while_(lambda: len(beside.told) == 1)

    asyncio.run(run())
    assert [alarm.event_ns for alarm in beside.told] == [2]


def test_alarms_of_long_ago_are_not_told_anew_where_their_file_was_rotated_away(home: Home) -> None:
    tell(home, 1)
    deliver(home)
    tell(home, 2 * DAY_NS)
    home.alerts.unlink()
    caretaking = Caretaking(settings_for(home.root), FEED, lambda _alarm: None)
    assert [alarm.event_ns for alarm in caretaking._untold] == [2 * DAY_NS]


def test_a_caretaker_of_its_own_delivers_at_its_start_what_a_death_has_kept_back(home: Home) -> None:
    tell(home, 1)
    tell(home, 2 * DAY_NS)
    home.alerts.write_text("{}\n")
    for _ in range(2):
        with Tending(settings_for(home.root), SystemClock()):
            pass
    (line,) = home.alerts.read_text().splitlines()[1:]
    assert json.loads(line)["event_ns"] == 2 * DAY_NS


def test_a_journal_that_can_not_be_read_for_a_moment_tells_nothing_twice(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    tell(home, 1)
    beside = Beside(home, monkeypatch, *SLEEPER)
    away = home.root / "away"
    home.journal.rename(away)
    home.journal.mkdir()
    assert beside.caretaking._news() == []
    home.journal.rmdir()
    away.rename(home.journal)
    tell(home, 2)
    assert [each.market_ns for each in beside.caretaking._news()] == [2]


def test_one_that_ends_is_begun_again(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    beside = Beside(home, monkeypatch, sys.executable, "-c", "raise SystemExit(3)")

    async def run() -> None:
        await beside.while_(lambda: len(beside.processes) == 3)

    asyncio.run(run())
    assert beside.processes[0].returncode == 3


def test_one_that_can_not_be_begun_is_tried_again(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    beside = Beside(home, monkeypatch, *SLEEPER)
    (home.root / "tend.log").mkdir()
    asked = 0
    begin = beside.caretaking._begin

    async def counted() -> asyncio.subprocess.Process:
        nonlocal asked
        asked += 1
        if asked == 3:
            (home.root / "tend.log").rmdir()
        return await begin()

    monkeypatch.setattr(beside.caretaking, "_begin", counted)

    async def run() -> None:
        await beside.while_(lambda: len(beside.processes) == 1)

    asyncio.run(run())
    assert asked == 3


@pytest.mark.parametrize("given", [{"retrain_every_hours": 0.0}, {"model": "models:/logistic@champion"}])
def test_where_nothing_is_to_be_retrained_there_is_no_process_and_alarms_are_told(
    given: dict[str, object], home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    beside = Beside(home, monkeypatch, *SLEEPER, **given)
    tell(home, 5)

    async def run() -> None:
        await beside.while_(lambda: len(beside.told) == 1)

    asyncio.run(run())
    assert beside.processes == []


def test_it_begins_a_caretaker_of_the_jobs_own_products_and_feed(home: Home) -> None:
    settings = settings_for(home.root, products=("BTC-USD", "ETH-USD"))
    command = list(Caretaking(settings, "advanced", lambda _alarm: None)._command())
    assert command[1:6] == ["-m", "volspike", "tend", "--data-dir", str(home.root)]
    assert [command[i + 1] for i, word in enumerate(command) if word == "--product"] == ["BTC-USD", "ETH-USD"]
    assert command[command.index("--dialect") + 1] == "advanced"
    assert command[command.index("--with-parent") + 1] == str(os.getpid())


SETTINGS_OF_STAGES = "topic_suffix = '.y'\nbus = 'kafka'\n"
READS = (
    "import sys\n"
    "from volspike.config import load_settings\n"
    "print(repr(load_settings({'bus': sys.argv[-1]}).topic_suffix), sys.argv[-1], flush=True)"
)


def test_it_reads_the_log_that_the_job_writes_whatever_the_settings_say_of_stages(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of another log it had graded nothing, in silence, or been begun again for ever."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("VOLSPIKE_TOPIC_SUFFIX", ".x")
    (tmp_path / "volspike.toml").write_text(SETTINGS_OF_STAGES)
    command = list(Caretaking(settings_for(home.root), FEED, lambda _alarm: None)._command())
    bus = command[command.index("--bus") + 1]
    beside = Beside(home, monkeypatch, sys.executable, "-c", READS, bus)

    async def run() -> None:
        await beside.while_(lambda: (home.root / "tend.log").exists() and said() != "")

    def said() -> str:
        return (home.root / "tend.log").read_text()

    asyncio.run(run())
    assert said().splitlines()[0] == "'' embedded"
