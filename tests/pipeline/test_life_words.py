"""Where the models of a product stand, in a line."""

from __future__ import annotations

import pytest

from made_bundles import FEED, PRODUCT
from volspike.models.standing import Entry, Standing
from volspike.monitoring.journal import (
    CHALLENGER,
    DRIFT_ALARM,
    RETIRED,
    RETRAIN_FAILED,
    RETRAIN_STARTED,
    JournalEntry,
)
from volspike.pipeline.life import life_of

SERVED, TRIED = "0" * 12, "1" * 12
DAY_NS = 86_400_000_000_000


def step(day: int, event: str, version: str) -> JournalEntry:
    return JournalEntry(
        market_ns=day * DAY_NS, event=event, product=PRODUCT, feed=FEED, version=version, by="schedule"
    )


def words(*journal: JournalEntry, challenger: bool = True, is_tended: bool = True) -> str:
    entry = Entry("xgboost", TRIED) if challenger else None
    standing = Standing(PRODUCT, FEED, "logistic", SERVED, challenger=entry)
    return life_of(standing, journal, is_tended=is_tended).words(SERVED)


def test_who_is_on_trial_and_since_when() -> None:
    told = (step(3, CHALLENGER, TRIED), step(4, RETIRED, TRIED), step(5, CHALLENGER, TRIED))
    assert words(*told) == f"champion {SERVED}, on trial: xgboost {TRIED} since 01-06 00:00, drift: none"
    assert "on trial: nobody, " in words(*told, challenger=False)
    assert f"xgboost {TRIED}, drift" in words()


@pytest.mark.parametrize(("version", "drift"), [(SERVED, "ALARM 01-08 00:00"), (TRIED, "none")])
def test_an_alarm_is_that_of_the_model_served(version: str, drift: str) -> None:
    assert words(step(7, DRIFT_ALARM, version)).endswith(f"drift: {drift}")


@pytest.mark.parametrize("events", [(), (RETRAIN_STARTED,), (RETRAIN_STARTED, RETRAIN_FAILED)])
def test_whether_the_newest_training_has_failed(events: tuple[str, ...]) -> None:
    journal = [step(1, event, "") for event in events]
    life = life_of(Standing(PRODUCT, FEED), journal, is_tended=True)
    assert life.has_failed == (RETRAIN_FAILED in events)


def test_where_nobody_looks_after_them_drift_is_not_denied() -> None:
    assert words(is_tended=False).endswith("drift: not watched, as no caretaker runs")
