"""When a trial ends, and that nothing keeps it, or what is due, from coming: journal, clock or setting."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import numpy as np
import pytest
from caretaker_models import BEGIN_S, DAY_S, END_S, ROWS, TRUE, WEAK, Models

from kept_models import NS, Kept, graded_rows, write_ledger
from made_bundles import PRODUCT, entry_of, make_bundle
from volspike.models.bundle import load_bundle
from volspike.models.standing import Entry
from volspike.monitoring.graded import BLOCK_S, GradedRows
from volspike.monitoring.journal import (
    CHALLENGER,
    DRIFT_ALARM,
    DRIFT_REPORT,
    PROMOTED,
    RETIRED,
    RETRAIN_STARTED,
    ROLLED_BACK,
)
from volspike.monitoring.ledger import Ledger
from volspike.pipeline.promoting_by_hand import compare_now
from volspike.pipeline.promotion import promote
from whole_runs import settings_for


def first_block(rows: GradedRows) -> GradedRows:
    return rows.where(rows.second // BLOCK_S == rows.second[0] // BLOCK_S)


def test_a_journal_that_was_removed_meanwhile_ends_the_trial_all_the_same(models: Models) -> None:
    rows = models.rows(TRUE, WEAK)
    write_ledger(models.home, first_block(rows))
    with Kept(models.home.root, retrain_every_hours=24.0, trial_days=0.25) as kept:
        caretaker = kept.caretaker()
        kept.at(BEGIN_S + 3_600)
        caretaker.step()
        models.home.journal.unlink()
        for hours in range(2, 10):
            write_ledger(models.home, rows.where(rows.second < BEGIN_S + hours * 3_600))
            kept.at(BEGIN_S + hours * 3_600 + 60)
            caretaker.step()
        assert [entry.event for entry in kept.journal()] == [CHALLENGER, RETIRED]
    assert models.standing.challenger is None


@pytest.mark.parametrize("event", [CHALLENGER, DRIFT_REPORT, DRIFT_ALARM])
def test_a_line_ahead_of_the_market_holds_nothing_up(models: Models, event: str) -> None:
    by = {DRIFT_REPORT: "features", DRIFT_ALARM: "outcomes"}.get(event, "user")
    models.tell(
        event, models.challenger if event == CHALLENGER else models.champion, BEGIN_S + 365 * DAY_S, by
    )
    write_ledger(models.home, models.rows(TRUE, WEAK))
    with Kept(models.home.root, retrain_every_hours=24.0, drift_every_hours=24.0, trial_days=1.0) as kept:
        caretaker = kept.caretaker()
        reports: list[object] = []
        caretaker._report_drift = reports.append
        kept.at(END_S)
        caretaker.step()
        assert models.standing.challenger is None
        assert len(reports) == 1
        assert [request.by for request in kept.asked] == ["schedule"]


def test_a_trial_that_no_job_can_hold_makes_room(models: Models) -> None:
    served = load_bundle(models.champion.path(models.home.models)).manifest
    assert served.tau.mode == "adaptive"
    tau = msgspec.structs.replace(served.tau, mode="fixed", fixed_bps=7.0)
    forced = entry_of(make_bundle(models.home.models, 3, span_ns=(1, BEGIN_S * NS - 1), tau=tau))
    promote(models.home, models.standing, forced, "user", "forced", (BEGIN_S + 60) * NS, {})
    write_ledger(
        models.home, first_block(graded_rows(ROWS, TRUE, np.full(len(TRUE), np.nan), forced.version, ""))
    )
    with Kept(models.home.root, drift_every_hours=0.0) as kept:
        kept.at(BEGIN_S + BLOCK_S + 60)
        kept.caretaker().step()
        retired = kept.journal()[-1]
    assert (retired.event, retired.version) == (RETIRED, models.challenger.version)
    assert "tau or increment differ" in retired.reason
    assert models.standing.challenger is None


def test_a_trial_is_as_old_as_its_rows_where_its_line_is_older(models: Models) -> None:
    """One that was trained by hand, while no job ran, is dated by the newest row that is stored."""
    rows = models.rows()
    write_ledger(models.home, first_block(replace(rows, second=rows.second + 10 * DAY_S)))
    with Kept(models.home.root, drift_every_hours=0.0, trial_days=7.0) as kept:
        kept.at(BEGIN_S + 10 * DAY_S + BLOCK_S + 60)
        kept.caretaker().step()
    assert models.standing.challenger == models.challenger


def test_without_a_schedule_an_alarm_ends_no_trial(models: Models) -> None:
    """Nobody would train another."""
    write_ledger(models.home, models.rows(TRUE, WEAK))
    models.tell(DRIFT_ALARM, models.champion, BEGIN_S + 60, by="outcomes")
    with Kept(models.home.root, retrain_every_hours=0.0, drift_every_hours=0.0) as kept:
        kept.at(BEGIN_S + BLOCK_S + 60)
        kept.caretaker().step()
    assert models.standing.challenger == models.challenger


def test_an_alarm_of_before_a_rollback_is_not_told_again(models: Models) -> None:
    first, second = models.challenger, models.champion  # the champion of now had its alarm before the other
    models.tell(DRIFT_ALARM, second, BEGIN_S + 60, by="outcomes")
    models.tell(PROMOTED, first, BEGIN_S + 120, by="user")
    models.tell(DRIFT_ALARM, first, BEGIN_S + 180, by="outcomes")
    models.tell(ROLLED_BACK, second, BEGIN_S + 240, by="user")
    models.tell(RETRAIN_STARTED, Entry("", ""), BEGIN_S + 300)
    write_ledger(models.home, models.rows(0.1 * TRUE, np.full(len(TRUE), np.nan)))
    with Kept(models.home.root, retrain_every_hours=24.0, drift_every_hours=0.0, trial_days=30.0) as kept:
        kept.at(END_S)
        kept.caretaker().step()
        alarms = [entry.version for entry in kept.journal() if entry.event == DRIFT_ALARM]
    assert alarms == [second.version, first.version]


def test_what_is_due_once_a_month_comes(models: Models) -> None:
    """The ledger is kept for as long as the schedules count from it."""
    month_s = 30 * DAY_S
    with Kept(models.home.root, retrain_every_hours=720.0, drift_every_hours=720.0) as kept:
        write_ledger(models.home, first_block(models.rows()))
        caretaker = kept.caretaker()
        reports: list[object] = []
        caretaker._report_drift = reports.append
        kept.at(BEGIN_S + month_s - DAY_S)
        caretaker.step()
        assert not reports
        kept.at(BEGIN_S + month_s + BLOCK_S)
        caretaker.step()
    assert len(reports) == 1
    assert Ledger(models.home.ledger).oldest_s(PRODUCT) is not None


def test_by_hand_the_whole_trial_is_compared_whatever_the_settings(models: Models) -> None:
    half = ROWS.second < BEGIN_S + DAY_S
    champion, challenger = np.where(half, TRUE, WEAK), np.where(half, WEAK, TRUE)
    write_ledger(models.home, models.rows(champion, challenger))
    found = [
        compare_now(
            models.home,
            settings_for(models.home.root, products=(PRODUCT,), trial_days=days),
            models.standing,
        )
        for days in (0.5, 7.0)
    ]
    assert found[0].log_e == found[1].log_e
    assert found[0].rows == found[1].rows
