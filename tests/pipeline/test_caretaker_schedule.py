"""What the caretaker asks for and when: alarms told once, reports, retrainings by alarm and by the clock."""

from __future__ import annotations

import numpy as np
import pytest
from caretaker_models import BEGIN_S, DAY_S, END_S, HOURS, TRUE, WEAK, Models, lines

from benchmarks import drift_markets
from kept_models import NS, Kept, graded_rows, write_ledger
from made_bundles import FEED, PRODUCT
from volspike.models.standing import CHAMPIONS, Entry, crown_champion
from volspike.monitoring.graded import BLOCK_S, GradedRows
from volspike.monitoring.journal import (
    CHALLENGER,
    DRIFT_ALARM,
    DRIFT_REPORT,
    PROMOTED,
    RETIRED,
    RETRAIN_ABANDONED,
    RETRAIN_FAILED,
    RETRAIN_STARTED,
)
from volspike.pipeline.retraining import Request

# A row a second: of rarer rows the bets are smaller.
DRIFTED, DRIFTED_TRUE = drift_markets.seconds(HOURS / 2, 1)
TOLD = 0.1 * DRIFTED_TRUE


def drifted(models: Models, version: str) -> GradedRows:
    return graded_rows(DRIFTED, TOLD, np.full(len(TOLD), np.nan), version, "")


def test_drift_is_told_once_a_champion_and_asks_for_one_retraining(models: Models) -> None:
    crown_champion(models.home.models, models.challenger.name, models.challenger.version)
    models.tell(PROMOTED, models.challenger)
    write_ledger(models.home, drifted(models, models.challenger.version))
    with Kept(models.home.root, retrain_every_hours=8_000.0) as kept:
        kept.at(END_S)
        for _ in range(2):
            kept.caretaker().step()
        (told,) = [each for each in lines(kept) if each.event == DRIFT_ALARM]
        assert (told.version, told.by) == (models.challenger.version, "outcomes")
        assert "spikes are over 1.25 times as frequent" in told.reason
        assert told.detail["too_many_spikes"] > 1.25
        assert set(kept.asked) == {Request(PRODUCT, FEED, "drift alarm", END_S * NS)}
        # It is done, and asked for no more.
        kept.asked.clear()
        models.tell(RETRAIN_STARTED, Entry("", ""), END_S, "drift alarm")
        models.tell(CHALLENGER, models.champion, END_S, "drift alarm")
        kept.at(END_S + 3_600)
        kept.caretaker().step()
        assert not kept.asked
        assert len([each for each in lines(kept) if each.event == DRIFT_ALARM]) == 1


def test_the_alarm_of_a_champion_that_was_replaced_asks_for_nothing(models: Models) -> None:
    models.tell(DRIFT_ALARM, models.champion, BEGIN_S + 60)
    crown_champion(models.home.models, models.challenger.name, models.challenger.version)
    models.tell(PROMOTED, models.challenger, BEGIN_S + 120)
    with Kept(models.home.root, retrain_every_hours=24.0) as kept:
        kept.at(BEGIN_S + 3_600)
        kept.caretaker().step()
        assert not kept.asked


FAILED = {"error": "it holds no rows", "subject": "features", "remedy": "record longer"}
ALARM = {
    "verdict": {"alarm": True, "words": "drift in rv_60s"},
    "files": {"page": "/data/reports/drift-a-recent-20260720T031005.html"},
}


@pytest.mark.parametrize(
    ("report", "event", "reason"),
    [
        (FAILED, DRIFT_REPORT, "no report: features: it holds no rows; record longer"),
        (None, DRIFT_REPORT, "no report: its process ended without one"),
        (ALARM, DRIFT_ALARM, "drift in rv_60s; see reports/drift-a-recent-20260720T031005.html"),
    ],
)
def test_what_came_of_a_report_of_drift_is_in_the_journal(
    report: dict[str, object] | None, event: str, reason: str, models: Models
) -> None:
    with Kept(models.home.root) as kept:
        kept.caretaker().heard_of_drift(models.standing, report)
        (told,) = lines(kept)
    assert (told.event, told.by, told.reason) == (event, "features", reason)


def test_behind_and_under_an_alarm_a_challenger_gives_its_place_to_another(models: Models) -> None:
    write_ledger(models.home, models.rows(TRUE, WEAK))
    models.tell(DRIFT_ALARM, models.champion, BEGIN_S + 60, "outcomes")
    with Kept(models.home.root, retrain_every_hours=HOURS + 1.0) as kept:
        kept.at(END_S)
        kept.caretaker().step()
        assert models.standing.challenger == models.challenger
        kept.at(END_S + 3_600)
        kept.caretaker().step()
        assert [each.event for each in lines(kept)] == [DRIFT_ALARM, RETIRED]
        assert [each.by for each in kept.asked] == ["drift alarm"]


