"""The page in front: true to what was found, whole in itself, and no name in it becomes markup."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest

from drift_rows import column, market_of_ticks
from drift_verdicts import Told, Verdict
from volspike.monitoring.data_quality import check_age, check_columns, check_rows, rows_of_candles
from volspike.monitoring.drift_page import About, figure, pair_findings, render_drift_page
from volspike.monitoring.drift_plots import BINS, HEIGHT, plot_column
from volspike.monitoring.drift_windows import choose_windows
from volspike.monitoring.evidently_report import WORTH, EvidentlyColumn, EvidentlyReport
from volspike.monitoring.watched import watched_columns

ROWS = market_of_ticks(hours=6.0)
PAIR = choose_windows(ROWS, "early-late", 1.0)
COLUMNS = watched_columns(ROWS, None)
LATE = np.arange(len(ROWS)) >= PAIR.current.rows[0]
EVIDENTLY = EvidentlyReport(
    (EvidentlyColumn("rv_60s", "feature", 0.31, 0.1, "a distance", True),), ("spike",), (10, 10), "", "", "{}"
)
ABOUT = About(
    "BTC-USD", "exchange", "core", "logistic 6ecb94b4a563", 10**18, {"its drift": "e.html"}, ("so",)
)
VOID = {"meta", "br", "rect", "circle", "path"}


class Structure(HTMLParser):
    """Checks that every element is closed, and collects what is linked and said."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.links: list[str | None] = []
        self.words: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.links += [value for name, value in attrs if name in ("href", "src", "srcset", "action")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data.strip())


def parsed(text: str) -> Structure:
    structure = Structure()
    structure.feed(text)
    structure.close()
    assert structure.open == []
    return structure


def quality():
    stored = rows_of_candles(ROWS)
    before, now = (
        (*check_rows(stored, ROWS.rows(window.rows)), *check_columns(COLUMNS, window.rows))
        for window in (PAIR.reference, PAIR.current)
    )
    return pair_findings(before, (check_age(int(ROWS.event_ns[-1]), 10**18, 1), *now))


def page(verdict=None, evidently=EVIDENTLY, pair=PAIR, about=ABOUT, columns=COLUMNS) -> str:
    return render_drift_page(columns, pair, quality(), verdict, evidently, about)


def test_the_page_needs_nothing_but_the_files_beside_it() -> None:
    text = page(Verdict(()))
    assert parsed(text).links == ["e.html"]
    assert not re.search(r"https?:|url\(|@import|<script|None", text)


@pytest.mark.parametrize(
    ("verdict", "headline", "tone"),
    [
        (None, "Not decided", "thin"),
        (Verdict(()), "No drift", "enough"),
        (Verdict((), alarm=True), "Drift", "thin"),
        (Verdict((), None, None, None), "Not enough data", "thin"),
    ],
)
def test_the_decision_heads_the_page(verdict: Verdict | None, headline: str, tone: str) -> None:
    text = page(verdict)
    assert headline in parsed(text).words
    assert f'class="mark {tone}"' in text
    if verdict is not None:
        assert verdict.words in parsed(text).words


def test_fault_44_thin_windows_are_not_enough_data_whatever_is_decided() -> None:
    thin = replace(PAIR, current=replace(PAIR.current, rows=PAIR.current.rows[:1]))
    words = parsed(page(Verdict(()), None, thin)).words
    assert "Not enough data" in words
    assert "No drift" not in words


def test_every_column_shows_both_verdicts_and_whose_is_whose() -> None:
    told = (Told("rv_60s", drifted=True, score=4.2), Told("bid_ask_spread", "too slow", None, None))
    text = page(Verdict(told, alarm=True))
    (row,) = re.findall(r"<tr><th>rv_60s<.*?</tr>", text, re.DOTALL)
    words = parsed(row).words
    assert words.index("drift") < words.index("drifted")
    assert "4.2, p 0.5" in words
    assert "distance 0.31, limit 0.1" in words
    median = figure(float(np.median(ROWS.rv_bps[PAIR.current.rows])))
    assert median in words
    assert "too slow" in parsed(text).words


def test_it_says_what_decides_what_does_not_and_what_rows_are() -> None:
    said = " ".join(" ".join(parsed(page(Verdict(()))).words).split())
    assert "What decides is our score" in said
    assert "calibrated on blocks of early as long as late" in said
    assert " ".join(WORTH.split()) in said
    rows = len(PAIR.reference.rows)
    assert f"Evidently was given of early 10 of the {rows:,} rows, evenly spaced" in said
    assert f"{rows:,} rows, one a second, over " in said
    assert f"of {len(ROWS):,} ticks" in said
    assert re.search(r"of \d+ minutes", said)
    assert "What decides is our score" not in " ".join(parsed(page()).words)


def test_names_and_words_are_shown_as_text() -> None:
    hostile = "<script>alert(1)</script>"
    about = replace(ABOUT, product=hostile, model=hostile, notes=(hostile,))
    told = Verdict((Told("rv_60s", hostile, words=hostile),), words=hostile)
    text = page(told, about=about, columns=(*COLUMNS, column(hostile, ROWS.rv_bps)))
    assert "<script" not in text
    assert parsed(text).words.count(hostile) >= 4


def test_findings_of_two_windows_stand_side_by_side() -> None:
    rows = {(row.check, row.column): row for row in quality()}
    assert rows["age", ""].reference is None
    assert all(row.reference is not None for key, row in rows.items() if key != ("age", ""))
    assert len(rows) == len(quality())


def test_a_picture_shows_the_share_of_each_window_in_the_same_bins() -> None:
    values = np.where(LATE, 8.0, 2.0) * np.exp(0.1 * np.random.default_rng(2).normal(size=len(ROWS)))
    plot = plot_column(column("x", values), PAIR)
    assert (plot.reference_median, plot.current_median) == (
        pytest.approx(2.0, rel=0.02),
        pytest.approx(8.0, rel=0.02),
    )
    heights = [
        np.array([HEIGHT - float(y) for y in re.findall(r"V([\d.]+) h", path)])
        for path in (plot.reference, plot.current)
    ]
    assert [len(each) for each in heights] == [BINS, BINS]
    before, now = (float((each * np.arange(BINS)).sum() / each.sum()) for each in heights)
    assert before < BINS / 3 < 2 * BINS / 3 < now
    assert heights[0].sum() == pytest.approx(heights[1].sum(), rel=0.05)


@pytest.mark.parametrize("values", [np.full(len(ROWS), 2.0), np.full(len(ROWS), np.nan), np.zeros(len(ROWS))])
@pytest.mark.parametrize("is_log", [True, False])
def test_fault_44_nothing_is_drawn_of_constant_and_missing_columns(values: np.ndarray, is_log: bool) -> None:
    plot = plot_column(column("x", values, is_log), PAIR)
    assert (plot.reference, plot.current, plot.low) == ("", "", None)
    assert "nothing to draw" in page(columns=(column("x", values, is_log),))
