"""Evidently's report: whole in itself, silent, and wrong about unchanged data in the way we say it is."""

from __future__ import annotations

import json
import os
import re
import socket
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
from scipy.signal import lfilter

from drift_rows import column, market_of_ticks
from volspike.monitoring.drift_windows import choose_windows
from volspike.monitoring.evidently_report import WORTH, EvidentlyReport, make_evidently_report
from volspike.monitoring.watched import watched_columns

ROWS = market_of_ticks(hours=4.0)
PAIR = choose_windows(ROWS, "early-late", 1.0)
N = len(ROWS)
RNG = np.random.default_rng(5)
LATE = np.arange(N) >= PAIR.current.rows[0]
THIN = {
    "none_at_all": np.full(N, np.nan),
    "infinite": np.full(N, np.inf),
    "none_late": np.where(LATE, np.nan, RNG.normal(size=N)),
    "one_late": np.where(LATE & (np.arange(N) < N - 1), np.nan, RNG.normal(size=N)),
}
JUDGED = {
    "constant": np.full(N, 3.0),
    "still": RNG.normal(size=N),
    # One process that never changes, with a memory of a quarter of an hour.
    "slow": lfilter([1.0], [1.0, -0.999], RNG.normal(size=N)),
    "tiny_and_moved": 1e-7 * (RNG.normal(size=N) + 3.0 * LATE),
    "tiny_and_still": 1e-7 * RNG.normal(size=N),
    "now_and_then": np.where(RNG.random(N) < 0.1, np.nan, RNG.normal(size=N)),
}


class Resources(HTMLParser):
    """Collects what a page would load when it is opened."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        loads = {"src", "srcset", "href", "data", "action", "poster"}
        self.found += [f"{tag} {name}={value}" for name, value in attrs if name in loads]


@pytest.fixture(scope="module")
def report() -> EvidentlyReport:
    made = {**JUDGED, **THIN}
    columns = [column(name, values, is_log=False) for name, values in made.items()]

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("it asked the network")

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(socket.socket, "connect", refuse)
        found = make_evidently_report((*columns, *watched_columns(ROWS, None)), PAIR, 1_790_000_000 * 10**9)
    assert found is not None
    return found


def test_fault_44_columns_without_values_are_left_out_and_told(report: EvidentlyReport) -> None:
    assert set(report.left_out) == set(THIN)
    told = {column.name: column for column in report.columns}
    assert set(told) == {*JUDGED, *(watched.name for watched in watched_columns(ROWS, None))}
    assert not told["constant"].drifted


def test_fault_44_windows_without_rows_are_not_compared() -> None:
    for count in (0, 1):
        thin = replace(PAIR, current=replace(PAIR.current, rows=PAIR.current.rows[:count]))
        assert make_evidently_report(watched_columns(ROWS, None), thin, 0) is None
    assert make_evidently_report([column("x", THIN["none_late"])], PAIR, 0) is None


def test_it_alarms_on_an_autocorrelated_column_that_has_not_changed(report: EvidentlyReport) -> None:
    told = {column.name: column for column in report.columns}
    assert told["slow"].drifted
    assert told["slow"].score > told["slow"].threshold
    assert not told["still"].drifted


def test_a_column_of_tiny_values_is_judged_like_any_other(report: EvidentlyReport) -> None:
    told = {column.name: column for column in report.columns}
    assert told["tiny_and_moved"].drifted
    assert not told["tiny_and_still"].drifted


def test_what_it_says_is_counted_by_group(report: EvidentlyReport) -> None:
    for group, told in report.verdicts().items():
        flags = [column.drifted for column in report.columns if column.group == group]
        assert told == {
            "drifted": sum(flags),
            "columns": len(flags),
            "says_drift": sum(flags) >= len(flags) / 2,
        }
    assert set(report.verdicts()) == {"feature", "target"}


def test_its_pages_load_nothing_when_they_are_opened(report: EvidentlyReport) -> None:
    for html in (report.drift_html, report.summary_html):
        page = Resources()
        page.feed(html)
        assert page.found == []
        assert not re.search(r"@import\s+(url|['\"])|url\(\s*['\"]?https?:", html)
        assert len(html) > 1_000_000


def test_its_json_has_the_scores_of_the_pages(report: EvidentlyReport) -> None:
    told = json.loads(report.json)
    values = {
        metric["config"]["column"].partition(": ")[2]: metric["value"]
        for metric in told["drift"]["metrics"]
        if "method" in metric["config"]
    }
    assert values == {column.name: pytest.approx(column.score) for column in report.columns}
    assert told["summary"]["metrics"]


def test_it_does_not_report_its_use(report: EvidentlyReport) -> None:
    assert report.columns
    assert os.environ["DO_NOT_TRACK"] == "true"


def test_the_picture_of_the_target_has_numbers_to_draw() -> None:
    """Words were drawn as nothing."""
    (spike,) = (each for each in watched_columns(ROWS, None) if each.name == "spike")
    report = make_evidently_report([spike], PAIR, 10**18)
    assert report is not None
    found = re.findall(
        r'"(?:reference|current)_distribution": {"x": (\[[^]]*\]), "y": (\[[^]]*\])}', report.drift_html
    )
    assert [json.loads(x) for x, _ in found] == [[0, 1]] * 2
    assert all(min(json.loads(y)) > 0 for _, y in found)
    (told,) = report.columns
    assert told.method == "Jensen-Shannon distance"


def test_its_page_says_on_top_what_its_verdict_is_worth(report: EvidentlyReport) -> None:
    body = report.drift_html.index("<body>")
    assert body < report.drift_html.index(WORTH) < body + 400


def test_a_p_value_is_told_from_a_distance(report: EvidentlyReport) -> None:
    few = replace(PAIR, current=replace(PAIR.current, rows=PAIR.current.rows[:400]))
    short = replace(few, reference=replace(PAIR.reference, rows=PAIR.reference.rows[:400]))
    of_few = make_evidently_report(watched_columns(ROWS, None), short, 0)
    assert of_few is not None
    assert {column.measure for column in of_few.columns} == {"p"}
    assert {column.measure for column in report.columns} == {"distance"}
