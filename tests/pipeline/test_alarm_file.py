"""Drift alarms into the file of the alerts: each once, and behind whatever kept them from it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from volspike.monitoring.journal import BY_FEATURES, BY_OUTCOMES, DRIFT_ALARM, PROMOTED, JournalEntry
from volspike.pipeline.alarm_file import AlarmFile, alarms_of, perhaps_undelivered

DAY_NS = 86_400 * 10**9


def entry(number: int, event: str = DRIFT_ALARM, by: str = BY_OUTCOMES) -> JournalEntry:
    return JournalEntry(
        market_ns=number, event=event, product="BTC-USD", feed="exchange", version="a" * 12, by=by
    )


def written(path: Path) -> list[int]:
    return [json.loads(line)["event_ns"] for line in path.read_text().splitlines()]


def test_alarms_alone_are_delivered_and_each_once_over_restarts(tmp_path: Path) -> None:
    path = tmp_path / "alerts.ndjson"
    for _ in range(2):
        file = AlarmFile(path)
        file.deliver(alarms_of([entry(1), entry(2, PROMOTED), entry(3)]))
        file.close()
    assert written(path) == [1, 3]


def test_alarms_of_outcomes_and_of_features_at_one_time_are_both_delivered(tmp_path: Path) -> None:
    path = tmp_path / "alerts.ndjson"
    file = AlarmFile(path)
    file.deliver(alarms_of([entry(1), entry(1, by=BY_FEATURES)]))
    file.close()
    assert written(path) == [1, 1]


def test_what_the_file_does_not_take_is_told_once_and_delivered_later(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "alerts.ndjson"
    path.mkdir()
    file = AlarmFile(path)
    file.deliver(alarms_of([entry(1)]))
    file.deliver(alarms_of([entry(2)]))
    said = capsys.readouterr()
    assert (said.out + said.err).count("can't be delivered") == 1
    path.rmdir()
    file.deliver(())
    file.close()
    assert written(path) == [1, 2]


def test_a_death_may_have_kept_back_the_alarms_of_the_last_day_only() -> None:
    assert perhaps_undelivered([]) == []
    journal = [entry(1), entry(DAY_NS), entry(DAY_NS + 1), entry(2 * DAY_NS, PROMOTED)]
    assert [alarm.event_ns for alarm in perhaps_undelivered(journal)] == [DAY_NS + 1]
    assert [alarm.event_ns for alarm in perhaps_undelivered(journal[:2])] == [1, DAY_NS]
