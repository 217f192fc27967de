"""A market changes its nature at a known time: first model, alarm, trial and promotion follow by themselves.

Market time runs as fast as frames can be taken. Everything is the real thing: frames of the exchange through
the live pipeline, its log, the caretaker, trainings on the stored rows, and the swap in the running job.
"""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest
from benchmarks.changing_market import ChangingMarket

from volspike.bus.embedded import EmbeddedLog
from volspike.clock import SimulatedClock, SystemClock
from volspike.config import Settings
from volspike.models.standing import champions, standing_of
from volspike.monitoring.journal import (
    CHALLENGER,
    DRIFT_ALARM,
    PROMOTED,
    RETRAIN_STARTED,
    JournalEntry,
    read_journal,
)
from volspike.monitoring.ledger import Ledger
from volspike.pipeline.assembly import open_live
from volspike.pipeline.caretaker import Caretaker
from volspike.pipeline.grading_topics import TopicGrader
from volspike.pipeline.home import Home
from volspike.pipeline.retraining import Request, retrain
from volspike.simulation.scripted import exchange_frames
from whole_runs import ORIGIN_NS, PRODUCT, settings_for

NS = 1_000_000_000
HOUR_NS = 3_600 * NS
CHANGE_H, END_H = 30, 58
SESSION = "s"
ROUND_NS = HOUR_NS // 4


class Life:
    """A live job on a changing market with its caretaker, each quarter of an hour of market time."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.home = Home(settings.data_dir)
        self.job = open_live(settings, SimulatedClock(), ())
        self.job.pipeline.begin(SESSION)
        log, ledger = EmbeddedLog(self.home.log, SystemClock()), Ledger(self.home.ledger)
        grader = TopicGrader(log, ledger)
        self.caretaker = Caretaker(self.home, settings, "exchange", grader, ledger, self.retrain)
        self.served: list[str] = []

    @property
    def journal(self) -> list[JournalEntry]:
        return read_journal(self.home.journal)

    def retrain(self, request: Request) -> None:
        retrain(self.home, self.settings, request, SystemClock(), lambda _words: None)

    def round(self) -> None:
        time.sleep(0.05)  # the log is written by a thread, with some delay
        self.caretaker.step()
        for swap in self.job._watch.poll():
            asyncio.run(self.job.serve(swap))
            self.served.append(swap.bundle.manifest.version)

    def stop(self) -> None:
        self.job.pipeline.end(SESSION, "stop")
        self.job.pipeline.finish()
        self.job.close()


@pytest.fixture(scope="module")
def life(tmp_path_factory: pytest.TempPathFactory) -> Life:
    root: Path = tmp_path_factory.mktemp("life")
    settings = settings_for(
        root,
        retrain_every_hours=24.0,
        retrain_days=0.5,
        trial_days=2.0,
        false_alarm_days=5.0,
        drift_every_hours=0.0,
    )
    life = Life(settings)
    market = ChangingMarket(1, ORIGIN_NS, END_H * 3_600, CHANGE_H * 3_600)
    next_ns = ORIGIN_NS + ROUND_NS
    for receive_ns, raw in exchange_frames(market, 1, ORIGIN_NS + END_H * HOUR_NS):
        life.job.pipeline.frame(SESSION, receive_ns, raw, 0)
        if receive_ns >= next_ns:
            next_ns += ROUND_NS
            life.round()
    life.stop()
    return life


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_alarm_retraining_trial_and_promotion_follow_a_change_unattended(life: Life) -> None:
    change_ns = ORIGIN_NS + CHANGE_H * HOUR_NS
    journal = life.journal
    alarm = next(each for each in journal if each.event == DRIFT_ALARM)
    assert alarm.market_ns > change_ns
    behind = [each for each in journal if each.market_ns >= alarm.market_ns]
    promoted = next(each for each in behind if each.event == PROMOTED)
    # A model made behind the alarm, and because of it, has taken over from the one that it was about.
    retrained = next(each for each in behind if each.event == RETRAIN_STARTED)
    assert retrained.by == "drift alarm"
    placed = [each for each in behind if each.event == CHALLENGER and each.version == promoted.version]
    assert placed
    assert placed[0].market_ns >= alarm.market_ns
    assert promoted.by == "trial"
    assert promoted.version != alarm.version
    assert promoted.version in life.served
    assert promoted.detail["clusters"] >= 20


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_before_the_change_nothing_was_found(life: Life) -> None:
    change_ns = ORIGIN_NS + CHANGE_H * HOUR_NS
    before = [each for each in life.journal if each.market_ns < change_ns]
    assert [each.event for each in before if each.event in (DRIFT_ALARM, PROMOTED)] == [PROMOTED]
    assert before[1].reason == "the first champion"


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_every_step_is_told_once_and_the_models_stand_as_the_journal_says(life: Life) -> None:
    journal = life.journal
    steps = [(each.event, each.version, each.market_ns) for each in journal]
    assert len(set(steps)) == len(steps)
    last = [each for each in journal if each.event == PROMOTED][-1]
    (champion,) = champions(life.home.models)
    assert champion.version == last.version
    standing = standing_of(life.home.models, PRODUCT, "exchange")
    assert standing.previous is not None
    assert life.job.bundles[PRODUCT].manifest.version == last.version
