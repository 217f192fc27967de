"""The evaluation as a page: whole in one file, true to the numbers, and no name in it becomes markup."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from model_rows import market, of_one_class

from volspike.errors import ConfigError
from volspike.evaluation.page import About, check_page, render_page, write_page
from volspike.evaluation.report import Evaluation, evaluate
from volspike.labels.splits import chronological_split
from volspike.models.train import train

VOID = {"meta", "br", "rect", "circle", "path"}


class Structure(HTMLParser):
    """Checks that every element is closed, and collects what an element asks for and what it says."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.links: list[str] = []
        self.words: list[str] = []
        self.tags: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.links += [name for name, _ in attrs if name in ("href", "src", "srcset", "action", "style")]
        self.links += [name for name, _ in attrs if name.startswith("on")]
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


def about(trained) -> About:
    return About({name: b.manifest.version for name, b in trained.bundles.items()}, True, 3)


@pytest.fixture(scope="module")
def report(dataset, split, trained) -> Evaluation:
    return evaluate(trained.bundles, dataset, split, trained.champion)


@pytest.fixture(scope="module")
def page(report, dataset, split, trained) -> str:
    return render_page(report, dataset, split, about(trained))


def test_the_page_is_whole_in_itself(page: str) -> None:
    structure = parsed(page)
    assert structure.links == []
    assert not structure.tags & {"script", "link", "img", "iframe", "object"}
    assert not re.search(r"https?:|url\(|@import", page)


def test_the_page_shows_the_figures_of_the_report(page: str, report: Evaluation, trained) -> None:
    words = parsed(page).words
    for parts in (*report.models.values(), report.reference_scores):
        assert f"{parts['test'].log_loss:.4f}" in words
        assert f"{parts['test'].qlike:.4f}" in words
    for name, bundle in trained.bundles.items():
        assert any(bundle.manifest.version in text for text in words)
        assert name in words
    assert any("3 times before" in text for text in words)
    assert "Not enough data" in words
    assert "of 20 clusters of spikes" in words
    assert all(day.date in words for day in report.judged[report.champion].days)
    assert "None" not in page
    assert "nan" not in words


def test_the_same_evaluation_gives_the_same_bytes(page: str, report, dataset, split, trained) -> None:
    assert render_page(report, dataset, split, about(trained)) == page


def test_names_and_notes_are_shown_as_text(report, dataset, split, trained) -> None:
    hostile = "<script>alert(1)</script>"
    noted = replace(report, notes=dict.fromkeys(report.notes, (hostile,)), reference=hostile)
    text = render_page(noted, replace(dataset, product=hostile), split, about(trained))
    assert "<script" not in text
    assert hostile in parsed(text).words


def test_thin_rows_a_test_of_one_class_and_an_empty_one_still_give_a_page(settings) -> None:
    thin = market(hours=0.25, seed=12)
    split = chronological_split(thin)
    quiet = of_one_class(thin, split.test)
    result = train(quiet, split, settings)
    for parts in (split, replace(split, test=np.empty(0, np.int64))):
        report = evaluate(result.bundles, quiet, parts, result.champion)
        words = parsed(render_page(report, quiet, parts, about(result))).words
        assert "Not enough data" in words
        assert "no curve: the labelled rows of test are of one class" in words
        assert any("1 onset in the rows, 20 are needed to choose by" in text for text in words)
        assert ("no labelled row" in words) == (not len(parts.test))


def test_a_page_is_written_whole_or_not_at_all(tmp_path: Path, page: str) -> None:
    path = write_page(tmp_path / "new" / "page.html", page)
    assert path.read_text(encoding="utf-8") == page
    assert [entry.name for entry in path.parent.iterdir()] == ["page.html"]
    (tmp_path / "file").touch()
    for refused in (tmp_path / "file" / "page.html", tmp_path / "new"):
        with pytest.raises(ConfigError, match="can't be written"):
            check_page(refused)
        with pytest.raises(ConfigError, match="can't be written"):
            write_page(refused, page)
    check_page(path)
    assert path.read_text(encoding="utf-8") == page
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["file", "new"]