def test_a_retraining_is_due_by_the_clock_of_the_market_and_never_beside_a_trial(models: Models) -> None:
    with Kept(models.home.root, retrain_every_hours=24.0) as kept:
        kept.caretaker().step()
        kept.at(BEGIN_S + 3 * DAY_S)
        kept.caretaker().step()
        assert not kept.asked, "a challenger is on trial"
        crown_champion(models.home.models, models.challenger.name, models.challenger.version)
        kept.caretaker().step()
        assert kept.asked == [Request(PRODUCT, FEED, "schedule", (BEGIN_S + 3 * DAY_S) * NS)]
        models.tell(RETRAIN_STARTED, Entry("", ""), BEGIN_S + 3 * DAY_S)
        models.tell(CHALLENGER, models.champion, BEGIN_S + 3 * DAY_S)
        kept.asked.clear()
        kept.at(BEGIN_S + 4 * DAY_S - 1)
        kept.caretaker().step()
        assert not kept.asked
        kept.at(BEGIN_S + 4 * DAY_S)
        kept.caretaker().step()
        assert [each.by for each in kept.asked] == ["schedule"]


def test_the_first_retraining_finds_a_whole_interval_of_rows(models: Models) -> None:
    """The oldest half hour may have begun anywhere in it."""
    for path in (models.home.models / CHAMPIONS).iterdir():
        path.unlink()
    rows = drifted(models, models.champion.version)
    write_ledger(models.home, rows)
    models.home.journal.unlink()
    first_end_s = (int(rows.second[0]) // BLOCK_S + 1) * BLOCK_S
    with Kept(models.home.root, retrain_every_hours=24.0) as kept:
        for late_s, asked in ((-1, []), (1, ["schedule"])):
            kept.at(first_end_s + DAY_S + late_s)
            kept.caretaker().step()
            assert [each.by for each in kept.asked] == asked


@pytest.mark.parametrize("end", [None, RETRAIN_ABANDONED, RETRAIN_FAILED])
@pytest.mark.parametrize("by", ["drift alarm", "schedule"])
def test_a_retraining_that_placed_no_model_is_begun_again_after_an_hour_and_then_more_rarely(
    by: str, end: str | None, models: Models
) -> None:
    """Killed, failed, or lost with a caretaker that was started anew, as each of these is here."""
    crown_champion(models.home.models, models.challenger.name, models.challenger.version)
    if by == "drift alarm":
        due_s = BEGIN_S + 60
        models.tell(DRIFT_ALARM, models.challenger, due_s, "outcomes")
    else:
        due_s = BEGIN_S + DAY_S

    def asked(second: int) -> list[str]:
        kept.asked.clear()
        kept.at(second)
        kept.caretaker().step()
        return [each.by for each in kept.asked]

    def tried(second: int) -> None:
        models.tell(RETRAIN_STARTED, Entry("", ""), second, by)
        if end is not None:
            models.tell(end, Entry("", ""), second, by)

    with Kept(models.home.root, retrain_every_hours=24.0, drift_every_hours=0.0) as kept:
        assert asked(due_s) == [by]
        tried(due_s)
        assert asked(due_s + 3_599) == []
        assert asked(due_s + 3_600) == [by]
        tried(due_s + 3_600)
        assert asked(due_s + 3 * 3_600 - 1) == []
        assert asked(due_s + 3 * 3_600) == [by]
        tried(due_s + 3 * 3_600)
        models.tell(CHALLENGER, models.champion, due_s + 3 * 3_600, by)
        assert asked(due_s + 20 * 3_600) == [], "a model has its place"


def test_a_new_alarm_does_not_wait_for_what_failed_before_it(models: Models) -> None:
    crown_champion(models.home.models, models.challenger.name, models.challenger.version)
    for hour in range(6):
        models.tell(RETRAIN_STARTED, Entry("", ""), BEGIN_S + hour * 3_600)
        models.tell(RETRAIN_FAILED, Entry("", ""), BEGIN_S + hour * 3_600)
    models.tell(DRIFT_ALARM, models.challenger, BEGIN_S + 6 * 3_600, "outcomes")
    with Kept(models.home.root, retrain_every_hours=24.0, drift_every_hours=0.0) as kept:
        kept.at(BEGIN_S + 6 * 3_600)
        kept.caretaker().step()
        assert [each.by for each in kept.asked] == ["drift alarm"]
