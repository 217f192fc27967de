"""A product that no model serves is recorded, and after an interval of that its first model is trained."""

from __future__ import annotations

from pathlib import Path

import pytest

from kept_models import Kept
from made_bundles import FEED, PRODUCT
from volspike.clock import SystemClock
from volspike.models.standing import standing_of
from volspike.monitoring.journal import PROMOTED, RETRAIN_STARTED
from volspike.pipeline.home import Home
from volspike.pipeline.recorded_only import recorded_only_ns
from volspike.pipeline.retraining import Request, retrain
from volspike.recording.reader import Archive
from volspike.testing.crash_point import CrashError
from whole_runs import ORIGIN_NS, make_history, settings_for

HOUR_NS = 3_600_000_000_000
PRODUCTS = ("ETH-USD", PRODUCT)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """Return two hours of a market, and no model."""
    return make_history(tmp_path)


def test_the_first_model_is_due_when_an_interval_is_recorded_and_is_trained_once(home: Home) -> None:
    since_ns, until_ns = Archive(home.root).span_ns(FEED, PRODUCT) or (0, 0)
    assert 0 <= since_ns - ORIGIN_NS < 10**9
    assert until_ns - since_ns == pytest.approx(2 * HOUR_NS, rel=1e-3)
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
    assert recorded_only_ns(home, settings_for(home.root), standing) is None


def test_a_first_training_that_failed_waits_an_hour_as_others_do(home: Home) -> None:
    def fail(request: Request) -> None:
        settings = settings_for(home.root, retrain_days=0.001)
        with pytest.raises(CrashError):
            retrain(home, settings, request, SystemClock(), lambda _words: None, _dies)

    with Kept(home.root, retrain_every_hours=1.0) as kept:
        kept.caretaker(fail).step()
        kept.caretaker().step()
        assert kept.asked == []


def _dies(step: str) -> None:
    if step == "started":
        raise CrashError("killed")


def test_a_damaged_standing_holds_up_no_other_product(home: Home) -> None:
    path = home.models / "champions" / f"ETH-USD-{FEED}.json"
    path.parent.mkdir(parents=True)
    path.write_text("{")
    with Kept(home.root, retrain_every_hours=1.0, products=PRODUCTS) as kept:
        with pytest.raises(Exception, match="ETH-USD"):
            kept.caretaker().step()
        assert [each.product for each in kept.asked] == [PRODUCT]
