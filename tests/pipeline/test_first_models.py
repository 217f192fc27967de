"""A product that no model serves is recorded, and after an interval of that its first model is trained."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import numpy as np
import pytest

from kept_models import NS, Kept, graded_rows, write_ledger
from made_bundles import FEED, PRODUCT, make_bundle
from volspike.clock import SystemClock
from volspike.errors import ArchiveError
from volspike.evaluation.episodes import GradedSeconds
from volspike.models.standing import crown_champion, place_challenger, standing_of
from volspike.monitoring.graded import GradedRows
from volspike.monitoring.journal import PROMOTED, RETRAIN_STARTED
from volspike.pipeline.home import Home
from volspike.pipeline.retraining import Request, retrain
from volspike.pipeline.who_serves import is_unserved
from volspike.recording import recent
from volspike.recording.recent import RecentArchive
from volspike.testing.crash_point import CrashError
from whole_runs import ORIGIN_NS, make_history, settings_for

HOUR_NS = 3_600_000_000_000
DAY_S = 86_400
PRODUCTS = ("ETH-USD", PRODUCT)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """Return two hours of a market, and no model."""
    return make_history(tmp_path)


def test_the_first_model_is_due_when_an_interval_is_recorded_and_is_trained_once(home: Home) -> None:
    until_ns, length_ns = RecentArchive(home.root, FEED, 7.0).look()[PRODUCT]
    assert length_ns == pytest.approx(2 * HOUR_NS, rel=1e-3)
    for every_h, asked in ((2.1, []), (1.9, [Request(PRODUCT, FEED, "schedule", until_ns)])):
        with Kept(home.root, retrain_every_hours=every_h, products=PRODUCTS) as kept:
            kept.caretaker().step()
            assert kept.asked == asked

    def train(request: Request) -> None:
        retrain(home, settings_for(home.root), request, SystemClock(), lambda _words: None)

    with Kept(home.root, retrain_every_hours=1.9, products=PRODUCTS) as kept:
        kept.caretaker(train).step()
        kept.caretaker().step()
        assert kept.asked == []
        assert [each.event for each in kept.journal()] == [RETRAIN_STARTED, PROMOTED]
        (first,) = (each for each in kept.journal() if each.event == PROMOTED)
    assert first.reason == "the first champion"
    standing = standing_of(home.models, PRODUCT, FEED)
    assert standing.version == first.version
    assert not is_unserved(home, settings_for(home.root), standing)


def test_where_nothing_is_promoted_by_itself_a_first_model_is_somebodys_to_train(home: Home) -> None:
    with Kept(home.root, retrain_every_hours=1.0, promote="never") as kept:
        kept.caretaker().step()
        assert kept.asked == []


def test_a_first_training_that_failed_waits_an_hour_as_others_do(home: Home) -> None:
    def fail(request: Request) -> None:
        settings = settings_for(home.root, retrain_days=0.001)
        with pytest.raises(CrashError):
            retrain(home, settings, request, SystemClock(), lambda _words: None, _dies)

    with Kept(home.root, retrain_every_hours=1.0) as kept:
        kept.caretaker(fail).step()
        assert [each.event for each in kept.journal()] == [RETRAIN_STARTED]
        kept.caretaker().step()
        assert kept.asked == []


def _dies(step: str) -> None:
    if step == "started":
        raise CrashError("killed")


def test_a_challenger_that_no_champion_is_left_for_holds_up_no_first_model(home: Home) -> None:
    challenger = make_bundle(home.models, 1).manifest
    place_challenger(home.models, challenger.name, challenger.version)
    with Kept(home.root, retrain_every_hours=1.0) as kept:
        kept.caretaker().step()
        assert [each.by for each in kept.asked] == ["schedule"]


def test_a_clock_that_was_wrong_for_one_product_moves_no_other(home: Home) -> None:
    """The newest frame of a product without a model told the time for all: it cost them ledger and trial."""
    begin_s = ORIGIN_NS // NS - 800 * DAY_S
    other = make_bundle(home.models, 1, product="ETH-USD", span_ns=(1, begin_s * NS)).manifest
    crown_champion(home.models, other.name, other.version)
    write_ledger(home, _graded(begin_s, other.version), "ETH-USD")
    with Kept(home.root, retrain_every_hours=24.0, products=PRODUCTS) as kept:
        kept.at(begin_s + 3_600)
        kept.caretaker().step()
        assert kept.asked == []
        assert len(list(home.ledger.glob("ETH-USD/*"))) == 2


def _graded(begin_s: int, version: str) -> GradedRows:
    seconds = np.arange(begin_s, begin_s + 3_600, 10)
    rows = GradedSeconds(seconds, np.zeros(len(seconds), np.int64), np.zeros(len(seconds), np.int8))
    return graded_rows(rows, np.full(len(seconds), 0.1), np.full(len(seconds), np.nan), version, "")


def test_an_archive_that_can_not_be_read_holds_up_no_product_that_is_served(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = make_bundle(home.models, 1, product="ETH-USD").manifest
    crown_champion(home.models, other.name, other.version)

    def refuse(_path: Path) -> None:
        raise OSError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(recent, "look_at_segment", refuse)
    with Kept(home.root, retrain_every_hours=24.0, products=PRODUCTS) as kept:
        kept.at(other.training.last_ns // NS + DAY_S)
        with pytest.raises(ArchiveError, match="Permission denied"):
            kept.caretaker().step()
        assert [each.product for each in kept.asked] == ["ETH-USD"]


def test_a_damaged_standing_holds_up_no_other_product(home: Home) -> None:
    path = home.models / "champions" / f"ETH-USD-{FEED}.json"
    path.parent.mkdir(parents=True)
    path.write_text("{")
    with Kept(home.root, retrain_every_hours=1.0, products=PRODUCTS) as kept:
        with pytest.raises(Exception, match="ETH-USD"):
            kept.caretaker().step()
        assert [each.product for each in kept.asked] == [PRODUCT]
